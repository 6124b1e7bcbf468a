/**
 * A run to begin tests and trials from: each spreads what it needs and names only what it is about,
 * and where this says nothing the options' defaults hold. So a field that is added is added to no
 * test but its own.
 *
 * Invariant: the run is valid and small enough to be trained within a second.
 */
import { uncompressed } from "../compression.js";
import type { InputSpec } from "../input-spec.js";
import { type RunSpec, runFields } from "../run-spec.js";
import { scheduleFields } from "../schedule-spec.js";
import { defaultsOf } from "../spec-option.js";
import { updateRuleFields } from "../update-rules.js";

/** MNIST: ten classes of 28 x 28 grey pixels, scaled to [0, 1]. */
export const sampleInput: InputSpec = {
  classes: 10,
  shape: [1, 28, 28],
  mean: [0],
  std: [1],
  blockExamples: 0,
  identity: null,
  augment: { cropPadding: 0, flip: false, standardise: false },
};

/** One epoch of plain SGD over 200 examples, by one worker through one server. */
export const sampleSpec: RunSpec = {
  ...defaultsOf(runFields),
  run: "r",
  name: "r",
  seed: 3,
  model: "mlp",
  stem: null,
  data: "mnist",
  trainExamples: 200,
  testExamples: 150,
  input: sampleInput,
  workersMin: 1,
  workersMax: 1,
  servers: 1,
  serversMax: null,
  plan: [],
  protocol: { mode: "bsp" },
  updateRule: { ...defaultsOf(updateRuleFields), momentum: 0, weightDecayPlain: 0 },
  schedule: { ...defaultsOf(scheduleFields), milestones: [], totalExamples: 200 },
  epochs: 1,
  batchSize: 16,
  chunkValues: 30_000,
  compression: uncompressed,
  evaluateEvery: null,
  engine: "reference",
  recordedAlgorithms: [],
  threads: 1,
};
