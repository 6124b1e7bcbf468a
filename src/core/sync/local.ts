/**
 * Local SGD in rounds: a step is H batches that each worker takes on weights of its own, and what
 * it pushes is the difference to the weights that it began with. Steps are held and sealed as in
 * BSP, and servers apply the outer optimizer to the mean (McMahan et al. 2017; Douillard et al.
 * 2023). With one local step of plain SGD and averaging it is BSP, up to rounding.
 *
 * Invariant: all that a pace decides is BSP's; only how many batches a step takes differs.
 */
import {
  isFreeOuter,
  type OuterOptimizer,
  type OuterOptimizerName,
  outerOptimizers,
} from "../../protocol/local/local-steps.js";
import type { Protocol } from "../../protocol/run-spec.js";
import { oneOf, real, whole } from "../../protocol/spec-field.js";
import { bspPace } from "./bsp.js";
import type { Mode, PaceSettings } from "./pace.js";
import { countOf, unknownParameter } from "./parameters.js";

/** The most batches of a step. */
export const localStepsMax = 1_000_000;

/** What an outer rate and momentum may be. */
export const outerRanges = { lr: "(0, 1000]", momentum: "[0, 1)" } as const;

const fields = {
  localSteps: whole(1, localStepsMax),
  optimizer: oneOf(outerOptimizers),
  lr: real(outerRanges.lr),
  momentum: real(outerRanges.momentum),
};

/** Synchronous local SGD. */
export const local: Mode = {
  name: "local",
  aliases: [],
  summary: "local steps, then an exchange of all",
  settings: ["localSteps", "outerOptimizer"],
  protocolOf: (settings) => ({ mode: "local", ...localParameters(settings) }),
  problem: (protocol) =>
    unknownParameter(protocol, ["localSteps", "outer"]) ?? problemOfLocal(protocol),
  paceOf: (protocol) => ({ ...bspPace, localSteps: countOf(protocol, "localSteps") }),
};

/** The parameters of a mode with local steps. */
export function localParameters({
  localSteps,
  outerOptimizer,
  outerLr,
  outerMomentum,
}: PaceSettings): { readonly localSteps: number; readonly outer: OuterOptimizer } {
  const optimizer = outerOptimizer;
  if (!isFreeOuter(optimizer)) return { localSteps, outer: { optimizer, lr: 1, momentum: 0 } };
  return { localSteps, outer: { optimizer, lr: outerLr, momentum: outerMomentum } };
}

/** What is wrong with them where they come from elsewhere; null when nothing is. */
export function problemOfLocal({ localSteps, outer }: Protocol): string | null {
  const counted = fields.localSteps.read(localSteps, "localSteps");
  if ("problem" in counted) return counted.problem;
  if (typeof outer !== "object") return "outer is no optimizer";
  const { optimizer, lr, momentum, ...stray } = outer;
  const [further] = Object.keys(stray);
  if (further !== undefined) return `outer has no member ${further}`;
  for (const [name, value] of Object.entries({ optimizer, lr, momentum })) {
    const reading = fields[name as keyof typeof fields].read(value, `outer.${name}`);
    if ("problem" in reading) return reading.problem;
  }
  if ((lr === 1 && momentum === 0) || isFreeOuter(optimizer as OuterOptimizerName)) return null;
  return `outer.optimizer ${optimizer} has the rate 1 and no momentum, not ${lr} and ${momentum}`;
}
