/** The benchmarks by name; a further one is an entry here. */
import type { Bench } from "../measure/bench-option.js";
import { codecBench } from "./codec-bench.js";
import { engineBench } from "./engine-bench.js";

/** Every benchmark, in the order in which help shows them. */
export const benches: readonly Bench[] = [engineBench, codecBench];
