/**
 * What makes one worker slow on purpose: its steps, which say how slow, a ComputePort that takes
 * its time, and links that are shaped. The links take the shape of a step when its first push
 * leaves, as by then all that belongs to the step before has arrived.
 */
import type { ComputePort } from "../../host/compute-port.js";
import { type InjectedStraggler, isSlowLinked } from "../../protocol/injected-fault.js";
import type { ViewServer } from "../../protocol/view.js";
import { ShapedLinks, type ShapedWay } from "./shaped-links.js";
import { StragglingCompute } from "./straggling-compute.js";
import { type StragglingParts, StragglingSteps } from "./straggling-steps.js";

/** The parts that a worker's host is made with. */
export class Straggling {
  readonly steps: StragglingSteps;
  /** Where a server takes chunks, through the shaped links; undefined where links are as ever. */
  readonly route: ((server: ViewServer) => string) | undefined;
  readonly #links: ShapedLinks | null;
  readonly onPush = ({ step }: { readonly step: number }): void => {
    this.#links?.shape(this.steps.of(step));
  };

  /** @throws PacelineError `usage` where links are to be slow and chunks take a Unix socket. */
  constructor(stragglers: readonly InjectedStraggler[], way: ShapedWay, parts: StragglingParts) {
    this.steps = new StragglingSteps(stragglers, parts);
    const links = stragglers.some(isSlowLinked) ? new ShapedLinks(way) : null;
    this.#links = links;
    this.route = links === null ? undefined : (server) => links.through(server);
  }

  /** The same port, as slow as the steps say. */
  around(port: ComputePort): ComputePort {
    return new StragglingCompute(port, this.steps, this.#links);
  }
}
