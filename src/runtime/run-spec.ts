/**
 * From options to the run spec that every member computes from: what the spec's table says is
 * filled as it is, what has to be computed stands here, with the checks that need the size of the
 * data. Nothing is read here: the same options and facts give the same spec.
 */

import { paceOf } from "../core/sync/modes.js";
import { batchesOfGlobalStep, examplesOfStep } from "../core/sync/pace.js";
import { PacelineError } from "../errors.js";
import { stemmedModels } from "../nn/models.js";
import {
  compressionSpecFields,
  compressionTitle,
  feedbackCodecs,
  pullsDifferences,
} from "../protocol/compression.js";
import { faultText } from "../protocol/injected-fault.js";
import type { AugmentSpec, InputSpec } from "../protocol/input-spec.js";
import { localProblem } from "../protocol/local/local-steps.js";
import type { PlannedPhase } from "../protocol/plan/plan.js";
import { isRobust } from "../protocol/reduction.js";
import { fastLimits } from "../protocol/run-options.js";
import { type Protocol, type RunSpec, runFields } from "../protocol/run-spec.js";
import { scheduleFields } from "../protocol/schedule-spec.js";
import { filled } from "../protocol/spec-option.js";
import { factsOf, type UpdateRuleSpec, updateRuleFields } from "../protocol/update-rules.js";
import { runPlanOf } from "./run-plan.js";
import type { RunSettings } from "./run-settings.js";

/** What a run spec needs besides options. */
export interface RunFacts {
  /** Identity of the run in everything that members say. */
  readonly run: string;
  /** Name of its folder. */
  readonly name: string;
  /** Examples of each split, after --train-limit and --test-limit. */
  readonly trainExamples: number;
  readonly testExamples: number;
  readonly input: Omit<InputSpec, "augment">;
  /** Processors of the machine; a worker process computes with its part of them. */
  readonly cores: number;
}

/**
 * The run spec of resolved options.
 * @throws PacelineError `usage` where the options don't go together with the data.
 */
export function runSpecFrom(options: RunSettings, facts: RunFacts): RunSpec {
  const { model, data, workers, servers } = options;
  const { protocol, plan } = runPlanOf(options, facts.trainExamples);
  if (model === null) throw usage("a run needs --model, such as --model mlp");
  if (data === null) throw usage("a run needs --data, such as --data mnist");
  demandExamples(options, facts);
  demandInjectable(options);
  demandComputable(options);
  const protocols = [protocol, ...plan.map((phase) => phase.protocol)];
  demandReducible(options, protocols);
  demandPolicy(options, protocols);
  demandLocal(options, protocol);
  demandBackups(options, protocols);
  demandQuorum(options, protocols);
  demandBounds(options, protocols);
  demandGroups(options, protocols);
  return {
    ...filled(runFields, options),
    run: facts.run,
    name: facts.name,
    model,
    stem: stemmedModels.includes(model) ? options.stem : null,
    data,
    trainExamples: facts.trainExamples,
    testExamples: facts.testExamples,
    input: { ...facts.input, augment: demandAugmentable(options, facts) },
    workersMin: workers.min,
    workersMax: workers.max,
    servers: servers.min,
    serversMax: servers.max === servers.min ? null : servers.max,
    protocol,
    plan: plan.map((phase) => steadyPhase(options, phase)),
    updateRule: updateRuleOf(options),
    schedule: {
      ...filled(scheduleFields, options),
      milestones: options.lrSchedule === "step" ? demandAscending(options.lrMilestones) : [],
      totalExamples: wholeWork(options, protocol, facts.trainExamples),
    },
    compression: filled(compressionSpecFields, options),
    checkpointEvery: steadyCadence(options),
    recordedAlgorithms: [],
    threads: options.threads ?? Math.max(1, Math.floor(facts.cores / workers.max)),
  };
}

/**
 * Before a checkpoint workers take whole weights where replies are differences, so when one is
 * written shows in the bits: there the default is every epoch, and no time may be asked for.
 */
function steadyCadence(options: RunSettings): RunSpec["checkpointEvery"] {
  const { checkpointEvery, compressPull } = options;
  if (checkpointEvery?.unit !== "second") return checkpointEvery;
  if (!pullsDifferences(filled(compressionSpecFields, options))) return checkpointEvery;
  const { default: usual } = runFields.checkpointEvery.option;
  if (usual !== null && checkpointEvery.count === usual.count) return { unit: "epoch", count: 1 };
  const codec = `--compress-pull ${compressPull.codec}`;
  const sentence = `--checkpoint-every ${checkpointEvery.count}s with ${codec}`;
  throw usage(`${sentence} makes results depend on time; write steps or epochs: 500it or 1e`);
}

