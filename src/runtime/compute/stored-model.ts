/**
 * Models that lie in checkpoints, put to use: scored on a whole set of examples in a thread of its
 * own, as the workers of their run score them, or asked what single pictures show.
 */
import { assert } from "../../assert.js";
import { Evaluation } from "../../core/work/evaluation.js";
import { InputPipeline } from "../../data/pipeline.js";
import { PacelineError } from "../../errors.js";
import type { ComputePort, PreparedCompute } from "../../host/compute-port.js";
import type { Engine } from "../../nn/engine.js";
import type { Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ComputeThreadOptions, createComputeThread } from "./compute-thread.js";
import { layoutOf, modelOf } from "./initial-state.js";

/** What a model comes to on a set of examples. */
export interface Score {
  readonly accuracyPercent: number;
  /** Mean over the examples. */
  readonly loss: number;
  readonly examples: number;
}

interface Sums {
  readonly correct: number;
  readonly lossSum: number;
}

interface Waiting {
  readonly resolve: (sums: Sums) => void;
  readonly reject: (error: unknown) => void;
}

/** The most pictures computed at once. */
const pictureBatchMax = 32;

/**
 * Scores one model after the other. The thread and the data stay from one to the next, as long as
 * the spec is the same.
 */
export class ModelScorer {
  readonly #port: ComputePort;
  #prepared: { readonly key: string; readonly job: PreparedCompute } | null = null;
  #waiting: Waiting | null = null;
  #closed = false;

  constructor(options: ComputeThreadOptions) {
    this.#port = createComputeThread({ ...options, evaluatesOnly: true });
  }

  /**
   * Accuracy and loss over `spec.testExamples` examples. They are cut into the shares that
   * `spec.workersMax` workers take and their sums added in that order, so both numbers have the
   * bits of an evaluation in which all of these took part; with fewer the accuracy is still the
   * same, and the loss differs by the rounding of its sum.
   * @param weights the flat vector in the layout of the spec; copied.
   * @throws PacelineError `data` for missing or broken files, `unavailable` once it is closed.
   */
  async score(spec: RunSpec, weights: Float32Array): Promise<Score> {
    const job = await this.#prepare(spec);
    job.parameters.set(weights);
    const { testExamples } = spec;
    const ranks = Array.from({ length: spec.workersMax }, (_, rank) => rank);
    const about = { id: 0, epoch: 0, step: 0, final: false, testExamples, ranks };
    const evaluation = new Evaluation(about);
    for (const { range } of evaluation.assignments()) {
      const { correct, lossSum } = await this.#evaluate(range);
      evaluation.report({ range, correct, lossSum, versions: [] });
    }
    const outcome = evaluation.outcome();
    assert(outcome !== null, "every share is evaluated");
    return outcome;
  }

  /** Ends the thread at once; pending scores fail with `unavailable`. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting?.reject(givenUp());
    await this.#port.close();
  }

  async #prepare(spec: RunSpec): Promise<PreparedCompute> {
    const key = JSON.stringify(spec);
    if (this.#prepared?.key === key) return this.#prepared.job;
    this.#prepared = null;
    const never = () => assert(false, "nobody asked for a step");
    // The scoring process has the files, even where the run's workers were sent their examples.
    const job = await this.#port.prepare({ ...spec, feed: "static" }, 0, {
      onChunkReady: never,
      onComputed: never,
      onRefused: never,
      onEvaluated: (correct, lossSum) => this.#waiting?.resolve({ correct, lossSum }),
      onFailed: (error) => this.#waiting?.reject(error),
    });
    this.#prepared = { key, job };
    return job;
  }

  async #evaluate(range: Range): Promise<Sums> {
    if (this.#closed) throw givenUp();
    try {
      return await new Promise<Sums>((resolve, reject) => {
        this.#waiting = { resolve, reject };
        this.#port.evaluate(range);
      });
    } finally {
      this.#waiting = null;
    }
  }
}

/**
 * The probability of each class for each picture, in the pictures' order: the softmax of the
 * logits, or under a loss of one logit z the classes 1 - sigmoid(z) and sigmoid(z).
 * @param weights the flat vector in the layout of the spec; read while this runs.
 * @param pictures bytes of shape (C, H, W), as the run's examples are stored.
 * @throws PacelineError `diverged` where the model gives no finite logit.
 */
export function classProbabilities(
  spec: RunSpec,
  weights: Float32Array,
  engine: Engine,
  pictures: readonly Uint8Array[],
): Float64Array[] {
  const graph = modelOf(spec);
  const places = new Map(layoutOf(spec).tensors.map((tensor) => [tensor.name, tensor]));
  const pipeline = new InputPipeline(spec.input);
  const { valueCount } = pipeline;
  const batchMax = Math.min(pictures.length, pictureBatchMax);
  const width = graph.loss === "bce-with-logits" ? 1 : graph.classes;
  const pixels = new Uint8Array(batchMax * valueCount);
  const x = new Float32Array(batchMax * valueCount);
  // Labels are asked for, and do not touch the logits.
  const y = new Int32Array(batchMax);
  const logits = new Float32Array(batchMax * width);
  const executor = engine.bind(graph, {
    parameters: weights,
    gradients: new Float32Array(weights.length),
    placement: (name) => places.get(name)!,
    batchMax,
  });
  try {
    const all: Float64Array[] = [];
    for (let start = 0; start < pictures.length; start += batchMax) {
      const batch = pictures.slice(start, start + batchMax);
      batch.forEach((picture, index) => {
        assert(picture.length === valueCount, "a picture has the run's shape", { index });
        pixels.set(picture, index * valueCount);
      });
      pipeline.fill(pixels, batch.length, x, null);
      executor.evaluate({ x, y, n: batch.length }, logits);
      for (let index = 0; index < batch.length; index++) {
        all.push(probabilities(logits.subarray(index * width, (index + 1) * width)));
      }
    }
    return all;
  } finally {
    executor.close();
  }
}

/** Of one example: softmax in double precision, less the largest logit: no term overflows. */
function probabilities(logits: Float32Array): Float64Array {
  if (!logits.every(Number.isFinite)) {
    const sentence = `the model gives ${logits.find((value) => !Number.isFinite(value))} here`;
    throw new PacelineError("diverged", `${sentence}: choose a checkpoint from before it diverged`);
  }
  // One logit is that of class 1 against a class 0 of logit 0.
  const both = logits.length === 1 ? [0, logits[0]!] : [...logits];
  const largest = Math.max(...both);
  const terms = both.map((logit) => Math.exp(logit - largest));
  const sum = terms.reduce((total, term) => total + term, 0);
  return Float64Array.from(terms, (term) => term / sum);
}

function givenUp(): PacelineError {
  return new PacelineError("unavailable", "scoring was abandoned before it finished");
}
