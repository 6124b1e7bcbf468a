/**
 * The folder `checkpoints/` of a run: which checkpoints it holds, which to remove, which one a user
 * means. A checkpoint is there under its name or not at all: names beginning with a dot are
 * unfinished or on their way out, and never listed, save `.old-step-N` while `step-N` is missing:
 * that is the moment in which a checkpoint is being replaced by another of the same step.
 *
 * Invariant: the checkpoints listed are of one line, each written on the way to the next, so that
 * the highest step is the one written last. A run that goes back to an earlier one has those that
 * came after it moved to `retired/`, where nothing looks for them.
 */
import { basename, dirname, join } from "node:path";
import { PacelineError } from "../../errors.js";
import { isDamage, isForbidden, isMissing } from "../file-errors.js";
import { diskFiles, type Files, readWhole, wholePath } from "../files.js";
import { type CheckpointManifest, manifestBytesMax } from "./manifest.js";

/** A checkpoint of a run. */
export interface CheckpointEntry {
  readonly path: string;
  readonly step: number;
}

/** Where to go on from. */
export interface ResumePoint extends CheckpointEntry {
  /** The run the checkpoint belongs to; null where its folder lies outside a run. */
  readonly runDirectory: string | null;
  /** Newer checkpoints that were passed over, with the reason. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  /** This very checkpoint was asked for, not the latest of a run. */
  readonly isExact: boolean;
}

const folderName = "checkpoints";
const retiredName = "retired";
const stepName = /^(?:\.old-)?step-(\d{1,15})$/;

/** The folder that holds a run's checkpoints. */
export function checkpointsFolder(runDirectory: string): string {
  return join(runDirectory, folderName);
}

/** The complete checkpoints of a run, by ascending step; empty if there are none. */
export async function listCheckpoints(
  runDirectory: string,
  files: Files = diskFiles,
): Promise<CheckpointEntry[]> {
  const folder = checkpointsFolder(runDirectory);
  const entries = new Map<number, CheckpointEntry>();
  for (const name of (await files.list(folder)) ?? []) {
    const match = stepName.exec(name);
    if (match === null) continue;
    const step = Number(match[1]);
    // Names are sorted, so step-N comes after .old-step-N and takes its place.
    entries.set(step, { path: join(folder, name), step });
  }
  return [...entries.values()].sort((left, right) => left.step - right.step);
}

/** The checkpoint that was written last, or null. */
export async function latestCheckpoint(
  runDirectory: string,
  files: Files = diskFiles,
): Promise<CheckpointEntry | null> {
  return (await listCheckpoints(runDirectory, files)).at(-1) ?? null;
}

/**
 * Moves the checkpoints of higher steps to `checkpoints/retired/`: the run goes on from this step,
 * and they are no part of what it comes to. Answers with where they are.
 */
export async function retireLater(
  runDirectory: string,
  step: number,
  files: Files = diskFiles,
): Promise<CheckpointEntry[]> {
  return retireCheckpoints(runDirectory, await laterCheckpoints(runDirectory, step, files), files);
}

/** The checkpoints of higher steps. */
export async function laterCheckpoints(
  runDirectory: string,
  step: number,
  files: Files = diskFiles,
): Promise<CheckpointEntry[]> {
  return (await listCheckpoints(runDirectory, files)).filter((entry) => entry.step > step);
}

/** Moves these, by ascending step, to `checkpoints/retired/`; answers with where they are. */
export async function retireCheckpoints(
  runDirectory: string,
  later: readonly CheckpointEntry[],
  files: Files = diskFiles,
): Promise<CheckpointEntry[]> {
  if (later.length === 0) return [];
  const folder = checkpointsFolder(runDirectory);
  const retired = join(folder, retiredName);
  await files.makeFolder(retired);
  const taken = new Set(await files.list(retired));
  const moved: CheckpointEntry[] = [];
  // The highest first: whatever a crash leaves is still of one line.
  for (const entry of later.toReversed()) {
    let name = `step-${entry.step}`;
    for (let again = 2; taken.has(name); again++) name = `step-${entry.step}.${again}`;
    const path = join(retired, name);
    await files.rename(entry.path, path);
    moved.push({ path, step: entry.step });
  }
  await files.syncFolder(retired);
  await files.syncFolder(folder);
  return moved.reverse();
}

/**
 * Removes all checkpoints but the `keep` (at least 1) of the highest steps; answers with those
 * removed.
 */
export async function pruneCheckpoints(
  runDirectory: string,
  keep: number,
  files: Files = diskFiles,
): Promise<CheckpointEntry[]> {
  await clearUnfinished(runDirectory, files);
  const entries = await listCheckpoints(runDirectory, files);
  const removed = entries.slice(0, Math.max(0, entries.length - Math.max(1, keep)));
  for (const { path, step } of removed) {
    // A crash amid removing must not leave a half checkpoint under a name that is listed.
    const aside = join(dirname(path), `.tmp-pruned-${step}`);
    await files.rename(path, aside);
    await files.remove(aside);
  }
  return removed;
}

