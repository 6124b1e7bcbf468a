/**
 * One writer for a folder: a file in it says which process writes there. It is made in one step, so
 * of two that come at once one is refused. A process that died has left its lock behind; on the
 * same machine the next one takes the folder over. Of a process elsewhere nobody here can tell
 * whether it lives, so the user has to say that it does not. A process that lives here keeps its
 * folder whatever the user says.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PacelineError } from "../../errors.js";
import { isMissing } from "../file-errors.js";
import { diskFiles, type Files, readWhole, removeAsides } from "../files.js";
import { lives, processStart } from "../process-life.js";
import type { FolderOwner } from "./folder-owner.js";

/** The file in a run's folder. */
export const lockName = "writer.lock";

/** A folder that this process alone writes into. */
export interface FolderLock {
  /** Gives the folder free. */
  release(): Promise<void>;
}

/**
 * What happens to the lock of a process elsewhere, or one that names no process: the user removes
 * the file, is told to say --take-over, or has said it. Of one that was elected to write here no
 * lock is asked: whose it is no longer leads, even if it lives.
 */
export type ForeignLock = "removed by hand" | "refused" | "taken over" | "elected";

const bytesMax = 64 * 1024;
/** A lock is written at once after it is made. */
const writingMs = 500;
const lookIntervalMs = 25;
/** Others that take over at the same moment are waited for so often. */
const attemptsMax = 40;

/**
 * Takes a folder.
 * @throws PacelineError `usage` while another process writes there, or may.
 */
export async function lockFolder(
  folder: string,
  name: string = lockName,
  files: Files = diskFiles,
  foreign: ForeignLock = "removed by hand",
): Promise<FolderLock> {
  const path = join(folder, name);
  const { pid } = process;
  const start = await processStart(pid);
  const since = new Date().toISOString();
  const text = `${JSON.stringify({ pid, host: hostname(), start, since })}\n`;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    if (await files.claimFile(path, text)) {
      // Of a lock by another name the folder's files are not.
      if (name === lockName) await removeAsides(files, folder).catch(() => undefined);
      return { release: () => giveUp(path, text, files) };
    }
    const refusal = await refusalOf(folder, name, files, foreign);
    if (refusal !== null) throw new PacelineError("usage", refusal);
    if (!(await removeStale(folder, name, files, foreign))) await sleep(lookIntervalMs);
  }
  throw new PacelineError("usage", await whyNot(path, files));
}

/** Why a lock that its owner has left could not be taken. */
async function whyNot(path: string, files: Files): Promise<string> {
  const aside = asideOf(path);
  const owner = await readOwner(aside, files);
  if (owner === null) return `${path} keeps changing: try again in a minute`;
  const { pid, host, since } = owner === "broken" ? unknownOwner : owner;
  const who = `process ${pid} on ${host} has been taking ${path} over since ${since}`;
  return `${who}: if it is gone, remove ${aside}`;
}

/** True where a process has taken a folder and not given it free: it writes there, or has died. */
export async function isLocked(
  folder: string,
  name: string = lockName,
  files: Files = diskFiles,
): Promise<boolean> {
  return (await readOwner(join(folder, name), files)) !== null;
}

/**
 * The process of this machine that has taken a folder and lives, whatever the time of day has done
 * since; null where there is none.
 */
export async function livingWriter(
  folder: string,
  files: Files = diskFiles,
): Promise<number | null> {
  const owner = await readOwner(join(folder, lockName), files);
  if (owner === null || owner === "broken" || owner.host !== hostname()) return null;
  const isLiving = await isAlive(owner);
  return isLiving ? owner.pid : null;
}

/** Why this process must not write into a folder, in words; null where it may. */
export async function refusalOf(
  folder: string,
  name: string = lockName,
  files: Files = diskFiles,
  foreign: ForeignLock = "removed by hand",
): Promise<string | null> {
  const path = join(folder, name);
  const owner = await readOwner(path, files);
  if (owner === null) return null;
  if (foreign === "elected") return null;
  const isOfHere = owner !== "broken" && owner.host === hostname();
  if (!isOfHere && foreign === "taken over") return null;
  if (owner === "broken") {
    const remedy = foreign === "refused" ? "add --take-over" : "remove it";
    return `${path} names no process: ${remedy} if no process writes into ${folder}`;
  }
  const { pid, host, since } = owner;
  const who = `process ${pid} on ${host} has been writing into ${folder} since ${since}`;
  const remedy = foreign === "refused" ? "add --take-over" : `remove ${path}`;
  if (!isOfHere) return `${who}: if it is gone, ${remedy}`;
  return (await isAlive(owner)) ? `${who}: wait until it ends, or stop it` : null;
}

async function isAlive({ pid, start }: FolderOwner): Promise<boolean> {
  return start === null ? lives(pid) : (await processStart(pid)) === start;
}

/** What is held while a lock is looked at and removed. */
function asideOf(path: string): string {
  return `${path}.takeover`;
}

const unknownOwner = { pid: "?", host: "a host that it does not name", since: "an unknown time" };

/**
 * Removes the lock of a process that is gone; false where another process is about to. Of several
 * that see it one looks again and removes it, under a lock of its own.
 */
async function removeStale(
  folder: string,
  name: string,
  files: Files,
  foreign: ForeignLock,
): Promise<boolean> {
  const path = join(folder, name);
  const aside = asideOf(path);
  const own = { pid: process.pid, host: hostname(), start: await processStart(process.pid) };
  const text = JSON.stringify({ ...own, since: new Date().toISOString() });
  if (!(await files.claimFile(aside, text))) {
    const other = await readOwner(aside, files);
    if (other !== null && (await isLeftBehind(other, foreign))) await files.remove(aside);
    return false;
  }
  try {
    // While it is stale nobody but who holds this second lock removes it.
    const owner = await readOwner(path, files);
    const isStale = owner !== null && (await refusalOf(folder, name, files, foreign)) === null;
    if (isStale) await files.remove(path);
    return true;
  } finally {
    await files.remove(aside).catch(() => undefined);
  }
}

/** True where who was removing a lock is gone, or has nothing to say here any more. */
async function isLeftBehind(owner: FolderOwner | "broken", foreign: ForeignLock): Promise<boolean> {
  const isOfHere = owner !== "broken" && owner.host === hostname();
  return isOfHere ? !(await isAlive(owner)) : foreign === "elected" || foreign === "taken over";
}

async function giveUp(path: string, text: string, files: Files): Promise<void> {
  // Somebody who was told to may have removed it, and another may have the folder by now.
  const present = await readWhole(files, path, bytesMax).catch(() => null);
  if (present?.toString("utf8") === text) await files.remove(path).catch(() => undefined);
}

async function readOwner(path: string, files: Files): Promise<FolderOwner | "broken" | null> {
  for (let waitedMs = 0; ; waitedMs += lookIntervalMs) {
    try {
      const content = (await readWhole(files, path, bytesMax)).toString("utf8");
      const { ownerForm } = await import("./folder-owner.js");
      return ownerForm.parse(JSON.parse(content));
    } catch (thrown) {
      if (isMissing(thrown)) return null;
      if (waitedMs >= writingMs) return "broken";
    }
    await sleep(lookIntervalMs);
  }
}
