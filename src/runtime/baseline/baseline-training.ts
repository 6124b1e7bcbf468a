/**
 * Training in one process, without servers, messages or threads: what distribution must beat, and
 * with several ranks the oracle of BSP and of local steps. A step computes what each rank pushes,
 * one after the other, folds them in ascending rank and applies the result chunk by chunk, with the
 * cursor, the kernels and the scalars that the cluster uses; so the weights have the bits of a run
 * in step with as many workers, whatever its servers.
 */
import { assert } from "../../assert.js";
import { paceOf } from "../../core/sync/modes.js";
import { examplesOfStep } from "../../core/sync/pace.js";
import { Cursor } from "../../core/work/cursor.js";
import type { EpochPlan, Share } from "../../core/work/epoch-plan.js";
import { EpochRecords } from "../../core/work/epoch-records.js";
import { Evaluation } from "../../core/work/evaluation.js";
import { DueByClock } from "../../core/work/what-is-due.js";
import type { Dataset } from "../../data/split.js";
import { PacelineError } from "../../errors.js";
import type { Arena } from "../../kernels/arena.js";
import { createKernels, type KernelsChoice } from "../../kernels/choice.js";
import type { FoldInput, Kernels } from "../../kernels/kernels.js";
import { updateScalars } from "../../kernels/update-rule.js";
import type { Engine } from "../../nn/engine.js";
import { type Layout, reduceOf } from "../../protocol/layout.js";
import { type RateMoment, servedRate, servedRule } from "../../protocol/local/local-steps.js";
import type {
  ChunkMarks,
  Range,
  ServerStatistics,
  WorkerStatistics,
} from "../../protocol/messages.js";
import { modelVersion } from "../../protocol/model-version.js";
import type {
  EpochRecord,
  EvaluationRecord,
  RunEvent,
  RunOutcome,
} from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { busySeconds, idleServer, idleWorker, sumOfLives } from "../../protocol/statistics.js";
import { initialState, layoutOf } from "../compute/initial-state.js";
import { StepComputer } from "../compute/step-computer.js";
import {
  assertBaselineStart,
  type BaselineCheckpoint,
  type BaselineStart,
  openEpochOf,
} from "./baseline-start.js";
import { placeVectors, type Vectors } from "./baseline-vectors.js";
import { LocalStates } from "./local-states.js";

/** What the loop needs besides the spec. */
export interface BaselineParts {
  readonly dataset: Dataset;
  readonly engine: Engine;
  /** What to go on from; a fresh start when left out. */
  readonly start?: BaselineStart;
  /** Which kernels fold and apply; all have the same bits, and the fastest is taken if left out. */
  readonly kernels?: KernelsChoice;
  nowMs(): number;
}

/** Where the loop lets others in. */
export interface BaselineHooks {
  onEvent?(event: RunEvent & { readonly kind: "epoch" | "evaluation" }): void;
  /** After each step; true ends the training there. */
  afterStep?(progress: BaselineProgress): Promise<boolean>;
  /** Where `spec.checkpointEvery` asks for one, except at the end. */
  onCheckpoint?(checkpoint: BaselineCheckpoint): Promise<void>;
  /** What the engine chose that bits depend on, before the first step. */
  onPrepared?(algorithms: readonly string[]): void;
}

/** How far it has come. */
export interface BaselineProgress {
  readonly epoch: number;
  /** Steps taken. */
  readonly globalSteps: number;
  readonly examples: number;
  readonly evaluations: readonly EvaluationRecord[];
  /** As a server would have counted that holds everything. */
  readonly server: ServerStatistics;
  /** By rank. */
  readonly workers: readonly WorkerStatistics[];
}

/** What training came to. */
export interface BaselineResult extends BaselineProgress, BaselineCheckpoint {
  readonly outcome: RunOutcome;
  /**
   * With outcome "failed": what diverged, at which step, on which rank. Weights are those before
   * that step.
   */
  readonly failure: PacelineError | null;
  readonly epochs: readonly EpochRecord[];
  readonly trainingSeconds: number;
  /** Of what workers counted, what had been counted when the run was resumed. */
  readonly earlierWorkers: Readonly<Record<number, WorkerStatistics>>;
}

