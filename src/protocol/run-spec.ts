/**
 * What a run is: every choice that changes what is computed or promised, as plain data. The command
 * line resolves it, the coordinator hands it to each member, the manifest of a checkpoint keeps it.
 * Nothing here says where a process runs or what it prints.
 *
 * This is the table: type, validation, wire codec and the options that fill a field follow from its
 * row. A field is its row here (or in the table of its part) and its line in run.proto, which a
 * codec that is made without it misses at once.
 */

import {
  type CompressionSpec,
  compressionProblem,
  compressionSpecFields,
  uncompressed,
} from "./compression.js";
import { type InputSpec, inputFields, inputProblem } from "./input-spec.js";
import { chunkValuesMax } from "./layout.js";
import { localProblem } from "./local/local-steps.js";
import { cadence, timedCadence } from "./plan/cadence.js";
import { switchMomenta } from "./plan/phase-momentum.js";
import { planField } from "./plan/plan.js";
import { reduction } from "./reduction.js";
import { type ScheduleSpec, scheduleFields } from "./schedule-spec.js";
import {
  addedLater,
  list,
  nullable,
  oneOf,
  opaque,
  real,
  record,
  type SpecOf,
  text,
  whole,
} from "./spec-field.js";
import { option } from "./spec-option.js";
import { rulesThatRead, type UpdateRuleSpec, updateRuleFields } from "./update-rules.js";

/** A number or a word that a way to keep pace depends on. */
export type ProtocolParameter = number | string;

/**
 * How tightly workers keep pace: the name of a mode and the mode's own parameters, single or in a
 * group of a name. What each mode takes is said in `core/sync`.
 */
export interface Protocol {
  readonly mode: string;
  readonly [parameter: string]:
    | ProtocolParameter
    | { readonly [member: string]: ProtocolParameter };
}

/**
 * What ASP does with a stale push. With staleness t: `scale` multiplies the gradient by
 * max(floor, 1 / (1 + scale * t)); `reject` refuses it when t > max.
 */
export type StalenessRule = {
  readonly rule: "none" | "scale" | "reject" | "scale+reject";
  readonly scale: number;
  readonly floor: number;
  readonly max: number;
};

/**
 * How examples reach workers: each has the files and takes a range of every epoch, or takes batch
 * by batch what it is dealt, or has no files and is sent each batch it is dealt.
 */
export const feeds = ["static", "leased", "central"] as const;
/** One of the ways. */
export type Feed = (typeof feeds)[number];

/** What may be asked to compute; `auto` is the fastest there is, `synthetic` computes nothing. */
export const engines = ["auto", "onednn", "reference", "synthetic"] as const;
/** One of them. */
export type EngineChoice = (typeof engines)[number];

/**
 * In what numbers forward and backward are computed; parameters and gradients travel in f32 all the
 * same. Where a processor lacks the instructions, bf16 falls back to f32 and bf16! is refused.
 */
export const dtypes = ["f32", "bf16", "bf16!"] as const;

/** How an engine chooses between kernels of the same layer, which bits depend on. */
export const algorithmChoices = ["measured", "rule"] as const;

/**
 * How a residual network begins: for small pictures by a 3x3 convolution that keeps their size, or
 * for large ones by a 7x7 convolution and a pool, which leave a quarter of the rows and columns.
 */
export const stems = ["cifar", "imagenet"] as const;
/** One of the beginnings. */
export type Stem = (typeof stems)[number];

/**
 * What follows when a worker straggles: nothing; greedy has all leave the synchronous part of a
 * plan for a while; elastic has the straggler stand aside.
 */
export const stragglerPolicyNames = ["none", "greedy", "elastic"] as const;
/** One of them. */
export type StragglerPolicyName = (typeof stragglerPolicyNames)[number];

/** What may be measured of each step. */
export const watchables = ["norms"] as const;

