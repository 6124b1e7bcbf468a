/**
 * What was measured on a machine, kept in a file in the user's cache folder: lines of text by what
 * they were measured with (processor, instruction set, library, threads). All processes on the
 * machine choose alike by it, so the first one measures while the others wait for its lock, and a
 * line that stands there is never replaced.
 *
 * Invariant: the file is replaced as a whole; one that can't be read as such is empty.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname, uptime } from "node:os";
import { dirname, join } from "node:path";

const format = "paceline kernels 1";
/** A lock of this age was left behind. */
const lockStaleMs = 60_000;
const lockLookMs = 20;

/** Locks that this thread holds. */
const held = new Set<string>();

/** What the file tells of one machine. */
export interface KeptLines {
  /** When the last of them was measured, as ISO time; null before. */
  readonly measured: string | null;
  readonly lines: readonly string[];
}

const nothing: KeptLines = { measured: null, lines: [] };

/** The file in a user's cache folder. */
export function kernelCacheFile(cacheDir: string): string {
  return join(cacheDir, "kernels.json");
}

/** All that the file holds, by what it was measured with; nothing where it can't be read. */
export function keptKernels(file: string): Readonly<Record<string, KeptLines>> {
  return readAll(file);
}

/** What is kept for a machine. */
export function readKernels(file: string, machine: string): KeptLines {
  return readAll(file)[machine] ?? nothing;
}

/**
 * Adds what `measure` gives, given the lines that are there; it is called while no other process
 * measures on this machine, and calls `renew` as it comes on, for others to wait on. Returns all
 * lines.
 * @throws Error where the file can't be written, or another process holds the lock for too long
 *   without coming on.
 */
export function addKernels(
  file: string,
  machine: string,
  measure: (known: readonly string[], renew: () => void) => readonly string[],
  waitMs = 20_000,
): readonly string[] {
  makeFolder(dirname(file));
  const lock = `${file}.lock`;
  // What is measured for one choice may take further choices.
  const isHeld = held.has(lock);
  if (isHeld) renewLock(lock);
  else takeLock(lock, waitMs);
  held.add(lock);
  try {
    const known = readKernels(file, machine).lines;
    const added = measure(known, () => renewLock(lock));
    if (added.length === 0) return known;
    const lines = [...known, ...added];
    const machines = { ...readAll(file), [machine]: { measured: new Date().toISOString(), lines } };
    const aside = `${file}.${process.pid}`;
    writeFileSync(aside, `${JSON.stringify({ format, machines }, null, 1)}\n`);
    renameSync(aside, file);
    return lines;
  } finally {
    if (!isHeld) {
      held.delete(lock);
      rmSync(lock, { force: true });
    }
  }
}

/** Makes a folder and those it lies in; Node's own way never ends where /proc refuses it. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  const above = dirname(path);
  if (above !== path) makeFolder(above);
  try {
    mkdirSync(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
  }
}

function readAll(file: string): Readonly<Record<string, KeptLines>> {
  try {
    const found: unknown = JSON.parse(readFileSync(file, "utf8"));
    const { format: own, machines } = found as { format: unknown; machines: object };
    if (own !== format) return {};
    return Object.fromEntries(Object.entries(machines).filter(([, kept]) => isKept(kept)));
  } catch {
    return {};
  }
}

function isKept(kept: unknown): kept is KeptLines {
  const { measured, lines } = (kept ?? {}) as Partial<Record<keyof KeptLines, unknown>>;
  const areLines = Array.isArray(lines) && lines.every((line) => typeof line === "string");
  return areLines && typeof measured === "string";
}

function lockText(): string {
  return JSON.stringify({ host: hostname(), pid: process.pid, atSeconds: uptime() });
}

/** Says that its owner is still measuring; one that another has taken over is left alone. */
function renewLock(lock: string): void {
  const { host, pid } = ownerIn(readOr(lock, ""));
  if (host === hostname() && pid === process.pid) writeFileSync(lock, lockText());
}

/** What a lock says; `otherwise` where it is gone by now, or can't be read. */
function readOr(lock: string, otherwise: string): string {
  try {
    return readFileSync(lock, "utf8");
  } catch {
    return otherwise;
  }
}

function takeLock(lock: string, waitMs: number): void {
  let endMs = performance.now() + waitMs;
  let told = "";
  const sleep = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      writeFileSync(lock, lockText(), { flag: "wx" });
      return;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") {
        // On a full disk the file is there, empty, and others would wait for its owner.
        rmSync(lock, { force: true });
        throw thrown;
      }
    }
    const text = readOr(lock, told);
    if (text !== told) endMs = performance.now() + waitMs;
    told = text;
    if (isLeftBehind(lock)) rmSync(lock, { force: true });
    else if (performance.now() > endMs) throw new Error(`${lock} is held by another process`);
    else Atomics.wait(sleep, 0, 0, lockLookMs);
  }
}

/**
 * Whether the lock's owner has ended, or has held it for longer than anybody measures: on this
 * machine by the time since it was started, which nobody sets.
 */
function isLeftBehind(lock: string): boolean {
  try {
    const { host, pid, atSeconds } = ownerIn(readFileSync(lock, "utf8"));
    const isHere = host === hostname();
    if (isHere && atSeconds !== null) {
      const heldSeconds = uptime() - atSeconds;
      // One from before the machine was started again was left behind, too.
      if (heldSeconds < 0 || heldSeconds * 1000 > lockStaleMs) return true;
    } else if (Date.now() - statSync(lock).mtimeMs > lockStaleMs) return true;
    if (!isHere || pid === null) return false;
    process.kill(pid, 0);
    return false;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "ESRCH";
  }
}

interface LockOwner {
  readonly host: string | null;
  readonly pid: number | null;
  /** When it was taken, by the time since the machine was started. */
  readonly atSeconds: number | null;
}

/** Whose lock it is, as far as the file says: it may be being written. */
function ownerIn(text: string): LockOwner {
  let found: Record<string, unknown> = {};
  try {
    found = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // Nobody is known, then.
  }
  const { host, pid, atSeconds } = found;
  return {
    host: typeof host === "string" ? host : null,
    pid: typeof pid === "number" ? pid : null,
    atSeconds: typeof atSeconds === "number" ? atSeconds : null,
  };
}