/**
 * Trains as `spec.workersMax` workers would in step, as the spec's protocol has it or else in BSP,
 * and in as many steps. A loss or gradient that is not finite ends it as "failed".
 * @throws PacelineError `data` when the data set is not the spec's, `checkpoint` for a start that
 *   was not trained in step, or stands within an epoch of another number of workers.
 */
export async function runBaseline(
  spec: RunSpec,
  parts: BaselineParts,
  hooks: BaselineHooks = {},
): Promise<BaselineResult> {
  const isInStep = paceOf(spec.protocol).globalStep === "step";
  const protocol = isInStep ? spec.protocol : { mode: "bsp" };
  const training = new BaselineTraining({ ...spec, protocol }, parts, hooks);
  try {
    return await training.run();
  } finally {
    training.close();
  }
}

/** One rank's, while they grow. */
type Counts = { -readonly [Field in keyof WorkerStatistics]: WorkerStatistics[Field] };

/** What has been counted by some moment. */
interface Account {
  /** Of the present epoch, evaluations and checkpoints aside. */
  readonly seconds: number;
  /** By rank. */
  readonly counts: readonly Counts[];
}

class BaselineTraining {
  readonly #spec: RunSpec;
  readonly #parts: BaselineParts;
  readonly #hooks: BaselineHooks;
  readonly #layout: Layout;
  readonly #arena: Arena;
  readonly #kernels: Kernels;
  readonly #vectors: Vectors;
  readonly #job: StepComputer;
  readonly #local: LocalStates;
  readonly #cursor: Cursor;
  readonly #records: EpochRecords;
  readonly #byClock: DueByClock;
  readonly #ranks: readonly number[];
  readonly #counts: Counts[];
  /** What had been counted when the run was resumed. */
  readonly #earlier: Readonly<Record<number, WorkerStatistics>>;
  readonly #evaluations: EvaluationRecord[];
  /** The epoch that the start lies in, until it is continued. */
  #openPlan: EpochPlan | null = null;
  #epoch = 0;
  /** Steps that the start has taken. */
  readonly #stepsBefore: number;
  #steps: number;
  #examples: number;
  #pushes = 0;
  #updateSeconds = 0;
  #lr = 0;

