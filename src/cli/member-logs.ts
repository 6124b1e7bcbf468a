/**
 * Where members that are processes of this machine write their logs: in the run's folder, or where
 * that is in a bucket, which no process can write into by itself, in a folder for the time being
 * whose files are brought there when the members have ended.
 */
import { mkdirSync, mkdtempSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { toPacelineError } from "../errors.js";
import type { MemberRole } from "../protocol/identity.js";
import { diskFiles, isInBucket } from "../store/files.js";
import { logPathIn } from "../store/runs/run-directory.js";

/** The logs of one run. */
export class MemberLogs {
  readonly #run: string;
  readonly #folder: string;

  /** @param run the run's folder. */
  constructor(run: string) {
    this.#run = run;
    this.#folder = isInBucket(run) ? folderForNow() : run;
  }

  /** Of one member. */
  pathOf(role: MemberRole, rank: number): string {
    return logPathIn(this.#folder, role, rank);
  }

  /**
   * Brings them to the run's folder; `tell` hears of what could not be brought, and stays where it
   * is.
   */
  async keep(tell: (text: string) => void): Promise<void> {
    if (this.#folder === this.#run) return;
    const logs = join(this.#folder, "logs");
    let isLeft = false;
    for (const name of (await diskFiles.list(logs)) ?? []) {
      try {
        await keepOne(join(logs, name), join(this.#run, "logs", name));
        await rm(join(logs, name));
      } catch (thrown) {
        isLeft = true;
        tell(`${toPacelineError(thrown).message}; the log is in ${join(logs, name)}`);
      }
    }
    if (!isLeft) await rm(this.#folder, { recursive: true, force: true });
  }
}

function folderForNow(): string {
  const folder = mkdtempSync(join(tmpdir(), "paceline-logs-"));
  mkdirSync(join(folder, "logs"));
  return folder;
}

async function keepOne(from: string, to: string): Promise<void> {
  const present = await diskFiles.list(join(to, ".."));
  const bytes = present?.includes(basename(to)) ? await sizeOf(to) : 0;
  const file = await diskFiles.append(to, bytes);
  try {
    await file.write(await readFile(from));
    await file.sync();
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  const file = await diskFiles.openFile(path);
  await file.close();
  return file.bytes;
}
