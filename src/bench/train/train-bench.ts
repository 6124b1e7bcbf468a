/** `paceline bench train`: its options; what measures is loaded when it is called. */

import { modelList } from "../../nn/models.js";
import { choice, whole } from "../../options/option-values.js";
import {
  benchOf,
  countOptions,
  orFound,
  severalOf,
  sharedOptions,
} from "../harness/bench-option.js";
import { type WireLists, wireOptions } from "./wire-setups.js";

/** What to measure. */
export interface TrainMeasures extends WireLists {
  readonly model: string;
  readonly dtypes: readonly ("f32" | "bf16")[];
  readonly batch: number;
  readonly servers: number;
  readonly replicas: readonly number[];
  readonly workers: number;
  /** Null for 5, or fewer over a slow link. */
  readonly steps: number | null;
  readonly transport: string;
  readonly rounds: number;
  readonly peers: boolean;
  readonly python: string;
}

/** The benchmark of whole runs. */
export const trainBench = benchOf<TrainMeasures>({
  name: "train",
  sentence: "whole runs in step, beside DistributedDataParallel over gloo",
  options: {
    model: {
      name: "model",
      type: choice(modelList.map(({ name }) => name)),
      default: "resnet18",
      sentence: "model to train",
    },
    dtypes: {
      name: "dtype",
      type: severalOf(choice(["f32", "bf16"])),
      default: ["f32", "bf16"],
      sentence: "number format of forward and backward",
    },
    batch: { ...countOptions.batch, default: 64 },
    servers: { ...countOptions.servers, default: 1 },
    replicas: {
      name: "replicas",
      type: severalOf(whole(1, 64)),
      default: [1],
      sentence: "servers that hold each chunk, at most as many as there are",
    },
    workers: { ...countOptions.workers, default: 2 },
    steps: {
      name: "steps",
      type: orFound(whole(1, 1_000_000)),
      default: null,
      defaultText: "5, over a slow link at least 2, with auto at least 15",
      sentence: "steps of each epoch of a run; two epochs count, one warms up",
    },
    transport: {
      name: "transport",
      type: choice(["auto", "grpc", "tcp", "unix"]),
      default: "auto",
      sentence: "transport between processes",
    },
    ...wireOptions,
    ...sharedOptions,
  },
  async run(measures, task) {
    return (await import("./train-run.js")).runTrainBench(measures, task);
  },
});
