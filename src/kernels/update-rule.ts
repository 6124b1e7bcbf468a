/**
 * What the optimizers need besides vectors: how much state they keep per value, and the scalars of
 * one update. Which optimizers there are says the list in `protocol`.
 *
 * A chunk's primary computes these scalars once, in f64, and rounds each to f32; replicas
 * are sent the results as bits. So no two machines can disagree about a power or a division.
 */
import { assert } from "../assert.js";
import type { ServedRule } from "../protocol/local/local-steps.js";
import { factsOf, type UpdateRuleName } from "../protocol/update-rules.js";

/** Everything that an update can be. */
export type UpdateName = UpdateRuleName | "blend" | "count";

/** What differs from update to update. */
export interface UpdateMoment {
  /** Learning rate. */
  readonly lr: number;
  /** The momentum coefficient where it is not the rule's own. */
  readonly momentum?: number;
  /** Multiplies the gradient: 1, or less for a stale push. */
  readonly scale: number;
  /**
   * The parameter group: it selects the weight decay, and buffers and counters are not the
   * optimizer's. PyTorch's BatchNorm moves a buffer so: b <- (1 - m) b + m * statistic.
   */
  readonly group: "weight" | "plain" | "buffer" | "counter";
  /** Updates of this chunk including this one: 1 for the first. Adam's t. */
  readonly updateCount: number;
}

/** The scalars of one update; every number is an f32 value. */
export interface UpdateScalars {
  /** The optimizer; `blend` for a buffer, `count` for a counter. */
  readonly name: UpdateName;
  readonly lr: number;
  readonly scale: number;
  /** Added to the gradient times the weight; 0 for adamw. */
  readonly weightDecay: number;
  /** Multiplies the weight before an adamw update: 1 - lr * decay; 1 for the others. */
  readonly shrink: number;
  readonly momentum: number;
  /** What stays of the first moment, or of a buffer. */
  readonly beta1: number;
  /** 1 - beta1. */
  readonly rest1: number;
  readonly beta2: number;
  /** 1 - beta2. */
  readonly rest2: number;
  readonly epsilon: number;
  /** lr / (1 - beta1^t). */
  readonly stepSize: number;
  /** 1 / sqrt(1 - beta2^t). */
  readonly rootCorrection: number;
}

/** State parts that a rule keeps, each as long as the weights and zero before the first update. */
export function statePartCount({ name }: { readonly name: UpdateName }): number {
  return name === "blend" || name === "count" ? 0 : factsOf(name).state.length;
}

/**
 * Computes the scalars of one update. A difference of buffers is taken off as it is, whatever rule
 * and rate the weights have: a rule with momentum would carry a variance below zero.
 */
export function updateScalars(rule: ServedRule, moment: UpdateMoment): UpdateScalars {
  const { updateCount } = moment;
  assert(Number.isInteger(updateCount) && updateCount >= 1, "updates count from 1", {
    updateCount,
  });
  if (moment.group === "counter") return { ...bufferScalars, name: "count" };
  if (moment.group === "buffer" && rule.takesDifferences === true) {
    return { ...bufferScalars, name: "sgd", lr: 1, scale: Math.fround(moment.scale) };
  }
  if (moment.group === "buffer") {
    const kept = 1 - rule.bufferMomentum;
    const rest1 = Math.fround(rule.bufferMomentum);
    return { ...bufferScalars, name: "blend", beta1: Math.fround(kept), rest1 };
  }
  const lr = Math.fround(moment.lr);
  const decay = moment.group === "weight" ? rule.weightDecay : rule.weightDecayPlain;
  const decoupled = factsOf(rule.name).decouplesDecay;
  return {
    name: rule.name,
    lr,
    scale: Math.fround(moment.scale),
    weightDecay: decoupled ? 0 : Math.fround(decay),
    shrink: decoupled ? Math.fround(1 - lr * decay) : 1,
    momentum: Math.fround(moment.momentum ?? rule.momentum),
    beta1: Math.fround(rule.beta1),
    rest1: Math.fround(1 - rule.beta1),
    beta2: Math.fround(rule.beta2),
    rest2: Math.fround(1 - rule.beta2),
    epsilon: Math.fround(rule.epsilon),
    stepSize: Math.fround(lr / (1 - rule.beta1 ** updateCount)),
    rootCorrection: Math.fround(1 / Math.sqrt(1 - rule.beta2 ** updateCount)),
  };
}

/** What no optimizer touches: neither rate nor decay. */
const bufferScalars: Omit<UpdateScalars, "name"> = {
  lr: 0,
  scale: 1,
  weightDecay: 0,
  shrink: 1,
  momentum: 0,
  beta1: 0,
  rest1: 0,
  beta2: 0,
  rest2: 0,
  epsilon: 0,
  stepSize: 0,
  rootCorrection: 0,
};
