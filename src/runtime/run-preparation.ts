/**
 * From options to a run that can be handed to a coordinator: the spec, the layout, the folder, and
 * the state to start from, which is fresh or a checkpoint's. Everything that can be wrong with what
 * the user asked for is found here, before a member is told anything.
 */
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { protocolProblem } from "../core/sync/modes.js";
import type { RunSetup, TrainingSnapshot } from "../core/work/run-setup.js";
import { inspectDataset } from "../data/dataset.js";
import { PacelineError } from "../errors.js";
import type { ModelState } from "../host/state-transfer.js";
import type { Feed, RunSpec } from "../protocol/run-spec.js";
import {
  assertSameModel,
  readCheckpoint,
  type StoredCheckpoint,
} from "../store/checkpoint/checkpoint.js";
import { resolveResume } from "../store/checkpoint/checkpoint-folder.js";
import { openRunDirectory, type RunDirectory, runStem } from "../store/runs/run-directory.js";
import { initialState, layoutOf } from "./compute/initial-state.js";
import { recordedChoices } from "./run-checkpoints.js";
import type { RunSettings } from "./run-settings.js";
import { runSpecFrom } from "./run-spec.js";

/** A run, ready to begin. */
export interface PreparedRun {
  readonly setup: RunSetup;
  readonly state: ModelState;
  /** By rank what pushes of workers had dropped; empty where it begins fresh. */
  readonly residuals: Map<number, Float32Array>;
  readonly directory: RunDirectory;
}

/**
 * Prepares the run that the options describe, and makes its folder.
 * @param kind stands in a made-up name for how the run keeps pace.
 * @param demandStart refuses, by throwing, a state that the run can't go on from.
 */
export async function prepareRun(
  options: RunSettings,
  configText: string,
  kind: string = options.mode,
  demandStart: (start: Pick<PreparedRun, "state"> & Pick<RunSetup, "resume">) => void = () => {},
): Promise<PreparedRun> {
  const { dataDir, cacheDir, trainLimit, testLimit } = options;
  const place = { dataDir, cacheDir, trainLimit, testLimit };
  const { train, test, ...input } = await inspectDataset(options.data ?? "", place);
  const facts = {
    trainExamples: train,
    testExamples: test,
    input,
    cores: availableParallelism(),
  };
  const draft = runSpecFrom(options, { ...facts, run: "draft", name: options.name ?? "draft" });
  const layout = layoutOf(draft);
  const resumed = await findCheckpoint(options, draft);
  if (resumed !== null) assertResumable(resumed.checkpoint, draft, layout);
  const resume = (resumed?.checkpoint.manifest.cursor ?? null) as TrainingSnapshot | null;
  const state = resumed === null ? initialState(draft, layout) : stateOf(resumed.checkpoint);
  demandStart({ state, resume });
  const directory = await openRunDirectory({
    root: resumed?.root ?? options.runDir,
    name: options.name ?? resumed?.name ?? null,
    stem: runStem({ model: draft.model, mode: kind, workers: options.workers.max }),
    resuming: resumed !== null,
    configText,
  });
  const { name } = directory;
  const recordedAlgorithms = recordedChoices(resumed?.checkpoint.manifest.machine);
  const run = `${name}-${randomBytes(4).toString("hex")}`;
  const spec = { ...draft, name, run, recordedAlgorithms };
  const residuals = new Map(
    resumed?.checkpoint.residuals.map(({ rank, values }) => [rank, values] as const),
  );
  const setup = { spec, layout, resume, residuals: [...residuals.keys()] };
  return { setup, state, residuals, directory };
}

function stateOf({ weights, state, manifest }: StoredCheckpoint): ModelState {
  return { weights, state, marks: manifest.chunks };
}

interface Resumed {
  readonly checkpoint: StoredCheckpoint;
  /** The run to go on in, or null to begin another one from the checkpoint. */
  readonly name: string | null;
  readonly root: string | null;
}

async function findCheckpoint(options: RunSettings, spec: RunSpec): Promise<Resumed | null> {
  if (options.resume === null) return null;
  const { model } = spec;
  const point = await resolveResume({ wanted: options.resume, runRoot: options.runDir, model });
  const checkpoint = await readCheckpoint(point.path);
  if (point.runDirectory === null || options.name !== null) {
    return { checkpoint, name: null, root: null };
  }
  const path = resolve(point.runDirectory);
  return { checkpoint, name: basename(path), root: dirname(path) };
}

/**
 * What a checkpoint fixes: the model, the update rule, and everything that its data cursor counts
 * in.
 */
function assertResumable(
  { manifest }: StoredCheckpoint,
  spec: RunSpec,
  layout: RunSetup["layout"],
): void {
  assertSameModel(manifest, spec, layout);
  const before = manifest.spec;
  const problem = protocolProblem(before.protocol);
  if (problem !== null) throw new PacelineError("checkpoint", `its spec's protocol: ${problem}`);
  const fixed: readonly [string, unknown, unknown][] = [
    ["--optimizer", before.updateRule.name, spec.updateRule.name],
    ["--data", before.data, spec.data],
    ["--train-limit", before.trainExamples, spec.trainExamples],
    ["--seed", before.seed, spec.seed],
    // The other two deal alike, whoever reads the files.
    ["--feed", ...alike(before.feed, spec.feed)],
    ["--batch-size", before.batchSize, spec.batchSize],
  ];
  for (const [flag, was, is] of fixed) {
    if (was === is) continue;
    throw new PacelineError(
      "checkpoint",
      `the checkpoint was written with ${flag} ${was} and this run has ${is}: give it the same`,
    );
  }
}

/** Two feeds, the second as the first where both deal batches. */
function alike(before: Feed, feed: Feed): readonly [Feed, Feed] {
  return [before, before !== "static" && feed !== "static" ? before : feed];
}
