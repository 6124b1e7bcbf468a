/**
 * Resident memory of a process that trains, as Linux counts it in /proc. Each measurement starts a
 * process of its own, since a peak is of a whole life; PyTorch's side is read in the same way.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assert } from "../assert.js";
import type { BenchmarkCase, BenchmarkRow, Peer } from "../measure/benchmark.js";
import { LineProcess } from "../measure/peer-process.js";
import { type Subject, subjectName } from "./engine-subject.js";

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

function memoryOf({ pid }: LineProcess): ResidentMemory {
  assert(pid !== undefined, "a process that has answered has an id", { pid });
  return parseStatus(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** How to start a process that steps, and the first line it is told. */
export interface StepProcess {
  readonly command: string;
  readonly words: readonly string[];
  readonly wish: object;
}

/** Paceline's side: a process that does nothing but steps of this configuration. */
export function ownStepProcess(subject: Subject): StepProcess {
  const entry = fileURLToPath(new URL("./step-child.js", import.meta.url));
  return { command: process.execPath, words: [entry], wish: subject };
}

/** A row: megabytes at the peak of a process that takes so many steps. */
export function peakMemoryCase(
  subject: Subject,
  steps: number,
  peers: readonly { readonly name: string; readonly process: StepProcess }[],
): BenchmarkCase {
  const contender = (name: string, process: StepProcess): Peer => ({
    name,
    run: async () => {
      const { peakBytes } = await afterSteps(process, [steps], (memory) => memory);
      return peakBytes / 1e6;
    },
  });
  return {
    ...contender(`${subjectName(subject)}/peak-memory`, ownStepProcess(subject)),
    unit: "MB",
    better: "lower",
    peers: peers.map(({ name, process }) => contender(name, process)),
  };
}

/** Runs the steps of each portion, hears of the memory after each, gives what was last heard. */
async function afterSteps<T>(
  { command, words, wish }: StepProcess,
  portions: readonly number[],
  hear: (memory: ResidentMemory) => T,
): Promise<T> {
  const process = new LineProcess(command, words);
  try {
    await process.ask(wish);
    let heard: T | undefined;
    for (const steps of portions) {
      await process.ask({ steps });
      heard = hear(memoryOf(process));
    }
    return heard as T;
  } finally {
    await process.close();
  }
}

/** Readings of a soak. */
const soakReadings = 10;

/** How much memory may grow between the second reading and the last and still be called flat. */
const flat = { share: 0.02, bytes: 8e6 };

/** What a soak showed. */
export interface Soak {
  readonly rows: readonly BenchmarkRow[];
  /** Flat or not, with the numbers. */
  readonly verdict: string;
}

/** Resident memory of one process after 10 %, 20 % ... 100 % of so many steps. */
export async function soak(
  subject: Subject,
  steps: number,
  log: (line: string) => void,
): Promise<Soak> {
  const name = `${subjectName(subject)}/soak`;
  const ends = Array.from({ length: soakReadings }, (_, index) =>
    Math.round((steps * (index + 1)) / soakReadings),
  );
  const portions = ends.map((end, index) => end - (ends[index - 1] ?? 0));
  const readings: number[] = [];
  await afterSteps(ownStepProcess(subject), portions, ({ currentBytes }) => {
    log(`${name}: ${(currentBytes / 1e6).toFixed(1)} MB after ${ends[readings.length]} steps`);
    readings.push(currentBytes);
  });
  const rows = readings.map((bytes, index) => {
    const share = `${(100 * (index + 1)) / soakReadings}%`;
    return { name: `${name}/${share}`, value: bytes / 1e6, unit: "MB" };
  });
  const { reason } = judgeSoak(readings);
  return { rows, verdict: `${name}: ${steps} steps, ${reason}` };
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
  const room = Math.max(flat.share * settled, flat.bytes);
  const isFlat = highest - settled <= room;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const numbers =
    `${megabytes(settled)} at 20 %, at most ${megabytes(highest)} after it, ` +
    `${megabytes(readings.at(-1) as number)} at the end`;
  const limit = `${megabytes(room)} more would still be flat`;
  return { isFlat, reason: `${isFlat ? "flat" : "NOT flat"}: ${numbers} (${limit})` };
}
