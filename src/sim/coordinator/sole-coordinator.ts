/**
 * A coordinator with a supervisor that starts another in its place, and a disk that keeps its
 * record: the run goes on in place where training had begun, else from the last checkpoint.
 */
import type { CoordinatorEvent } from "../../core/coordinator/coordinator-events.js";
import type { Random } from "../../random.js";
import type { SavedCheckpoint } from "../saved-checkpoint.js";
import type { SimulatedProcess } from "../simulated-process.js";
import type { VirtualTime } from "../virtual-time.js";
import {
  CoordinatorLife,
  type CoordinatorWorld,
  type DurableState,
  type DurableStates,
  recordIn,
  setupFrom,
} from "./coordinator-life.js";
import type { Coordinators } from "./coordinators.js";

const node = "coordinator";

/** The coordinator. */
export class SoleCoordinator implements Coordinators {
  readonly places = node;
  present: CoordinatorLife | null = null;
  readonly #world: CoordinatorWorld;
  readonly #time: VirtualTime;
  readonly #random: Random;
  /** What one that starts again reads. */
  #durable: DurableState;
  /** What servers are loaded with. */
  #start: SavedCheckpoint | null;
  #isReturning = false;
  #isInterrupted = false;

  constructor(world: CoordinatorWorld, time: VirtualTime) {
    this.#world = world;
    this.#time = time;
    this.#random = world.random;
    this.#start = world.from;
    const term = 1 + (world.from?.snapshot.term ?? 0);
    this.#durable = { term, generation: 0, record: null };
  }

  processOf(): SimulatedProcess | null {
    return this.present?.process ?? null;
  }

  get isCutOff(): boolean {
    return this.processOf()?.isAlive === false && !this.#isReturning;
  }

  open(): void {
    const life = this.#begin(1);
    const { term } = this.#durable;
    life.begin((host) => host.tell({ type: "submit", setup: life.setup(), term }));
  }

  interrupt(): void {
    this.#isInterrupted = true;
    this.tell({ type: "interrupt", reason: "SIGINT" });
  }

  tell(event: CoordinatorEvent): void {
    const { present } = this;
    present?.process.run(() => present.host.tell(event));
  }

  killed(_process: SimulatedProcess, restartMs: number | null): void {
    this.#isReturning = restartMs !== null;
    if (restartMs !== null) this.#time.after(restartMs, () => this.#goOn());
  }

  close(): void {
    this.present?.host.close();
    this.processOf()?.end();
  }

  #begin(term: number): CoordinatorLife {
    const process = this.#world.spawn(node);
    const parts = { process, address: node, term, start: this.#start };
    this.present = new CoordinatorLife(this.#world, { ...parts, states: this.#states(process) });
    return this.present;
  }

  #goOn(): void {
    this.#isReturning = false;
    const record = recordIn(this.#durable);
    const { generation } = this.#durable;
    const term = this.#durable.term + 1;
    const { plan, from, checkpoints } = this.#world;
    if (record !== null) {
      const life = this.#begin(term);
      this.#durable = { ...this.#durable, term };
      const setup = setupFrom(plan, from);
      life.begin((host) => host.tell({ type: "return", setup, term, record }));
    } else {
      this.#start = checkpoints.at(-1) ?? from;
      const life = this.#begin(term);
      const setup = { ...life.setup(), generation: generation + 1 };
      this.#durable = { term, generation: generation + 1, record: null };
      life.begin((host) => host.tell({ type: "submit", setup, term }));
    }
    if (this.#isInterrupted) this.interrupt();
  }

  #states(process: SimulatedProcess): DurableStates {
    return {
      keep: async (state) => {
        const delayMs = this.#random.float() * 20;
        await new Promise<void>((resolve) => process.clock.after(delayMs, resolve));
        this.#durable = state;
      },
      begin: async (state) => {
        this.#durable = state;
        this.#start = this.#world.checkpoints.at(-1) ?? this.#world.from;
      },
    };
  }
}
