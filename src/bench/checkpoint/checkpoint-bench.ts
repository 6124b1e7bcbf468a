/** `paceline bench checkpoint`: its options; what measures is loaded when it is called. */

import { modelList } from "../../nn/models.js";
import { choice, whole } from "../../options/option-values.js";
import { benchOf, countOptions, sharedOptions } from "../harness/bench-option.js";

/** What to measure. */
export interface CheckpointMeasures {
  readonly model: string;
  readonly dtype: "f32" | "bf16";
  readonly batch: number;
  readonly servers: number;
  readonly workers: number;
  readonly replicas: number;
  readonly steps: number;
  readonly every: number;
  readonly rounds: number;
}

/** The benchmark of checkpoints beside training. */
export const checkpointBench = benchOf<CheckpointMeasures>({
  name: "checkpoint",
  sentence: "steps that a checkpoint overlaps, beside those that none does",
  options: {
    model: {
      name: "model",
      type: choice(modelList.map(({ name }) => name)),
      default: "resnet18",
      sentence: "model to train",
    },
    dtype: {
      name: "dtype",
      type: choice(["f32", "bf16"]),
      default: "f32",
      sentence: "number format of forward and backward",
    },
    batch: { ...countOptions.batch, default: 64 },
    servers: { ...countOptions.servers, default: 1 },
    workers: { ...countOptions.workers, default: 2 },
    replicas: {
      name: "replicas",
      type: whole(1, 64),
      default: 1,
      sentence: "servers that hold each chunk",
    },
    steps: {
      name: "steps",
      type: whole(4, 1_000_000),
      default: 80,
      sentence: "steps of each epoch of a run; two epochs count, one warms up",
    },
    every: {
      name: "checkpoint-every",
      type: whole(2, 1_000_000, "steps"),
      default: 42,
      sentence: "steps between two checkpoints",
    },
    rounds: { ...sharedOptions.rounds, default: 1, sentence: "runs; the median is reported" },
  },
  async run(measures, task) {
    return (await import("./checkpoint-run.js")).runCheckpointBench(measures, task);
  },
});
