/**
 * `--dry-run`: what a run would do, worked out from its options without starting or fetching
 * anything.
 */
import { paceOf } from "../../core/sync/modes.js";
import { batchesOfGlobalStep, examplesOfStep } from "../../core/sync/pace.js";
import { inspectDataset } from "../../data/dataset.js";
import { trainableValues } from "../../nn/model.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { localStepsOf } from "../../protocol/local/local-steps.js";
import { placeChunks, ringName } from "../../protocol/placement/placement.js";
import { paceTitle } from "../../protocol/plan/plan.js";
import { modelTitle, type RunSpec } from "../../protocol/run-spec.js";
import { layoutOf, modelOf } from "../../runtime/compute/initial-state.js";
import { usableCores } from "../../runtime/process/cores.js";
import { demandPreparable } from "../../runtime/run-preparation.js";
import { runSpecFrom } from "../../runtime/run-spec.js";
import { demandStartable } from "../run-demands.js";

/** What `paceline train --dry-run --json` prints; a baseline is a server and its workers in one. */
export interface DryRun {
  readonly spec: RunSpec;
  /** Trained values. */
  readonly parameters: number;
  /** Values that are kept and not trained, such as running statistics. */
  readonly buffers: number;
  readonly chunks: number;
  /** Values per server. */
  readonly loads: Readonly<Record<string, number>>;
  /** Of the longest slice, with every worker there. */
  readonly stepsPerEpoch: number;
  /** Updates of each chunk in the whole run: as many as it has global steps. */
  readonly updates: number;
  readonly cores: number;
}

/** Prints the plan; exit code 0. */
export async function dryRun(
  options: ResolvedOptions,
  io: CommandIo,
  command: "train" | "baseline" = "train",
): Promise<number> {
  if (command === "train") demandStartable(options);
  await demandPreparable(options);
  const plan = await planRun(options, usableCores());
  io.stdout.write(options.json ? `${JSON.stringify(plan)}\n` : printPlan(plan, command));
  return 0;
}

/** Works the plan out. */
export async function planRun(options: ResolvedOptions, cores: number): Promise<DryRun> {
  const { dataDir, cacheDir, trainLimit, testLimit } = options;
  const name = options.name ?? "dry-run";
  const place = { dataDir, cacheDir, trainLimit, testLimit };
  const { train, test, ...input } = await inspectDataset(options.data ?? "", place);
  const spec = runSpecFrom(options, {
    run: name,
    name,
    trainExamples: train,
    testExamples: test,
    // Nobody looks at every byte for a plan.
    input: { ...input, identity: null },
    cores,
  });
  const layout = layoutOf(spec);
  const parameters = trainableValues(modelOf(spec));
  const { loads } = placeChunks({
    chunks: layout.chunks,
    servers: Array.from({ length: spec.servers }, (_, index) => index),
    virtualNodes: spec.virtualNodes,
    loadBound: spec.loadBound,
  });
  const slice = Math.ceil(spec.trainExamples / spec.workersMax);
  const pace = paceOf(spec.protocol);
  const stepsPerEpoch = Math.ceil(slice / examplesOfStep(spec, pace));
  const batches = spec.epochs * stepsPerEpoch * spec.workersMax;
  const updates =
    spec.plan.length > 0
      ? updatesOfPlan(spec)
      : batches / batchesOfGlobalStep(pace, spec.workersMax);
  return {
    spec,
    parameters,
    buffers: layout.values - parameters,
    chunks: layout.chunks.length,
    loads: Object.fromEntries([...loads].map(([index, { values }]) => [ringName(index), values])),
    stepsPerEpoch,
    updates: Math.min(updates, spec.maxSteps ?? updates),
    cores,
  };
}

/** Each phase counts updates in its own way; one that the loss ends is taken to last. */
function updatesOfPlan({ plan, epochs, trainExamples, batchSize, workersMax }: RunSpec): number {
  const whole = epochs * trainExamples;
  let [begun, updates] = [0, 0];
  for (const { protocol, end } of plan) {
    const examples = Math.min(whole, end ?? whole) - begun;
    begun += examples;
    const batches = batchesOfGlobalStep(paceOf(protocol), workersMax);
    updates += Math.ceil(examples / (batchSize * batches));
  }
  return updates;
}

function printPlan(plan: DryRun, command: "train" | "baseline"): string {
  const { spec, loads } = plan;
  const examples = `${spec.trainExamples} training and ${spec.testExamples} test examples`;
  const { workersMin: min, workersMax: max } = spec;
  const loadTexts = Object.entries(loads).map(([server, values]) => `${server} ${values}`);
  const kept = plan.buffers === 0 ? "" : ` and ${plan.buffers} running`;
  const values = `${plan.parameters} trained${kept} values`;
  const ofCluster = [
    `workers    ${max}, continues with as few as ${min}; batch ${spec.batchSize} each`,
    `servers    ${serversText(spec)}: ${loadTexts.join(", ")} values`,
    `pace       ${paceTitle(spec)}${localText(spec)}`,
  ];
  const batches = max === 1 ? "a batch" : `${max} batches`;
  const lines = [
    `model      ${modelTitle(spec)}, ${values} in ${plan.chunks} chunks`,
    `data       ${spec.data}, ${examples}`,
    ...(command === "train"
      ? ofCluster
      : [`step       ${batches} of ${spec.batchSize}, one process`]),
    `training   ${spec.epochs} epochs of ${plan.stepsPerEpoch} steps, ${plan.updates} updates`,
    `rule       ${spec.updateRule.name}, learning rate ${spec.schedule.lr} (${spec.schedule.name})`,
  ];
  if (max > plan.cores && command === "train")
    lines.push(`cores      ${plan.cores}, fewer than workers: expect no speed-up from them`);
  lines.push("Nothing was started; leave out --dry-run to train.");
  return `${lines.join("\n")}\n`;
}

function localText(spec: DryRun["spec"]): string {
  const local = localStepsOf(spec);
  return local === null ? "" : `: ${local.count} local steps, then ${local.outer.optimizer}`;
}

function serversText({ servers, serversMax }: DryRun["spec"]): string {
  return serversMax === null ? String(servers) : `${servers}, accepts up to ${serversMax}`;
}
