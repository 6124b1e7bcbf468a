/** The rows of the groups "keeping", "showing" and "trying". */
import type { KeepingOptions, ShowingOptions } from "../runtime/options.js";
import { type CommandName, type OptionRows, trainingCommands } from "./option-row.js";
import { cadence, injection, listOf, optional, text, toggle, whole } from "./option-values.js";

const everywhere: readonly CommandName[] = [
  "train",
  "baseline",
  "coordinator",
  "server",
  "worker",
  "submit",
  "status",
  "ring",
  "experiments",
  "doctor",
  "runs",
  "charts",
  "data",
  "ckpt",
  "eval",
  "predict",
];
const running: readonly CommandName[] = ["train", "baseline", "coordinator", "server", "worker"];

/** What stays after a run. */
export const keepingRows: OptionRows<KeepingOptions> = {
  checkpointEvery: {
    name: "checkpoint-every",
    type: optional(cadence),
    default: null,
    sentence: "how often a checkpoint is written",
    group: "keeping",
    commands: trainingCommands,
  },
  keep: {
    name: "keep",
    type: whole(1, 1_000_000),
    default: 3,
    unit: "checkpoints",
    sentence: "how many of the latest checkpoints stay",
    group: "keeping",
    commands: trainingCommands,
  },
  resume: {
    name: "resume",
    type: optional(text("run", "auto, the name of a run, or the path of a checkpoint")),
    default: null,
    sentence: "go on from a checkpoint: auto, the name of a run, or a path",
    group: "keeping",
    commands: trainingCommands,
  },
  runDir: {
    name: "run-dir",
    type: text("folder", "the path of a folder"),
    default: "runs",
    sentence: "folder in which each run gets a folder of its name",
    group: "keeping",
    commands: [
      "train",
      "baseline",
      "coordinator",
      "doctor",
      "runs",
      "charts",
      "ckpt",
      "eval",
      "predict",
    ],
  },
  name: {
    name: "name",
    type: optional(text("name", "a name that can be a folder's")),
    default: null,
    defaultText: "made of model, data, mode and time",
    sentence: "name of the run",
    group: "keeping",
    commands: trainingCommands,
  },
};

/** What the user sees, and what is only tried out. */
export const showingRows: OptionRows<ShowingOptions> = {
  json: {
    name: "json",
    type: toggle,
    default: false,
    sentence: "end with one JSON object on standard output",
    group: "showing",
    commands: everywhere,
  },
  quiet: {
    name: "quiet",
    short: "q",
    type: toggle,
    default: false,
    sentence: "say only what went wrong and the result",
    group: "showing",
    commands: [...running, "data", "charts", "eval", "predict"],
  },
  verbose: {
    name: "verbose",
    short: "v",
    type: toggle,
    default: false,
    sentence: "say more",
    group: "showing",
    commands: running,
  },
  progress: {
    name: "progress",
    type: toggle,
    default: true,
    sentence: "redraw a progress line on a terminal",
    group: "showing",
    commands: ["train", "baseline"],
  },
  logEvery: {
    name: "log-every",
    type: cadence,
    default: { unit: "epoch", count: 1 },
    sentence: "how often a line tells the progress",
    group: "showing",
    commands: trainingCommands,
  },
  dryRun: {
    name: "dry-run",
    type: toggle,
    default: false,
    sentence: "show what would run, and start nothing",
    group: "trying",
    commands: ["train", "baseline", "experiments"],
  },
  fast: {
    name: "fast",
    type: toggle,
    default: false,
    sentence: "a small run: fewer examples, one epoch, where these are not set",
    group: "trying",
    commands: trainingCommands,
  },
  inject: {
    name: "inject",
    type: listOf(injection, ";"),
    default: [],
    sentence: "bring a fault about; may be given more than once",
    group: "trying",
    commands: ["train"],
  },
};
