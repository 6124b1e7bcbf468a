/** Rows of the group "pace": how tightly workers keep it. */
import { autoGroups } from "../core/sync/group.js";
import { localStepsMax, outerRanges } from "../core/sync/local.js";
import { defaultMode, modes } from "../core/sync/modes.js";
import type { PaceSettings } from "../core/sync/pace.js";
import { autoGrace, graceMsMax } from "../core/sync/quorum.js";
import { isFreeOuter, outerOptimizers } from "../protocol/local/local-steps.js";
import { stalenessRanges } from "../protocol/staleness.js";
import { ckptFrequency, hparams, planValue, switchOrder } from "./option-plan.js";
import { type OptionRows, runCommands, trainingCommands } from "./option-row.js";
import {
  choice,
  duration,
  listOf,
  optional,
  orWord,
  real,
  whole,
  workersMax,
} from "./option-values.js";
import type { PaceOptions } from "./resolved-options.js";

/** The names of the modes that have a use for a setting. */
function modesWith(setting: keyof PaceSettings) {
  const names = modes().filter(({ settings }) => settings.includes(setting));
  return { key: "mode", values: names.map(({ name }) => name) } as const;
}

const modeAliases = Object.fromEntries(
  modes().flatMap(({ name, aliases }) => aliases.map((alias) => [alias, name])),
);
const modeSentence =
  `synchronisation: ${modes()
    .map(({ name, summary }) => `${name} (${summary})`)
    .join(", ")}; ` +
  Object.entries(modeAliases)
    .map(([alias, name]) => `${alias} is ${name}`)
    .join(", ");

const onlyScaled = { key: "stalenessRule", values: ["scale", "scale+reject"] } as const;
const onlyFree = { key: "outerOptimizer", values: outerOptimizers.filter(isFreeOuter) } as const;
const onlyRejecting = { key: "stalenessRule", values: ["reject", "scale+reject"] } as const;

const modeNames = choice(
  modes().map(({ name }) => name),
  modeAliases,
);
/** A word may have parameters, which are taken apart before it is read (mode-words.ts). */
const modeChoice: typeof modeNames = {
  ...modeNames,
  schema: { anyOf: [modeNames.schema, { type: "string", pattern: "^[a-z-]+:.+$" }] },
};

