/**
 * What one worker computes in one run, without a thread or a message: gradients of batches taken
 * from the epoch's permutation, and sums over test examples. The compute thread and the baseline
 * share it, so that both compute the same bits.
 *
 * Parameters and gradients are flat vectors in the run's layout and belong to the caller.
 */
import { assert } from "../assert.js";
import { evaluationBatchExamples } from "../contract/examples.js";
import type { Layout } from "../contract/layout.js";
import type { Range } from "../contract/messages.js";
import type { RunSpec } from "../contract/run-spec.js";
import { InputPipeline } from "../data/pipeline.js";
import type { Dataset } from "../data/split.js";
import type { ComputeRequest } from "../host/compute-port.js";
import type { Batch, Engine, Executor } from "../nn/engine.js";
import { Random } from "../random.js";
import { type ExamplePlace, ExampleReader } from "./example-reader.js";
import { layoutOf, modelOf } from "./initial-state.js";
import type { SentBatch } from "./sent-examples.js";

/** What a job is made of. */
export interface ComputeJobParts {
  readonly spec: RunSpec;
  /** Null where every batch is sent. */
  readonly dataset: Dataset | null;
  readonly engine: Engine;
  readonly parameters: Float32Array;
  readonly gradients: Float32Array;
  /** For measuring; never part of a result. */
  nowMs(): number;
}

/** What computing a step came to. */
export interface JobOutcome {
  /** The sum, not the mean, of the loss over the examples. */
  readonly lossSum: number;
  readonly correct: number;
  /** Seconds spent on getting and preparing the examples. */
  readonly inputSeconds: number;
}

/** A model bound to memory and data. */
export class ComputeJob {
  readonly #spec: RunSpec;
  readonly #reader: ExampleReader | null;
  readonly #pipeline: InputPipeline;
  readonly #nowMs: () => number;
  readonly #executor: Executor;
  readonly #readiness: ChunkReadiness;
  /** Bytes of a batch, its values and its labels. */
  readonly #pixels: Uint8Array;
  readonly #x: Float32Array;
  readonly #y: Int32Array;

  /** @throws PacelineError `data` when the data set here is another than the run's. */
  constructor(parts: ComputeJobParts) {
    const { spec, dataset, engine, parameters, gradients } = parts;
    this.#reader = dataset === null ? null : new ExampleReader(spec, dataset);
    const graph = modelOf(spec);
    const layout = layoutOf(spec);
    const places = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
    const batchMax = Math.max(spec.batchSize, evaluationBatchExamples);
    const placement = (name: string) => places.get(name)!;
    this.#spec = spec;
    this.#executor = engine.bind(graph, { parameters, gradients, placement, batchMax });
    this.#readiness = new ChunkReadiness(layout);
    this.#pipeline = new InputPipeline(spec.input);
    this.#nowMs = parts.nowMs;
    this.#pixels = new Uint8Array(batchMax * this.#pipeline.valueCount);
    this.#x = new Float32Array(batchMax * this.#pipeline.valueCount);
    this.#y = new Int32Array(batchMax);
  }

  /**
   * Writes the gradient of one batch and says which chunks are final, as they become so; none where
   * the sum of losses is not finite.
   * @param rank names, with seed and step, the random streams of dropout and augmentation.
   * @param sent the examples, where there are no files to read them from.
   */
  compute(
    { step, epoch, range }: ComputeRequest,
    rank: number,
    onReady: (chunks: readonly number[]) => void,
    sent: SentBatch | null = null,
  ): JobOutcome {
    this.#readiness.begin();
    const { seed } = this.#spec;
    const startedMs = this.#nowMs();
    const random = new Random("augment", seed, rank, epoch, step);
    const batch = this.#fill({ split: "train", epoch, ...range }, sent, random);
    const inputSeconds = (this.#nowMs() - startedMs) / 1000;
    const stepSeed = ["dropout", seed, rank, step];
    const { lossSum, correct } = this.#executor.step(batch, stepSeed, (tensor) => {
      const chunks = this.#readiness.finish(tensor);
      if (chunks.length > 0) onReady(chunks);
    });
    return { lossSum, correct, inputSeconds };
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
    for (let from = start; from < end; from += evaluationBatchExamples) {
      const to = Math.min(end, from + evaluationBatchExamples);
      const batch = this.#fill({ split: "test", epoch: 0, start: from, end: to }, sent, null);
      const outcome = this.#executor.evaluate(batch);
      correct += outcome.correct;
      lossSum += outcome.lossSum;
    }
    return { correct, lossSum };
  }

  /** Gives up the engine's resources. */
  close(): void {
    this.#executor.close();
  }

  #fill(place: ExamplePlace, sent: SentBatch | null, random: Random | null): Batch {
    const n = place.end - place.start;
    if (sent === null) {
      assert(this.#reader !== null, "examples are read or sent", { ...place });
      this.#reader.read(place, this.#pixels, this.#y);
    } else {
      assert(sent.labels.length === n, "a batch is sent whole", { ...place });
      this.#y.set(sent.labels);
    }
    this.#pipeline.fill(sent?.pixels ?? this.#pixels, n, this.#x, random);
    return { x: this.#x, y: this.#y, n };
  }
}

/** Which chunks are final once a tensor's gradient is: those of whose tensors none is missing. */
export class ChunkReadiness {
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

  /** A step begins: nothing is final. */
  begin(): void {
    this.#missing = [...this.#tensorCounts];
  }

  /** A tensor's gradient is final; returns the chunks that thereby are. */
  finish(tensor: string): number[] {
    return this.#chunksOf.get(tensor)!.filter((chunk) => --this.#missing[chunk]! === 0);
  }
}