/**
 * Removes what a crash left behind, and gives a checkpoint that was being replaced its name back.
 */
export async function clearUnfinished(runDirectory: string, files: Files): Promise<void> {
  const folder = checkpointsFolder(runDirectory);
  const names = (await files.list(folder)) ?? [];
  for (const name of names) {
    const path = join(folder, name);
    if (name.startsWith(".tmp-")) await files.remove(path);
    else if (name.startsWith(".old-")) {
      const proper = name.slice(".old-".length);
      if (names.includes(proper)) await files.remove(path);
      else await files.rename(path, join(folder, proper));
    }
  }
}

/** The manifest of a checkpoint, checked against its own checksum; the other files are not read. */
export async function readManifest(
  path: string,
  files: Files = diskFiles,
): Promise<CheckpointManifest> {
  const manifest = join(path, "manifest.json");
  const bytes = await readWhole(files, manifest, manifestBytesMax, "checkpoint");
  const { decodeManifest } = await import("./manifest-form.js");
  return decodeManifest(bytes, manifest);
}

/**
 * The checkpoint that `--resume`, or another `flag`, means: `auto` the most recently written one of
 * all runs under `runRoot` (of one `model`, if given), passing over those whose manifest is broken
 * or missing; else a run's name, a run's folder, or a checkpoint's folder. A `checkpoint` error
 * says what there is instead.
 */
export async function resolveResume(
  request: {
    readonly wanted: string;
    readonly runRoot: string;
    readonly model?: string;
    readonly flag?: string;
  },
  files: Files = diskFiles,
): Promise<ResumePoint> {
  const { wanted, runRoot, flag = "--resume" } = request;
  if (wanted === "auto") {
    const newest = await newestCheckpoint(runRoot, request.model ?? null, files);
    if (newest !== null) return newest;
    const which = request.model === undefined ? "" : ` of model ${request.model}`;
    throw missing(`there is no checkpoint${which}`, await offered(runRoot, files));
  }
  const isName = !/[\\/]/.test(wanted) && wanted !== "." && wanted !== "..";
  for (const run of isName ? [join(runRoot, wanted), wanted] : [wanted]) {
    const latest = await latestCheckpoint(run, files);
    if (latest !== null) return { ...latest, runDirectory: run, skipped: [], isExact: false };
    const inside = await files.list(run).catch(() => null);
    if (inside?.includes("manifest.json")) return pointAt(run, files);
    if (inside !== null) {
      throw missing(`${run} holds no complete checkpoint`, await offered(runRoot, files));
    }
  }
  const what = `${flag} ${wanted} is neither a run in ${runRoot} nor a folder`;
  throw missing(what, await offered(runRoot, files));
}

/**
 * The most recently written checkpoint of all runs under a folder, or null.
 * @throws PacelineError `storage` where a place can't be looked at, as the newest may lie there.
 */
export async function newestCheckpoint(
  runRoot: string,
  model: string | null,
  files: Files = diskFiles,
): Promise<ResumePoint | null> {
  const skipped: Skipped[] = [];
  let newest: (CheckpointEntry & { runDirectory: string; created: string }) | null = null;
  const read = (path: string) => readManifest(path, files);
  for (const runDirectory of await runsUnder(runRoot, files)) {
    const entries = (await listCheckpoints(runDirectory, files)).reverse();
    const { sound, failures } = await latestSound(entries, read);
    for (const failure of failures) skipped.push(skippedOf(failure));
    if (sound === null) continue;
    const { created, spec } = sound.value;
    const suits = model === null || spec.model === model;
    if (suits && (newest === null || Date.parse(created) > Date.parse(newest.created))) {
      newest = { ...sound.entry, runDirectory, created };
    }
  }
  if (newest === null) return null;
  const { path, step, runDirectory } = newest;
  return { path, step, runDirectory, skipped, isExact: false };
}

/**
 * What `read` makes of a point's checkpoint. One that is broken is passed over for the latest sound
 * one before it in the same run; where this very one was asked for, its error names the sound one.
 * @throws PacelineError `checkpoint`; `storage` where a checkpoint can't be looked at, which says
 * nothing of what it holds.
 */
