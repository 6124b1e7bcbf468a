/**
 * The states of a worker, each with the fields that are valid in it.
 *
 * - idle: no job. A job leads to preparing.
 * - preparing: model and data are being made. Done -> awaiting.
 * - awaiting: for a view that has this incarnation -> pulling.
 * - pulling: every chunk is asked for. All there -> resting.
 * - resting: between steps -> stepping, or fetching, or at a checkpoint's barrier pulling again
 *   and giving; each leads back.
 * - fetching: every chunk is asked for as it is, to be evaluated. All there -> evaluating.
 * - giving: the coordinator is given residuals. One that still pulls its first chunks, which it may
 *   have for a later step only, gives them without leaving that state.
 * - stepping: a step is computed, its chunks come back. Once it is computed and while some of them
 *   are on their way, the assignment's next step is begun: -> stepping, with the step `before`.
 */
import type { AssignmentReport } from "../../protocol/assignment-report.js";
import type { StepRange } from "../../protocol/examples.js";
import type { Layout } from "../../protocol/layout.js";
import type { LocalMoment } from "../../protocol/local/local-steps.js";
import type {
  Assignment,
  ChunkHeader,
  MemberMessage,
  Range,
  WorkerStatistics,
} from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import { examplesOfStep, type Pace } from "../sync/pace.js";
import { PushVerdict } from "./push-verdict.js";
import type { RestOrder } from "./rest-order.js";
import type { StepOutcome, WorkerAccount } from "./worker-account.js";
import type { WorkerEffect } from "./worker-events.js";

/** A step under way. */
export interface Stepping {
  readonly name: "stepping";
  readonly step: number;
  readonly examples: number;
  /** Pushed and not answered. */
  readonly outstanding: Set<number>;
  /** Not answered yet, pushed or not. */
  readonly missing: Set<number>;
  /** True once a push of it is answered. */
  isAnswered: boolean;
  /** How many chunks have rejected its pushes, or gone on without them. */
  inVain: number;
  /** By chunk that went on without its push the step that was open there by then. */
  readonly openSteps: Map<number, number>;
  computed: boolean;
  /** What it came to; null before it is computed, and where it has no examples. */
  outcome: StepOutcome | null;
  computedAtMs: number;
  readonly startedAtMs: number;
  /** When the next step was begun; null while it has not been. */
  leftAtMs: number | null;
  /** What becomes of its push as a whole. */
  readonly verdict: PushVerdict;
  /** The step before, while some of its chunks are on their way; they can't be computed with. */
  before: Stepping | null;
}

/** Where a worker stands. */
export type WorkerState =
  | { readonly name: "idle" | "preparing" | "awaiting" | "resting" | "giving" }
  | ({ readonly name: "pulling" } & Asking)
  | ({ readonly name: "fetching" } & Asking & EvaluationPart)
  | Stepping
  | ({ readonly name: "evaluating" } & EvaluationPart);

/** Chunks that have been asked for. */
export interface Asking {
  /** The number of the pulls; answers to earlier ones may still come. */
  readonly pull: number;
  readonly missing: Set<number>;
}

/** A part of an evaluation. */
export interface EvaluationPart {
  readonly evaluation: number;
  readonly range: Range;
  /** True where it trains on something near the model, which is laid aside meanwhile. */
  readonly laysAside: boolean;
  /** By chunk that of the weights that are there for it. */
  readonly versions: number[];
}

/** Where a step begins: the number it has, the position of its examples, the step before it. */
export interface StepPlace {
  readonly step: number;
  readonly start: number;
  /** Null where all its chunks are back. */
  readonly before: Stepping | null;
}

/** What a step depends on besides. */
export interface StepGround {
  readonly layout: Layout;
  readonly spec: RunSpec;
  readonly pace: Pace;
  /** Knows what the rate of local steps follows. */
  readonly requests: { momentOf(step: number): LocalMoment };
}

/** A step of the assignment, with all chunks yet to be answered, and what to compute for it. */
export function stepBegun(
  work: Work,
  { step, start, before }: StepPlace,
  { layout, spec, pace, requests }: StepGround,
  nowMs: number,
): { readonly state: Stepping; readonly compute: WorkerEffect | null } {
  const taken = stepOf(work, step, start, examplesOfStep(spec, pace));
  const end = taken?.range.end ?? start;
  const examples = end - start;
  const state: Stepping = {
    name: "stepping",
    step,
    examples,
    outstanding: new Set(),
    missing: new Set(layout.chunks.map(({ index }) => index)),
    isAnswered: false,
    inVain: 0,
    openSteps: new Map(),
    computed: taken === null,
    outcome: null,
    computedAtMs: nowMs,
    startedAtMs: nowMs,
    leftAtMs: null,
    verdict: new PushVerdict(pace.judges && examples > 0),
    before,
  };
  if (taken === null) return { state, compute: null };
  const lacking = [...(before?.missing ?? [])];
  const next = stepOf(work, step + 1, end, examplesOfStep(spec, pace));
  const compute = { type: "compute", ...taken, lacking, next } as const;
  if (pace.localSteps === null) return { state, compute };
  return { state, compute: { ...compute, moment: requests.momentOf(step) } };
}

