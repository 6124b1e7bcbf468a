/**
 * Run folders as things on the disk: which there are, whether somebody still writes into one, how
 * large it is, and its removal. Nothing outside the folder of runs is ever touched, and a link is
 * never followed.
 */
import { lstat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { z } from "zod";
import { PacelineError } from "../errors.js";
import { fileError, isMissing } from "../store/file-errors.js";
import { entriesOf, type FilePath, shownPath } from "../store/file-names.js";
import { diskFiles, type Files, readWhole } from "../store/files.js";
import { lives, startTimeMs } from "../store/process-life.js";
import { isLocked, livingWriter, refusalOf } from "../store/runs/folder-lock.js";

/** How a run stands. */
export type RunState = "done" | "failed" | "interrupted" | "running" | "unknown";

/** A state with the sentence that says why. */
export interface JudgedState {
  readonly state: RunState;
  readonly reason: string;
}

/** A run that was, or would be, removed. */
export interface RemovedRun {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
}

/** Writes this recent, in a run whose state is unknown, may be those of a run elsewhere. */
const quietMs = 60_000;
const clusterBytesMax = 4 * 1024 * 1024;
/** Start times are known to the second only. */
const startTimeToleranceMs = 2_000;

const clusterForm = z.looseObject({
  members: z.array(
    z.looseObject({
      role: z.string(),
      id: z.number(),
      pid: z.int().positive(),
      host: z.string(),
    }),
  ),
});

/** True where the names are those of a run's folder: of what every run writes at its start. */
export function isRunFolder(names: readonly string[]): boolean {
  return names.includes("result.json") || names.includes("events.jsonl");
}

/**
 * Names of the run folders in a folder, sorted; none where there is no such folder. One that can't
 * be listed, or is removed meanwhile, hides no other (`leftOut` tells of it).
 */
export async function runNames(runDir: string, files: Files = diskFiles): Promise<string[]> {
  const names: string[] = [];
  for (const name of (await files.list(runDir)) ?? []) {
    if (name.startsWith(".")) continue;
    if (await holdsRun(join(runDir, name), files).catch(() => false)) names.push(name);
  }
  return names;
}

const ofResult = "as its result.json says";
const ofNoOutcome = "its result.json states no outcome";

/** True where a run is what its result says, and not where it has gone on since. */
export function isOfResult({ reason }: Pick<JudgedState, "reason">): boolean {
  return reason === ofResult || reason === ofNoOutcome;
}

/**
 * Whether a run goes on: the process that has its folder lives on this machine, or one of its
 * processes does, and no result was written since they began. Else it is
 * what its result says it is (`outcome`, null where there is none). Of a cluster.json that can't be
 * read no members are known.
 */
export async function judgeRun(
  path: string,
  outcome: "done" | "failed" | "interrupted" | null,
  onBroken: (sentence: string) => void = () => {},
): Promise<JudgedState> {
  const clusterMs = await changedMs(join(path, "cluster.json"));
  const resultMs = await changedMs(join(path, "result.json"));
  const configMs = await changedMs(join(path, "config.yaml"));
  const hasEnded = resultMs !== null && resultMs >= Math.max(clusterMs ?? 0, configMs ?? 0);
  const members = clusterMs === null ? [] : await knownMembers(path, onBroken);
  // Times of files are of a clock that may have been set since; who has the folder is not.
  const writer = await livingWriter(path);
  if (writer !== null) return { state: "running", reason: `process ${writer} writes there` };
  if (!hasEnded) {
    for (const { role, id, pid, host } of members) {
      if (host !== hostname() || !(await isAlive(pid, clusterMs!))) continue;
      return { state: "running", reason: `its ${role}-${id} lives as process ${pid}` };
    }
  }
  // One that was resumed and killed left its lock, and a result of before.
  const isOfBefore = !hasEnded && members.length > 0 && (await isLocked(path));
  if (!isOfBefore) {
    if (outcome !== null) return { state: outcome, reason: ofResult };
    if (resultMs !== null) return { state: "unknown", reason: ofNoOutcome };
  }
  const coordinator = members.find(({ role }) => role === "coordinator");
  if (coordinator === undefined) {
    return { state: "unknown", reason: "it has no result.json and no coordinator is known" };
  }
  const { pid, host } = coordinator;
  if (host !== hostname()) {
    return { state: "unknown", reason: `its coordinator was process ${pid} on ${host}` };
  }
  return { state: "failed", reason: `its coordinator, process ${pid}, died without a result` };
}

/**
 * Why a run is over, in words; null while it goes on, as far as this machine can tell: a run that
 * is resumed is not over by its earlier result, nor is one by the death of an earlier coordinator,
 * nor by the death of a coordinator that members have outlived and still wait for.
 */
export async function endOfRun(path: string): Promise<string | null> {
  const startedMs = (await changedMs(join(path, "config.yaml"))) ?? 0;
  // Before the result is looked for: a coordinator that writes one and ends has not died.
  const lost = await lostCoordinator(path, startedMs);
  const resultMs = await changedMs(join(path, "result.json"));
  if (resultMs !== null && resultMs >= startedMs) return "its result is written";
  // Of a clock that was set back since the start the result is older than it.
  if (resultMs !== null && !(await isLocked(path))) return "its result is written";
  return lost === null ? null : `its coordinator, process ${lost}, died without a result`;
}

async function lostCoordinator(path: string, startedMs: number): Promise<number | null> {
  const cluster = join(path, "cluster.json");
  const clusterMs = await changedMs(cluster);
  if (clusterMs === null || clusterMs < startedMs) return null;
  const members = await clusterMembers(cluster);
  const coordinator = members.find(({ role, host }) => {
    return role === "coordinator" && host === hostname();
  });
  if (coordinator === undefined) return null;
  if ((await livingWriter(path)) !== null) return null;
  // While others of the run live, a coordinator that died may be started again and go on with it.
  for (const { pid, host } of members) {
    if (host === hostname() && (await isAlive(pid, clusterMs))) return null;
  }
  return coordinator.pid;
}

/**
 * Bytes of all files of a folder, or of a file; links count as themselves, what is gone by then as
 * nothing.
 */
export async function folderBytes(path: FilePath): Promise<number> {
  const stat = await orGone(path, lstat(path), null);
  if (!stat?.isDirectory()) return stat?.size ?? 0;
  let bytes = 0;
  for (const { path: inside } of await orGone(path, entriesOf(path), [])) {
    bytes += await folderBytes(inside);
  }
  return bytes;
}

async function orGone<T, Gone>(path: FilePath, looking: Promise<T>, gone: Gone): Promise<T | Gone> {
  return looking.catch((thrown: unknown) => {
    const error = fileError(thrown, "look at", shownPath(path));
    if (isMissing(error)) return gone;
    throw error;
  });
}

/** A sentence for each folder beside the runs of which nobody can tell whether it holds one. */
export async function leftOut(runDir: string, files: Files = diskFiles): Promise<string[]> {
  const told: string[] = [];
  for (const { path, isFolder } of await entriesOf(runDir).catch(() => [])) {
    if (!isFolder) continue;
    const what = `${shownPath(path)} is left out`;
    if (typeof path !== "string") told.push(`${what}: its name is not UTF-8; rename it`);
    else await files.list(path).catch(({ message }) => told.push(`${what}: ${message}`));
  }
  return told;
}

/**
 * Removes runs by their exact names. All are looked at before the first is removed: one that is not
 * there, is not a run folder, or may be running is a `usage` error, and then none is removed. With
 * `isTrial` nothing is removed at all.
 */
export async function removeRuns(
  runDir: string,
  names: readonly string[],
  isTrial: boolean,
): Promise<RemovedRun[]> {
  const runs: RemovedRun[] = [];
  for (const name of new Set(names)) {
    const path = await removable(runDir, name);
    runs.push({ name, path, bytes: await folderBytes(path) });
  }
  // A folder leaves the list at once: one that a crash left half removed would look like a run.
  for (const { name, path } of isTrial ? [] : runs) {
    const aside = join(runDir, `.removed-${name}`);
    await diskFiles.remove(aside);
    await diskFiles.rename(path, aside);
    await diskFiles.remove(aside);
  }
  return runs;
}

async function removable(runDir: string, name: string): Promise<string> {
  const path = join(runDir, name);
  if (name.startsWith(".") || /[\\/\0]/.test(name) || basename(path) !== name) {
    const what = `${JSON.stringify(name)} is not a run name`;
    throw usage(`${what}; write names as paceline runs ls shows them, without a path`);
  }
  const kept = await lstat(path).catch((thrown: unknown) => {
    throw fileError(thrown, "look at", path);
  });
  if (kept.isSymbolicLink()) {
    throw usage(`${path} is a link and stays; remove it, and what it points to, by hand`);
  }
  if (!(await holdsRun(path))) {
    throw usage(`${path} is not a run folder and stays; remove it by hand`);
  }
  // Whatever the result says: what counts here is whether somebody still writes.
  const refusal = await refusalOf(path);
  if (refusal !== null) throw usage(`${name} stays: ${refusal}`);
  const { state, reason } = await judgeRun(path, null);
  if (state === "running") {
    throw usage(`${name} is running (${reason}) and stays; stop it first`);
  }
  const sinceMs = Date.now() - (await lastWriteMs(path));
  const hasResult = (await changedMs(join(path, "result.json"))) !== null;
  if (state === "unknown" && !hasResult && sinceMs < quietMs) {
    const ago = `${Math.max(0, Math.round(sinceMs / 1000))} s ago`;
    throw usage(
      `${name} was written to ${ago} and may be running (${reason}); stop it, ` +
        `or try again in a minute`,
    );
  }
  return path;
}

async function holdsRun(path: string, files: Files = diskFiles): Promise<boolean> {
  const entry = await lstat(path);
  return entry.isDirectory() && isRunFolder((await files.list(path)) ?? []);
}

async function knownMembers(path: string, onBroken: (sentence: string) => void) {
  try {
    return await clusterMembers(join(path, "cluster.json"));
  } catch (thrown) {
    if (!(thrown instanceof PacelineError)) throw thrown;
    onBroken(thrown.message);
    return [];
  }
}

async function clusterMembers(path: string) {
  const text = (await readWhole(diskFiles, path, clusterBytesMax)).toString("utf8");
  try {
    return clusterForm.parse(JSON.parse(text)).members;
  } catch (cause) {
    throw new PacelineError("storage", `${path} lists no members: it is broken`, { cause });
  }
}

/**
 * Whether a process lives that was there when its pid was written down; a pid is given again, so
 * one that began later is another.
 */
async function isAlive(pid: number, writtenMs: number): Promise<boolean> {
  if (!lives(pid)) return false;
  const startMs = await startTimeMs(pid);
  return startMs === null || startMs <= writtenMs + startTimeToleranceMs;
}

async function lastWriteMs(path: string): Promise<number> {
  const files = ["events.jsonl", "metrics.jsonl", "cluster.json", "config.yaml"];
  const times = await Promise.all(files.map((name) => changedMs(join(path, name))));
  return Math.max(0, ...times.filter((ms) => ms !== null));
}

/** When a file's content last changed; null where there is none. */
async function changedMs(path: string): Promise<number | null> {
  return lstat(path).then(
    ({ mtimeMs }) => mtimeMs,
    (thrown: unknown) => {
      const error = fileError(thrown, "look at", path);
      if (error.details.errno === "ENOENT") return null;
      throw error;
    },
  );
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
