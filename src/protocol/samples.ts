/**
 * A run to begin tests and trials from: each spreads what it needs and names only what it is about,
 * so that a field that is added to the contract is added here once.
 *
 * Invariant: the run is valid and small enough to be trained within a second.
 */
import { uncompressed } from "./compression.js";
import type { InputSpec } from "./input-spec.js";
import type { RunSpec } from "./run-spec.js";

/** MNIST: ten classes of 28 x 28 grey pixels, scaled to [0, 1]. */
export const sampleInput: InputSpec = {
  classes: 10,
  shape: [1, 28, 28],
  mean: [0],
  std: [1],
  blockExamples: 0,
  augment: { cropPadding: 0, flip: false, standardise: false },
};

/** One epoch of plain SGD over 200 examples, by one worker through one server. */
export const sampleSpec: RunSpec = {
  run: "r",
  name: "r",
  seed: 3,
  model: "mlp",
  stem: null,
  data: "mnist",
  trainExamples: 200,
  testExamples: 150,
  input: sampleInput,
  feed: "static",
  workersMin: 1,
  workersMax: 1,
  servers: 1,
  protocol: { mode: "bsp" },
  reduce: "mean",
  updateRule: {
    name: "sgd",
    momentum: 0,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    weightDecayPlain: 0,
    bufferMomentum: 0.1,
  },
  schedule: { name: "constant", lr: 0.1, warmup: 0, milestones: [], gamma: 1, totalExamples: 200 },
  lrScaling: "none",
  epochs: 1,
  maxSteps: null,
  batchSize: 16,
  chunkValues: 30_000,
  compression: uncompressed,
  virtualNodes: 100,
  loadBound: 1.25,
  evaluateEvery: null,
  checkpointEvery: null,
  engine: "reference",
  dtype: "f32",
  threads: 1,
};
