/** `paceline bench failover`: its options; what measures is loaded when it is called. */

import { modelList } from "../../nn/models.js";
import { choice, type ValueType, whole } from "../../options/option-values.js";
import { rowOf } from "../../options/options.js";
import { compression } from "../../options/options-wire.js";
import { pushCompressions } from "../../protocol/compression.js";
import { benchOf, countOptions, severalOf } from "../harness/bench-option.js";
import type { FailoverMeasures } from "./failover-run.js";

const modeType = rowOf("mode").type as ValueType<string>;

/** The benchmark of what a lost server costs a run. */
export const failoverBench = benchOf<FailoverMeasures>({
  name: "failover",
  sentence: "time without progress when servers are killed, paused and cut off, and the bits after",
  options: {
    model: {
      name: "model",
      type: choice(modelList.map(({ name }) => name)),
      default: "mlp",
      sentence: "model that is trained",
    },
    modes: {
      name: "mode",
      type: severalOf(modeType),
      default: ["bsp", "asp"],
      sentence: "ways to keep pace",
    },
    pushes: {
      name: "compress",
      type: severalOf(compression(pushCompressions)),
      default: [{ codec: "none", share: 1 }],
      sentence: "codecs of pushed gradients, separated by commas",
    },
    workers: { ...countOptions.workers, default: 4 },
    servers: {
      name: "servers",
      short: "s",
      type: whole(2, 64),
      default: 3,
      sentence: "number of servers",
    },
    strikes: {
      name: "strikes",
      type: whole(1, 1000),
      default: 30,
      sentence: "faults of one run, by turns of servers, kinds and steps that the seed draws",
    },
    every: {
      name: "every",
      type: whole(10, 100_000),
      default: 1000,
      sentence: "steps from one fault to the next, in which copies are made again",
    },
    seed: {
      name: "seed",
      type: whole(0, 2 ** 31),
      default: 1,
      sentence: "what the faults are drawn from",
    },
  },
  async run(measures, task) {
    const { runFailoverBench } = await import("./failover-run.js");
    return runFailoverBench(measures, task);
  },
});