/** The assignment of work that it is on. */
export interface Work {
  readonly assignment: Assignment;
  position: number;
  lossSum: number;
  correct: number;
  examples: number;
  /** Examples of steps that no chunk has applied: rejected or dropped. */
  dropped: number;
  seconds: number;
}

/** An assignment that has just come. */
export function workOn(assignment: Assignment): Work {
  return {
    assignment,
    position: assignment.start,
    lossSum: 0,
    correct: 0,
    examples: 0,
    dropped: 0,
    seconds: 0,
  };
}

/**
 * A step of the assignment is over; returns how many examples it used, which are none where it was
 * rejected, or all of the model's chunks went on without it.
 */
export function creditStep(work: Work, step: Stepping, chunks: number, endMs: number): number {
  const { startedAtMs, examples, outcome } = step;
  work.seconds += (endMs - startedAtMs) / 1000;
  work.position += examples;
  if (step.inVain > 0 && step.inVain === chunks) {
    work.dropped += examples;
    return 0;
  }
  work.examples += examples;
  work.lossSum += outcome?.lossSum ?? 0;
  work.correct += outcome?.correct ?? 0;
  return examples;
}

/** What a worker tells another coordinator: its assignment, and what it did of the last. */
export function returnedOf(
  [work, lastDone]: readonly [Work | null, Work | null],
  step: number,
  statistics: WorkerStatistics,
): MemberMessage {
  const done = lastDone && reportOf(lastDone, statistics);
  return { type: "returned", assignment: work?.assignment.id ?? 0, step, done };
}

/** What is told of an assignment that ends where the work has come. */
export function reportOf(work: Work, statistics: WorkerStatistics): AssignmentReport {
  const { assignment, position, examples, dropped, lossSum, correct, seconds } = work;
  const skipped = assignment.end - position;
  const counts = { examples, skipped, dropped, lossSum, correct, seconds, statistics };
  return { assignment: assignment.id, ...counts };
}

/** What is told of a run that has been prepared. */
export function readyOf(
  run: string,
  { tensors }: Layout,
  made: { readonly engine: string; readonly algorithms: readonly string[] },
): MemberMessage {
  const known = tensors.map(({ name, shape, group }) => ({ name, shape, group }));
  return { type: "ready", run, tensors: known, ...made };
}

/**
 * The step that takes the assignment's examples from `start` on; null where the assignment has no
 * such step, or no examples for it.
 */
function stepOf(
  { assignment }: Work,
  step: number,
  start: number,
  stepExamples: number,
): StepRange | null {
  if (step >= assignment.lastStep || start >= assignment.end) return null;
  const range = { start, end: Math.min(start + stepExamples, assignment.end) };
  return { step, epoch: assignment.epoch, range };
}

/**
 * The step that may be begun while chunks of the one that has been computed are on their way; null
 * where none may. One without examples is left for when they are back, as its pushes would leave at
 * once; examples that are sent may be refused, with an assignment that has to end there; local
 * steps follow the examples that are applied before the first; and where a step may go on without
 * this worker, which is next is known with its first answer.
 */
export function stepAhead(
  state: WorkerState,
  work: Work,
  { spec, pace }: Pick<StepGround, "spec" | "pace">,
): (StepPlace & { readonly before: Stepping }) | null {
  if (state.name !== "stepping" || !state.computed || state.before !== null) return null;
  if (spec.feed === "central" || pace.localSteps !== null) return null;
  const step = state.step + 1;
  const isLate = state.inVain > 0 || [...state.openSteps.values()].some((open) => open > step);
  if (pace.hasDecider && (!state.isAnswered || isLate)) return null;
  const start = work.position + state.examples;
  return stepOf(work, step, start, spec.batchSize) === null ? null : { step, start, before: state };
}

/**
 * An assignment is done when its steps are taken or, where nobody waits for empty pushes, its
 * examples used.
 */
export function isExhausted(
  { assignment, position }: Work,
  nextStep: number,
  { hasBarriers }: Pace,
): boolean {
  return nextStep >= assignment.lastStep || (!hasBarriers && position >= assignment.end);
}

/** True while chunks are pulled, to be trained on or to be evaluated. */
export function isAsking(
  state: WorkerState,
): state is WorkerState & { readonly name: "pulling" | "fetching" } {
  return state.name === "pulling" || state.name === "fetching";
}

