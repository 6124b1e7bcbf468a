/** `paceline bench chaos`: its options; what measures is loaded when it is called. */

import { modelList } from "../../nn/models.js";
import { choice, duration, whole } from "../../options/option-values.js";
import { benchOf, countOptions, severalOf } from "../harness/bench-option.js";
import type { ChaosMeasures } from "./chaos-run.js";
import { scenarios } from "./fault-plan.js";

/** The benchmark of runs in which everything is struck. */
export const chaosBench = benchOf<ChaosMeasures>({
  name: "chaos",
  sentence:
    "everything is killed, frozen, cut off: time without progress, and whether anything is lost",
  options: {
    model: {
      name: "model",
      type: choice(modelList.map(({ name }) => name)),
      default: "mlp",
      sentence: "model that is trained",
    },
    modes: {
      name: "mode",
      type: severalOf(choice(scenarios.map(({ name }) => name))),
      default: scenarios.map(({ name }) => name),
      sentence: "ways to keep pace, a run each; with bsp-elastic workers come and go",
    },
    servers: {
      name: "servers",
      short: "s",
      type: whole(3, 64),
      default: 3,
      sentence: "number of servers",
    },
    workers: { ...countOptions.workers, type: whole(2, 6), default: 4 },
    faults: {
      name: "faults",
      type: whole(1, 10_000),
      default: 60,
      sentence: "faults of one run, drawn from the seed",
    },
    durationMs: {
      name: "duration",
      type: duration(1000, 86_400_000),
      default: 600_000,
      sentence: "time over which faults are spread; longer where clusters take it to be whole",
    },
    seed: {
      name: "seed",
      type: whole(0, 2 ** 31),
      default: 1,
      sentence: "what the faults are drawn from",
    },
  },
  async run(measures, task) {
    const { runChaosBench } = await import("./chaos-run.js");
    return runChaosBench(measures, task);
  },
});