/** How tightly workers keep pace. */
export const paceRows: OptionRows<PaceOptions> = {
  mode: {
    name: "mode",
    type: modeChoice,
    default: defaultMode,
    sentence: modeSentence,
    group: "pace",
    commands: trainingCommands,
    aliases: [{ name: "SERVER_MODE", commands: runCommands }],
  },
  plan: {
    name: "plan",
    type: optional(planValue),
    default: null,
    sentence:
      "protocols to go through in one run, with a switch that costs less than a step, " +
      "such as bsp:6.25%,asp",
    group: "pace",
    commands: runCommands,
  },
  switchOrder: {
    name: "switch-order",
    type: optional(switchOrder),
    default: null,
    sentence: "a plan as Sync-Switch writes it: 1 for bsp, 0 for asp; with --train-steps",
    group: "pace",
    commands: runCommands,
  },
  trainSteps: {
    name: "train-steps",
    type: listOf(whole(1, 2_000_000_000, "steps"), ",", 1000),
    default: [],
    unit: "global steps",
    sentence: "global steps at which the phases of --switch-order end, counted from the start",
    group: "pace",
    commands: runCommands,
  },
  hparams: {
    name: "hparams",
    type: hparams,
    default: [],
    defaultText: "those of the run",
    sentence: "learning rate and momentum of each phase of a plan, where they are not the run's",
    group: "pace",
    commands: runCommands,
  },
  ckptFrequency: {
    name: "ckpt-frequency",
    type: listOf(ckptFrequency, ",", 1000),
    default: [],
    defaultText: "--checkpoint-every in all",
    sentence: "how often to write a checkpoint in each phase of a plan",
    group: "pace",
    commands: runCommands,
  },
  staleness: {
    name: "staleness",
    type: whole(0, 1_000_000, "steps"),
    default: 3,
    unit: "steps",
    sentence: "maximum lead over the slowest worker",
    group: "pace",
    commands: runCommands,
    onlyWith: modesWith("staleness"),
  },
  stalenessMin: {
    name: "staleness-min",
    type: whole(0, 1_000_000, "steps"),
    default: 0,
    unit: "steps",
    sentence: "lead over the slowest worker that is always allowed; --staleness is the most",
    group: "pace",
    commands: runCommands,
    onlyWith: modesWith("stalenessMin"),
  },
  delayBound: {
    name: "delay-bound",
    type: whole(1, 1_000_000, "updates"),
    default: 16,
    unit: "updates",
    sentence: "a gradient of weights so many updates ago, or more, is thrown away",
    group: "pace",
    commands: runCommands,
    onlyWith: modesWith("delayBound"),
  },
  backupWorkers: {
    name: "backup-workers",
    type: whole(0, 1023, "workers"),
    default: 1,
    unit: "workers",
    sentence:
      "workers that a step is sealed without: of those that take part, so many may be late, " +
      "and what they push for the step is dropped",
    group: "pace",
    commands: runCommands,
    onlyWith: modesWith("backupWorkers"),
  },
  quorumSize: {
    name: "quorum",
    type: whole(1, workersMax, "workers"),
    default: 1,
    unit: "workers",
    sentence:
      "contributions with which a step may be sealed, once the grace for the others is over",
    group: "pace",
    commands: runCommands,
    onlyWith: modesWith("quorumSize"),
  },
  grace: {
    name: "grace",
    type: orWord(autoGrace, duration(0, graceMsMax)),
    default: autoGrace,
    sentence:
      "how long a step that has its quorum waits for the other workers; auto goes by how much " +
      "later they came in the last steps, up to half a step",
    group: "pace",
    commands: runCommands,
    onlyWith: modesWith("grace"),
  },
  groups: {
    name: "groups",
    type: orWord(autoGroups, whole(1, workersMax, "groups")),
    default: autoGroups,
    unit: "groups",
    sentence:
      "into how many groups of like speed workers are divided; auto has those together whose " +
      "steps take at most 1.5 times as long as those of the fastest of them",
    group: "pace",
    commands: runCommands,
    onlyWith: modesWith("groups"),
  },
  localSteps: {
    name: "local-steps",
    otherNames: ["sync-steps"],
    type: whole(1, localStepsMax, "steps"),
    default: 20,
    unit: "steps",
    sentence: "batches that a worker takes on its own weights between two exchanges",
    group: "pace",
    commands: trainingCommands,
    onlyWith: modesWith("localSteps"),
  },
  outerOptimizer: {
    name: "outer-optimizer",
    type: choice(outerOptimizers),
    default: "average",
    sentence:
      "what servers do with the workers' differences: average them, or take them for a gradient",
    group: "pace",
    commands: trainingCommands,
    onlyWith: modesWith("outerOptimizer"),
  },
  outerLr: {
    name: "outer-lr",
    type: real(outerRanges.lr, "rate"),
    default: 0.7,
    sentence: "learning rate of the outer optimizer",
    group: "pace",
    commands: trainingCommands,
    onlyWith: onlyFree,
  },
  outerMomentum: {
    name: "outer-momentum",
    type: real(outerRanges.momentum),
    default: 0.9,
    sentence: "momentum of the outer optimizer",
    group: "pace",
    commands: trainingCommands,
    onlyWith: onlyFree,
  },
  stalenessRule: {
    name: "staleness-rule",
    type: choice(["none", "scale", "reject", "scale+reject"]),
    default: "none",
    defaultWith: { variable: "SERVER_MODE", text: "async", value: "scale+reject" },
    defaultText: "none; scale+reject where SERVER_MODE is async, as in the system that reads it",
    sentence: "how stale gradients are treated",
    group: "pace",
    commands: runCommands,
    onlyWith: modesWith("stalenessRule"),
  },
  stalenessScale: {
    name: "staleness-scale",
    type: real(stalenessRanges.scale),
    default: 0.1,
    sentence: "coefficient a of the factor max(floor, 1 / (1 + a * staleness))",
    group: "pace",
    commands: runCommands,
    onlyWith: onlyScaled,
  },
  stalenessFloor: {
    name: "staleness-floor",
    type: real(stalenessRanges.floor),
    default: 0.1,
    sentence: "lower bound of the factor that scales a stale gradient",
    group: "pace",
    commands: runCommands,
    onlyWith: onlyScaled,
  },
  stalenessMax: {
    name: "staleness-max",
    otherNames: ["staleness-bound"],
    type: whole(0, 1_000_000, "versions"),
    default: 5,
    unit: "versions",
    sentence: "maximum staleness; a staler gradient is rejected",
    group: "pace",
    commands: runCommands,
    onlyWith: onlyRejecting,
  },
};
