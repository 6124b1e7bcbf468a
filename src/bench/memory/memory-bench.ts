/** `paceline bench memory`: its options; what measures is loaded when it is called. */

import { modelList } from "../../nn/models.js";
import { choice, toggle, whole } from "../../options/option-values.js";
import { compression } from "../../options/options-wire.js";
import { pullCompressions, pushCompressions } from "../../protocol/compression.js";
import { benchOf, countOptions, severalOf } from "../harness/bench-option.js";
import type { MemoryMeasures } from "./memory-run.js";

const uncompressed = { codec: "none", share: 1 } as const;
/** Steps after which the synthetic engine takes no more memory. */
const engineSteps = 20;

/** The benchmark of what the processes of a run hold. */
export const memoryBench = benchOf<MemoryMeasures>({
  name: "memory",
  sentence: "resident memory of a run's processes against its limits, and whether it stays flat",
  options: {
    model: {
      name: "model",
      type: choice(modelList.map(({ name }) => name)),
      default: "resnet18",
      sentence: "model whose parameters are transferred",
    },
    transports: {
      name: "transport",
      type: severalOf(choice(["unix", "tcp", "grpc"])),
      default: ["unix", "tcp", "grpc"],
      sentence: "transports to measure",
    },
    pushes: {
      name: "compress",
      type: severalOf(compression(pushCompressions)),
      default: [uncompressed],
      sentence: "codecs of pushed gradients, separated by commas",
    },
    pull: {
      name: "compress-pull",
      type: compression(pullCompressions),
      default: uncompressed,
      sentence: "codec of pulled weights",
    },
    workers: { ...countOptions.workers, default: 4 },
    servers: { ...countOptions.servers, default: 1 },
    steps: {
      name: "steps",
      type: whole(10, 1_000_000),
      default: 2000,
      sentence: "steps of each worker, a multiple of 10",
    },
    checkpoint: {
      name: "checkpoint",
      type: toggle,
      default: false,
      sentence: "write a checkpoint in the middle of the steps too, not only at the end",
    },
  },
  async run(measures, task) {
    const { runMemoryBench } = await import("./memory-run.js");
    const { peakOfSteps } = await import("../engine/resident-memory.js");
    const subject = {
      stem: null,
      dtype: "f32",
      batch: 1,
      threads: 1,
      engine: "synthetic",
      kernelCache: null,
    } as const;
    return runMemoryBench(measures, task, (model) =>
      peakOfSteps({ ...subject, model }, engineSteps),
    );
  },
});
