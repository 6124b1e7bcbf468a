/** The coordinators of one simulated cluster, as what is around them sees them. */
import type { CoordinatorEvent } from "../../core/coordinator/coordinator-events.js";
import type { SimulatedProcess } from "../simulated-process.js";
import type { CoordinatorLife } from "./coordinator-life.js";

/** One that is started again where it ends, or several of which one leads. */
export interface Coordinators {
  /** Their addresses, as members are told them. */
  readonly places: string;
  /** The life of the highest term that has begun; null before the first. */
  readonly present: CoordinatorLife | null;
  /** The process on a node; of no node in particular, that which leads, if any lives. */
  processOf(node: string): SimulatedProcess | null;
  /** No process of them lives, and none will: the run ends with them. */
  readonly isCutOff: boolean;
  /** Begins the run. */
  open(): void;
  /** The run is to be interrupted, by each that carries it on from here on. */
  interrupt(): void;
  /** A supervisor, where there is one, says something to the present one. */
  tell(event: CoordinatorEvent): void;
  /** One of their processes has been killed, and is started again after so long or never. */
  killed(process: SimulatedProcess, restartMs: number | null): void;
  /** Ends all of them. */
  close(): void;
}
