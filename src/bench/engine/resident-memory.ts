/**
 * Resident memory of a process that trains, as Linux counts it in /proc. Each measurement starts a
 * process of its own, since a peak is of a whole life; PyTorch's side is read in the same way.
 */
import { fileURLToPath } from "node:url";
import { assert } from "../../assert.js";
import type { BenchmarkCase, BenchmarkRow, Peer } from "../harness/benchmark.js";
import { LineProcess } from "../harness/peer-process.js";
import { judgeFlatness, memoryOf, type ResidentMemory } from "../harness/process-memory.js";
import { type Subject, subjectName } from "./engine-subject.js";

function memoryOfProcess({ pid }: LineProcess): ResidentMemory {
  const memory = pid === undefined ? null : memoryOf(pid);
  assert(memory !== null, "a process that has answered runs", { pid });
  return memory;
}

/** How to start a process that steps, and the first line it is told. */
export interface StepProcess {
  readonly command: string;
  readonly words: readonly string[];
  readonly workload: object;
}

/** Paceline's side: a process that does nothing but steps of this configuration. */
export function ownStepProcess(subject: Subject): StepProcess {
  const entry = fileURLToPath(new URL("./step-child.js", import.meta.url));
  return { command: process.execPath, words: [entry], workload: subject };
}

/** The most bytes that a process of this configuration ever holds, in so many steps. */
export async function peakOfSteps(subject: Subject, steps: number): Promise<number> {
  const { peakBytes } = await afterSteps(ownStepProcess(subject), [steps], (memory) => memory);
  return peakBytes;
}

/** A row: megabytes at the peak of a process that takes so many steps. */
export function peakMemoryCase(
  subject: Subject,
  steps: number,
  peers: readonly (Pick<Peer, "name" | "system"> & { readonly process: StepProcess })[],
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
    peers: peers.map(({ process, ...named }) => {
      return { ...contender(named.name, process), ...named };
    }),
  };
}

/** Runs the steps of each portion, hears of the memory after each, gives what was last heard. */
async function afterSteps<T>(
  { command, words, workload }: StepProcess,
  portions: readonly number[],
  hear: (memory: ResidentMemory) => T,
): Promise<T> {
  const process = new LineProcess(command, words);
  try {
    await process.ask(workload);
    let heard: T | undefined;
    for (const steps of portions) {
      await process.ask({ steps });
      heard = hear(memoryOfProcess(process));
    }
    return heard as T;
  } finally {
    await process.close();
  }
}

/** Readings of a soak. */
const soakReadings = 10;

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
  const { reason } = judgeFlatness(readings);
  return { rows, verdict: `${name}: ${steps} steps, ${reason}` };
}
