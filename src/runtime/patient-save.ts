/**
 * The last checkpoint of a run is worth waiting for: while it can't be written, servers keep the
 * weights and it is tried again, so that the user can make room for it. So is what the coordinator
 * has to make durable before it speaks: members go on with what they have meanwhile.
 */
import { PacelineError, toPacelineError } from "../errors.js";
import type { Clock } from "../host/clock.js";

/** How a last checkpoint is waited for. */
export interface SavePatience {
  readonly clock: Pick<Clock, "nowMs" | "after">;
  /** How long it is tried. */
  readonly patienceMs: number;
  /** The folder of checkpoints, where there is no room; null where it is no checkpoint. */
  readonly folder: string | null;
  /** Told in a sentence what the user can do. */
  tell(text: string): void;
}

const retryIntervalMs = 3000;

/** Saves, again and again while the disk refuses. @throws PacelineError when it is given up. */
export async function savePatiently<T>(
  save: () => Promise<T>,
  { clock, patienceMs, folder, tell }: SavePatience,
): Promise<T> {
  const beganMs = clock.nowMs();
  for (let attempt = 1; ; attempt++) {
    try {
      return await save();
    } catch (thrown) {
      const error = toPacelineError(thrown);
      const leftMs = beganMs + patienceMs - clock.nowMs();
      if (error.code !== "storage") throw error;
      if (leftMs <= 0) throw givenUp(error, patienceMs);
      if (attempt === 1) tell(plea(error, folder, patienceMs));
      const waitMs = Math.min(retryIntervalMs, leftMs);
      await new Promise<void>((resolve) => clock.after(waitMs, resolve));
    }
  }
}

function plea({ message }: PacelineError, folder: string | null, patienceMs: number): string {
  if (folder === null) {
    return (
      `what the coordinator has to keep could not be written: ${message}. Training waits for ` +
      `${wordsOf(patienceMs)} and the write is retried every ${wordsOf(retryIntervalMs)}. ` +
      "Two interrupts (Ctrl-C) end the run"
    );
  }
  return (
    `the last checkpoint could not be written: ${message}. Its weights stay in memory for ` +
    `${wordsOf(patienceMs)} and the write is retried every ${wordsOf(retryIntervalMs)}: ` +
    `make room, or move ${folder} to another disk and leave a link to it in its place. ` +
    "Two interrupts (Ctrl-C) end the run without it"
  );
}

function givenUp(error: PacelineError, patienceMs: number): PacelineError {
  const sentence = `${error.message} (tried for ${wordsOf(patienceMs)})`;
  return new PacelineError("storage", sentence, { cause: error, details: error.details });
}

function wordsOf(milliseconds: number): string {
  if (milliseconds >= 120_000) return `${Math.round(milliseconds / 60_000)} minutes`;
  return `${(milliseconds / 1000).toFixed(milliseconds % 1000 === 0 ? 0 : 1)} s`;
}
