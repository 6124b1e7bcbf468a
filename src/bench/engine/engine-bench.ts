/** `paceline bench engine`: its options; what measures is loaded when it is called. */

import { modelList } from "../../nn/models.js";
import { choice, toggle, whole } from "../../options/option-values.js";
import { type Stem, stems } from "../../protocol/run-spec.js";
import { benchOf, orFound, severalOf, sharedOptions } from "../harness/bench-option.js";

/** What may be measured of a model. */
const parts = ["speed", "input", "memory", "algorithms"] as const;

/** What may compute: the synthetic engine has no speed of its own. */
const engines = ["auto", "onednn", "reference"] as const;

/** What to measure, and how; null where the benchmark finds a value itself. */
export interface EngineMeasures {
  readonly models: readonly string[];
  readonly stems: readonly Stem[] | null;
  readonly dtypes: readonly ("f32" | "bf16")[];
  readonly batchSize: number | null;
  readonly threads: readonly number[] | null;
  readonly engine: (typeof engines)[number];
  readonly parts: readonly (typeof parts)[number][];
  readonly table: boolean;
  readonly soakSteps: number | null;
  readonly rounds: number;
  readonly turnMs: number;
  readonly peers: boolean;
  readonly python: string;
}

const modelNames = choice(modelList.map(({ name }) => name));

/** The benchmark of the engine: training steps of whole models. */
export const engineBench = benchOf<EngineMeasures>({
  name: "engine",
  sentence: "training steps of whole models",
  options: {
    models: {
      name: "model",
      type: severalOf({ ...modelNames, placeholder: "name" }),
      default: ["resnet18"],
      sentence: "models to measure",
    },
    stems: {
      name: "stem",
      type: orFound(severalOf(choice(stems))),
      default: null,
      defaultText: "cifar",
      sentence: "first layers of resnet18, 34 and 50; imagenet takes pictures of 224 x 224",
    },
    dtypes: {
      name: "dtype",
      type: severalOf(choice(["f32", "bf16"])),
      default: ["f32", "bf16"],
      sentence: "number format of forward and backward",
    },
    batchSize: {
      name: "batch-size",
      short: "b",
      type: orFound(whole(1, 1_000_000, "examples")),
      default: null,
      defaultText: "64, or 2 with the reference engine",
      sentence: "examples per step",
    },
    threads: {
      name: "threads",
      type: orFound(severalOf(whole(1, 1024))),
      default: null,
      defaultText: "the cores of this machine",
      sentence: "threads to compute on",
    },
    engine: {
      name: "engine",
      type: choice(engines),
      default: "auto",
      sentence: "compute engine; auto picks the fastest available",
    },
    parts: {
      name: "rows",
      type: severalOf(choice(parts)),
      default: ["speed", "input", "memory"],
      sentence: "images/s; preparing batches; peak resident memory; single convolutions",
    },
    table: {
      name: "table",
      type: toggle,
      default: false,
      defaultText: "with one model, unless --json",
      sentence: "show the time of each layer; with --json as rows",
    },
    soakSteps: {
      name: "soak",
      type: orFound(whole(10, 100_000_000, "steps")),
      default: null,
      sentence: "take this many steps in one process instead, and check that its memory stays flat",
    },
    ...sharedOptions,
  },
  async run(measures, task) {
    return (await import("./engine-run.js")).runEngineBench(measures, task);
  },
});
