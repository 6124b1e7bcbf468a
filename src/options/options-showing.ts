/** The rows of the groups "keeping", "showing" and "trying". */

import { type CommandName, commandNames, type OptionRows, trainingCommands } from "./option-row.js";
import {
  cadence,
  choice,
  injection,
  listOf,
  optional,
  path,
  runName,
  toggle,
  whole,
} from "./option-values.js";
import type { KeepingOptions, ShowingOptions } from "./resolved-options.js";

const running: readonly CommandName[] = ["train", "baseline", "coordinator", "server", "worker"];

/** What stays after a run. */
export const keepingRows: OptionRows<KeepingOptions> = {
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
    type: optional(path("run", "auto, the name of a run, or the path of a checkpoint")),
    default: null,
    sentence: "go on from a checkpoint: auto, the name of a run, or a path",
    group: "keeping",
    commands: trainingCommands,
  },
  runDir: {
    name: "run-dir",
    type: path("folder", "the path of a folder"),
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
    otherNames: ["job-name"],
    type: optional(runName),
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
    commands: commandNames.filter((name) => name !== "completion"),
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
  trace: {
    name: "trace",
    type: toggle,
    default: false,
    sentence: "write trace.json, which chrome://tracing and ui.perfetto.dev show",
    group: "showing",
    commands: ["train"],
  },
  traceFile: {
    name: "trace-file",
    type: optional(path("file", "the path of a file")),
    default: null,
    sentence: "file for this process's own part of a trace",
    group: "showing",
    commands: ["server", "worker"],
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
  kernels: {
    name: "kernels",
    type: choice(["auto", "wasm", "scalar"], { twin: "scalar" }),
    default: "auto",
    sentence: "what folds, applies and encodes values: SIMD, or scalar loops of the same bits",
    group: "trying",
    commands: ["train", "baseline", "server", "worker"],
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
