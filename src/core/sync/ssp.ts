/**
 * SSP(s), stale synchronous (Ho et al., NeurIPS 2013): every push is applied on arrival, and a
 * worker at clock c may start step c only if c - min(clock) <= s. SSP(0) lets each step see the
 * gradients that BSP's would; SSP(infinity) is ASP.
 *
 * Invariant: no worker of the view is more than s steps ahead of the slowest, on any chunk.
 */
import type { View } from "../../protocol/view.js";
import { WorkAtWill } from "../work/work-at-will.js";
import { WorkFirstCome } from "../work/work-first-come.js";
import { type ChunkProgress, granted, type Mode, neverHeld, type Pace } from "./pace.js";
import { countOf, problemOfCount, unknownParameter } from "./parameters.js";

/** Bounded staleness: a worker may be only so many steps ahead of the slowest. */
export const ssp: Mode = {
  name: "ssp",
  aliases: [],
  summary: "bounded staleness",
  settings: ["staleness"],
  protocolOf: ({ staleness }) => ({ mode: "ssp", staleness }),
  problem: (protocol) =>
    unknownParameter(protocol, ["staleness"]) ?? problemOfCount(protocol, "staleness"),
  paceOf: (protocol) => sspPace(countOf(protocol, "staleness")),
};

/** The pace of SSP within a bound. */
export function sspPace(staleness: number): Pace {
  return {
    globalStep: "push",
    hasBarriers: true,
    meetsAtBoundaries: false,
    judges: false,
    hasDecider: false,
    late: null,
    groups: null,
    isTimed: false,
    localSteps: null,
    mayStart: (view, progress, step) => {
      const slowest = slowestOf(view, progress);
      if (slowest === undefined || step - slowest.clock <= staleness) return granted;
      return {
        allowed: false,
        reason:
          `waiting for worker ${slowest.rank}: ` +
          `step ${slowest.clock} of ${step}, at most ${staleness} behind`,
      };
    },
    onPush: () => ({ kind: "apply", scale: 1, reason: "" }),
    maySeal: () => neverHeld,
    // The joiner holds the others back from the step with which it was first put to the servers: a
    // worker can complete the step that it is in, and one that lies at most s ahead of that step.
    laterStart: ({ fromStep }, { clockMin }) =>
      fromStep < clockMin ? Math.max(clockMin + 1, fromStep + staleness + 1) : null,
    dealRanges: (floor, cursor) => new WorkAtWill(floor, cursor),
    dealBatches: (floor, pool) => new WorkFirstCome(floor, pool),
  };
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
