/**
 * From options to a run that can be handed to a coordinator: the spec, the layout, the folder, and
 * the state to start from, which is fresh or a checkpoint's. Everything that can be wrong with what
 * the user asked for is found here, before a member is told anything.
 */
import { randomBytes } from "node:crypto";
import { basename, dirname } from "node:path";
import { paceOf, planProblem } from "../core/sync/modes.js";
import type { RunSetup, TrainingSnapshot } from "../core/work/run-setup.js";
import { identifyDataset, inspectDataset, loadDataset } from "../data/dataset.js";
import { identityDifference } from "../data/identity.js";
import type { Dataset } from "../data/split.js";
import { PacelineError } from "../errors.js";
import { type LocalSteps, lastingLocalSteps } from "../protocol/local/local-steps.js";
import { type PlannedRun, paceTitle } from "../protocol/plan/plan.js";
import type { Feed, Protocol, RunSpec } from "../protocol/run-spec.js";
import {
  assertSameModel,
  readCheckpoint,
  type StoredCheckpoint,
} from "../store/checkpoint/checkpoint.js";
import {
  type ResumePoint,
  readSound,
  resolveResume,
} from "../store/checkpoint/checkpoint-folder.js";
import type { CheckpointManifest } from "../store/checkpoint/manifest.js";
import { diskFiles, type Files, wholePath } from "../store/files.js";
import {
  demandOpenable,
  openRunDirectory,
  type RunDirectory,
  runStem,
} from "../store/runs/run-directory.js";
import { initialState, layoutOf } from "./compute/initial-state.js";
import { usableCores } from "./process/cores.js";
import { recordedChoices } from "./run-checkpoints.js";
import type { RunSettings } from "./run-settings.js";
import { runSpecFrom } from "./run-spec.js";
import {
  keptBy,
  type Notice,
  type RunStart,
  residualsOf,
  retireNotices,
  skippedNotices,
  snapshotOf,
  stateOf,
} from "./run-start.js";

/** A run, ready to begin. */
export interface PreparedRun extends RunStart {
  readonly setup: RunSetup;
  readonly directory: RunDirectory;
  /** The folder of the checkpoint that it goes on from; null where it begins fresh. */
  readonly resumedFrom: string | null;
  /** What is to be said of how it begins: from where it goes on, what it passes over. */
  readonly notices: readonly Notice[];
}

/**
 * Prepares the run that the options describe, and makes its folder.
 * @param kind stands in a made-up name for how the run keeps pace.
 * @param demandStart refuses, by throwing, a state that the run can't go on from.
 * @param reopens the run may begin in a folder of its name that another process has made for it.
 * @param files by which the folder is written.
 */
export async function prepareRun(
  options: RunSettings,
  configText: string,
  kind: string | null = null,
  demandStart: (start: Pick<PreparedRun, "state"> & Pick<RunSetup, "resume">) => void = () => {},
  reopens = false,
  files: Files = diskFiles,
): Promise<PreparedRun> {
  const { draft, layout, resumed, doubts } = await draftOf(options);
  const resume = resumed === null ? null : snapshotOf(resumed.checkpoint, draft);
  const state = resumed === null ? initialState(draft, layout) : stateOf(resumed.checkpoint);
  demandStart({ state, resume });
  const request = {
    root: resumed?.root ?? options.runDir,
    name: options.name ?? resumed?.name ?? null,
    stem: runStem({
      model: draft.model,
      mode: kind ?? paceTitle(draft),
      workers: options.workers.max,
    }),
    resuming: resumed?.name != null || reopens,
    configText,
    takeOver: options.takeOver,
  };
  const directory = await openRunDirectory(request, files);
  const switched = switchedNotices(draft, resume);
  const begun = await goBack(resumed, directory, files).catch(async (thrown: unknown) => {
    await directory.close();
    throw thrown;
  });
  const { name } = directory;
  const recordedAlgorithms = recordedChoices(resumed?.checkpoint.manifest.machine);
  const run = `${name}-${randomBytes(4).toString("hex")}`;
  const spec = { ...draft, name, run, recordedAlgorithms };
  const residuals = residualsOf(resumed?.checkpoint);
  const workersAtStart = options.workers.start ?? options.workers.max;
  const kept = keptBy({ state, residuals }, resume, resumed?.point.step ?? null);
  const setup = { spec, layout, workersAtStart, ...kept };
  const notices = [
    ...begun,
    ...switched,
    ...doubts.map((text) => ({ kind: "warning", text }) as const),
  ];
  const resumedFrom = resumed?.point.path ?? null;
  return { setup, state, residuals, directory, resumedFrom, notices };
}

