/** Rows of the groups "cluster" and "pace" that are not fields of a run's spec. */
import { localStepsMax, outerRanges } from "../core/sync/local.js";
import { defaultMode, modes } from "../core/sync/modes.js";
import type { PaceSettings } from "../core/sync/pace.js";
import { autoGrace, graceMsMax } from "../core/sync/quorum.js";
import { isFreeOuter, outerOptimizers } from "../protocol/local/local-steps.js";
import { stalenessRanges } from "../protocol/staleness.js";
import { ckptFrequency, hparams, planValue, switchOrder } from "./option-plan.js";
import { type OptionRows, partCommands, runCommands, trainingCommands } from "./option-row.js";
import {
  address,
  addresses,
  choice,
  duration,
  host,
  listOf,
  optional,
  orWord,
  path,
  real,
  serverRange,
  stateStore,
  text,
  toggle,
  whole,
  workerRange,
  workersMax,
} from "./option-values.js";
import type { ClusterOptions, PaceOptions } from "./resolved-options.js";

/** The port of a coordinator whose address names none. */
export const defaultPort = 8000;
const hourMs = 3_600_000;
const group = "cluster";

/** Who belongs and how members reach each other. */
export const clusterRows: OptionRows<ClusterOptions> = {
  servers: {
    name: "servers",
    short: "s",
    otherNames: ["num-ps"],
    type: serverRange,
    default: { min: 1, max: 1 },
    defaults: { ring: { min: 5, max: 5 } },
    unit: "processes",
    sentence: "number of servers; 2:4 starts with 2, continues with as few and accepts up to 4",
    group,
    commands: [...runCommands, "ring"],
  },
  workers: {
    name: "workers",
    short: "w",
    otherNames: ["num-worker"],
    type: workerRange,
    default: { min: 1, max: 4 },
    unit: "processes",
    sentence: "number of workers; 2:8 starts with 2, continues with as few and accepts up to 8",
    group,
    commands: runCommands,
    aliases: [{ name: "TOTAL_WORKERS_EXPECTED" }, { name: "WORLD_SIZE" }],
  },
  maxRestarts: {
    name: "max-restarts",
    type: whole(0, 1000),
    default: 3,
    unit: "restarts",
    sentence: "how many times a worker, server or coordinator that died is restarted",
    group,
    commands: ["train"],
  },
  coordinator: {
    name: "coordinator",
    type: optional(addresses(defaultPort)),
    default: null,
    sentence: "address of the coordinator; with standbys all of them, with commas between",
    group,
    commands: ["server", "worker", "submit", "jobs", "status", "admin"],
    aliases: [
      { name: "PARAMETER_SERVER_ADDRESS", portFrom: "SERVER_PORT" },
      { name: "MASTER_ADDR", portFrom: "MASTER_PORT" },
    ],
  },
  host: {
    name: "host",
    type: host,
    default: "127.0.0.1",
    sentence:
      "address to listen on; one other than loopback requires --tls, --token-file or --insecure",
    group,
    commands: ["coordinator", "server", "doctor"],
  },
  port: {
    name: "port",
    type: whole(0, 65535, "port"),
    default: defaultPort,
    defaults: { train: 0, server: 0 },
    defaultText: "8000; any free port for `train` and `server`",
    sentence: "port to listen on; 0 picks a free port",
    group,
    commands: ["train", "coordinator", "server", "doctor"],
    aliases: [
      { name: "SERVER_PORT", commands: ["coordinator", "doctor"] },
      { name: "MASTER_PORT", commands: ["coordinator"] },
    ],
  },
  advertise: {
    name: "advertise",
    type: optional(address(null)),
    default: null,
    defaultText: "the address bound",
    sentence: "address at which workers reach this server",
    group,
    commands: ["server"],
  },
  insecure: {
    name: "insecure",
    type: toggle,
    default: false,
    sentence: "allow listening beyond loopback without encryption or authentication",
    group,
    commands: ["coordinator", "server"],
  },
  tls: {
    name: "tls",
    type: optional(path("folder", "the path of a folder")),
    default: null,
    sentence: "folder with certificates (paceline certs): mutual TLS on every port",
    group,
    commands: [...partCommands, "submit", "jobs", "status", "admin"],
  },
  tokenFile: {
    name: "token-file",
    type: optional(path("file", "the path of a file")),
    default: null,
    sentence: "file with the cluster's token, readable by its owner alone",
    group,
    commands: [...partCommands, "submit", "jobs", "status", "admin"],
  },
  rank: {
    name: "rank",
    type: optional(whole(0, 1023, "rank")),
    default: null,
    defaultText: "the lowest free one",
    sentence: "rank of this worker or index of this server",
    group,
    commands: ["server", "worker"],
    aliases: [{ name: "RANK", commands: ["worker"] }],
  },
  workerName: {
    name: "worker-name",
    type: optional(text("name", "a name")),
    default: null,
    sentence: "name of this worker in its log lines",
    group,
    commands: ["worker"],
    aliases: [{ name: "WORKER_NAME" }],
  },
  threads: {
    name: "threads",
    type: optional(whole(1, 1024)),
    default: null,
    defaultText:
      "this machine's cores divided by the workers (at least 1); for `worker` what the run says",
    unit: "threads",
    sentence: "compute threads per worker; results depend on it in their last bits",
    group,
    commands: [...trainingCommands, "worker"],
  },
  serve: {
    name: "serve",
    type: toggle,
    default: false,
    sentence: "accept jobs from paceline submit and run them, --jobs at a time",
    group,
    commands: ["coordinator"],
  },
  store: {
    name: "store",
    type: stateStore,
    default: "file",
    sentence:
      "where the coordinator's state is kept; in etcd several coordinators stand by, one leads",
    group,
    commands: ["coordinator"],
  },
  storeTls: {
    name: "store-tls",
    type: optional(path("folder", "the path of a folder")),
    default: null,
    sentence: "folder with ca.pem, client.pem and client-key.pem: TLS to the etcd of --store",
    group,
    commands: ["coordinator"],
  },
  jobs: {
    name: "jobs",
    type: whole(1, 1000, "jobs"),
    default: 1,
    unit: "jobs",
    sentence: "with --serve: how many jobs may run at a time, where members suffice",
    group,
    commands: ["coordinator"],
  },
  startTimeoutMs: {
    name: "start-timeout",
    type: duration(1000, 24 * hourMs),
    default: 60_000,
    sentence: "how long to wait for the cluster to form; with eval --wait, for the run to appear",
    group,
    commands: [...partCommands, "eval"],
  },
  ioTimeoutMs: {
    name: "io-timeout",
    type: duration(100, hourMs),
    default: 30_000,
    sentence: "time limit of each network operation",
    group,
    commands: [...partCommands, "submit", "jobs", "status", "admin"],
  },
  leaseMs: {
    name: "lease",
    type: duration(200, hourMs),
    default: 3000,
    sentence:
      "how long a member may be silent before it is declared lost; half of it is enough while " +
      "heartbeats come regularly",
    group,
    commands: ["train", "coordinator"],
  },
  rankGraceMs: {
    name: "rank-grace",
    type: duration(0, 24 * hourMs),
    default: 30_000,
    sentence: "how long the rank of a lost worker is reserved for it",
    group,
    commands: ["train", "coordinator"],
  },
  waitForWorkersMs: {
    name: "wait-for-workers",
    type: duration(0, 24 * hourMs),
    default: 600_000,
    sentence:
      "how long a run waits once it has fewer workers than its minimum, before it writes a " +
      "checkpoint and ends with exit code 4; 0 waits for none",
    group,
    commands: ["train", "coordinator"],
  },
  drainWithinMs: {
    name: "drain-within",
    type: duration(0, 24 * hourMs),
    default: 30_000,
    sentence:
      "how long a member that gets a signal may take to leave in order: a worker after its step, " +
      "a server once others hold its chunks; 0 leaves at once",
    group,
    commands: ["server", "worker"],
  },
  serverGraceMs: {
    name: "server-grace",
    type: duration(0, 24 * hourMs),
    default: 10_000,
    sentence:
      "how long a lost server that had the only copy of a chunk is waited for, before the run " +
      "ends; once it is back the run goes back to its last checkpoint",
    group,
    commands: ["train", "coordinator"],
  },
  coordinatorGraceMs: {
    name: "coordinator-grace",
    type: duration(100, 24 * hourMs),
    default: 30_000,
    sentence:
      "how long members go on without a coordinator, counted from the last heartbeat that was " +
      "answered; then they end",
    group,
    commands: ["train", "server", "worker"],
  },
};

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

/** How tightly workers keep pace. */
export const paceRows: OptionRows<PaceOptions> = {
  mode: {
    name: "mode",
    type: choice(
      modes().map(({ name }) => name),
      modeAliases,
    ),
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
