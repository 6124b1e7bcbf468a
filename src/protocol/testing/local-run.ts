/** A run of local steps for tests: three of each worker, whose differences are averaged. */
import type { OuterOptimizer } from "../local/local-steps.js";
import type { RunSpec } from "../run-spec.js";
import type { UpdateRuleName } from "../update-rules.js";
import { sampleSpec } from "./sample-run.js";

/** What a test may have otherwise. */
export interface LocalChoice {
  readonly localSteps?: number;
  readonly outer?: OuterOptimizer;
  readonly updateRule?: UpdateRuleName;
}

/** Takes the mean of the differences for a gradient. */
export const nesterovOuter: OuterOptimizer = { optimizer: "nesterov", lr: 0.7, momentum: 0.9 };
const average: OuterOptimizer = { optimizer: "average", lr: 1, momentum: 0 };

/** The spec. */
export function localSpec({
  localSteps = 3,
  outer = average,
  updateRule: name = "sgd",
}: LocalChoice = {}): RunSpec {
  const updateRule = { ...sampleSpec.updateRule, name };
  return { ...sampleSpec, updateRule, protocol: { mode: "local", localSteps, outer } };
}