/**
 * Refuses what `prepareRun` would refuse, and makes nothing: options that do not go with the data,
 * a checkpoint that is missing or of another run, a name that is taken, a folder that is in use or
 * can't be made.
 */
export async function demandPreparable(options: RunSettings): Promise<void> {
  const { resumed } = await draftOf(options);
  const name = options.name ?? resumed?.name ?? null;
  const root = resumed?.root ?? options.runDir;
  await demandOpenable({ root, name, resuming: resumed?.name != null });
}

/**
 * Whether a run goes on in the folder that the checkpoint lies in: it does unless it is to have
 * another name.
 */
export function goesOn(
  { runDirectory }: Pick<ResumePoint, "runDirectory">,
  { name, runDir }: Pick<RunSettings, "name" | "runDir">,
): boolean {
  if (runDirectory === null) return false;
  return name === null || wholePath(runDir, name) === wholePath(runDirectory);
}

async function draftOf(options: RunSettings) {
  const { dataDir, cacheDir, trainLimit, testLimit } = options;
  const place = { dataDir, cacheDir, trainLimit, testLimit };
  const { train, test, ...input } = await inspectDataset(options.data ?? "", place);
  const facts = {
    trainExamples: train,
    testExamples: test,
    input: { ...input, identity: await identifyDataset(options.data ?? "", place) },
    cores: usableCores(),
  };
  const draft = runSpecFrom(options, { ...facts, run: "draft", name: options.name ?? "draft" });
  const layout = layoutOf(draft);
  const resumed = await findCheckpoint(options, draft);
  if (resumed === null) return { draft, layout, resumed, doubts: [] };
  const { manifest } = resumed.checkpoint;
  assertResumable(resumed.checkpoint, draft, layout);
  const nothing = resumed.name === null ? null : nothingLeft(manifest, draft);
  if (nothing !== null) throw new PacelineError("usage", `run ${resumed.name} ${nothing}`);
  demandFurtherEnd(manifest, draft);
  demandCountable(resumed.checkpoint, draft);
  return { draft, layout, resumed, doubts: dataNotes(manifest.spec, draft) };
}

interface Resumed {
  readonly checkpoint: StoredCheckpoint;
  readonly point: ResumePoint;
  /** The run to go on in, or null to begin another one from the checkpoint. */
  readonly name: string | null;
  readonly root: string | null;
}

async function findCheckpoint(options: RunSettings, spec: RunSpec): Promise<Resumed | null> {
  if (options.resume === null) return null;
  const { model } = spec;
  const meant = await resolveResume({ wanted: options.resume, runRoot: options.runDir, model });
  const { value: checkpoint, point } = await readSound(meant, readCheckpoint);
  if (point.runDirectory === null || !goesOn(point, options)) {
    return { checkpoint, point, name: null, root: null };
  }
  const path = wholePath(point.runDirectory);
  const name = basename(path);
  return { checkpoint, point, name, root: dirname(path) };
}

/**
 * Why a run that is done has nothing left to train, in words that follow its name; null where it
 * has.
 */
