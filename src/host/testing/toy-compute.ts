/** What clusters in one process compute with: a port whose gradients are a function. */
import type { Layout } from "../../protocol/layout.js";
import type { Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type {
  ComputeListener,
  ComputePort,
  ComputeRequest,
  PreparedCompute,
} from "../compute-port.js";

/** Writes a step's gradients. */
export type ToyGradients = (
  request: ComputeRequest,
  gradients: Float32Array,
  parameters: Float32Array,
) => void;

/**
 * Computes at once when all parameters have come, last chunks first; every example is predicted
 * right and costs 1.
 */
export class ToyCompute implements ComputePort {
  readonly #layoutOf: (spec: RunSpec) => Layout;
  readonly #write: ToyGradients;
  readonly #loss: ((parameters: Float32Array) => number) | null;
  /** What each step waits for when half of its chunks have been said to be ready; null for none. */
  readonly #halfway: Promise<void> | null;
  #listener: ComputeListener | null = null;
  #job: PreparedCompute | null = null;
  #lacking = new Set<number>();
  #begin: () => Promise<void> = async () => {};

  /**
   * @param loss of an evaluated example; one of each range's if left out.
   * @param halfway what each step waits for when half of its chunks have been said to be ready.
   */
  constructor(
    layoutOf: (spec: RunSpec) => Layout,
    write: ToyGradients,
    loss: ((parameters: Float32Array) => number) | null = null,
    halfway: Promise<void> | null = null,
  ) {
    this.#halfway = halfway;
    this.#layoutOf = layoutOf;
    this.#write = write;
    this.#loss = loss;
  }

  async prepare(spec: RunSpec, _rank: number, listener: ComputeListener): Promise<PreparedCompute> {
    const layout = this.#layoutOf(spec);
    this.#listener = listener;
    const parameters = new Float32Array(layout.values);
    const gradients = new Float32Array(layout.values);
    this.#job = { layout, parameters, gradients, engine: "toy", algorithms: [] };
    return this.#job;
  }

  compute(request: ComputeRequest): void {
    const { step, range } = request;
    this.#lacking = new Set(request.lacking);
    this.#begin = async () => {
      const { layout, parameters, gradients } = this.#job!;
      this.#write(request, gradients, parameters);
      const half = Math.floor(layout.chunks.length / 2);
      for (const [place, { index }] of layout.chunks.toReversed().entries()) {
        if (place === half && this.#halfway !== null) await this.#halfway;
        this.#listener?.onChunkReady(step, index);
      }
      const lossSum = range.end - range.start;
      const outcome = { lossSum, correct: 0, inputSeconds: 0, waitSeconds: 0 };
      this.#listener?.onComputed(step, outcome);
    };
    if (this.#lacking.size === 0) setImmediate(() => void this.#begin());
  }

  arrived(chunk: number): void {
    this.#lacking.delete(chunk);
    if (this.#lacking.size === 0) setImmediate(() => void this.#begin());
  }

  evaluate(range: Range): void {
    setImmediate(() => {
      const examples = range.end - range.start;
      const loss = this.#loss === null ? 1 : examples * this.#loss(this.#job!.parameters);
      this.#listener?.onEvaluated(examples, loss);
    });
  }

  async close(): Promise<void> {
    this.#listener = null;
  }
}
