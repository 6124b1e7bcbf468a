/**
 * What tests share that strike servers of a toy cluster: the run, and a way to wait for what its
 * events tell. No test stands here.
 */
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { layoutOf } from "./compressed-toys.js";
import { type Outcome, runInMemory, type Toy, type ToyPlan } from "./memory-cluster.js";
import { ToyCompute, type ToyGradients } from "./toy-compute.js";

/** Nobody waits, and nothing is too stale. */
export const asp: Protocol = {
  mode: "asp",
  staleness: { rule: "none", scale: 0.1, floor: 0.1, max: 5 },
};

/** Pulls each parameter towards a number of its own, differently for each example and step. */
export const attraction: ToyGradients = ({ range, step }, gradients, parameters) => {
  const noise = ((range.start % 5) - 2) / 50 + (step % 3) / 100;
  for (let index = 0; index < gradients.length; index++) {
    gradients[index] = parameters[index]! - Math.sin(index) * 2 + noise;
  }
};

/** Carries a run out, from a fresh start if nothing else is said, while `during` strikes. */
export function runStruck(
  spec: RunSpec,
  during: (toy: Toy) => void = () => {},
  serverGraceMs?: number,
  more: Pick<ToyPlan, "from" | "writing" | "openArena"> = {},
): Promise<Outcome> {
  const { values } = layoutOf(spec);
  const state = [0, 1].map(() => new Float32Array(values));
  const fresh = { weights: new Float32Array(values).fill(3), state };
  const compute = () => new ToyCompute(layoutOf, attraction);
  const grace = serverGraceMs === undefined ? {} : { serverGraceMs };
  return runInMemory({ spec, layoutOf, fresh, compute, during, ...grace, ...more });
}

/** Waits until an event tells of something, from a place in the events on: the place behind it. */
export function heard({ events }: Toy, what: RegExp, from = 0): Promise<number> {
  return new Promise((resolve) => {
    const look = () => {
      const at = events.findIndex(({ text }, index) => index >= from && what.test(text));
      if (at >= 0) resolve(at + 1);
      else setTimeout(look, 1).unref();
    };
    look();
  });
}
