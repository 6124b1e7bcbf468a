/** The benchmarks by name; a further one is an entry here. */
import { transportBench } from "../echo/transport-bench.js";
import type { Bench } from "../measure/bench-option.js";
import { pushPullBench } from "../trial/push-pull-bench.js";
import { trainBench } from "../trial/train-bench.js";
import { codecBench } from "./codec-bench.js";
import { engineBench } from "./engine-bench.js";
import { kernelsBench } from "./kernels-bench.js";
import { memoryBench } from "./memory-bench.js";

/** Every benchmark, in the order in which help shows them. */
export const benches: readonly Bench[] = [
  engineBench,
  kernelsBench,
  transportBench,
  pushPullBench,
  codecBench,
  trainBench,
  memoryBench,
];
