/** What is around a server's host. */
import type { Entry } from "../core/server/entry.js";
import type { Arena } from "../kernels/arena.js";
import type { KernelsChoice } from "../kernels/choice.js";
import type { Layout } from "../protocol/layout.js";
import type { CoordinatorMessage } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { ViewServer } from "../protocol/view.js";
import type { Transport } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import type { HeardTerm } from "./heard-term.js";
import type { Trace } from "./trace.js";

/** What a server needs around it. */
export interface ServerHostParts {
  readonly clock: Clock;
  /** By which it reaches other servers. */
  readonly transport: Transport;
  /** Where a server takes chunks; its address if left out. */
  readonly route?: (server: ViewServer) => string;
  /** Silence after which an open channel to a server is taken for dead; 30 s if left out. */
  readonly ioTimeoutMs?: number;
  readonly index: number;
  /** The highest term that the process has heard of: transfers under a lower one are refused. */
  readonly heard: HeardTerm;
  /** The memory of a job, empty. */
  openArena(): Arena;
  /** Which kernels fold and apply; all have the same bits, and the fastest is taken if left out. */
  readonly kernels?: KernelsChoice;
  layoutOf(spec: RunSpec): Layout;
  /** The coordinator has ended the job. */
  onStop(message: CoordinatorMessage & { type: "stop" }): void;
  /** Told of each update, if given. */
  readonly trace?: Trace | null;
  /** Told of each entry that moves values, its generation, and its chunk's weights and state. */
  onApplied?(entry: Entry, generation: number, values: readonly Float32Array[]): void;
  log(text: string): void;
}
