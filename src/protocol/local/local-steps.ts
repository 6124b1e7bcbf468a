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

import { keepsResiduals } from "../compression.js";
import type { StepRange } from "../examples.js";
import type { PlannedRun } from "../plan/plan.js";
import type { Protocol, RunSpec } from "../run-spec.js";
import { learningRate } from "../schedule.js";
import { factsOf, type UpdateRuleSpec } from "../update-rules.js";

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

/** Protocols of a run: the first one, and those of a plan where it has one. */
type Planned = Pick<PlannedRun, "protocol"> & Partial<PlannedRun>;

/**
 * The same where a run has no other phases, so that servers keep the outer optimizer's state and
 * workers that of the rule in place of what a plan's servers keep from phase to phase.
 */
export function lastingLocalSteps({ protocol, plan = [] }: Planned): LocalSteps | null {
  return plan.length > 0 ? null : localStepsOf({ protocol });
}

/** What a run of local steps can't have beside them; null where nothing is wrong. */
export function localProblem(spec: Planned & Pick<RunSpec, "feed">): string | null {
  const protocols = [spec.protocol, ...(spec.plan ?? []).map(({ protocol }) => protocol)];
  const isLocal = protocols.some((protocol) => localStepsOf({ protocol }) !== null);
  if (!isLocal || spec.feed !== "central") return null;
  return "workers without files are sent one batch a step";
}

/** What of a run is in the way of phases that are unlike. */
export interface MixedParts extends Pick<RunSpec, "compression"> {
  readonly updateRule: Pick<UpdateRuleSpec, "name">;
}

/**
 * Why a run of these protocols can't go from local steps to others or back; null where it can, or
 * does not. Its servers keep the state of the run's own rule all the time, so the outer optimizer
 * has none; what is dropped of gradients is not of the size of differences; and a rule that divides
 * its moments by what they lack takes the number of updates for its own.
 * @param protocols in their order; one alone is switched to by hand, and may be left again.
 */
export function mixedProblem(
  protocols: readonly Protocol[],
  { compression, updateRule }: MixedParts,
): string | null {
  const local = protocols.flatMap((protocol) => localStepsOf({ protocol }) ?? []);
  if (local.length === 0) return null;
  const free = local.find(({ outer }) => isFreeOuter(outer.optimizer));
  if (free !== undefined) {
    const named = `--outer-optimizer ${free.outer.optimizer}`;
    return `${named} has a state that other phases have no place for; write average`;
  }
  if (keepsResiduals(compression)) {
    const dropped = `what --compress ${compression.push.codec} drops of gradients`;
    return `${dropped} is of another size than of differences; write int8 or fp16`;
  }
  const isLocal = (protocol: Protocol) => localStepsOf({ protocol }) !== null;
  const behind = protocols.slice(protocols.findIndex(isLocal));
  const isLeft = protocols.length === 1 || behind.some((protocol) => !isLocal(protocol));
  if (!isLeft || !factsOf(updateRule.name).reads.includes("beta1")) return null;
  const named = `--optimizer ${updateRule.name}`;
  const why = "counts its updates, and takes those of local steps for its own";
  return `${named} ${why} in what comes behind them; write momentum, or let nothing come`;
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

/** The update rule whose state servers keep: the run's own, or that of the outer optimizer. */
export function servedRule(spec: Planned & Pick<RunSpec, "updateRule">): ServedRule {
  const isLasting = lastingLocalSteps(spec) !== null;
  return isLasting ? appliedRule(spec, spec.protocol) : spec.updateRule;
}

/** What servers apply in a phase of a protocol. */
export function appliedRule(
  { updateRule }: Pick<RunSpec, "updateRule">,
  protocol: Protocol,
): ServedRule {
  const local = localStepsOf({ protocol });
  return local === null ? updateRule : outerRuleOf(updateRule, local.outer);
}

/** That rule, and what servers apply differences with in any phase of a run. */
export function servedRules(spec: Planned & Pick<RunSpec, "updateRule">): {
  readonly rule: ServedRule;
  readonly differences: ServedRule;
} {
  const { outer = averaging } = lastingLocalSteps(spec) ?? {};
  return { rule: servedRule(spec), differences: outerRuleOf(spec.updateRule, outer) };
}

const averaging: OuterOptimizer = { optimizer: "average", lr: 1, momentum: 0 };

function outerRuleOf(updateRule: UpdateRuleSpec, outer: OuterOptimizer): ServedRule {
  const { optimizer, momentum } = outer;
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

/** A phase of local steps, as a worker has to know it. */
export interface LocalPhase {
  /** Its number: with another one the state of a worker's rule begins anew. */
  readonly phase: number;
  /** Batches of a step. */
  readonly count: number;
  /** Times the learning rate of the schedule. */
  readonly lrFactor: number;
}

/** What the rate of local steps follows. */
export interface LocalMoment extends RateMoment {
  /** Left out where it is the run's first. */
  readonly inner?: LocalPhase;
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
  phase: { readonly protocol: Protocol; readonly lrFactor: number } = { ...spec, lrFactor: 1 },
): number {
  const local = localStepsOf(phase);
  return local === null ? scheduledRate(spec, moment) * phase.lrFactor : local.outer.lr;
}
