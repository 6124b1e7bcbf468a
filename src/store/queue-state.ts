/**
 * `.queue.json` in the folder of runs: the jobs that a serving coordinator has taken, so that
 * another one, started after it, goes on with them. It is replaced as a whole.
 *
 * Invariant: the file is whole or not there, and what `writeQueueState` has resolved on survives a
 * crash.
 */
import { join } from "node:path";
import type { JobSummary } from "../protocol/run-events.js";
import { diskFiles, type Files } from "./files.js";
import { type RecordForm, readRecord, writeRecord } from "./kept-record.js";

/** A job as it is kept. */
export interface KeptJob extends Omit<JobSummary, "waitsFor"> {
  /** Its configuration as YAML; "" once it has ended, as its folder has it. */
  readonly config: string;
  /** Its run has begun: the folder of its name may be there. */
  readonly hasBegun: boolean;
  /** Its run was stopped, and goes on from its last checkpoint. */
  readonly isStopped: boolean;
  /** Somebody has cancelled it while it ran. */
  readonly isCancelled: boolean;
  /** How many jobs behind it have begun before it. */
  readonly passedBy: number;
}

/** What is kept. */
export interface QueueState {
  /** The highest term that was given out for runs and for idle members. */
  readonly term: number;
  /** How many jobs were taken: the number of the last. */
  readonly taken: number;
  readonly jobs: readonly KeptJob[];
}

/** Raised when the file changes meaning. */
export const queueFormat = 1;
/** The file in the folder of runs: no run can have its name. */
export const queueName = ".queue.json";
/** Says which coordinator serves from a folder of runs. */
export const queueLockName = ".queue.lock";

/** The form of a queue, wherever it is kept. */
export const queueForm: RecordForm<QueueState> = {
  what: "a queue of jobs",
  remedy: "restore it, or move it away: the jobs in it are then to be submitted again",
  format: queueFormat,
  bytesMax: 1024 * 1024 * 1024,
  schema: async () => (await import("./queue-form.js")).queueSchema,
};

/**
 * The queue in a folder of runs; null where there is none. A file that is torn or not ours is a
 * `storage` error.
 */
export function readQueueState(
  folder: string,
  files: Files = diskFiles,
): Promise<QueueState | null> {
  return readRecord(join(folder, queueName), queueForm, files);
}

/** Replaces it; resolves when it is durable. */
export function writeQueueState(
  folder: string,
  state: QueueState,
  files: Files = diskFiles,
): Promise<void> {
  return writeRecord(join(folder, queueName), state, queueForm, files);
}
