/**
 * Local SGD: a worker takes many batches on weights of its own and pushes the difference between
 * the weights that it began with and its own, which servers take as a gradient (McMahan et al.
 * 2017, "Communication-efficient learning of deep networks from decentralized data"; Stich 2019,
 * "Local SGD converges fast and communicates little"; Douillard et al. 2023, DiLoCo).
 *
 * There are two optimizers then: the run's update rule, which each worker applies to its own
 * weights (inner), and what the servers apply to the differences (outer). Here is what servers and
 * workers read of a spec for that, whether its steps are local or not.
 *
 * Invariant: a spec's protocol has local steps exactly where it has the parameters `localSteps` and
 * `outer`, whatever its mode is called; its mode has found nothing wrong with them.
 */
import type { StepRange } from "../examples.js";
import type { Protocol, RunSpec } from "../run-spec.js";
import { learningRate } from "../schedule.js";
import type { UpdateRuleSpec } from "../update-rules.js";

/** What servers may do with the mean of the differences, and the rule by which they do it. */
const outerRules = {
  /** Takes it off, so that the weights become the mean of the workers': FedAvg. */
  average: { rule: "sgd", isFree: false },
  /** Takes it for a gradient, with a rate and a momentum that may be chosen: DiLoCo. */
  nesterov: { rule: "nesterov", isFree: true },
} as const;

/** One of the ways. */
export type OuterOptimizerName = keyof typeof outerRules;
/** Each of them. */
export const outerOptimizers = Object.keys(outerRules) as readonly OuterOptimizerName[];

/** True where the rate and the momentum may be chosen; else they are 1 and 0. */
export function isFreeOuter(name: OuterOptimizerName): boolean {
  return outerRules[name].isFree;
}

/** What a run's servers do. */
export type OuterOptimizer = {
  readonly optimizer: OuterOptimizerName;
  readonly lr: number;
  readonly momentum: number;
};

/** What a protocol of local steps says. */
export interface LocalSteps {
  /** Batches that a worker takes in a step; fewer where its examples end. */
  readonly count: number;
  readonly outer: OuterOptimizer;
}

/** What servers apply: a rule, and what becomes of buffers. */
export interface ServedRule extends UpdateRuleSpec {
  /** What comes for a buffer is a difference to be taken off, not a statistic to be mixed in. */
  readonly takesDifferences?: boolean;
}

/** What a run's protocol says of local steps; null where each batch's gradient is exchanged. */
export function localStepsOf({ protocol }: { readonly protocol: Protocol }): LocalSteps | null {
  const { localSteps, outer } = protocol;
  if (typeof localSteps !== "number" || typeof outer !== "object") return null;
  return { count: localSteps, outer: outer as OuterOptimizer };
}

/** What a run of local steps can't have beside them; null where nothing is wrong. */
export function localProblem(spec: Pick<RunSpec, "protocol" | "feed">): string | null {
  if (localStepsOf(spec) === null || spec.feed !== "central") return null;
  return "workers without files are sent one batch a step";
}

/** The batches of a step of local steps; each has a number that none has in any other step. */
export function localBatches(
  { step, epoch, range }: StepRange,
  { count }: Pick<LocalSteps, "count">,
  batchSize: number,
): StepRange[] {
  const { start, end } = range;
  return Array.from({ length: Math.ceil((end - start) / batchSize) }, (_, index) => {
    const from = start + index * batchSize;
    const part = { start: from, end: Math.min(end, from + batchSize) };
    return { step: step * count + index, epoch, range: part };
  });
}

/** The update rule of the servers: the run's own, or that of the outer optimizer. */
export function servedRule(spec: Pick<RunSpec, "protocol" | "updateRule">): ServedRule {
  const local = localStepsOf(spec);
  const { updateRule } = spec;
  if (local === null) return updateRule;
  const { optimizer, momentum } = local.outer;
  const plain = { momentum, weightDecay: 0, weightDecayPlain: 0 };
  return { ...updateRule, ...plain, name: outerRules[optimizer].rule, takesDifferences: true };
}

/** What a rate follows besides the spec. */
export interface RateMoment {
  /** Examples applied before. */
  readonly examples: number;
  /** Workers that take part, whose number may scale the rate. */
  readonly partners: number;
}

/** The rate of the run's own rule: what servers apply gradients with, and workers local ones. */
export function scheduledRate(
  spec: Pick<RunSpec, "schedule" | "lrScaling" | "workersMax">,
  { examples, partners }: RateMoment,
): number {
  const lr = learningRate(spec.schedule, examples);
  return spec.lrScaling === "none" ? lr : (lr * partners) / spec.workersMax;
}

/** The rate with which servers apply what has become one. */
export function servedRate(
  spec: Pick<RunSpec, "protocol" | "schedule" | "lrScaling" | "workersMax">,
  moment: RateMoment,
): number {
  return localStepsOf(spec)?.outer.lr ?? scheduledRate(spec, moment);
}
