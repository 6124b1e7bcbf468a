/**
 * Everything that describes one run, as plain data: what is trained, on what, by how many, and what
 * is kept of it. Durations are in milliseconds, null stands for "not set". Nothing has a default
 * here; whoever offers settings to people has the defaults and the checks.
 */
import type { Compression } from "../protocol/compression.js";
import type {
  AugmentSpec,
  Cadence,
  Dtype,
  Feed,
  RunSpec,
  StalenessRule,
  Stem,
  UpdateRuleSpec,
} from "../protocol/run-spec.js";

/** What is trained and how. */
export interface TrainedSettings {
  readonly model: string | null;
  readonly stem: Stem;
  readonly data: string | null;
  readonly epochs: number;
  readonly maxSteps: number | null;
  readonly batchSize: number;
  readonly optimizer: UpdateRuleSpec["name"];
  readonly lr: number;
  readonly lrSchedule: "constant" | "step" | "cosine" | "onecycle";
  readonly lrWarmup: number;
  readonly lrMilestones: readonly number[];
  readonly lrGamma: number;
  readonly lrScaling: "none" | "linear";
  readonly momentum: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** For biases and norms; null takes weightDecay. */
  readonly weightDecayPlain: number | null;
  readonly bufferMomentum: number;
  readonly seed: number;
  readonly engine: RunSpec["engine"];
  readonly dtype: Dtype;
  /** Compute threads of each worker; null has them share the processors. */
  readonly threads: number | null;
  readonly evalEvery: Cadence | null;
}

/** How many take part, how tightly they keep pace, and how values are laid out and travel. */
export interface ClusterSettings {
  readonly servers: number;
  /** How many workers the run waits for (max) and how few it goes on with (min). */
  readonly workers: { readonly min: number; readonly max: number };
  readonly mode: "bsp" | "ssp" | "asp";
  readonly staleness: number;
  readonly stalenessRule: StalenessRule["rule"];
  readonly stalenessScale: number;
  readonly stalenessFloor: number;
  readonly stalenessMax: number;
  readonly reduce: "mean" | "sum";
  readonly chunkValues: number;
  readonly virtualNodes: number;
  readonly loadBound: number | null;
  readonly compress: Compression;
  readonly compressPull: Compression;
  readonly errorFeedback: boolean;
  /** Members that are killed on purpose at a step; checked against the counts above. */
  readonly inject: readonly {
    readonly kind: "kill";
    readonly role: "server" | "worker";
    readonly rank: number;
    readonly at: number;
  }[];
}

/** Where examples come from. */
export interface DataSettings {
  readonly dataDir: string | null;
  /** Where fetched data sets are kept. */
  readonly cacheDir: string;
  readonly feed: Feed;
  readonly augment: AugmentSpec;
  readonly trainLimit: number | null;
  readonly testLimit: number | null;
}

/** What stays after a run. */
export interface KeptSettings {
  readonly checkpointEvery: Cadence | null;
  /** How many checkpoints are kept. */
  readonly keep: number;
  /** "auto", the name of a run, or a path; null begins afresh. */
  readonly resume: string | null;
  /** The folder that run folders lie in. */
  readonly runDir: string;
  /** The run's name; null has one made up. */
  readonly name: string | null;
  /** How often metrics.jsonl has a row. */
  readonly logEvery: Cadence;
}

/** One run. */
export interface RunSettings extends TrainedSettings, ClusterSettings, DataSettings, KeptSettings {}
