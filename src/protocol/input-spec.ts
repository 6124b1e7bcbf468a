/**
 * What every process must know of the data set without having its files: the model is fitted to
 * it, and bytes become input values by it.
 *
 * Invariant: there are as many means and deviations as channels.
 */
import {
  addedLater,
  flag,
  list,
  nullable,
  real,
  record,
  type SpecOf,
  text,
  triple,
  whole,
} from "./spec-field.js";
import { option } from "./spec-option.js";

/** The most channels of an example. */
const channelsMax = 1024;
/** What a 32-bit field holds. */
const most = 4_294_967_295;

const augmentFields = {
  /** Pixels of zeros around a picture before a random crop of its own size; 0 for no crop. */
  cropPadding: whole(0, most),
  /** Mirror left and right in half the cases. */
  flip: flag,
  /** Bring each picture to mean 0 and deviation 1, instead of by mean and std. */
  standardise: flag,
};

/** What is done to a training example before it is computed with. */
export interface AugmentSpec extends SpecOf<typeof augmentFields> {}

const fingerprint = text(64);
const identityFields = {
  /** What the labels 0, 1, ... stand for. */
  classNames: list(text(1024), 65_536),
  /** SHA-256 over the examples of a split, in hexadecimal; what exactly is the data room's. */
  trainFingerprint: fingerprint,
  testFingerprint: fingerprint,
};

/** What tells a data set from another of the same counts and shapes. */
export interface IdentitySpec extends SpecOf<typeof identityFields> {}

/** What is known of the data set. */
export const inputFields = {
  /** Labels are 0 to classes - 1. */
  classes: whole(2, most),
  /** (C, H, W) of one example. */
  shape: triple(whole(1, most)),
  /** An input value is (byte / 255 - mean) / std, one of each a channel. */
  mean: list(real("(-inf, inf)"), channelsMax),
  std: list(real("(0, inf)"), channelsMax),
  /** Examples shuffled as a block, as they lie together in a file; 0: all are shuffled as one. */
  blockExamples: whole(0, most),
  augment: option("augment", record<AugmentSpec>(augmentFields), {
    default: { cropPadding: 0, flip: false, standardise: false },
    defaultText: "none",
    sentence: "random crop and flip of training examples, or standardise each one",
    group: "input",
    scope: "training",
  }),
  /** Null where nobody has looked at the files, as in the checkpoints of an earlier version. */
  identity: addedLater(nullable(record<IdentitySpec>(identityFields)), null),
};

/** What a run knows of its data set. */
export interface InputSpec extends SpecOf<typeof inputFields> {}

/** What is wrong with it as a whole, or null. */
export function inputProblem({ shape, mean, std }: InputSpec): string | null {
  const [channels] = shape;
  if (mean.length === channels && std.length === channels) return null;
  const found = `${mean.length} means and ${std.length} deviations`;
  return `${found} are not those of ${channels} channels`;
}
