/**
 * What a command is told: every option with its value, and the little of the terminal it may touch.
 * The table in src/options/options.ts has one row for each field, the compiler checks that none is
 * missing. Durations are in milliseconds, shares between 0 and 1, null stands for "not set".
 */

import type { PaceSettings } from "../core/sync/pace.js";
import type { KernelsChoice } from "../kernels/choice.js";
import type { InjectedFault } from "../protocol/injected-fault.js";
import type { Cadence, TimedCadence } from "../protocol/plan/cadence.js";
import type { PhaseHparams } from "../protocol/plan/phase-hparams.js";
import type { PlanWords } from "../protocol/plan/plan-text.js";
import type { RunOptions } from "../protocol/run-options.js";
import type { Stem } from "../protocol/run-spec.js";
import type { TransportChoice } from "../protocol/view.js";

/** How few workers a run goes on with (min), and how many it takes (max). */
export interface WorkerRange {
  readonly min: number;
  readonly max: number;
  /** How many it waits for at the start: the minimum of a range that is written, else all. */
  readonly start?: number;
}

/** How few servers a run begins and goes on with (min), and how many it takes (max). */
export interface ServerRange {
  readonly min: number;
  readonly max: number;
}

/** Who belongs and how members reach each other. */
export interface ClusterOptions {
  readonly servers: ServerRange;
  readonly workers: WorkerRange;
  readonly maxRestarts: number;
  /** host:port of the coordinator; null where the command starts its own. */
  readonly coordinator: string | null;
  readonly store: string;
  /** A folder with what connections to an etcd are made with; null for connections in clear. */
  readonly storeTls: string | null;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly advertise: string | null;
  readonly insecure: boolean;
  /** A folder with certificates. */
  readonly tls: string | null;
  /** A file with the cluster's token. */
  readonly tokenFile: string | null;
  readonly rank: number | null;
  /** What the worker calls itself in its log. */
  readonly workerName: string | null;
  /** Threads a worker computes on; null leaves it to the run. */
  readonly threads: number | null;
  readonly serve: boolean;
  /** How many jobs a serving coordinator runs at a time. */
  readonly jobs: number;
  readonly startTimeoutMs: number;
  readonly ioTimeoutMs: number;
  readonly leaseMs: number;
  readonly rankGraceMs: number;
  readonly waitForWorkersMs: number;
  readonly drainWithinMs: number;
  readonly serverGraceMs: number;
  readonly coordinatorGraceMs: number;
}

/** How tightly workers keep pace. */
export interface PaceOptions extends PaceSettings {
  /** One of the modes of `core/sync`. */
  readonly mode: string;
  /** Protocols in their order; null where there is one. */
  readonly plan: PlanWords | null;
  /** The same as Sync-Switch has it: a digit for each phase. */
  readonly switchOrder: string | null;
  /** Global steps at which its phases end, counted from the start. */
  readonly trainSteps: readonly number[];
  /** What each phase has of its own; empty where none has anything. */
  readonly hparams: readonly PhaseHparams[];
  /** How often each phase writes a checkpoint; empty where all do as the run. */
  readonly ckptFrequency: readonly TimedCadence[];
}

/** What is trained, on what, and where that lies. */
export interface TrainingOptions {
  readonly model: string | null;
  readonly stem: Stem;
  readonly data: string | null;
  readonly dataDir: string | null;
  /** Where fetched data sets are kept. */
  readonly cacheDir: string;
}

/** How much of the data is taken, and in what parts. */
export interface PortionOptions {
  /** Of `paceline baseline`: micro-batches folded as that many workers' gradients would be. */
  readonly asWorkers: number;
  readonly trainLimit: number | null;
  readonly testLimit: number | null;
}

/** How values travel. */
export interface WireOptions {
  readonly transport: TransportChoice;
}

/** What stays after a run. */
export interface KeepingOptions {
  readonly keep: number;
  readonly savePatienceMs: number;
  /** "auto", the name of a run, or a path. */
  readonly resume: string | null;
  readonly runDir: string;
  readonly name: string | null;
  readonly takeOver: boolean;
  /** True where SIGTERM leaves the runs of a leader to another. */
  readonly handOver: boolean;
}

/** What the user sees, and what is only tried out. */
export interface ShowingOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly progress: boolean;
  /** METRICS_JSON lines go to standard output though it is a terminal. */
  readonly metricsJson: boolean;
  /** The namespace of CloudWatch whose metrics are printed; null for none. */
  readonly emf: string | null;
  readonly trace: boolean;
  readonly traceFile: string | null;
  /** The Unix socket on which a process says that it lives. */
  readonly healthSocket: string | null;
  readonly logEvery: Cadence;
  readonly dryRun: boolean;
  readonly fast: boolean;
  readonly kernels: KernelsChoice;
  readonly inject: readonly InjectedFault[];
}

/** Every option of every command; a command reads those that its help lists. */
export interface ResolvedOptions
  extends ClusterOptions,
    PaceOptions,
    TrainingOptions,
    WireOptions,
    RunOptions,
    PortionOptions,
    KeepingOptions,
    ShowingOptions {}

/** Somewhere to write text. */
export interface TextSink {
  write(text: string): unknown;
  /** The size of a terminal, in characters. */
  readonly columns?: number;
  readonly rows?: number;
  /** True for a terminal. */
  readonly isTTY?: boolean;
}

/** What a command gets besides its options. */
export interface CommandIo {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  /** Colours are welcome on standard error. */
  readonly color: boolean;
  /** Standard error is a terminal that a progress line may redraw. */
  readonly isTerminal: boolean;
  /** What child processes inherit; options have been read from it already. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Paceline's version. */
  readonly version: string;
  /** The resolved options as the YAML text of a run's config.yaml; "" of one without a file. */
  readonly configText: string;
  /** Resolves the YAML text of a submitted run; throws a PacelineError with code "usage". */
  readonly readConfig: (configText: string) => ResolvedOptions;
}
