/**
 * From a run's folder to a run that goes on under another coordinator, where the one before has
 * ended: in place where training had begun, else from its last checkpoint.
 *
 * Invariant: the folder is this process's alone, and the term above each one before is durable,
 * before anybody hears of either.
 */
import type { CoordinatorRecord } from "../core/coordinator/coordinator-record.js";
import type { RunSetup, TrainingSnapshot } from "../core/work/run-setup.js";
import { PacelineError } from "../errors.js";
import type { ModelState } from "../host/state-transfer.js";
import {
  type CoordinatorState,
  type CoordinatorStates,
  folderStates,
  type RunOrigin,
} from "../store/coordinator-state.js";
import { diskFiles } from "../store/files.js";
import { ledFiles } from "../store/led-files.js";
import { msBetween, presentMoment } from "../store/moment.js";
import { isLocked } from "../store/runs/folder-lock.js";
import { openRunDirectory, type RunDirectory, runStem } from "../store/runs/run-directory.js";
import { layoutOf } from "./compute/initial-state.js";
import type { RunSettings } from "./run-settings.js";
import { type Notice, startAgain } from "./run-start.js";

/** A run that another coordinator carried out. */
export interface ReturnedRun {
  readonly setup: RunSetup;
  readonly term: number;
  /** What it goes on from in place; null where it goes on from a checkpoint, or begins anew. */
  readonly record: CoordinatorRecord | null;
  /** What servers are to be given; null where they have it. */
  readonly state: ModelState | null;
  readonly residuals: Map<number, Float32Array>;
  readonly directory: RunDirectory;
  readonly resumedFrom: string | null;
  readonly notices: readonly Notice[];
}

/** What has to be kept of a run that begins, or begins again, under a term. */
export function stateAtStart(setup: RunSetup, resumedFrom: string | null, term: number) {
  const { spec, resumedStep, workersAtStart, generation = 0 } = setup;
  const start: RunOrigin = {
    ...{ spec, resumedFrom },
    resumedStep: resumedStep ?? null,
    workersAtStart: workersAtStart ?? null,
  };
  const nothing = { view: null, progress: null, rest: null };
  return { term, run: spec.run, generation, start, ...nothing } satisfies CoordinatorState;
}

/** The same of one that trains. */
export function stateOfRecord(start: RunOrigin | null, record: CoordinatorRecord) {
  const { run, term, view, progress, ...rest } = record;
  const plain = JSON.parse(JSON.stringify({ progress, rest }));
  const about = { run, term, view, generation: view.generation, start, at: presentMoment() };
  return { ...about, ...plain } as CoordinatorState;
}

/** How a run is continued. */
export interface WayOfReturn {
  /** A term above this one, which nobody else has; the next if left out. */
  nextTerm?(above: number): Promise<number>;
  /** Where its state is kept; in its folder if left out. */
  readonly states?: CoordinatorStates | undefined;
  /** False where its members were sent home: then it goes on from its last checkpoint. */
  readonly isInPlace?: boolean;
}

/**
 * True where a coordinator has carried the run of a folder out and did not come to its end: it has
 * died, or lives.
 * @throws PacelineError `storage` where its state can't be read.
 */
export async function isBrokenOff(
  folder: string,
  states: CoordinatorStates = folderStates,
): Promise<boolean> {
  const state = await states.read(folder);
  if (state === null || state.start === null) return false;
  if (recordIn(state)?.ending === null) return true;
  return isLocked(folder);
}

/**
 * Opens the folder of a run whose coordinator has ended, and takes the next term.
 * @throws PacelineError `usage` while that coordinator lives, `storage` where its state can't be
 *   read, `checkpoint` where the run goes back and no checkpoint can be read.
 */
export async function prepareReturn(
  options: RunSettings,
  configText: string,
  way: WayOfReturn = {},
): Promise<ReturnedRun> {
  const { model, mode, workers, runDir: root, name } = options;
  const stem = runStem({ model: model ?? "", mode, workers: workers.max });
  const { takeOver } = options;
  const request = { root, name, stem, resuming: true, configText, takeOver };
  const directory = await openRunDirectory(request, ledFiles(diskFiles, way.states?.confirm));
  try {
    return await readReturn(directory, way);
  } catch (thrown) {
    await directory.close();
    throw thrown;
  }
}

async function readReturn(
  directory: RunDirectory,
  { nextTerm = async (above) => above + 1, states = folderStates, isInPlace = true }: WayOfReturn,
): Promise<ReturnedRun> {
  const { path } = directory;
  const state = await states.read(path);
  if (state === null || state.start === null) {
    const remedy = "start it again, or continue from a checkpoint with --resume";
    throw new PacelineError("storage", `${path} does not say how its run began: ${remedy}`);
  }
  const { start } = state;
  const { spec, resumedFrom } = start;
  const workersAtStart = start.workersAtStart ?? spec.workersMax;
  const from = start.resumedStep === null ? {} : { resumedStep: start.resumedStep };
  const before: RunSetup = { spec, layout: layoutOf(spec), resume: null, workersAtStart, ...from };
  const term = await nextTerm(state.term);
  const record = isInPlace ? recordIn(state) : null;
  if (record?.stand.isLoaded === true) {
    await states.write(path, { ...state, term });
    const nothing = { state: null, residuals: new Map(), notices: [] };
    return { setup: before, term, record, ...nothing, directory, resumedFrom };
  }
  const again = await startAgain(
    before,
    { directory, resumedFrom },
    ledFiles(diskFiles, states.confirm),
  );
  const generation = state.generation + 1;
  const setup = { ...again.setup, workersAtStart, generation };
  await states.write(path, { ...state, term, generation, ...noRecord });
  const text = isInPlace
    ? `the coordinator was started again, under term ${term}: the run forms anew`
    : `the run was stopped and is continued, under term ${term}`;
  const kind = isInPlace ? "warning" : "info";
  const notices = [{ kind, text } as const, ...again.notices];
  return { ...again, setup, term, record: null, notices, directory, resumedFrom };
}

const noRecord = { view: null, progress: null, rest: null };

/** What this program has written there, as the form of the file says. */
function recordIn({
  run,
  term,
  view,
  progress,
  at,
  rest,
}: CoordinatorState): CoordinatorRecord | null {
  if (view === null || rest === null) return null;
  const kept = { run, term, view, progress, ...(rest as object) } as unknown as CoordinatorRecord;
  const awayMs = at === undefined ? 0 : msBetween(at, presentMoment());
  return { ...kept, progress: later(kept.progress, awayMs / 1000) };
}

/** Members have trained on while nobody counted the time. */
function later(progress: TrainingSnapshot, seconds: number): TrainingSnapshot {
  const openEpochs = progress.openEpochs.map((open) => {
    return { ...open, seconds: open.seconds + seconds };
  });
  return { ...progress, openEpochs, seconds: progress.seconds + seconds };
}
