/**
 * `.queue.json` in the folder of runs: the jobs that a serving coordinator has taken, so that
 * another one, started after it, goes on with them. It is replaced as a whole.
 *
 * Invariant: the file is whole or not there, and what `writeQueueState` has resolved on survives a
 * crash.
 */
import { join } from "node:path";
import { PacelineError } from "../errors.js";
import type { JobSummary } from "../protocol/run-events.js";
import { isMissing } from "./file-errors.js";
import { diskFiles, type Files, readWhole, writeTextAtomically } from "./files.js";

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
const bytesMax = 1024 * 1024 * 1024;

/**
 * The queue in a folder of runs; null where there is none. A file that is torn or not ours is a
 * `storage` error.
 */
export async function readQueueState(
  folder: string,
  files: Files = diskFiles,
): Promise<QueueState | null> {
  const path = join(folder, queueName);
  let content: Buffer;
  try {
    content = await readWhole(files, path, bytesMax);
  } catch (thrown) {
    if (isMissing(thrown)) return null;
    throw thrown;
  }
  let value: unknown;
  try {
    value = JSON.parse(content.toString("utf8"));
  } catch (cause) {
    throw unreadable(path, "is not JSON", cause);
  }
  const { queueSchema } = await import("./queue-form.js");
  const parsed = queueSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.join(".") || "the whole";
    throw unreadable(path, `is not a queue of jobs (${where}: ${issue?.message})`, parsed.error);
  }
  const { format: _, ...state } = parsed.data;
  return state;
}

/** Replaces it; resolves when it is durable. */
export async function writeQueueState(
  folder: string,
  state: QueueState,
  files: Files = diskFiles,
): Promise<void> {
  const text = `${JSON.stringify({ format: queueFormat, ...state })}\n`;
  await writeTextAtomically(files, join(folder, queueName), text);
}

function unreadable(path: string, what: string, cause: unknown): PacelineError {
  const remedy = "restore it, or move it away: the jobs in it are then to be submitted again";
  return new PacelineError("storage", `${path} ${what}: ${remedy}`, { cause });
}
