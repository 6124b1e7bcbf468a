/** The benchmarks by name; a further one is an entry here. */

import { chaosBench } from "./chaos/chaos-bench.js";
import { checkpointBench } from "./checkpoint/checkpoint-bench.js";
import { codecBench } from "./codec/codec-bench.js";
import { engineBench } from "./engine/engine-bench.js";
import { failoverBench } from "./failover/failover-bench.js";
import type { Bench } from "./harness/bench-option.js";
import { kernelsBench } from "./kernels/kernels-bench.js";
import { memoryBench } from "./memory/memory-bench.js";
import { pushPullBench } from "./train/push-pull-bench.js";
import { trainBench } from "./train/train-bench.js";
import { transportBench } from "./transport/transport-bench.js";

/** Every benchmark, in the order in which help shows them. */
export const benches: readonly Bench[] = [
  engineBench,
  kernelsBench,
  transportBench,
  pushPullBench,
  codecBench,
  trainBench,
  checkpointBench,
  memoryBench,
  failoverBench,
  chaosBench,
];