/**
 * True where a worker without work has none to come while it is ordered to rest: nobody waits for
 * its step, which it may not have taken as it refused the examples.
 */
export function isIdleInPause(work: Work | null, pace: Pace, rest: RestOrder): boolean {
  return work === null && rest.stands && !pace.hasBarriers;
}

/** The model is there to be evaluated. */
export function evaluating(part: EvaluationPart): WorkerState {
  const { evaluation, range, laysAside, versions } = part;
  return { name: "evaluating", evaluation, range, laysAside, versions };
}

/** What is told of a part that has been evaluated. */
export function evaluatedOf(part: EvaluationPart, correct: number, lossSum: number): MemberMessage {
  const { evaluation, range } = part;
  return { type: "evaluated", evaluation, range, correct, lossSum, versions: [...part.versions] };
}

/** The pushes that are not answered. */
export function outstanding(state: WorkerState): { chunk: number; step: Stepping }[] {
  if (state.name !== "stepping") return [];
  const steps = state.before === null ? [state] : [state.before, state];
  return steps.flatMap((step) => [...step.outstanding].map((chunk) => ({ chunk, step })));
}

/** The step of this number that is under way; null where none is. */
export function inFlight(state: WorkerState, step: number): Stepping | null {
  if (state.name !== "stepping") return null;
  if (state.step === step) return state;
  return state.before?.step === step ? state.before : null;
}

/** True while a push of the chunk at this step, or this pull of it, waits for its answer. */
export function awaitsAnswer(state: WorkerState, { step, chunk, pull }: ChunkHeader): boolean {
  if (isAsking(state)) return pull === state.pull && state.missing.has(chunk);
  return inFlight(state, step)?.outstanding.has(chunk) === true;
}

/** What a worker says when it has left an epoch behind. */
export function epochWords(epoch: number, epochs: number): string {
  return `Epoch ${epoch + 1}/${epochs} completed`;
}

/** What it says when the run is done. */
export function lastWordsOf(
  rank: number,
  { lastAccuracyPercent: last }: Pick<WorkerAccount, "lastAccuracyPercent">,
): string[] {
  const done = `Worker ${rank} completed training!`;
  return last === undefined ? [done] : [`Final test accuracy: ${last.toFixed(2)}%`, done];
}

/**
 * The step in which a worker is, or was last: one that still pulls is in none (-1), and needs
 * nobody to get out of it.
 */
export function stepIn(state: WorkerState, nextStep: number): number {
  if (state.name === "pulling" || state.name === "awaiting") return -1;
  return state.name === "stepping" ? state.step : nextStep - 1;
}

/**
 * Before which step a worker stands under a view that has its first step, `fromStep`, and whether
 * it pulls every chunk: it comes in with the view, or the view begins a phase behind one in which
 * workers may see different models, so that all go on from the same, or one in which that step is
 * another than the step of its weights. Where a phase begins all rest, and stand where it says.
 */
export function standUnder(
  { name }: WorkerState,
  before: View | null,
  view: View,
  { fromStep, nextStep }: { readonly fromStep: number; readonly nextStep: number },
): { readonly nextStep: number; readonly isNew: boolean } {
  const isAtRest = name === "resting" || name === "pulling";
  if (!isAtRest || before === null || view.phase <= before.phase) {
    return { nextStep: Math.max(nextStep, fromStep), isNew: name === "awaiting" };
  }
  const { meetsAtBoundaries, late } = paceOf(before.protocol);
  const isNew = fromStep !== nextStep || !meetsAtBoundaries || late !== null;
  return { nextStep: fromStep, isNew };
}

/**
 * One sentence: what a worker does. `chunks` is how many there are; `paused` says that it was
 * ordered to rest.
 */
export function activityOf(
  state: WorkerState,
  chunks: number,
  nextStep: number,
  paused: boolean,
): string {
  switch (state.name) {
    case "stepping": {
      const late = state.before?.missing.size ?? 0;
      if (!state.computed) return late === 0 ? "computing" : "computing, new weights arrive";
      return `waiting for ${state.missing.size} of ${chunks} parts of the new weights`;
    }
    case "pulling":
      return `fetching the weights: ${chunks - state.missing.size} of ${chunks} parts are here`;
    case "fetching": {
      const here = chunks - state.missing.size;
      return `fetching the model to evaluate: ${here} of ${chunks} parts are here`;
    }
    case "evaluating":
      return `evaluating test examples ${state.range.start} to ${state.range.end}`;
    case "resting":
      return paused ? `paused before step ${nextStep}` : "waiting for work";
    case "giving":
      return `giving its residuals before step ${nextStep}`;
    default:
      return state.name;
  }
}
