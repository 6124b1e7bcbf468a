/**
 * What one worker computes in one run, without a thread or a message: gradients of batches taken
 * from the epoch's permutation, and sums over test examples. The compute thread and the baseline
 * share it, so that both compute the same bits.
 *
 * Parameters and gradients are flat vectors in the run's layout and belong to the caller.
 */
import { assert } from "../../assert.js";
import type { Dataset } from "../../data/split.js";
import type { KernelsChoice } from "../../kernels/choice.js";
import type { Engine, Executor, StepCompanion } from "../../nn/engine.js";
import { evaluationBatchExamples, type StepRange } from "../../protocol/examples.js";
import type { Layout } from "../../protocol/layout.js";
import { localStateSize } from "../../protocol/local/local-state.js";
import {
  type LocalMoment,
  type LocalPhase,
  lastingLocalSteps,
  localBatches,
  localStepsOf,
  scheduledRate,
} from "../../protocol/local/local-steps.js";
import type { Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { ArrivalGate } from "./arrival-gate.js";
import { BatchMaker } from "./batch-maker.js";
import { ExampleReader } from "./example-reader.js";
import { layoutOf, modelOf } from "./initial-state.js";
import { LocalWeights } from "./local-weights.js";
import type { SentBatch } from "./sent-examples.js";
import { blockFor, SlowedStep } from "./slowed-step.js";

/** What a job is made of. */
export interface StepComputerParts {
  readonly spec: RunSpec;
  /** Null where every batch is sent. */
  readonly dataset: Dataset | null;
  readonly engine: Engine;
  readonly parameters: Float32Array;
  readonly gradients: Float32Array;
  /** For measuring; never part of a result. */
  readonly nowMs: () => number;
  /** How a step that is slowed on purpose waits; it blocks the thread if left out. */
  readonly wait?: (ms: number) => void;
  /** Hears what took from when to when. */
  readonly onSpan?: SpanListener;
  /**
   * What the update rule keeps of a rank between its steps, where they are made of local steps: it
   * is read when a step begins and written when it ends.
   */
  readonly keptOf?: (rank: number) => Float32Array;
  /** What moves a worker's own weights; all have the same bits. */
  readonly kernels?: KernelsChoice;
}

/** A step to compute. */
export interface StepAbout extends StepRange {
  /** What the rate follows, where the step is made of local steps. */
  readonly moment?: LocalMoment;
}

/** Hears that something of this name took from one moment to another. */
export type SpanListener = (name: string, startMs: number, endMs: number) => void;

/** What computing a step came to. */
export interface ComputedStep {
  /** The sum, not the mean, of the loss over the examples. */
  readonly lossSum: number;
  readonly correct: number;
  /** Seconds that the step spent on getting and preparing the examples. */
  readonly inputSeconds: number;
  /** Seconds that it waited for parameters. */
  readonly waitSeconds: number;
  /** Seconds that it waited as it was slowed on purpose. */
  readonly slowedSeconds: number;
}

/** What surrounds a step where others go on beside it. */
export interface StepSurroundings {
  /** The examples, where there are no files to read them from. */
  readonly sent?: SentBatch | null;
  /** Where to wait for parameters. */
  readonly gate?: ArrivalGate;
  /** When the step was asked for; when it was begun unless told. */
  readonly askedMs?: number;
  /** How many times its own time it is to take; 1 if left out. */
  readonly slow?: number;
}

/** Where local steps are computed. */
interface OwnWeights {
  readonly weights: LocalWeights;
  readonly executor: Executor;
  /** The state of the rule in a phase of a plan. */
  readonly kept: Float32Array;
  /** Which that is of; -1 before the first. */
  phase: number;
}

/** A model bound to memory and data. */
export class StepComputer {
  readonly #spec: RunSpec;
  readonly #batches: BatchMaker;
  readonly #nowMs: () => number;
  readonly #wait: (ms: number) => void;
  readonly #onSpan: SpanListener;
  readonly #bind: (own: LocalWeights | null) => Executor;
  /** On the parameters themselves; null while no step was of one batch. */
  #plain: Executor | null = null;
  /** On weights of its own; null while no step was of local steps. */
  #local: OwnWeights | null = null;
  /** The first phase of the run, where that has local steps. */
  readonly #first: LocalPhase | null;
  readonly #chunks: ChunksOfTensors;
  readonly #layout: Layout;
  readonly #vectors: Pick<StepComputerParts, "parameters" | "gradients">;
  readonly #keptOf: (rank: number) => Float32Array;
  readonly #kernels: KernelsChoice | undefined;

  /** @throws PacelineError `data` when the data set here is another than the run's. */
  constructor(parts: StepComputerParts) {
    const { spec, dataset, engine, parameters, gradients, nowMs } = parts;
    const reader = dataset === null ? null : new ExampleReader(spec, dataset);
    const graph = modelOf(spec);
    const layout = layoutOf(spec);
    const places = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
    const batchMax = Math.max(spec.batchSize, evaluationBatchExamples);
    const placement = (name: string) => places.get(name)!;
    this.#spec = spec;
    this.#layout = layout;
    this.#vectors = { parameters, gradients };
    this.#keptOf = parts.keptOf ?? (() => new Float32Array(0));
    this.#kernels = parts.kernels;
    this.#bind = (own) =>
      engine.bind(graph, {
        parameters: own?.parameters ?? parameters,
        gradients: own?.gradients ?? gradients,
        ...{ placement, batchMax },
        batchUsual: spec.batchSize,
      });
    const count = localStepsOf(spec)?.count ?? null;
    this.#first = count === null ? null : { phase: 0, count, lrFactor: 1 };
    if (this.#first === null) this.#plain = this.#bind(null);
    else this.#local = this.#ownWeights();
    this.#chunks = new ChunksOfTensors(layout);
    this.#batches = new BatchMaker(spec, reader, batchMax, nowMs);
    this.#nowMs = nowMs;
    this.#wait = parts.wait ?? blockFor;
    this.#onSpan = parts.onSpan ?? (() => {});
  }

  /**
   * Writes what a step pushes and says which chunks are final, as they become so; none where the
   * sum of losses is not finite. That is the gradient of one batch, or of local steps the
   * difference that they make.
   * @param rank names, with seed and step, the random streams of dropout and augmentation.
   * @throws StepGivenUp when the gate was given up.
   */
  compute(
    about: StepAbout,
    rank: number,
    onReady: (chunks: readonly number[]) => void,
    around: StepSurroundings = {},
  ): ComputedStep {
    const phase = this.#phaseOf(about.moment);
    if (phase !== null) return this.#computeLocal(phase, about, rank, onReady, around);
    this.#chunks.begin();
    this.#plain ??= this.#bind(null);
    return this.#computeBatch(this.#plain, about, rank, around, (tensor, catchUp) => {
      const chunks = this.#chunks.finish(tensor);
      if (chunks.length === 0) return;
      catchUp();
      onReady(chunks);
    });
  }

  /** The phase of local steps that a step is of; null where it is one batch. */
  #phaseOf(moment: LocalMoment | undefined): LocalPhase | null {
    return moment === undefined ? null : (moment.inner ?? this.#first);
  }

  /** Weights of its own, with a rule's state of zero. */
  #ownWeights(): OwnWeights {
    const { updateRule } = this.#spec;
    const weights = new LocalWeights(this.#layout, updateRule, this.#kernels);
    const kept = new Float32Array(localStateSize(updateRule, this.#layout).values);
    return { weights, executor: this.#bind(weights), kept, phase: -1 };
  }

  /** What is kept of the rule: for the whole run, or for this phase. */
  #keptIn(own: OwnWeights, { phase }: LocalPhase, rank: number): Float32Array {
    if (lastingLocalSteps(this.#spec) !== null) return this.#keptOf(rank);
    if (own.phase !== phase) own.kept.fill(0);
    own.phase = phase;
    return own.kept;
  }

  /** Batch after batch on weights of its own, each with the rate that its examples have come to. */
  #computeLocal(
    phase: LocalPhase,
    { moment, ...about }: StepAbout,
    rank: number,
    onReady: (chunks: readonly number[]) => void,
    { sent = null, gate, askedMs = this.#nowMs(), slow = 1 }: StepSurroundings,
  ): ComputedStep {
    assert(moment !== undefined && sent === null, "local steps follow a rate", { ...about });
    const { parameters, gradients } = this.#vectors;
    const { partners } = moment;
    this.#local ??= this.#ownWeights();
    const { weights: local, executor } = this.#local;
    const kept = this.#keptIn(this.#local, phase, rank);
    const sums = { lossSum: 0, correct: 0, inputSeconds: 0, waitSeconds: 0, slowedSeconds: 0 };
    local.begin(parameters, kept);
    for (const batch of localBatches(about, phase, this.#spec.batchSize)) {
      const isFirst = batch.range.start === about.range.start;
      const beganMs = isFirst ? askedMs : this.#nowMs();
      const around = { ...(gate && { gate }), askedMs: beganMs, slow };
      const outcome = this.#computeBatch(executor, batch, rank, around, () => {});
      sums.lossSum += outcome.lossSum;
      sums.correct += outcome.correct;
      sums.inputSeconds += outcome.inputSeconds;
      sums.waitSeconds += outcome.waitSeconds;
      sums.slowedSeconds += outcome.slowedSeconds;
      if (!Number.isFinite(sums.lossSum)) return sums;
      // As if the partners had come as far.
      const examples = moment.examples + partners * (batch.range.start - about.range.start);
      const rate = scheduledRate(this.#spec, { examples, partners });
      local.update(rate * phase.lrFactor, kept);
    }
    local.finish(parameters, gradients, kept);
    onReady(this.#layout.chunks.map(({ index }) => index).reverse());
    return sums;
  }

  #computeBatch(
    executor: Executor,
    about: StepRange,
    rank: number,
    { sent = null, gate, askedMs = this.#nowMs(), slow = 1 }: StepSurroundings,
    onGradient: (tensor: string, catchUp: () => void) => void,
  ): ComputedStep {
    const slowed = new SlowedStep({ slow, nowMs: this.#nowMs, wait: this.#wait });
    const made = this.#batches.ofStep(about, rank, sent);
    const companion = new Companion(this.#chunks, gate, this.#nowMs, this.#onSpan);
    const stepSeed = ["dropout", this.#spec.seed, rank, about.step];
    const startedMs = this.#nowMs();
    const catchUp = () => slowed.catchUp(companion.waitedMs);
    const tell = (tensor: string) => onGradient(tensor, catchUp);
    const { lossSum, correct } = executor.step(made.batch, stepSeed, tell, companion);
    catchUp();
    const endedMs = this.#nowMs();
    this.#onSpan(made.isAhead ? "input ahead" : "input", made.startedMs, made.endedMs);
    this.#onSpan(`step ${about.step}`, startedMs, endedMs);
    this.#onSpan("forward", startedMs, companion.turnedMs);
    this.#onSpan("backward", companion.turnedMs, endedMs);
    // What was made ahead while parameters were still awaited has cost the step nothing.
    const hidden = made.isAhead && companion.waitedAtOnce;
    const inputMs = hidden
      ? 0
      : made.endedMs - Math.max(made.startedMs, Math.min(askedMs, startedMs));
    return {
      lossSum,
      correct,
      inputSeconds: Math.max(0, inputMs) / 1000,
      waitSeconds: companion.waitedMs / 1000,
      slowedSeconds: slowed.slowedMs / 1000,
    };
  }

  /** What evaluates: either, on the parameters as they are. */
  get #executor(): Executor {
    const executor = this.#plain ?? this.#local?.executor;
    assert(executor !== undefined, "an engine is bound");
    return executor;
  }

  /** Makes ready for whole batches, and says what the engine chose for them. */
  prepare(): readonly string[] {
    return this.#executor.prepare(this.#spec.batchSize);
  }

  /** Makes the batch that a step begins with which is likely to be computed next. */
  makeAhead({ moment, ...about }: StepAbout, rank: number): void {
    const phase = this.#phaseOf(moment);
    const [first] = phase === null ? [about] : localBatches(about, phase, this.#spec.batchSize);
    if (first !== undefined) this.#batches.makeAhead(first, rank);
  }

  /**
   * Sums over test examples [start, end), in the test set's own order.
   * @param sent the examples, at most one batch of them, where there are no files.
   */
  evaluate(
    { start, end }: Range,
    sent: SentBatch | null = null,
  ): { correct: number; lossSum: number } {
    let correct = 0;
    let lossSum = 0;
    if (this.#plain === null) this.#local?.weights.parameters.set(this.#vectors.parameters);
    for (let from = start; from < end; from += evaluationBatchExamples) {
      const to = Math.min(end, from + evaluationBatchExamples);
      const outcome = this.#executor.evaluate(this.#batches.ofTest(from, to, sent));
      correct += outcome.correct;
      lossSum += outcome.lossSum;
    }
    return { correct, lossSum };
  }

  /** Gives up the engine's resources. */
  close(): void {
    this.#plain?.close();
    this.#local?.executor.close();
  }
}

/** Goes along with a step: waits where it lacks parameters, and notes when it turned. */
class Companion implements StepCompanion {
  waitedMs = 0;
  /** The step could not begin for want of parameters. */
  waitedAtOnce = false;
  turnedMs = 0;
  readonly #chunks: ChunksOfTensors;
  readonly #gate: ArrivalGate | undefined;
  readonly #nowMs: () => number;
  readonly #onSpan: SpanListener;
  #begun = false;

  constructor(
    chunks: ChunksOfTensors,
    gate: ArrivalGate | undefined,
    nowMs: () => number,
    onSpan: SpanListener,
  ) {
    this.#chunks = chunks;
    this.#gate = gate;
    this.#nowMs = nowMs;
    this.#onSpan = onSpan;
  }

  beforeTensor(tensor: string): void {
    if (this.#gate === undefined) return;
    for (const chunk of this.#chunks.of(tensor)) {
      if (this.#gate.isOpen(chunk)) continue;
      this.waitedAtOnce ||= !this.#begun;
      const startedMs = this.#nowMs();
      this.#gate.await(chunk);
      const endedMs = this.#nowMs();
      this.waitedMs += endedMs - startedMs;
      this.#onSpan(`wait for chunk ${chunk}`, startedMs, endedMs);
    }
    this.#begun = true;
  }

  onTurn(): void {
    this.turnedMs = this.#nowMs();
  }
}

/**
 * The chunks that each tensor lies in, and which of them are final once a tensor's gradient is:
 * those of whose tensors none is missing.
 */
class ChunksOfTensors {
  readonly #chunksOf = new Map<string, readonly number[]>();
  readonly #tensorCounts: readonly number[];
  #missing: number[] = [];

  constructor(layout: Layout) {
    const counts = layout.chunks.map(() => 0);
    for (const { name, offset, length } of layout.tensors) {
      const chunks = layout.chunks
        .filter((chunk) => chunk.offset < offset + length && offset < chunk.offset + chunk.length)
        .map((chunk) => chunk.index);
      for (const chunk of chunks) counts[chunk]!++;
      this.#chunksOf.set(name, chunks);
    }
    this.#tensorCounts = counts;
  }

  of(tensor: string): readonly number[] {
    return this.#chunksOf.get(tensor)!;
  }

  /** A step begins: nothing is final. */
  begin(): void {
    this.#missing = [...this.#tensorCounts];
  }

  /** A tensor's gradient is final; returns the chunks that thereby are. */
  finish(tensor: string): number[] {
    return this.of(tensor).filter((chunk) => --this.#missing[chunk]! === 0);
  }
}
