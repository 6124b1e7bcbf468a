/** The rows of the groups "keeping", "showing" and "trying". */

import { injection } from "./injection.js";
import { type CommandName, commandNames, type OptionRows, trainingCommands } from "./option-row.js";
import {
  cadence,
  choice,
  duration,
  listOf,
  optional,
  path,
  runName,
  text,
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
    sentence: "number of checkpoints to keep, the latest ones",
    group: "keeping",
    commands: trainingCommands,
  },
  savePatienceMs: {
    name: "save-patience",
    type: duration(0, 24 * 3_600_000),
    default: 600_000,
    sentence: "how long a last checkpoint that can't be written is tried again",
    group: "keeping",
    commands: trainingCommands,
  },
  resume: {
    name: "resume",
    type: optional(path("run", "auto, the name of a run, or the path of a checkpoint")),
    default: null,
    sentence: "resume from a checkpoint: auto, a run name, or a path",
    group: "keeping",
    commands: trainingCommands,
  },
  runDir: {
    name: "run-dir",
    type: path("folder", "the path of a folder"),
    default: "runs",
    sentence: "parent folder of the run folders",
    group: "keeping",
    commands: [
      "train",
      "baseline",
      "coordinator",
      "admin",
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
  takeOver: {
    name: "take-over",
    type: toggle,
    default: false,
    sentence: "take a folder over whose lock is of a process on another machine that is gone",
    group: "keeping",
    commands: ["train", "baseline", "coordinator"],
  },
  handOver: {
    name: "hand-over",
    type: toggle,
    default: false,
    sentence: "on SIGTERM a coordinator with an etcd leaves its runs to the next one to lead",
    group: "keeping",
    commands: ["coordinator"],
  },
};

/** What the user sees, and what is only tried out. */
export const showingRows: OptionRows<ShowingOptions> = {
  json: {
    name: "json",
    type: toggle,
    default: false,
    sentence: "print one JSON object on standard output at the end",
    group: "showing",
    commands: commandNames.filter((name) => name !== "completion"),
  },
  quiet: {
    name: "quiet",
    short: "q",
    type: toggle,
    default: false,
    sentence: "print errors and the result only",
    group: "showing",
    commands: [...running, "data", "charts", "eval", "predict", "tune", "parse-logs"],
  },
  verbose: {
    name: "verbose",
    short: "v",
    type: toggle,
    default: false,
    sentence: "print more detail",
    group: "showing",
    commands: running,
  },
  progress: {
    name: "progress",
    type: toggle,
    default: true,
    sentence: "show a live progress line on a terminal",
    group: "showing",
    commands: ["train", "baseline"],
  },
  metricsJson: {
    name: "metrics-json",
    type: toggle,
    default: false,
    sentence: "print METRICS_JSON lines on a terminal too, not only in the run's logs",
    group: "showing",
    commands: ["train", "baseline", "coordinator", "worker"],
  },
  emf: {
    name: "emf",
    type: optional(text("namespace", "a namespace of CloudWatch, such as Paceline/digits")),
    default: null,
    sentence:
      "print a line of figures once a minute in CloudWatch's embedded metric format, which makes " +
      "metrics of them in this namespace",
    group: "showing",
    commands: ["coordinator"],
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
    sentence: "file for the trace of this process",
    group: "showing",
    commands: ["server", "worker"],
  },
  healthSocket: {
    name: "health-socket",
    type: optional(path("file", "the path of a file")),
    default: null,
    sentence: "path of the Unix socket at which the process answers paceline health",
    group: "showing",
    commands: ["coordinator", "server", "worker", "health"],
  },
  logEvery: {
    name: "log-every",
    type: cadence,
    default: { unit: "epoch", count: 1 },
    sentence: "how often a progress line is printed",
    group: "showing",
    commands: trainingCommands,
  },
  dryRun: {
    name: "dry-run",
    type: toggle,
    default: false,
    sentence: "check everything and print the plan without starting the run",
    group: "trying",
    commands: ["train", "baseline", "experiments"],
  },
  fast: {
    name: "fast",
    type: toggle,
    default: false,
    sentence: "a small run: fewer examples and one epoch, unless set otherwise",
    group: "trying",
    commands: trainingCommands,
  },
  kernels: {
    name: "kernels",
    type: choice(["auto", "wasm", "scalar"], { twin: "scalar" }),
    default: "auto",
    sentence: "kernels: SIMD, or scalar loops with identical results",
    group: "trying",
    commands: ["train", "baseline", "server", "worker"],
  },
  inject: {
    name: "inject",
    type: listOf(injection, ";"),
    default: [],
    sentence:
      "a fault at a global step: kill, pause or cut (close all connections of) a worker or " +
      "server as soon as one of its chunks is at that step; kill the coordinator, or have its " +
      "disk stand still (slow-disk), when it hears of the step; or a straggler: a worker whose " +
      "links have a delay or a bandwidth, or whose steps take slow=2x their time, from=STEP " +
      "to=STEP or for=STEPS|TIME; may be repeated; worker takes stragglers alone",
    group: "trying",
    commands: ["train", "worker"],
  },
};
