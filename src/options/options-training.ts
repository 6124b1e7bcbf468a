/** The rows of the groups "training" and "input". */
import { homedir } from "node:os";
import { join } from "node:path";
import { datasetNames } from "../data/dataset.js";
import { modelList, stemmedModels } from "../nn/models.js";
import { dtypes, engines, feeds, stems } from "../protocol/run-spec.js";
import { alternatives } from "../suggest.js";
import {
  type CommandName,
  type Environment,
  type OptionRows,
  runCommands,
  trainingCommands,
} from "./option-row.js";
import {
  augmentation,
  cadence,
  choice,
  folderName,
  listOf,
  optional,
  real,
  share,
  text,
  whole,
} from "./option-values.js";
import type { InputOptions, TrainingOptions } from "./resolved-options.js";

const modelNames = modelList.map(({ name }) => name);
const group = "training";
const commands = trainingCommands;
/** Commands that read data sets. */
const readers: readonly CommandName[] = [
  "train",
  "baseline",
  "coordinator",
  "worker",
  "doctor",
  "data",
  "eval",
  "predict",
];
const onlyAdam = { key: "optimizer", values: ["adam", "adamw"] } as const;

/** What is trained and how. */
export const trainingRows: OptionRows<TrainingOptions> = {
  model: {
    name: "model",
    type: optional(choice(modelNames), alternatives(modelNames)),
    default: null,
    sentence: "model to train",
    group,
    commands: [...commands, "ring"],
    defaults: { ring: "logistic" },
  },
  stem: {
    name: "stem",
    type: choice(stems),
    default: "cifar",
    sentence:
      "how resnet18, 34 and 50 begin: cifar keeps the size of small pictures, imagenet leaves " +
      "a quarter of the rows and columns",
    group,
    commands: [...commands, "ring"],
    onlyWith: { key: "model", values: stemmedModels },
  },
  data: {
    name: "data",
    type: optional(folderName(datasetNames, "the name of a folder of one's own")),
    default: null,
    sentence: "data set to train on; with eval, to score on instead of the run's",
    group,
    commands: [...commands, "doctor", "eval"],
    defaults: { doctor: "mnist" },
  },
  epochs: {
    name: "epochs",
    short: "e",
    type: whole(1, 1_000_000),
    default: 3,
    fast: 1,
    unit: "epochs",
    sentence: "passes over the training data",
    group,
    commands,
  },
  maxSteps: {
    name: "max-steps",
    type: optional(whole(1, 2_000_000_000, "steps")),
    default: null,
    unit: "global steps",
    sentence: "end after so many global steps, if the epochs have not ended the run before",
    group,
    commands,
  },
  batchSize: {
    name: "batch-size",
    short: "b",
    type: whole(1, 1_000_000, "examples"),
    default: 64,
    unit: "examples",
    sentence: "examples that one worker takes in one step",
    group,
    commands,
  },
  optimizer: {
    name: "optimizer",
    type: choice(["sgd", "momentum", "nesterov", "adam", "adamw"]),
    default: "sgd",
    sentence: "update rule that the servers apply",
    group,
    commands,
  },
  lr: {
    name: "lr",
    type: real(0, 1e6, "rate"),
    default: 0.1,
    sentence: "learning rate; the peak of onecycle",
    group,
    commands,
  },
  lrSchedule: {
    name: "lr-schedule",
    type: choice(["constant", "step", "cosine", "onecycle"]),
    default: "constant",
    sentence: "how the learning rate follows the work done",
    group,
    commands,
  },
  lrWarmup: {
    name: "lr-warmup",
    type: share,
    default: 0,
    unit: "share of the work",
    sentence: "part of the work during which the rate rises from 0",
    group,
    commands,
  },
  lrMilestones: {
    name: "lr-milestones",
    type: listOf(share, ","),
    default: [0.5, 0.75],
    unit: "shares of the work",
    sentence: "where the rate is multiplied by --lr-gamma",
    group,
    commands,
    onlyWith: { key: "lrSchedule", values: ["step"] },
  },
  lrGamma: {
    name: "lr-gamma",
    type: real(0, 1, "factor"),
    default: 0.1,
    sentence: "factor of each milestone",
    group,
    commands,
    onlyWith: { key: "lrSchedule", values: ["step"] },
  },
  lrScaling: {
    name: "lr-scaling",
    type: choice(["none", "linear"]),
    default: "none",
    sentence: "linear multiplies the rate by the number of workers in the view",
    group,
    commands,
  },
  momentum: {
    name: "momentum",
    type: real(0, 1),
    default: 0.9,
    sentence: "share of the velocity that is kept",
    group,
    commands,
    onlyWith: { key: "optimizer", values: ["momentum", "nesterov"] },
  },
  beta1: {
    name: "beta1",
    type: real(0, 1),
    default: 0.9,
    sentence: "decay of Adam's first moment",
    group,
    commands,
    onlyWith: onlyAdam,
  },
  beta2: {
    name: "beta2",
    type: real(0, 1),
    default: 0.999,
    sentence: "decay of Adam's second moment",
    group,
    commands,
    onlyWith: onlyAdam,
  },
  epsilon: {
    name: "epsilon",
    type: real(0, 1),
    default: 1e-8,
    sentence: "what Adam adds to the root of the second moment",
    group,
    commands,
    onlyWith: onlyAdam,
  },
  weightDecay: {
    name: "weight-decay",
    type: real(0, 1000),
    default: 0,
    sentence: "weight decay of weights",
    group,
    commands,
  },
  weightDecayPlain: {
    name: "weight-decay-plain",
    type: optional(real(0, 1000)),
    default: null,
    defaultText: "that of --weight-decay",
    sentence: "weight decay of biases and norms",
    group,
    commands,
  },
  bufferMomentum: {
    name: "batch-norm-momentum",
    type: real(0, 1),
    default: 0.1,
    sentence: "share of the batch's mean and variance in BatchNorm's running ones",
    group,
    commands,
  },
  seed: {
    name: "seed",
    type: whole(0, 4_294_967_295, "number"),
    default: 1,
    sentence: "what every random choice derives from",
    group,
    commands,
  },
  engine: {
    name: "engine",
    type: choice(engines),
    default: "auto",
    sentence: "what computes a step; auto takes the fastest there is, synthetic computes nothing",
    group,
    commands: [...commands, "eval", "predict"],
  },
  dtype: {
    name: "dtype",
    type: choice(dtypes),
    default: "f32",
    sentence: "numbers of forward and backward; bf16! refuses a processor without bf16",
    group,
    commands,
  },
  evalEvery: {
    name: "eval-every",
    type: optional(cadence),
    default: { unit: "epoch", count: 1 },
    sentence: "how often the whole test set is evaluated",
    group,
    commands,
  },
  asWorkers: {
    name: "as-workers",
    type: whole(1, 1024),
    default: 1,
    unit: "micro-batches",
    sentence: "fold so many micro-batches as that many workers' gradients would be",
    group,
    commands: ["baseline"],
  },
};

