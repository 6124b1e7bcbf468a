/**
 * Resident memory of a process, as Linux counts it in /proc: the program, its libraries and all
 * that it holds. And whether it stays what it is.
 */
import { readFileSync } from "node:fs";
import { assert } from "../../assert.js";

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
  const text = told(pid, "status");
  // A process that has ended and was not yet waited for has no memory to tell of.
  return text.includes("VmRSS") ? parseStatus(text) : null;
}

/** Resident bytes of a process by what they are for. */
export interface MemoryUse {
  /** The arena's memory for tensor values: what was ever needed at once stays resident. */
  readonly valuesBytes: number;
  /** Everything else. */
  readonly otherBytes: number;
}

/** The address space that is reserved for an arena to grow into is at least so large. */
const reservedBytesMin = 2 ** 30;
const mapping = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) .*\n(?:[A-Z].*\n)*?Rss: +(\d+) kB$/gm;

/**
 * Reads the text of /proc/PID/smaps. Memory for values is what can be written to right below a
 * large reservation that can't: how shared memory of WebAssembly grows in place.
 */
export function parseMappings(text: string): MemoryUse {
  let [totalBytes, valuesBytes] = [0, 0];
  let below = { end: "", mode: "", bytes: 0 };
  for (const [, start, end, mode, kibibytes] of text.matchAll(mapping)) {
    const bytes = Number(kibibytes) * 1024;
    const size = Number.parseInt(end!, 16) - Number.parseInt(start!, 16);
    const isReserved = mode!.startsWith("---") && size >= reservedBytesMin;
    if (isReserved && below.end === start && below.mode.startsWith("rw")) {
      valuesBytes += below.bytes;
    }
    totalBytes += bytes;
    below = { end: end!, mode: mode!, bytes };
  }
  assert(totalBytes > 0, "mappings tell what is resident", { characters: text.length });
  return { valuesBytes, otherBytes: totalBytes - valuesBytes };
}

/** What the memory of a process that runs is for; null once it has ended. Takes some 10 ms. */
export function memoryUseOf(pid: number): MemoryUse | null {
  const text = told(pid, "smaps");
  return text === "" ? null : parseMappings(text);
}

/** What the system tells of a process; nothing once it has ended. */
function told(pid: number, what: string): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, "utf8");
  } catch {
    return "";
  }
}

/** How much memory may grow between the second reading and the last and still be called flat. */
const flat = { share: 0.02, bytes: 8e6 };

/**
 * Bytes that memory may grow beyond what it settled at.
 * @param passingBytes held for moments and given back.
 */
export function roomToGrow(settledBytes: number, passingBytes = 0): number {
  return passingBytes + Math.max(flat.share * settledBytes, flat.bytes);
}

/**
 * Whether memory stays flat: the highest of the later readings against the second one, since the
 * first stretch still fills caches and the heap of the language.
 */
export function judgeFlatness(
  readings: readonly number[],
  passingBytes = 0,
): {
  readonly isFlat: boolean;
  readonly reason: string;
} {
  const settled = readings[1];
  assert(settled !== undefined, "memory is read twice or more", { readings });
  const highest = Math.max(...readings.slice(1));
  const room = roomToGrow(settled, passingBytes);
  const isFlat = highest - settled <= room;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const numbers =
    `${megabytes(settled)} at 20 %, at most ${megabytes(highest)} after it, ` +
    `${megabytes(readings.at(-1) as number)} at the end`;
  const limit = `${megabytes(room)} more would still be flat`;
  return { isFlat, reason: `${isFlat ? "flat" : "NOT flat"}: ${numbers} (${limit})` };
}
