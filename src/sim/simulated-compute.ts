/**
 * What computes for a simulated worker: the toy model's gradients, after a time of chance. Chunks
 * become ready last first, each in an event of its own. Under a central feed the examples are asked
 * for, and looked at, before a step is computed.
 */
import { PacelineError } from "../errors.js";
import type {
  ComputeListener,
  ComputePort,
  ComputeRequest,
  PreparedCompute,
} from "../host/compute-port.js";
import type { CoordinatorPlaces } from "../host/session/coordinator-places.js";
import type { Examples, ExamplesRequest } from "../protocol/examples.js";
import type { Range } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { Random } from "../random.js";
import type { Transport } from "../transport/transport.js";
import type { SimulatedProcess } from "./simulated-process.js";
import { toyDifference, toyGradient, toyLayout, toyLoss } from "./toy-model.js";

/** A step whose parameters have all come, as it is being computed. */
export interface ComputedStep extends ComputeRequest {
  readonly gradients: Float32Array;
  readonly parameters: Float32Array;
}

/** What is around the computing side of one life of a worker. */
export interface ComputeSurroundings {
  readonly process: SimulatedProcess;
  readonly transport: Transport;
  /** Where examples are asked for. */
  readonly coordinator: Pick<CoordinatorPlaces, "present">;
  readonly random: Random;
  /** How long a step takes at most. */
  readonly stepMsMax: number;
  /** True where this worker will not compute with these examples. */
  refuses(epoch: number, range: Range): boolean;
  onComputed(step: ComputedStep): void;
  onEvaluated(parameters: Float32Array): void;
}

/** The examples of a toy run as a coordinator sends them: the label is the position. */
export function toyExamples({ start, end }: ExamplesRequest): Examples {
  const labels = Int32Array.from({ length: end - start }, (_, index) => start + index);
  return { shape: [1, 1, 1], dtype: "u8", labels, values: new Uint8Array(end - start) };
}

/** The computing side. */
export class SimulatedCompute implements ComputePort {
  readonly #around: ComputeSurroundings;
  #listener: ComputeListener | null = null;
  #job: (PreparedCompute & { readonly spec: RunSpec }) | null = null;
  #lacking = new Set<number>();
  #request: ComputeRequest | null = null;

  constructor(around: ComputeSurroundings) {
    this.#around = around;
  }

  async prepare(spec: RunSpec, _rank: number, listener: ComputeListener): Promise<PreparedCompute> {
    const layout = toyLayout(spec);
    this.#listener = listener;
    this.#request = null;
    const parameters = new Float32Array(layout.values).fill(Number.NaN);
    const gradients = new Float32Array(layout.values).fill(Number.NaN);
    await new Promise<void>((resolve) => this.#later(20, resolve));
    this.#job = { layout, parameters, gradients, engine: "toy", algorithms: [], spec };
    return this.#job;
  }

  compute(request: ComputeRequest): void {
    this.#lacking = new Set(request.lacking);
    this.#request = request;
    if (this.#lacking.size === 0) this.#begin(request);
  }

  arrived(chunk: number): void {
    this.#lacking.delete(chunk);
    if (this.#lacking.size === 0 && this.#request !== null) this.#begin(this.#request);
  }

  evaluate(range: Range): void {
    this.#later(this.#around.stepMsMax, () => {
      if (this.#job === null) return;
      const { parameters } = this.#job;
      const examples = range.end - range.start;
      this.#around.onEvaluated(parameters);
      this.#listener?.onEvaluated(examples, examples * toyLoss(parameters));
    });
  }

  async close(): Promise<void> {
    this.#listener = null;
    this.#request = null;
  }

  #later(atMostMs: number, action: () => void): void {
    const { process, random } = this.#around;
    process.clock.after(random.float() * atMostMs, action);
  }

  #begin(request: ComputeRequest): void {
    if (this.#job?.spec.feed !== "central") {
      this.#compute(request);
      return;
    }
    const { run } = this.#job.spec;
    this.#fetch(run, request).then(
      () => this.#request === request && this.#compute(request),
      (thrown: unknown) => this.#listener?.onFailed(thrown),
    );
  }

  /** The examples of a step, asked for again until they are there. */
  async #fetch(run: string, { epoch, range }: ComputeRequest): Promise<void> {
    const { transport, coordinator, process } = this.#around;
    const request: ExamplesRequest = { run, split: "train", epoch, ...range };
    for (;;) {
      try {
        await transport.readExamples(coordinator.present, request, ({ labels }) => {
          const isWhole = labels.length === range.end - range.start && labels[0] === range.start;
          if (!isWhole) throw new PacelineError("protocol", `examples from ${range.start} differ`);
        });
        return;
      } catch (thrown) {
        if (!(thrown instanceof PacelineError) || !thrown.retryable) throw thrown;
        await new Promise<void>((resolve) => process.clock.after(100, resolve));
      }
    }
  }

  /** All parameters are there: the gradients are made, and told of one after the other. */
  #compute(request: ComputeRequest): void {
    const { step, epoch, range, moment } = request;
    const job = this.#job!;
    this.#request = null;
    if (this.#around.refuses(epoch, range)) {
      this.#later(1, () => this.#listener?.onRefused(step, "the simulation has it refused"));
      return;
    }
    const { layout, parameters, gradients, spec } = job;
    if (moment === undefined) toyGradient({ seed: spec.seed, epoch, range }, parameters, gradients);
    else toyDifference({ spec, about: request, moment }, parameters, gradients);
    const loss = toyLoss(parameters);
    this.#around.onComputed({ ...request, gradients, parameters });
    const lossSum = (range.end - range.start) * loss;
    const chunks = layout.chunks.map(({ index }) => index);
    const next = () => {
      if (this.#job !== job || this.#listener === null) return;
      const chunk = chunks.pop();
      if (chunk === undefined) {
        const outcome = { lossSum, correct: 0, inputSeconds: 0, waitSeconds: 0 };
        this.#listener.onComputed(step, outcome);
        return;
      }
      this.#listener.onChunkReady(step, chunk);
      this.#later(this.#around.stepMsMax / (2 * layout.chunks.length), next);
    };
    this.#later(this.#around.stepMsMax / 2, next);
  }
}
