/** `paceline bench kernels`: its options; what measures is loaded when it is called. */

import { choice, whole } from "../../options/option-values.js";
import { benchOf, sharedOptions } from "../harness/bench-option.js";

/** What to measure, and how. */
export interface KernelsMeasures {
  readonly values: number;
  readonly chunkValues: number;
  readonly kernels: "wasm" | "scalar";
  readonly rounds: number;
  readonly turnMs: number;
  readonly peers: boolean;
}

/** The benchmark of folds, update rules and conversions. */
export const kernelsBench = benchOf<KernelsMeasures>({
  name: "kernels",
  sentence: "folds, update rules and conversions",
  options: {
    values: {
      name: "values",
      type: whole(1, 40_000_000, "values"),
      default: 11_200_000,
      sentence: "size of the model that folds and update rules process chunk by chunk",
    },
    chunkValues: {
      name: "chunk-values",
      type: whole(1, 1 << 24, "values"),
      default: 262_144,
      sentence: "values per chunk",
    },
    kernels: {
      name: "kernels",
      type: choice(["wasm", "scalar"]),
      default: "wasm",
      sentence: "which implementation to measure; wasm is compared with scalar and with memcpy",
    },
    rounds: sharedOptions.rounds,
    turnMs: { ...sharedOptions.turnMs, default: 50 },
    peers: sharedOptions.peers,
  },
  async run(measures, task) {
    const { runKernelsBench } = await import("./kernels-run.js");
    return runKernelsBench(measures, task);
  },
});
