/**
 * DSSP, dynamic stale synchronous parallel (Zhao, An, Liu, Chen, ICDCS 2019, arXiv 1908.11848): as
 * SSP, with a bound that lies between LOW and HIGH. A worker that is more than LOW steps ahead of
 * the slowest, with nobody ahead of it, may take r more steps where their synchronization
 * controller says so, but none in which it is more than HIGH ahead. From its own last step time and
 * that of the slowest it is foreseen when each would push again, and r, from 0 on, is that after
 * which it waits the least for the next push of the slowest:
 *
 *   r = argmin over r of min over k of (S + k * s - (P + r * p)),   where that is not below 0
 *
 * P, S: the last pushes of the fastest and the slowest; p, s: how long their last steps took. It is
 * asked anew at each push, by each chunk for itself. Where a time is not known, as at the beginning
 * and behind the loss of a server, the bound is LOW. For the first step of a worker's life it is
 * HIGH: it may begin ahead of all others while these rest and wait for it.
 *
 * Invariant: nobody starts a step that lies more than HIGH steps ahead of the slowest.
 */
import { granted, type Mode, type Pace, type WorkerPulse } from "./pace.js";
import { countOf, problemOfCount, unknownParameter } from "./parameters.js";
import { slowestOf, sspPace } from "./ssp.js";

/** Bounded staleness whose bound follows the workers' step times. */
export const dssp: Mode = {
  name: "dssp",
  aliases: [],
  summary: "staleness within a bound that follows the workers' step times",
  settings: ["stalenessMin", "staleness"],
  protocolOf: ({ stalenessMin, staleness }) => ({ mode: "dssp", stalenessMin, staleness }),
  problem: (protocol) =>
    unknownParameter(protocol, ["stalenessMin", "staleness"]) ??
    problemOfCount(protocol, "stalenessMin") ??
    problemOfCount(protocol, "staleness") ??
    problemOfOrder(countOf(protocol, "stalenessMin"), countOf(protocol, "staleness")),
  paceOf: (protocol) => {
    return dsspPace(countOf(protocol, "stalenessMin"), countOf(protocol, "staleness"));
  },
};

function problemOfOrder(low: number, high: number): string | null {
  return low <= high ? null : `stalenessMin is ${low}, above staleness, which is ${high}`;
}

/** The pace of DSSP between two bounds. */
export function dsspPace(low: number, high: number): Pace {
  return {
    ...sspPace(high),
    isTimed: true,
    mayStart: (view, progress, step, rank) => {
      const slowest = slowestOf(view, progress);
      const lead = slowest === undefined ? 0 : step - slowest.clock;
      if (slowest === undefined || lead <= low) return granted;
      const waiting = `waiting for worker ${slowest.rank}: step ${slowest.clock} of ${step}`;
      const bounds = `at most ${low} to ${high} behind`;
      if (lead > high) return { allowed: false, reason: `${waiting}, ${bounds}` };
      const isFastest = view.workers.every((worker) => progress.clockOf(worker) <= step);
      const own = view.workers.find((worker) => worker.rank === rank);
      const [fast, slow] = [own, slowest].map((one) => one && progress.pulseOf(one.rank));
      if (own !== undefined && own.fromStep === step) return granted;
      if (!isFastest || !fast || !slow) return { allowed: false, reason: `${waiting}, ${bounds}` };
      const { more, waitMs } = furtherSteps(fast, slow, high - lead + 1);
      if (more > 0) return granted;
      const least = `${waitMs.toFixed(1)} ms are the least of 0 to ${high - lead + 1} more steps`;
      return { allowed: false, reason: `${waiting}, ${bounds}: ${least}` };
    },
  };
}

/** So many further steps are looked at: pushes are foreseen by the last step alone. */
const foreseenMax = 1000;

/** How many more steps the fastest takes, of at most so many, and how long it waits behind them. */
export function furtherSteps(
  fast: WorkerPulse,
  slow: WorkerPulse,
  most: number,
): { readonly more: number; readonly waitMs: number } {
  let best = { more: 0, waitMs: Number.POSITIVE_INFINITY };
  for (let more = 0; more <= Math.min(most, foreseenMax); more++) {
    const atMs = fast.pushedMs + more * fast.tookMs;
    const pushes = Math.max(1, Math.ceil((atMs - slow.pushedMs) / Math.max(slow.tookMs, 1e-3)));
    const waitMs = Math.max(0, slow.pushedMs + pushes * slow.tookMs - atMs);
    if (waitMs < best.waitMs) best = { more, waitMs };
  }
  return best;
}
