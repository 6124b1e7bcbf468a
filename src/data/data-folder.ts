/** The folder that a user names for data sets: --data-dir, or PACELINE_DATA_DIR. */
import { opendir } from "node:fs/promises";
import { PacelineError } from "../errors.js";
import { isRemote } from "../store/remote/remote-store.js";
import { reasonOf } from "../system-reason.js";

/** Whether a place was named, and on this machine. */
export function isLocalFolder(dataDir: string | null | undefined): dataDir is string {
  return dataDir != null && dataDir !== "" && !isRemote(dataDir);
}

/**
 * Refuses a folder that is not there or can't be read: to look for the sets elsewhere, or to
 * download them, would pass a mistyped path over. One without the set that is wanted is fine.
 * @throws PacelineError "usage".
 */
export async function demandDataFolder(dataDir: string | null | undefined): Promise<void> {
  if (!isLocalFolder(dataDir)) return;
  try {
    const folder = await opendir(dataDir);
    await folder.close();
  } catch (cause) {
    const sentence = `--data-dir ${dataDir} can't be read (${reasonOf(cause)})`;
    const remedy = "give the folder that holds your sets, or leave it out to use the cache folder";
    throw new PacelineError("usage", `${sentence}; ${remedy}`, { cause });
  }
}
