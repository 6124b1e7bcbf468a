/**
 * The optimizers that servers apply, with what each keeps and reads. This is the list: the options,
 * the wire, checkpoints and the kernels look a rule up here, and `kernels` has one loop and one
 * SIMD form for each name.
 *
 * Invariant: a rule that is in the list can be trained with.
 */
import { oneOf, real, type SpecOf } from "./spec-field.js";
import { option, unsetOption } from "./spec-option.js";

/** A constant that not every rule reads. */
type Constant = "momentum" | "beta1" | "beta2" | "epsilon";

/** What is to be known of an update rule besides its arithmetic. */
export interface UpdateRuleFacts {
  /** The vectors it keeps beside the weights, in PyTorch's words; zero before the first update. */
  readonly state: readonly string[];
  /** The constants it reads besides the weight decay. */
  readonly reads: readonly Constant[];
  /** Whether the decay shrinks the weight itself instead of being added to the gradient. */
  readonly decouplesDecay: boolean;
}

const velocity: UpdateRuleFacts = {
  state: ["momentum"],
  reads: ["momentum"],
  decouplesDecay: false,
};
const moments: UpdateRuleFacts = {
  state: ["first moment", "second moment"],
  reads: ["beta1", "beta2", "epsilon"],
  decouplesDecay: false,
};

/** Every update rule by its name. */
export const updateRules = {
  /** Gradient descent. */
  sgd: { state: [], reads: [], decouplesDecay: false },
  /** Gradient descent with momentum. */
  momentum: velocity,
  /** With Nesterov's momentum, in PyTorch's form. */
  nesterov: velocity,
  /** Kingma and Ba 2015. */
  adam: moments,
  /** Loshchilov and Hutter 2019. */
  adamw: { ...moments, decouplesDecay: true },
} satisfies Readonly<Record<string, UpdateRuleFacts>>;

/** The name of an update rule. */
export type UpdateRuleName = keyof typeof updateRules;

/** Every name, in the order in which help shows them. */
export const updateRuleNames = Object.keys(updateRules) as readonly UpdateRuleName[];

/** What is known of a rule. */
export function factsOf(name: UpdateRuleName): UpdateRuleFacts {
  return updateRules[name];
}

/** Rules that read a constant, as what an option of that constant depends on. */
export function rulesThatRead(constant: Constant) {
  const values = updateRuleNames.filter((name) => factsOf(name).reads.includes(constant));
  return { key: "optimizer", values };
}

const place = { group: "training", scope: "training" } as const;

/** The optimizer of a run and its constants, as PyTorch names them. */
export const updateRuleFields = {
  name: option("optimizer", oneOf(updateRuleNames), {
    default: "sgd",
    sentence: "update rule that the servers apply",
    ...place,
  }),
  momentum: option("momentum", real("[0, 1)"), {
    default: 0.9,
    sentence: "momentum coefficient",
    onlyWith: rulesThatRead("momentum"),
    ...place,
  }),
  beta1: option("beta1", real("[0, 1)"), {
    default: 0.9,
    sentence: "decay rate of Adam's first moment",
    onlyWith: rulesThatRead("beta1"),
    ...place,
  }),
  beta2: option("beta2", real("[0, 1)"), {
    default: 0.999,
    sentence: "decay rate of Adam's second moment",
    onlyWith: rulesThatRead("beta2"),
    ...place,
  }),
  epsilon: option("epsilon", real("(0, 1]"), {
    default: 1e-8,
    sentence: "term added to the denominator in Adam",
    onlyWith: rulesThatRead("epsilon"),
    ...place,
  }),
  weightDecay: option("weightDecay", real("[0, 1000]"), {
    default: 0,
    sentence: "weight decay",
    ...place,
  }),
  weightDecayPlain: unsetOption("weightDecayPlain", real("[0, 1000]"), {
    defaultText: "that of --weight-decay",
    sentence: "weight decay of biases and normalisation parameters",
    ...place,
  }),
  /** Share of the batch's statistic in a buffer's next value: b <- (1 - m) b + m * statistic. */
  bufferMomentum: option("bufferMomentum", real("[0, 1]"), {
    name: "batch-norm-momentum",
    default: 0.1,
    sentence: "weight of the batch statistics in BatchNorm's running statistics",
    ...place,
  }),
};

/** The optimizer of a run. `weightDecay` acts on the group "weight", the other on biases, norms. */
export interface UpdateRuleSpec extends SpecOf<typeof updateRuleFields> {}