/** The same of a phase's own cadence. */
function steadyPhase(options: RunSettings, phase: PlannedPhase): PlannedPhase {
  const { checkpointEvery } = phase;
  const isTimed = checkpointEvery?.unit === "second";
  if (!isTimed || !pullsDifferences(filled(compressionSpecFields, options))) return phase;
  const sentence = `--ckpt-frequency ${checkpointEvery.count}s with differences pulled`;
  throw usage(`${sentence} makes results depend on time; write steps or epochs: 500it or 1e`);
}

function updateRuleOf(options: RunSettings): UpdateRuleSpec {
  const { optimizer, momentum, weightDecay, weightDecayPlain } = options;
  return {
    ...filled(updateRuleFields, options),
    momentum: factsOf(optimizer).reads.includes("momentum") ? momentum : 0,
    weightDecayPlain: weightDecayPlain ?? weightDecay,
  };
}

/** Examples of the whole run, whose pace says what a global step takes. */
function wholeWork(options: RunSettings, protocol: Protocol, trainExamples: number): number {
  const byEpochs = options.epochs * trainExamples;
  if (options.maxSteps === null) return byEpochs;
  const pace = paceOf(protocol);
  const workers = batchesOfGlobalStep(pace, options.workers.max);
  return Math.min(byEpochs, options.maxSteps * workers * examplesOfStep(options, pace));
}

function demandExamples(settings: RunSettings, facts: RunFacts): void {
  const { workers, batchSize, trainLimit, testLimit, fast, data } = settings;
  const limits = [
    ["--train-limit", trainLimit, facts.trainExamples, "training", fastLimits.train],
    ["--test-limit", testLimit, facts.testExamples, "test", fastLimits.test],
  ] as const;
  for (const [flag, limit, count, kind, small] of limits) {
    if (limit === null || limit <= count || (fast && limit === small)) continue;
    const sentence = `${flag} ${limit} is more than the ${count} ${kind} examples of ${data}`;
    throw usage(`${sentence}; write ${count} or less, or leave it out`);
  }
  const slice = Math.floor(facts.trainExamples / workers.max);
  if (slice < 1) {
    const sentence = `${facts.trainExamples} training examples are too few`;
    throw usage(`${sentence} for ${workers.max} workers; lower --workers or raise --train-limit`);
  }
  if (batchSize > slice) {
    const examples = `${facts.trainExamples} training examples over ${workers.max} workers`;
    const sentence = `--batch-size ${batchSize} is larger than a worker's slice of ${slice}`;
    throw usage(`${sentence} (${examples}); write ${slice} or less, or lower --workers`);
  }
}

/** The plain loops compute in f32: asked for alone they can't be asked for bf16. */
function demandComputable({ engine, dtype }: RunSettings): void {
  if (engine !== "reference" || dtype === "f32") return;
  const sentence = `--dtype ${dtype} is not computed by --engine reference`;
  throw usage(`${sentence}; write --dtype f32, or --engine auto or onednn`);
}

/** What withstands arbitrary gradients puts those of one step in order, each of them whole. */
function demandReducible({ reduce, compress }: RunSettings, protocols: readonly Protocol[]): void {
  if (!isRobust(reduce)) return;
  const asked = `--reduce ${reduce}`;
  const apart = protocols.find((protocol) => paceOf(protocol).globalStep !== "step");
  if (apart !== undefined) {
    const where = protocols.length > 1 ? `${apart.mode} in the plan` : `--mode ${apart.mode}`;
    const isSome = paceOf(apart).globalStep === "update";
    const what = isSome ? "an update is of some workers" : "its pushes are applied one by one";
    const sentence = `${asked} with ${where}: ${what}`;
    throw usage(`${sentence}, so that none is left out; write --mode bsp, or --reduce mean`);
  }
  const { codec } = compress;
  if (codec !== "auto" && !feedbackCodecs.includes(codec)) return;
  const sentence = `${asked} with --compress ${compressionTitle(compress)}`;
  const reason = "which may send most values as 0, or only their signs";
  throw usage(`${sentence}, ${reason}; write --compress none, fp16, bf16 or int8`);
}