export async function readSound<T>(
  point: ResumePoint,
  read: (path: string) => Promise<T>,
  flag = "--resume",
  files: Files = diskFiles,
): Promise<{ readonly value: T; readonly point: ResumePoint }> {
  const { runDirectory } = point;
  if (runDirectory === null) return { value: await read(point.path), point };
  const { sound, failures } = await latestSound(downFrom(point, runDirectory, files), read);
  const [first] = failures;
  if (sound === null) throw first!.error;
  if (first === undefined) return { value: sound.value, point };
  const { step, path } = sound.entry;
  if (point.isExact) {
    const remedy = `step ${step} of the same run is sound: ${flag} ${path}`;
    throw new PacelineError("checkpoint", `${first.error.message}; ${remedy}`, {
      cause: first.error,
    });
  }
  const skipped = [...point.skipped, ...failures.map(skippedOf)];
  return { value: sound.value, point: { ...point, step, path, skipped } };
}

type Skipped = ResumePoint["skipped"][number];

/** A checkpoint that was read in vain. */
interface Failure {
  readonly entry: CheckpointEntry;
  readonly error: PacelineError;
}

function skippedOf({ entry: { path }, error: { message: reason } }: Failure): Skipped {
  return { path, reason };
}

/** A checkpoint, then those before it in its run. */
async function* downFrom(newest: CheckpointEntry, runDirectory: string, files: Files) {
  yield newest;
  const all = await listCheckpoints(runDirectory, files);
  yield* all.filter(({ step }) => step < newest.step).reverse();
}

/**
 * The first of these, the latest ahead, that `read` takes, and those that were passed over for it.
 * A disk across a network that fails for a moment must not cost what is newer: what could not be
 * read is read again after the other was.
 */
async function latestSound<T>(
  entries: AsyncIterable<CheckpointEntry> | Iterable<CheckpointEntry>,
  read: (path: string) => Promise<T>,
) {
  const failures: Failure[] = [];
  const attempt = async (entry: CheckpointEntry, onBroken: (error: PacelineError) => void) => {
    try {
      return { entry, value: await read(entry.path) };
    } catch (thrown) {
      if (!isBroken(thrown)) throw thrown;
      onBroken(thrown);
      return null;
    }
  };
  for await (const entry of entries) {
    const sound = await attempt(entry, (error) => failures.push({ entry, error }));
    if (sound === null) continue;
    for (const [index, failure] of failures.entries()) {
      const again = isDamage(failure.error) ? await attempt(failure.entry, () => {}) : null;
      if (again !== null) return { sound: again, failures: failures.slice(0, index) };
    }
    return { sound, failures };
  }
  return { sound: null, failures };
}

/** True where the checkpoint is at fault, and not the way to it. */
function isBroken(thrown: unknown): thrown is PacelineError {
  if (!(thrown instanceof PacelineError)) return false;
  return thrown.code === "checkpoint" || isMissing(thrown) || isDamage(thrown);
}

async function pointAt(path: string, files: Files): Promise<ResumePoint> {
  const parent = dirname(wholePath(path));
  const runDirectory = basename(parent) === folderName ? dirname(parent) : null;
  const globalStep = await readManifest(path, files).then(
    (manifest) => manifest.globalStep,
    (thrown: unknown) => {
      const [, told] = stepName.exec(basename(wholePath(path))) ?? [];
      // The step is known all the same; the checkpoint's reader says what is wrong with it.
      if (!isBroken(thrown) || told === undefined) throw thrown;
      return Number(told);
    },
  );
  return { path, step: globalStep, runDirectory, skipped: [], isExact: true };
}

/**
 * The folders of runs under a folder that have room for checkpoints, by name. Those of other users,
 * which this one may not list, are left out.
 */
export async function runsUnder(runRoot: string, files: Files = diskFiles): Promise<string[]> {
  const runs: string[] = [];
  for (const name of (await files.list(runRoot)) ?? []) {
    const run = join(runRoot, name);
    const inside = name.startsWith(".") ? null : await allowedNames(run, files);
    if (inside?.includes(folderName)) runs.push(run);
  }
  return runs;
}

function allowedNames(folder: string, files: Files): Promise<string[] | null> {
  return files.list(folder).catch((thrown: unknown) => {
    if (isForbidden(thrown)) return null;
    throw thrown;
  });
}

async function offered(runRoot: string, files: Files): Promise<string> {
  const shown: string[] = [];
  for (const run of await runsUnder(runRoot, files)) {
    const latest = await latestCheckpoint(run, files);
    if (latest !== null) shown.push(`${basename(run)} (step ${latest.step})`);
  }
  if (shown.length === 0)
    return `no run in ${runRoot} has one: train with --checkpoint-every first`;
  const more = shown.length > 8 ? `, and ${shown.length - 8} more` : "";
  return `runs with one: ${shown.slice(0, 8).join(", ")}${more}`;
}

function missing(what: string, instead: string): PacelineError {
  return new PacelineError("checkpoint", `${what}; ${instead}`);
}
