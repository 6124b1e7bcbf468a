/**
 * A ComputePort for workers without files: has the examples of each step, and of each batch of an
 * evaluation, sent by the coordinator before they are computed with. Runs whose workers read their
 * own files pass through it untouched.
 */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import type {
  ComputeListener,
  ComputePort,
  ComputeRequest,
  PreparedCompute,
} from "../../host/compute-port.js";
import { evaluationBatchExamples } from "../../protocol/examples.js";
import type { Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { BatchComputePort } from "./compute-thread.js";
import { type ExampleSource, ExamplesRefused, SentExamples } from "./sent-examples.js";

/** Computes on a port with examples from a source. */
export function createCentralCompute(port: BatchComputePort, source: ExampleSource): ComputePort {
  return new CentralCompute(port, source);
}

class CentralCompute implements ComputePort {
  readonly #port: BatchComputePort;
  readonly #source: ExampleSource;
  /** Null while a run's workers read their own files. */
  #job: SentRun | null = null;

  constructor(port: BatchComputePort, source: ExampleSource) {
    this.#port = port;
    this.#source = source;
  }

  prepare(spec: RunSpec, rank: number, listener: ComputeListener): Promise<PreparedCompute> {
    this.#job?.close();
    const examples = spec.feed === "central" ? new SentExamples(spec, this.#source) : null;
    this.#job = examples === null ? null : new SentRun(this.#port, examples, listener);
    return this.#port.prepare(spec, rank, this.#job?.listener ?? listener);
  }

  compute(request: ComputeRequest): void {
    if (this.#job === null) this.#port.compute(request);
    else void this.#job.compute(request);
  }

  arrived(chunk: number): void {
    this.#port.arrived(chunk);
  }

  evaluate(range: Range): void {
    if (this.#job === null) this.#port.evaluate(range);
    else void this.#job.evaluate(range);
  }

  async close(): Promise<void> {
    this.#job?.close();
    await this.#port.close();
  }
}

interface Sums {
  readonly correct: number;
  readonly lossSum: number;
}

/** One run whose examples are sent. */
class SentRun {
  /** What the port tells. */
  readonly listener: ComputeListener;
  readonly #port: BatchComputePort;
  readonly #examples: SentExamples;
  readonly #heard: ComputeListener;
  #fetchSeconds = 0;
  #evaluated: (sums: Sums) => void = () => {};
  #closed = false;

  constructor(port: BatchComputePort, examples: SentExamples, listener: ComputeListener) {
    this.#port = port;
    this.#examples = examples;
    this.#heard = listener;
    this.listener = {
      onChunkReady: (step, chunk) => listener.onChunkReady(step, chunk),
      onComputed: (step, outcome) => {
        const inputSeconds = outcome.inputSeconds + this.#fetchSeconds;
        listener.onComputed(step, { ...outcome, inputSeconds });
      },
      onRefused: (step, reason) => listener.onRefused(step, reason),
      onEvaluated: (correct, lossSum) => this.#evaluated({ correct, lossSum }),
      onFailed: (error) => listener.onFailed(error),
    };
  }

  close(): void {
    this.#closed = true;
    this.#examples.close();
  }

  async compute(request: ComputeRequest): Promise<void> {
    const { step, epoch, range, lacking } = request;
    assert(lacking.length === 0, "a step on examples that are sent begins whole", { step });
    const startedMs = performance.now();
    try {
      const batch = await this.#examples.fetch({ split: "train", epoch, ...range });
      this.#fetchSeconds = (performance.now() - startedMs) / 1000;
      if (!this.#closed) this.#port.compute(request, batch);
    } catch (thrown) {
      if (this.#closed) return;
      if (thrown instanceof ExamplesRefused) this.#heard.onRefused(step, thrown.message);
      else this.#heard.onFailed(thrown);
    }
  }

  /** Batch by batch, with the bits of a worker that has the files. */
  async evaluate({ start, end }: Range): Promise<void> {
    let correct = 0;
    let lossSum = 0;
    try {
      for (let from = start; from < end; from += evaluationBatchExamples) {
        const range = { start: from, end: Math.min(end, from + evaluationBatchExamples) };
        const sums = await this.#evaluateBatch(range);
        if (this.#closed) return;
        correct += sums.correct;
        lossSum += sums.lossSum;
      }
      this.#heard.onEvaluated(correct, lossSum);
    } catch (thrown) {
      if (!this.#closed) this.#heard.onFailed(thrown);
    }
  }

  async #evaluateBatch(range: Range): Promise<Sums> {
    try {
      const batch = await this.#examples.fetch({ split: "test", epoch: 0, ...range });
      return await new Promise<Sums>((resolve) => {
        this.#evaluated = resolve;
        if (!this.#closed) this.#port.evaluate(range, batch);
      });
    } catch (thrown) {
      if (!(thrown instanceof ExamplesRefused)) throw thrown;
      const which = `test examples ${range.start} to ${range.end}`;
      throw new PacelineError("data", `${which} are not the run's: ${thrown.message}`);
    }
  }
}