export function nothingLeft(
  { spec: before, cursor, globalStep }: Pick<CheckpointManifest, "spec" | "cursor" | "globalStep">,
  { epochs, maxSteps }: Pick<RunSpec, "epochs" | "maxSteps">,
): string | null {
  const evaluations = (cursor as unknown as TrainingSnapshot | null)?.evaluations ?? [];
  const isDone = evaluations.at(-1)?.final === true;
  const wantsSteps = before.maxSteps !== null && (maxSteps ?? Infinity) > before.maxSteps;
  if (!isDone || epochs > before.epochs || wantsSteps) return null;
  const remedy = "to train further raise --epochs or --max-steps";
  return `is done at step ${globalStep}, epoch ${before.epochs} of ${before.epochs}; ${remedy}`;
}

/** Which epoch, from 1, a checkpoint was written in. */
export function epochOf({ cursor }: Pick<CheckpointManifest, "cursor">): number {
  const work = (cursor as unknown as TrainingSnapshot | null)?.cursor;
  if (work === undefined) return 1;
  const latest = "plans" in work ? work.plans.at(-1) : work.pools.at(-1);
  return (latest?.epoch ?? 0) + 1;
}

/** @throws PacelineError `usage` where the run is past what is asked for. */
function demandFurtherEnd(
  manifest: CheckpointManifest,
  { epochs, maxSteps }: Pick<RunSpec, "epochs" | "maxSteps">,
): void {
  const { globalStep } = manifest;
  const epoch = epochOf(manifest);
  const ends = [
    ["--epochs", epochs, epoch, `in epoch ${epoch}`],
    ["--max-steps", maxSteps ?? Infinity, globalStep, `at step ${globalStep}`],
  ] as const;
  for (const [flag, end, reached, where] of ends) {
    if (end >= reached) continue;
    const sentence = `${flag} ${end} ends before the checkpoint, which is ${where}`;
    throw new PacelineError("usage", `${sentence}; write ${reached} or more`);
  }
}

/** A limit counts pushes behind steps of all workers as if there had been none. */
function demandCountable(checkpoint: StoredCheckpoint, spec: RunSpec): void {
  const phaseOf = (run: PlannedRun) => snapshotOf(checkpoint, run)?.plan?.phase;
  const [was, is] = [checkpoint.manifest.spec, spec].map((run) => {
    return phaseOf(run)?.protocol ?? run.protocol;
  }) as [Protocol, Protocol];
  const isCounted = paceOf(was).globalStep !== "step" || paceOf(is).globalStep === "step";
  if (spec.maxSteps === null || isCounted) return;
  const sentence = `--max-steps ${spec.maxSteps} can't count steps of ${was.mode}, of all workers`;
  const remedy = "say by --epochs how long it is, with --max-steps none";
  throw new PacelineError("usage", `${sentence} each, and then of ${is.mode}; ${remedy}`);
}

/** A run that was switched by hand goes on so, whatever mode it began with. */
function switchedNotices(
  { protocol, plan }: Pick<RunSetup["spec"], "protocol" | "plan">,
  resume: RunSetup["resume"],
): Notice[] {
  const stand = resume?.plan;
  if (stand === undefined) return [];
  const { mode } = stand.phase.protocol;
  const planned = plan.length === 0 ? [protocol] : plan.map((phase) => phase.protocol);
  const own = planned[Math.min(stand.place, planned.length - 1)]!.mode;
  if (mode === own) return [];
  const remedy = `paceline admin switch ${own} goes back`;
  return [{ kind: "warning", text: `continues in ${mode}, as it was switched; ${remedy}` }];
}

