/**
 * Quorum with a grace: a step is sealed once K contributions are there and the grace since then is
 * over, or all workers have made theirs. What comes too late for its step is merged with the one
 * that is open by then, weighted by its examples like any other (Decoupled DiLoCo, arXiv
 * 2604.21428, has the quorum, the adaptive grace and the merge):
 *
 *   x(k + 1) = x(k) - lr * sum(n_i * g_i(x(k_i))) / sum(n_i)   over those who are there; k_i <= k
 *
 * k_i is the step that contribution i was made for. A worker that is late waits until its
 * contribution counts, so it has one at a time under way. A step needs at least one contribution of
 * its own, and one with examples; late ones that no worker joins, as all rest, become an update by
 * themselves after three times the shortest of the last steps, or at once where all are late.
 *
 * With `grace` auto the grace is median + 3 * 1.4826 * MAD of how much later than the K-th the
 * others came in the last steps, but at least 1 ms and at most half the median time until the K-th.
 *
 * Who is in a step is decided by one chunk for all (core/server/step-decisions.ts).
 *
 * Invariant: no push is dropped; each is in one update, and its worker goes on behind that.
 */
import { bspPace } from "./bsp.js";
import {
  type ChunkProgress,
  type Gathering,
  granted,
  type Mode,
  type Pace,
  type SealDecision,
} from "./pace.js";
import { countOf, problemOfCount, unknownParameter } from "./parameters.js";

/** The grace that follows from how workers came before. */
export const autoGrace = "auto";

/** The longest grace, in milliseconds. */
export const graceMsMax = 3_600_000;

const graceMsMin = 1;
/** From the median absolute deviation to a standard deviation, where times are spread normally. */
const deviationOfMad = 1.4826;
/** How long late contributions wait for others where it is not known how long a step takes. */
const aloneMsMin = 20;
const aloneMsUnknown = 100;

/** Synchronous with the first K, and what is late merged with the next step. */
export const quorum: Mode = {
  name: "quorum",
  aliases: [],
  summary: "lockstep of the first workers, a grace for the others, late gradients merged",
  settings: ["quorumSize", "grace"],
  protocolOf: ({ quorumSize: count, grace }) => ({ mode: "quorum", quorumSize: count, grace }),
  problem: (protocol) =>
    unknownParameter(protocol, ["quorumSize", "grace"]) ??
    problemOfCount(protocol, "quorumSize") ??
    (countOf(protocol, "quorumSize") === 0 ? "quorumSize is 0, it must be at least 1" : null) ??
    problemOfGrace(protocol.grace),
  paceOf: (protocol) => {
    const { grace } = protocol;
    return quorumPace(
      countOf(protocol, "quorumSize"),
      typeof grace === "number" ? grace : autoGrace,
    );
  },
};

function problemOfGrace(grace: unknown): string | null {
  if (grace === autoGrace) return null;
  if (typeof grace === "number" && grace >= 0 && grace <= graceMsMax) return null;
  return `grace is ${JSON.stringify(grace)}, neither "auto" nor from 0 to ${graceMsMax} ms`;
}

/** The pace of a quorum of so many, with a grace in milliseconds or one that adapts. */
export function quorumPace(count: number, grace: number | typeof autoGrace): Pace {
  return {
    ...bspPace,
    hasDecider: true,
    mayStart: (_view, { sealedStep, index }, step) => {
      if (sealedStep >= step - 1) return granted;
      const open = sealedStep + 1;
      const reason = `waiting for step ${open} to be sealed on chunk ${index}, to start ${step}`;
      return { allowed: false, reason };
    },
    onPush: (view, progress, push) =>
      push.step <= progress.sealedStep ? { kind: "hold" } : bspPace.onPush(view, progress, push),
    maySeal: (view, progress, gathering) => {
      const step = progress.sealedStep + 1;
      const due = view.workers.filter(({ fromStep }) => fromStep <= step);
      const here = due.filter((worker) => progress.holds(worker)).length;
      if (view.workers.length === 0 && !progress.holdsAny) {
        return { allowed: false, reason: "no worker takes part and nothing is held" };
      }
      if (here === due.length && (here === 0 || progress.holdsOnTime)) return granted;
      const wanted = Math.min(count, due.length);
      const counted = `${here} of ${due.length} workers are in step ${step}`;
      if (here < wanted) return { allowed: false, reason: `${counted}, ${wanted} are needed` };
      if (!progress.holdsOnTime) return { allowed: false, reason: `${counted}, all of them late` };
      if (!progress.holdsExamples) {
        return { allowed: false, reason: `${counted} without examples` };
      }
      return afterGrace(gathering, wanted, grace, counted);
    },
    late: {
      maySealAlone: (view, progress, gathering) => {
        const step = progress.sealedStep + 1;
        if (!progress.holdsAny || progress.holdsOnTime) {
          return { allowed: false, reason: "no contribution is late without another in time" };
        }
        const due = view.workers.filter(({ fromStep }) => fromStep <= step);
        const wanted = Math.min(count, due.length);
        if (due.every((worker) => progress.holds(worker))) return granted;
        return afterWait(progress, gathering, wanted);
      },
    },
  };
}

function afterGrace(
  { nowMs, heldSince, onTimeMs, recent }: Gathering,
  wanted: number,
  grace: number | typeof autoGrace,
  counted: string,
): SealDecision {
  const graceMs = grace === autoGrace ? graceOf(recent, wanted) : grace;
  const sinceMs = Math.max(heldSince[wanted - 1] ?? nowMs, onTimeMs ?? nowMs);
  const againMs = sinceMs + graceMs;
  if (nowMs >= againMs) return granted;
  const left = `${(againMs - nowMs).toFixed(1)} ms of ${graceMs.toFixed(1)} are left`;
  return { allowed: false, reason: `${counted}, the others have a grace: ${left}`, againMs };
}

function afterWait(
  { sealedStep }: ChunkProgress,
  { nowMs, heldSince, recent }: Gathering,
  wanted: number,
): SealDecision {
  const steps = stepTimes(recent, wanted);
  const waitMs = steps.length === 0 ? aloneMsUnknown : Math.max(aloneMsMin, 3 * Math.min(...steps));
  const againMs = (heldSince[0] ?? nowMs) + waitMs;
  if (nowMs >= againMs) return granted;
  const left = `${(againMs - nowMs).toFixed(1)} ms`;
  const reason = `late contributions wait for others in step ${sealedStep + 1}, for ${left} more`;
  return { allowed: false, reason, againMs };
}

/** The grace that recent steps suggest where K contributions are a quorum, in milliseconds. */
export function graceOf(recent: Gathering["recent"], wanted: number): number {
  const stepMs = medianOf(stepTimes(recent, wanted));
  const later = recent.flatMap((came) => {
    const quorumMs = came[wanted - 1] ?? 0;
    return came.slice(wanted).map((ms) => ms - quorumMs);
  });
  const median = medianOf(later);
  if (stepMs === null || median === null) return graceMsMin;
  const mad = medianOf(later.map((ms) => Math.abs(ms - median))) ?? 0;
  const spread = median + 3 * deviationOfMad * mad;
  return Math.max(graceMsMin, Math.min(spread, stepMs / 2));
}

/** How long steps took until the K-th contribution. */
function stepTimes(recent: Gathering["recent"], wanted: number): number[] {
  return recent.flatMap((came) => came[wanted - 1] ?? []);
}

function medianOf(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((one, other) => one - other);
  const [low, high] = [(sorted.length - 1) >> 1, sorted.length >> 1];
  return (sorted[low]! + sorted[high]!) / 2;
}
