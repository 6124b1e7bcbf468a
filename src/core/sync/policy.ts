/**
 * What a protocol demands of one chunk, as two pure questions with a reason each: may a worker have
 * this chunk to start its next step with (`mayStart`), and which workers does a BSP step still wait
 * for (`missingFrom`).
 *
 * BSP (bulk synchronous, Valiant 1990): step k may start when step k-1 is sealed. SSP(s) (Ho et
 * al., NeurIPS 2013): a worker at clock c may start step c only if c - min(clock) <= s. ASP:
 * always.
 */
import { unreachable } from "../../assert.js";
import type { Protocol } from "../../protocol/run-spec.js";
import type { View, ViewWorker } from "../../protocol/view.js";

/** A verdict and the sentence, with numbers, that led to it. */
export interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
}

/** What the policy looks at: one chunk's progress. */
export interface ChunkProgress {
  /** The last BSP step sealed, -1 if none. */
  readonly sealedStep: number;
  /** Steps that this worker has completed on this chunk. */
  clockOf(worker: ViewWorker): number;
  /** True when the worker's gradient for the step after the last sealed one is held whole. */
  holds(worker: ViewWorker): boolean;
}

const granted: Decision = { allowed: true, reason: "" };

/** May a worker have the chunk to start `step` (0 is the first)? */
export function mayStart(
  protocol: Protocol,
  view: View,
  progress: ChunkProgress,
  step: number,
): Decision {
  switch (protocol.mode) {
    case "asp":
      return granted;
    case "bsp": {
      if (progress.sealedStep >= step - 1) return granted;
      const next = progress.sealedStep + 1;
      const missing = missingFrom(view, progress).map((worker) => worker.rank);
      const whom = missing.length === 0 ? "an earlier step" : `worker ${missing.join(", ")}`;
      return { allowed: false, reason: `waiting for ${whom}: sealed ${next} of ${step} steps` };
    }
    case "ssp": {
      const slowest = slowestOf(view, progress);
      if (slowest === undefined || step - slowest.clock <= protocol.staleness) return granted;
      return {
        allowed: false,
        reason:
          `waiting for worker ${slowest.rank}: ` +
          `step ${slowest.clock} of ${step}, at most ${protocol.staleness} behind`,
      };
    }
    default:
      return unreachable(protocol);
  }
}

/** The workers of the view that BSP's next step still lacks. */
export function missingFrom(view: View, progress: ChunkProgress): ViewWorker[] {
  const step = progress.sealedStep + 1;
  return view.workers.filter((worker) => worker.fromStep <= step && !progress.holds(worker));
}

/** The lowest clock over the view's workers on this chunk. */
export function slowestOf(
  view: View,
  progress: ChunkProgress,
): { rank: number; clock: number } | undefined {
  let slowest: { rank: number; clock: number } | undefined;
  for (const worker of view.workers) {
    const clock = progress.clockOf(worker);
    if (slowest === undefined || clock < slowest.clock) slowest = { rank: worker.rank, clock };
  }
  return slowest;
}