/** In the folder of the run: whatever came after the checkpoint is no part of it any more. */
async function goBack(
  resumed: Resumed | null,
  { path }: RunDirectory,
  files: Files,
): Promise<Notice[]> {
  if (resumed === null) return [];
  const { point, checkpoint, name } = resumed;
  const notices = skippedNotices(point);
  const { globalStep, examples } = checkpoint.manifest;
  const where = `step ${globalStep}, ${examples} examples trained`;
  notices.push({ kind: "info", text: `continues from ${point.path} (${where})` });
  if (name === null) return notices;
  return [...notices, ...(await retireNotices(path, point.step, files))];
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
  const problem = planProblem(before);
  if (problem !== null) throw new PacelineError("checkpoint", `its spec's protocol: ${problem}`);
  demandSameKind(before, spec);
  const fixed: readonly [string, unknown, unknown][] = [
    ["--optimizer", before.updateRule.name, spec.updateRule.name],
    ["--data", before.data, spec.data],
    ["--train-limit", before.trainExamples, spec.trainExamples],
    ["--seed", before.seed, spec.seed],
    // The other two deal alike; only who reads the files differs.
    ["--feed", ...alike(before.feed, spec.feed)],
    ["--batch-size", before.batchSize, spec.batchSize],
    ["--local-steps", ...bothOf(before, spec, ({ count }) => count)],
    ["--outer-optimizer", ...bothOf(before, spec, ({ outer }) => outer.optimizer)],
  ];
  for (const [flag, was, is] of fixed) {
    if (was === is) continue;
    throw new PacelineError(
      "checkpoint",
      `the checkpoint was written with ${flag} ${was} and this run has ${is}: give it the same`,
    );
  }
  const [trained, here] = [before.input.identity, spec.input.identity];
  const difference =
    trained === null || here === null ? null : identityDifference(here, trained, ["train"]);
  if (difference === null) return;
  const sentence = `data set ${spec.data} here has ${difference} as the checkpoint's`;
  const remedy = "give the files that it was trained on, or start over without --resume";
  throw new PacelineError("data", `${sentence}: ${remedy}`);
}

/** A mode with local steps goes on from no checkpoint of one without them, nor the other way. */
function demandSameKind(before: RunSpec, spec: RunSpec): void {
  const [was, is] = [lastingLocalSteps(before), lastingLocalSteps(spec)];
  if ((was === null) === (is === null)) return;
  const told = (run: RunSpec, local: LocalSteps | null) =>
    `--mode ${run.protocol.mode}, ${local === null ? "without" : local.count} local steps`;
  const sentence = `the checkpoint was written with ${told(before, was)}`;
  const remedy = "keep its mode, or start over without --resume";
  throw new PacelineError(
    "checkpoint",
    `${sentence}, and this run has ${told(spec, is)}: ${remedy}`,
  );
}

/** What may differ between the data before and here, in sentences. */
function dataNotes({ input: before }: RunSpec, { data, input }: RunSpec): string[] {
  if (before.identity === null) {
    const sentence = "the checkpoint does not record its classes and training examples";
    return [`${sentence}: whether ${data} here is the same is not checked`];
  }
  const isSame = before.identity.testFingerprint === input.identity?.testFingerprint;
  if (isSame) return [];
  return [`the test examples of ${data} have changed: accuracies differ from those before`];
}

/** What two runs say of local steps; "none" where a run has none. */
function bothOf(
  before: RunSpec,
  spec: RunSpec,
  read: (local: LocalSteps) => number | string,
): readonly [number | string, number | string] {
  const [was, is] = [lastingLocalSteps(before), lastingLocalSteps(spec)];
  return [was === null ? "none" : read(was), is === null ? "none" : read(is)];
}

/** Two feeds, the second as the first where both deal batches. */
function alike(before: Feed, feed: Feed): readonly [Feed, Feed] {
  return [before, before !== "static" && feed !== "static" ? before : feed];
}

/** The data of a run whose workers are sent theirs. */
export function loadRunDataset(
  settings: RunSettings,
  log = (_line: string) => {},
): Promise<Dataset> {
  const { dataDir, cacheDir, trainLimit, testLimit } = settings;
  const place = { dataDir, cacheDir, trainLimit, testLimit, log };
  return loadDataset(settings.data ?? "", { ...place, identify: true });
}