  constructor(spec: RunSpec, parts: BaselineParts, hooks: BaselineHooks) {
    this.#spec = spec;
    this.#parts = parts;
    this.#hooks = hooks;
    this.#layout = layoutOf(spec);
    this.#local = new LocalStates(spec, this.#layout, parts.start?.residuals);
    this.#byClock = new DueByClock(() => spec.checkpointEvery);
    if (parts.start !== undefined) assertBaselineStart(parts.start, spec.workersMax);
    const resume = parts.start?.resume ?? null;
    this.#cursor = new Cursor(spec, paceOf(spec.protocol), resume?.cursor);
    this.#records = new EpochRecords(resume);
    this.#evaluations = [...(resume?.evaluations ?? [])];
    this.#ranks = Array.from({ length: spec.workersMax }, (_, rank) => rank);
    this.#counts = this.#ranks.map(() => ({ ...idleWorker }));
    this.#earlier = resume?.workers ?? {};
    const start = parts.start?.state ?? initialState(spec, this.#layout);
    const { version, examples } = start.marks[0]!;
    this.#stepsBefore = version;
    this.#pushes = start.marks[0]!.counts?.pushes ?? 0;
    this.#steps = version;
    this.#examples = examples;
    this.#epoch = this.#cursor.latest?.epoch ?? 0;
    this.#openPlan = resume === null || openEpochOf(resume) === null ? null : this.#cursor.latest;
    const { values } = this.#layout;
    this.#vectors = placeVectors({ state: start, resume }, this.#ranks.length);
    this.#arena = this.#vectors.arena;
    this.#kernels = createKernels(this.#arena, { choice: parts.kernels ?? "auto" });
    this.#job = new StepComputer({
      spec,
      dataset: parts.dataset,
      engine: parts.engine,
      parameters: this.#arena.view(this.#vectors.weights, values),
      gradients: this.#arena.view(this.#vectors.gradient, values),
      nowMs: parts.nowMs,
      keptOf: (rank) => this.#local.of(rank),
      ...(parts.kernels && { kernels: parts.kernels }),
    });
  }

  async run(): Promise<BaselineResult> {
    try {
      this.#hooks.onPrepared?.(this.#job.prepare());
      return this.#result(await this.#train(), null);
    } catch (thrown) {
      if (!(thrown instanceof PacelineError) || thrown.code !== "diverged") throw thrown;
      return this.#result("failed", thrown);
    }
  }

  close(): void {
    this.#job.close();
  }

  async #train(): Promise<RunOutcome> {
    this.#byClock.tried(this.#parts.nowMs());
    this.#records.begin(this.#parts.nowMs());
    // An epoch whose steps are all taken is closed before it is evaluated.
    const isWithin =
      this.#openPlan === null || this.#steps < this.#cursor.lastStepOf(this.#openPlan);
    const isDone = this.#evaluations.some(({ step }) => step === this.#steps);
    if (isWithin && !isDone && this.#isDue("evaluateEvery", null)) this.#evaluate(false);
    while (this.#openPlan !== null || !this.#cursor.done) {
      const plan = this.#openPlan ?? this.#planNext();
      this.#openPlan = null;
      if (await this.#trainEpoch(plan)) return "interrupted";
      const skipped = this.#cursor.skipped(plan);
      const isCut = this.#cursor.isCut(plan.epoch);
      const record = this.#records.closeEpoch(plan.epoch, skipped, this.#parts.nowMs(), isCut);
      assert(record !== null, "an epoch ends once", { epoch: plan.epoch });
      const text = `Epoch ${plan.epoch + 1}/${this.#spec.epochs} completed`;
      this.#hooks.onEvent?.({ kind: "epoch", text, ...record });
      if (this.#cursor.done) break;
      if (this.#isDue("evaluateEvery", plan.epoch + 1)) this.#evaluate(false);
      if (this.#isDue("checkpointEvery", plan.epoch + 1)) await this.#keep();
    }
    if (!this.#evaluations.some(({ step, final }) => final && step === this.#steps))
      this.#evaluate(true);
    return "done";
  }

  #planNext(): EpochPlan {
    const plan = this.#cursor.planNext(this.#ranks);
    this.#epoch = plan.epoch;
    this.#records.openEpoch(plan.epoch, this.#parts.nowMs());
    return plan;
  }

  /** Takes the epoch's steps; true when it was asked to stop within. */
  async #trainEpoch(plan: EpochPlan): Promise<boolean> {
    let before = this.#account();
    let stopped = false;
    const lastStep = this.#cursor.lastStepOf(plan);
    while (this.#steps < lastStep && !stopped) {
      this.#step(plan);
      stopped = (await this.#hooks.afterStep?.(this.#progress())) ?? false;
      if (stopped || this.#steps === lastStep) continue;
      if (this.#isDue("evaluateEvery", null)) this.#evaluate(false);
      if (!this.#isDue("checkpointEvery", null)) continue;
      this.#settle(plan, before);
      before = this.#account();
      await this.#keep();
    }
    this.#settle(plan, before);
    return stopped;
  }

  #account(): Account {
    const seconds = this.#records.openSeconds(this.#epoch, this.#parts.nowMs());
    return { seconds, counts: this.#counts.map((counts) => ({ ...counts })) };
  }

  /**
   * Writes down how far each share has come, and what was counted since. Every rank takes as long
   * as the epoch, since none goes on before all have had their turn.
   */
  #settle(plan: EpochPlan, before: Account): void {
    const seconds = this.#account().seconds - before.seconds;
    for (const share of plan.shares) {
      share.next = this.#rangeOf(share, plan).start;
      share.nextStep = this.#steps;
      const counts = this.#counts[share.rank]!;
      const { examples, lossSum, correct } = before.counts[share.rank]!;
      this.#records.addAssignment(plan.epoch, share.rank, {
        examples: counts.examples - examples,
        lossSum: counts.lossSum - lossSum,
        correct: counts.correct - correct,
        seconds,
      });
    }
  }

  async #keep(): Promise<void> {
    if (this.#hooks.onCheckpoint === undefined) return;
    this.#records.interrupt(this.#parts.nowMs());
    this.#byClock.tried(this.#parts.nowMs());
    await this.#hooks.onCheckpoint(this.#checkpoint());
    this.#records.resume(this.#parts.nowMs());
  }

  #step(plan: EpochPlan): void {
    const beganMs = this.#parts.nowMs();
    const busyBefore = this.#counts.map(busySeconds);
    const contributions = plan.shares
      .map((share) => ({ rank: share.rank, range: this.#rangeOf(share, plan) }))
      .filter(({ range }) => range.end > range.start)
      .map(({ rank, range }) => {
        this.#computeGradient(rank, plan.epoch, range);
        return { offset: this.#vectors.held[rank]!, examples: range.end - range.start };
      });
    const startedMs = this.#parts.nowMs();
    this.#lr = servedRate(this.#spec, this.#moment);
    const folded = this.#fold(contributions);
    for (const { offset, length, group } of this.#layout.chunks) {
      const gradient = folded + offset;
      const moment = { lr: this.#lr, scale: 1, group, updateCount: this.#steps + 1 };
      const [state1, state2] = this.#vectors.states.map((state) => state + offset);
      this.#kernels.update(updateScalars(servedRule(this.#spec), moment), {
        weightsIn: this.#vectors.weights + offset,
        weightsOut: this.#vectors.weights + offset,
        gradient,
        state1: state1 ?? null,
        state2: state2 ?? null,
        length,
      });
    }
    this.#updateSeconds += (this.#parts.nowMs() - startedMs) / 1000;
    this.#pushes += contributions.length;
    this.#examples += contributions.reduce((sum, { examples }) => sum + examples, 0);
    this.#steps++;
    const tookSeconds = (this.#parts.nowMs() - beganMs) / 1000;
    for (const [rank, counts] of this.#counts.entries()) {
      counts.clock = this.#steps;
      counts.waitSeconds += tookSeconds - (busySeconds(counts) - busyBefore[rank]!);
    }
  }

  /**
   * Folds all chunks to the place of the first contribution, which it returns, before a weight is
   * moved: finite gradients may have a sum that is not.
   */
  #fold(contributions: readonly FoldInput[]): number {
    const folded = contributions[0]!.offset;
    for (const { index, offset, length, group } of this.#layout.chunks) {
      const inputs = contributions.map((one) => ({ ...one, offset: one.offset + offset }));
      const way = reduceOf(group, this.#spec.reduce);
      if (this.#kernels.fold(folded + offset, inputs, length, way)) continue;
      const what = `the sum of ${inputs.length} finite gradients of chunk ${index} is not finite`;
      throw this.#diverged(what, null);
    }
    return folded;
  }

  /** Leaves the gradient of a rank's batch in its slot. */
  #computeGradient(rank: number, epoch: number, range: Range): void {
    const step = this.#steps;
    const { gradient, held } = this.#vectors;
    const startedMs = this.#parts.nowMs();
    const about = { step, epoch, range, moment: this.#moment };
    const outcome = this.#job.compute(about, rank, () => {});
    const { lossSum, correct, inputSeconds } = outcome;
    if (!Number.isFinite(lossSum)) throw this.#diverged(`loss is ${lossSum}`, rank);
    const broken = this.#layout.chunks.find(
      ({ offset, length }) => !this.#kernels.finite(gradient + offset, length),
    );
    if (broken !== undefined) {
      throw this.#diverged(`gradient of chunk ${broken.index} is not finite`, rank);
    }
    if (held[rank] !== gradient) this.#kernels.copy(gradient, held[rank]!, this.#layout.values);
    const counts = this.#counts[rank]!;
    counts.steps++;
    counts.lossSum += lossSum;
    counts.correct += correct;
    counts.examples += range.end - range.start;
    counts.inputSeconds += inputSeconds;
    counts.computeSeconds += (this.#parts.nowMs() - startedMs) / 1000 - inputSeconds;
  }

  /** A rank's batch of the present step: positions of the epoch's permutation, maybe none. */
  #rangeOf({ start: first, end }: Share, { firstStep }: EpochPlan): Range {
    const examples = examplesOfStep(this.#spec, paceOf(this.#spec.protocol));
    const start = Math.min(end, first + (this.#steps - firstStep) * examples);
    return { start, end: Math.min(end, start + examples) };
  }

  get #moment(): RateMoment {
    return { examples: this.#examples, partners: this.#ranks.length };
  }

  /** Is it due here, inside an epoch (null) or at the end of the one of this number? */
  #isDue(what: "evaluateEvery" | "checkpointEvery", epochNumber: number | null): boolean {
    const every = this.#spec[what];
    if (every === null) return false;
    if (every.unit === "step") return this.#steps % every.count === 0;
    if (every.unit === "second") return this.#byClock.isDue(this.#parts.nowMs());
    return epochNumber !== null && epochNumber % every.count === 0;
  }

  /** The whole test set in the shares that the workers would take. */
  #evaluate(final: boolean): void {
    this.#records.interrupt(this.#parts.nowMs());
    const about = { id: 0, epoch: this.#epoch, step: this.#steps, final };
    const { testExamples } = this.#spec;
    const evaluation = new Evaluation({ ...about, testExamples, ranks: this.#ranks });
    const versions = this.#layout.chunks.map(() => this.#steps);
    for (const { range } of evaluation.assignments()) {
      const { correct, lossSum } = this.#job.evaluate(range);
      evaluation.report({ range, correct, lossSum, versions });
    }
    const outcome = evaluation.outcome();
    assert(outcome !== null, "every share is evaluated");
    const nowMs = this.#parts.nowMs();
    this.#records.resume(nowMs);
    const { epoch, step } = about;
    const atSeconds = this.#records.elapsedSeconds(nowMs);
    const moment = { atSeconds, trainedExamples: this.#examples };
    const version = modelVersion(versions);
    const record: EvaluationRecord = { epoch, step, final, ...outcome, version, ...moment };
    this.#evaluations.push(record);
    const sums = `${outcome.accuracyPercent.toFixed(2)}% and loss ${outcome.loss.toFixed(4)}`;
    const text = `test accuracy ${sums} at step ${step}`;
    this.#hooks.onEvent?.({ kind: "evaluation", text, ...record });
  }

  #progress(): BaselineProgress {
    return {
      epoch: this.#epoch,
      globalSteps: this.#steps,
      examples: this.#examples,
      evaluations: this.#evaluations,
      server: this.#serverStatistics(),
      workers: this.#counts.map((counts) => ({ ...counts, lossCount: counts.examples })),
    };
  }

  #serverStatistics(): ServerStatistics {
    const chunks = this.#layout.chunks.length;
    return {
      ...idleServer,
      versionMin: this.#steps,
      versionMax: this.#steps,
      chunks,
      pushes: this.#pushes,
      updates: chunks * (this.#steps - this.#stepsBefore),
      updateSeconds: this.#updateSeconds,
      lr: this.#lr,
    };
  }

  #result(outcome: RunOutcome, failure: PacelineError | null): BaselineResult {
    return {
      ...this.#progress(),
      ...this.#checkpoint(),
      outcome,
      failure,
      workers: this.#wholeCounts(),
      earlierWorkers: this.#earlier,
      epochs: this.#records.closed,
      trainingSeconds: this.#records.elapsedSeconds(this.#parts.nowMs()),
    };
  }

  /** By rank, since the run began. */
  #wholeCounts(): WorkerStatistics[] {
    return this.#progress().workers.map((counts, rank) =>
      sumOfLives(this.#earlier[rank] ?? idleWorker, counts),
    );
  }

  #checkpoint(): BaselineCheckpoint {
    const { values, chunks } = this.#layout;
    const globalSteps = this.#steps;
    const examples = this.#examples;
    const sealedStep = globalSteps - 1;
    const none = { rejected: 0, stalenessSum: 0, stalenessMax: 0, stalenessCounts: [] };
    const counts = { pushes: this.#pushes, ...none };
    const marks: ChunkMarks = { version: globalSteps, examples, sealedStep, applied: [], counts };
    const evaluations = this.#evaluations;
    const workers = { ...this.#wholeCounts() };
    const counted = { evaluations, term: 0, tornSteps: 0, workers };
    const records = this.#records.snapshot(this.#parts.nowMs());
    return {
      globalSteps,
      examples,
      weights: this.#arena.view(this.#vectors.weights, values).slice(),
      state: this.#vectors.states.map((offset) => this.#arena.view(offset, values).slice()),
      marks: chunks.map(() => marks),
      residuals: this.#local.residuals(),
      // The account goes on; what was kept of it does not.
      snapshot: structuredClone({ ...counted, ...records, cursor: this.#cursor.snapshot() }),
    };
  }

  /** @param rank null where it follows from several workers' gradients. */
  #diverged(what: string, rank: number | null): PacelineError {
    const where = `at step ${this.#steps}${rank === null ? "" : ` on worker ${rank}`}`;
    return new PacelineError("diverged", `${what} ${where}: lower --lr, or look at the data`, {
      details: { step: this.#steps, rank },
    });
  }
}