const name = text(1024);
const members = whole(1, 4096);
/** The most servers of one run. */
export const serversMax = 256;

/** The fields of a run. */
export const runFields = {
  /** Id of the run in everything that members say. */
  run: text(256),
  /** Name of its folder. */
  name,
  model: name,
  /** Null where the model begins in one way only. */
  stem: addedLater(nullable(oneOf(stems)), null),
  data: name,
  /** Examples used, after --train-limit and --test-limit. */
  trainExamples: whole(),
  testExamples: whole(),
  feed: option("feed", oneOf(feeds), {
    default: "static",
    defaultText: "static; leased where --workers is a range such as 2:8",
    sentence:
      "how workers get examples: static (a range per epoch), leased (batch by batch), central " +
      "(sent batch by batch to workers without files)",
    group: "input",
    scope: "run",
  }),
  input: record<InputSpec>(inputFields, inputProblem),
  workersMin: members,
  workersMax: members,
  /** As many must be there. */
  servers: whole(1, serversMax),
  /** The most that it takes; null for no more than must be there. */
  serversMax: addedLater(nullable(whole(1, serversMax)), null),
  replicas: addedLater(
    option("replicas", whole(1, 16), {
      default: 1,
      unit: "servers",
      sentence: "servers that hold each chunk; with 2 or more no update is lost with a server",
      group: "cluster",
      scope: "run",
    }),
    1,
  ),
  chunkValues: option("chunkValues", whole(1, chunkValuesMax), {
    default: chunkValuesMax,
    unit: "f32 values",
    sentence: "maximum chunk size; a chunk is the unit of placement and transfer",
    group: "cluster",
    scope: "training",
  }),
  virtualNodes: option("virtualNodes", whole(1, 10_000), {
    name: "vnodes",
    default: 100,
    unit: "positions",
    sentence: "virtual nodes per server on the hash ring",
    group: "cluster",
    scope: "run",
  }),
  /** Bounded-load factor, or null for the plain ring. */
  loadBound: option("loadBound", nullable(real("[1, 100]")), {
    placeholder: "factor",
    default: 1.25,
    unit: "times the mean load",
    sentence: "maximum load of a server; none disables the bound",
    group: "cluster",
    scope: "run",
  }),
  /** Read and written by functions of its own. */
  protocol: opaque<Protocol>(),
  /** What it goes through after each other; empty where it keeps one protocol. */
  plan: addedLater(planField, []),
  switchLr: addedLater(
    option("switchLr", oneOf(["linear", "keep"]), {
      default: "linear",
      sentence:
        "learning rate after a switch: linear follows the examples of one update, keep leaves it",
      group: "pace",
      scope: "run",
    }),
    "linear",
  ),
  switchMomentum: addedLater(
    option("switchMomentum", oneOf(switchMomenta), {
      default: "unchanged",
      sentence:
        "momentum behind a switch to single pushes: zero, scaled by 1/n for n workers, fixed at " +
        "1/n, or a ramp from 1/n back to --momentum over epochs",
      onlyWith: rulesThatRead("momentum"),
      group: "pace",
      scope: "run",
    }),
    "unchanged",
  ),
  stragglerPolicy: addedLater(
    option("stragglerPolicy", oneOf(stragglerPolicyNames), {
      default: "none",
      sentence:
        "what follows when a worker straggles: elastic has it stand aside while workers keep in " +
        "step, greedy leaves the synchronous part of a plan until none does",
      group: "pace",
      scope: "run",
    }),
    "none",
  ),
  watch: addedLater(
    option("watch", list(oneOf(watchables), 16), {
      default: [],
      defaultText: "nothing",
      sentence:
        "what to measure of each step besides the loss, as rows of metrics.jsonl: norms of " +
        "weights, gradient and weight decay",
      group: "showing",
      scope: "run",
    }),
    [],
  ),
  reduce: option("reduce", reduction, {
    default: "mean",
    sentence:
      "how the gradients of one step are combined; median and trimmed withstand a few workers " +
      "with arbitrary gradients (bsp only)",
    group: "pace",
    scope: "training",
  }),
  epochs: option("epochs", whole(1, 1_000_000), {
    short: "e",
    default: 3,
    fast: 1,
    unit: "epochs",
    sentence: "passes over the training data",
    group: "training",
    scope: "training",
  }),
  /** Null when the epochs alone end the run. */
  maxSteps: option("maxSteps", nullable(whole(1, 2_000_000_000)), {
    placeholder: "steps",
    default: null,
    unit: "global steps",
    sentence: "stop after N global steps, if the epochs do not end first",
    group: "training",
    scope: "training",
  }),
  batchSize: option("batchSize", whole(1, 1_000_000), {
    short: "b",
    placeholder: "examples",
    default: 64,
    unit: "examples",
    sentence: "examples per worker and step",
    group: "training",
    scope: "training",
  }),
  schedule: record<ScheduleSpec>(scheduleFields),
  lrScaling: option("lrScaling", oneOf(["none", "linear"]), {
    default: "none",
    sentence: "linear multiplies the learning rate by the current number of workers",
    group: "training",
    scope: "training",
  }),
  updateRule: record<UpdateRuleSpec>(updateRuleFields),
  seed: option("seed", whole(0, 4_294_967_295), {
    placeholder: "number",
    default: 1,
    sentence: "seed of all random choices",
    group: "training",
    scope: "training",
  }),
  engine: option("engine", oneOf(engines), {
    default: "auto",
    sentence: "compute engine; auto picks the fastest available, synthetic computes nothing",
    group: "training",
    scope: "training",
  }),
  dtype: option("dtype", oneOf(dtypes), {
    default: "f32",
    sentence:
      "number format of forward and backward; without support in the processor bf16 computes in " +
      "f32 and bf16! fails",
    group: "training",
    scope: "training",
  }),
  algorithms: addedLater(
    option("algorithms", oneOf(algorithmChoices), {
      default: "measured",
      sentence:
        "how kernels are chosen: measured once on each machine, or by a rule that all share",
      group: "training",
      scope: "training",
    }),
    "rule",
  ),
  /** What the run that this one goes on from has chosen, line by line. */
  recordedAlgorithms: addedLater(list(text(512), 1024), []),
  evaluateEvery: option("evalEvery", nullable(cadence), {
    default: { unit: "epoch", count: 1 },
    sentence: "how often to evaluate on the whole test set",
    group: "training",
    scope: "training",
  }),
  compression: addedLater(
    record<CompressionSpec>(compressionSpecFields, compressionProblem),
    uncompressed,
  ),
  checkpointEvery: option("checkpointEvery", nullable(timedCadence), {
    default: { unit: "second", count: 600 },
    sentence: "how often to write a checkpoint, besides the one at the end",
    group: "keeping",
    scope: "training",
  }),
  /**
   * Compute threads of one worker process; derived from the configured -w, never from live
   * membership.
   */
  threads: whole(1, 4_294_967_295),
};

/** One training run. */
export interface RunSpec extends SpecOf<typeof runFields> {}

/** A run as it is read from elsewhere. */
export const runSpecField = record<RunSpec>(runFields, (spec) => {
  const { workersMin, workersMax, servers, serversMax } = spec;
  const problem = localProblem(spec);
  if (problem !== null) return `feed central: ${problem}`;
  if (workersMin > workersMax) return `workers ${workersMin} to ${workersMax} is not a range`;
  if (servers <= (serversMax ?? servers)) return null;
  return `servers ${servers} to ${serversMax} is not a range`;
});

/** The model as people read it: its name, and its stem where it has a choice of them. */
export function modelTitle({ model, stem }: Pick<RunSpec, "model" | "stem">): string {
  return stem === null ? model : `${model} with the ${stem} stem`;
}
