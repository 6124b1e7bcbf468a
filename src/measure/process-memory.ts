/**
 * Resident memory of a process, as Linux counts it in /proc: the program, its libraries and all
 * that it holds. And whether it stays what it is.
 */
import { readFileSync } from "node:fs";
import { assert } from "../assert.js";

/** Whether this system tells the resident memory of a process. */
export const tellsMemory = process.platform === "linux";

/** Bytes of a process: those in memory at this moment, and the most there ever were. */
export interface ResidentMemory {
  readonly currentBytes: number;
  readonly peakBytes: number;
}

/** Reads the text of /proc/PID/status. */
export function parseStatus(text: string): ResidentMemory {
  const bytesOf = (name: string) => {
    const [, kibibytes] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text) ?? [];
    assert(kibibytes !== undefined, "a status tells its memory", { name });
    return Number(kibibytes) * 1024;
  };
  return { currentBytes: bytesOf("VmRSS"), peakBytes: bytesOf("VmHWM") };
}

/** The memory of a process that runs; null once it has ended. */
export function memoryOf(pid: number): ResidentMemory | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return null;
  }
  // A process that has ended and was not yet waited for has no memory to tell of.
  return text.includes("VmRSS") ? parseStatus(text) : null;
}

/** How much memory may grow between the second reading and the last and still be called flat. */
const flat = { share: 0.02, bytes: 8e6 };

/** Bytes that memory may grow beyond what it settled at. */
export function roomToGrow(settledBytes: number): number {
  return Math.max(flat.share * settledBytes, flat.bytes);
}

/**
 * Whether memory stays flat: the highest of the later readings against the second one, since the
 * first stretch still fills caches and the heap of the language.
 */
export function judgeSoak(readings: readonly number[]): {
  readonly isFlat: boolean;
  readonly reason: string;
} {
  const settled = readings[1];
  assert(settled !== undefined, "a soak has two readings", { readings });
  const highest = Math.max(...readings.slice(1));
  const room = roomToGrow(settled);
  const isFlat = highest - settled <= room;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const numbers =
    `${megabytes(settled)} at 20 %, at most ${megabytes(highest)} after it, ` +
    `${megabytes(readings.at(-1) as number)} at the end`;
  const limit = `${megabytes(room)} more would still be flat`;
  return { isFlat, reason: `${isFlat ? "flat" : "NOT flat"}: ${numbers} (${limit})` };
}