/** Stragglers hold up only those who wait for them, and a plan is left only where there is one. */
function demandPolicy(
  { stragglerPolicy, mode }: RunSettings,
  protocols: readonly Protocol[],
): void {
  if (stragglerPolicy === "none") return;
  const asked = `--straggler-policy ${stragglerPolicy}`;
  const steps = protocols.map((protocol) => paceOf(protocol).globalStep);
  const lastApart = steps.findLastIndex((step) => step !== "step");
  const isLeft = lastApart > steps.indexOf("step") && steps.includes("step");
  if (stragglerPolicy === "greedy" && !isLeft) {
    const sentence = `${asked} leaves the synchronous part of a plan for what follows it`;
    throw usage(`${sentence}; write --plan such as bsp:50%,asp, or --straggler-policy elastic`);
  }
  if (steps.includes("step")) return;
  const sentence = `${asked} with --mode ${mode}: nobody waits for a straggler there`;
  throw usage(`${sentence}; write --straggler-policy none, or --mode bsp`);
}

/** Of a step without anybody there is nothing to apply. */
function demandBackups(
  { backupWorkers, workers }: RunSettings,
  protocols: readonly Protocol[],
): void {
  if (backupWorkers < workers.max) return;
  const found = protocols.find((protocol) => "backupWorkers" in protocol);
  if (found === undefined) return;
  const asked = `--backup-workers ${backupWorkers} with ${workers.max} workers`;
  const sentence = `${asked} leaves none that a step of mode ${found.mode} needs`;
  const remedy = workers.max > 1 ? `write ${workers.max - 1} or less, or raise --workers` : "";
  throw usage(`${sentence}; ${remedy || "raise --workers, or write --mode bsp"}`);
}

/** A bound that is dynamic lies between two. */
function demandBounds(
  { staleness, stalenessMin }: RunSettings,
  protocols: readonly Protocol[],
): void {
  if (stalenessMin <= staleness) return;
  if (!protocols.some((protocol) => "stalenessMin" in protocol)) return;
  const sentence = `--staleness-min ${stalenessMin} is above --staleness ${staleness}`;
  throw usage(`${sentence}; write ${staleness} or less, or raise --staleness`);
}

/** More workers than there are never come to a step. */
function demandQuorum(
  { quorumSize: quorum, workers }: RunSettings,
  protocols: readonly Protocol[],
): void {
  if (quorum <= workers.max) return;
  const found = protocols.find((protocol) => "quorumSize" in protocol);
  if (found === undefined) return;
  const asked = `--quorum ${quorum} with ${workers.max} workers`;
  const sentence = `${asked}: a step of mode ${found.mode} would never have as many`;
  throw usage(`${sentence}; write ${workers.max} or less, or raise --workers`);
}

/** A group has a worker, and of updates nobody knows in advance how many a limit leaves. */
function demandGroups(
  { groups, workers, maxSteps }: RunSettings,
  protocols: readonly Protocol[],
): void {
  const found = protocols.find((protocol) => "groups" in protocol);
  if (found === undefined) return;
  if (maxSteps !== null) {
    const sentence = `--max-steps ${maxSteps} with mode ${found.mode}: how many updates its groups`;
    throw usage(`${sentence} make of the work follows their speed; say by --epochs how long it is`);
  }
  if (groups === "auto" || groups <= workers.max) return;
  const asked = `--groups ${groups} with ${workers.max} workers`;
  const sentence = `${asked}: some groups of mode ${found.mode} would have none`;
  throw usage(`${sentence}; write ${workers.max} or less, or raise --workers`);
}

/** What a worker without files is sent is one batch, and what it can refuse is one. */
function demandLocal({ mode, feed, localSteps }: RunSettings, protocol: Protocol): void {
  const problem = localProblem({ protocol, feed });
  if (problem === null) return;
  const sentence = `--feed ${feed} with --mode ${mode} --local-steps ${localSteps}: ${problem}`;
  throw usage(`${sentence}; write --feed leased or static, or another --mode`);
}

function demandInjectable({ inject, servers, workers }: RunSettings): void {
  for (const fault of inject) {
    const { role, rank } = fault;
    const count = { worker: workers.max, server: servers.max, coordinator: 1 }[role];
    if (rank < count) continue;
    const sentence = `--inject ${faultText(fault)} names no ${role}`;
    const there = count === 1 ? "there is one, 0" : `there are ${count}, from 0 to ${count - 1}`;
    throw usage(`${sentence}; ${there}`);
  }
}

function demandAugmentable({ augment }: RunSettings, { input }: RunFacts): AugmentSpec {
  const [, height, width] = input.shape;
  const side = Math.min(height, width);
  if (augment.cropPadding < side) return augment;
  const crop = `--augment crop:${augment.cropPadding}`;
  throw usage(`${crop} pads pictures of ${height} x ${width} pixels by more than they have`);
}

function demandAscending(milestones: readonly number[]): readonly number[] {
  const ascending = milestones.every((one, index) => index === 0 || one > milestones[index - 1]!);
  if (ascending) return milestones;
  throw usage(`--lr-milestones ${milestones.join(",")} do not ascend; sort them`);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
