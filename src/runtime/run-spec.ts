/**
 * From options to the run spec that every member computes from, with the checks that need the size
 * of the data. Nothing is read here: the same options and facts give the same spec.
 */

import { PacelineError } from "../errors.js";
import { stemmedModels } from "../nn/models.js";
import type {
  AugmentSpec,
  InputSpec,
  Protocol,
  RunSpec,
  UpdateRuleSpec,
} from "../protocol/run-spec.js";
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
  const { model, data, workers } = options;
  if (model === null) throw usage("a run needs --model, such as --model mlp");
  if (data === null) throw usage("a run needs --data, such as --data mnist");
  demandExamples(options, facts);
  demandInjectable(options);
  return {
    run: facts.run,
    name: facts.name,
    seed: options.seed,
    model,
    stem: stemmedModels.includes(model) ? options.stem : null,
    data,
    trainExamples: facts.trainExamples,
    testExamples: facts.testExamples,
    input: { ...facts.input, augment: demandAugmentable(options, facts) },
    feed: options.feed,
    workersMin: workers.min,
    workersMax: workers.max,
    servers: options.servers,
    protocol: protocolOf(options),
    reduce: options.reduce,
    updateRule: updateRuleOf(options),
    schedule: {
      name: options.lrSchedule,
      lr: options.lr,
      warmup: options.lrWarmup,
      milestones: options.lrSchedule === "step" ? demandAscending(options.lrMilestones) : [],
      gamma: options.lrGamma,
      totalExamples: wholeWork(options, facts.trainExamples),
    },
    lrScaling: options.lrScaling,
    epochs: options.epochs,
    maxSteps: options.maxSteps,
    batchSize: options.batchSize,
    chunkValues: options.chunkValues,
    compression: {
      push: options.compress,
      pull: options.compressPull,
      feedback: options.errorFeedback,
    },
    virtualNodes: options.virtualNodes,
    loadBound: options.loadBound,
    evaluateEvery: options.evalEvery,
    checkpointEvery: options.checkpointEvery,
    engine: options.engine,
    dtype: options.dtype,
    threads: options.threads ?? Math.max(1, Math.floor(facts.cores / workers.max)),
  };
}

function protocolOf(options: RunSettings): Protocol {
  switch (options.mode) {
    case "bsp":
      return { mode: "bsp" };
    case "ssp":
      return { mode: "ssp", staleness: options.staleness };
    case "asp": {
      const { stalenessRule: rule, stalenessScale: scale, stalenessFloor: floor } = options;
      return { mode: "asp", staleness: { rule, scale, floor, max: options.stalenessMax } };
    }
  }
}

function updateRuleOf(options: RunSettings): UpdateRuleSpec {
  const { optimizer, momentum, beta1, beta2, epsilon, weightDecay } = options;
  const keepsVelocity = optimizer === "momentum" || optimizer === "nesterov";
  return {
    name: optimizer,
    momentum: keepsVelocity ? momentum : 0,
    beta1,
    beta2,
    epsilon,
    weightDecay,
    weightDecayPlain: options.weightDecayPlain ?? weightDecay,
    bufferMomentum: options.bufferMomentum,
  };
}

/** Examples of the whole run: a BSP step takes every worker's batch, a push of the others one. */
function wholeWork(options: RunSettings, trainExamples: number): number {
  const byEpochs = options.epochs * trainExamples;
  if (options.maxSteps === null) return byEpochs;
  const batches = options.mode === "bsp" ? options.workers.max : 1;
  return Math.min(byEpochs, options.maxSteps * batches * options.batchSize);
}

function demandExamples({ workers, batchSize }: RunSettings, facts: RunFacts): void {
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

function demandInjectable({ inject, servers, workers }: RunSettings): void {
  for (const { kind, role, rank, at } of inject) {
    const count = role === "worker" ? workers.max : servers;
    if (rank < count) continue;
    const sentence = `--inject ${kind}:${role}=${rank},at=${at} names no ${role}`;
    throw usage(`${sentence}; there are ${count}, from 0 to ${count - 1}`);
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