/** Where examples come from. */
export const inputRows: OptionRows<InputOptions> = {
  dataDir: {
    name: "data-dir",
    type: optional(text("place", "the path of a folder, an https:// or an s3:// URL")),
    default: null,
    defaultText: "the cache folder",
    sentence: "where data sets lie, each in a folder of its name",
    group: "input",
    commands: readers,
  },
  cacheDir: {
    name: "cache-dir",
    type: text("folder", "the path of a folder"),
    default: "",
    defaultFrom: cacheFolder,
    defaultText: "`paceline` in the user's cache folder",
    sentence: "where data sets that had to be fetched are kept",
    group: "input",
    commands: readers,
  },
  feed: {
    name: "feed",
    type: choice([...feeds]),
    default: "static",
    sentence:
      "how examples reach workers: a range each epoch, batch by batch, or sent batch by batch " +
      "to workers without files",
    group: "input",
    commands: runCommands,
  },
  augment: {
    name: "augment",
    type: augmentation,
    default: { cropPadding: 0, flip: false, standardise: false },
    defaultText: "none",
    sentence: "change training examples at random (crop, flip), or bring each to mean 0",
    group: "input",
    commands,
  },
  trainLimit: {
    name: "train-limit",
    type: optional(whole(1, 2_000_000_000, "examples")),
    default: null,
    fast: 2048,
    unit: "examples",
    sentence: "use only the first so many training examples",
    group: "input",
    commands: [...commands, "eval"],
  },
  testLimit: {
    name: "test-limit",
    type: optional(whole(1, 2_000_000_000, "examples")),
    default: null,
    fast: 512,
    unit: "examples",
    sentence: "use only the first so many test examples",
    group: "input",
    commands: [...commands, "eval"],
  },
};

function cacheFolder(environment: Environment): string {
  const { XDG_CACHE_HOME: cache, LOCALAPPDATA: local } = environment;
  if (cache) return join(cache, "paceline");
  if (process.platform === "win32") return join(local ?? homedir(), "paceline", "cache");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "paceline");
  return join(homedir(), ".cache", "paceline");
}
