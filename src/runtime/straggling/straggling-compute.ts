/**
 * A ComputePort of a worker that straggles on purpose: it says of each step how much slower than by
 * itself it is to be, and has the worker's links ready before a run is prepared.
 */
import type {
  ComputeListener,
  ComputePort,
  ComputeRequest,
  PreparedCompute,
} from "../../host/compute-port.js";
import type { Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { ShapedLinks } from "./shaped-links.js";
import type { StragglingSteps } from "./straggling-steps.js";

/** Computes on a port, as slowly as the steps say. */
export class StragglingCompute implements ComputePort {
  readonly #port: ComputePort;
  readonly #steps: StragglingSteps;
  readonly #links: ShapedLinks | null;

  /** @param links null where they are as they are. */
  constructor(port: ComputePort, steps: StragglingSteps, links: ShapedLinks | null) {
    this.#port = port;
    this.#steps = steps;
    this.#links = links;
  }

  async prepare(spec: RunSpec, rank: number, listener: ComputeListener): Promise<PreparedCompute> {
    this.#steps.begin();
    await this.#links?.open(spec.serversMax ?? spec.servers);
    return this.#port.prepare(spec, rank, listener);
  }

  compute(request: ComputeRequest): void {
    this.#port.compute({ ...request, slow: this.#steps.of(request.step).slow });
  }

  arrived(chunk: number): void {
    this.#port.arrived(chunk);
  }

  evaluate(range: Range): void {
    this.#port.evaluate(range);
  }

  async close(): Promise<void> {
    await Promise.all([this.#port.close(), this.#links?.close()]);
  }
}
