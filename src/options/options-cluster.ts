/** Rows of the group "cluster" that are not fields of a run's spec. */
import { firstNode, hasAgentStore, isSlurmTask } from "./launchers.js";
import { type OptionRows, partCommands, runCommands, trainingCommands } from "./option-row.js";
import {
  address,
  addresses,
  duration,
  host,
  optional,
  path,
  serverRange,
  stateStore,
  text,
  toggle,
  whole,
  workerRange,
} from "./option-values.js";
import type { ClusterOptions } from "./resolved-options.js";

/** The port of a coordinator whose address names none. */
export const defaultPort = 8000;
const hourMs = 3_600_000;
const group = "cluster";
/** Commands that ask a coordinator something. */
const asking = ["submit", "jobs", "status", "admin"] as const;

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
    commands: ["server", "worker", ...asking, "experiments"],
    aliases: [
      {
        name: "PARAMETER_SERVER_ADDRESS",
        commands: ["server", "worker", ...asking],
        portFrom: "SERVER_PORT",
      },
      {
        name: "MASTER_ADDR",
        commands: ["server", "worker", ...asking],
        portFrom: "MASTER_PORT",
        isForeignPort: hasAgentStore,
      },
      {
        name: "SLURM_JOB_NODELIST",
        commands: ["server", "worker"],
        take: firstNode,
        isWeak: true,
      },
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
      {
        name: "MASTER_PORT",
        commands: ["coordinator"],
        holds: (environment) => !hasAgentStore(environment),
      },
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
    commands: [...partCommands, ...asking, "experiments"],
  },
  tokenFile: {
    name: "token-file",
    type: optional(path("file", "the path of a file")),
    default: null,
    sentence: "file with the cluster's token, readable by its owner alone",
    group,
    commands: [...partCommands, ...asking, "experiments"],
  },
  rank: {
    name: "rank",
    type: optional(whole(0, 1023, "rank")),
    default: null,
    defaultText: "the lowest free one",
    sentence: "rank of this worker or index of this server",
    group,
    commands: ["server", "worker"],
    aliases: [
      { name: "RANK", commands: ["worker"] },
      { name: "SLURM_PROCID", commands: ["server", "worker"], holds: isSlurmTask },
    ],
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
    commands: [...partCommands, ...asking, "experiments", "parse-logs"],
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
