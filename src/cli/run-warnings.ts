/** What a command says of this machine before a run begins on it. */
import { PacelineError } from "../errors.js";
import type { CommandName } from "../options/option-row.js";
import type { ResolvedOptions } from "../options/resolved-options.js";
import {
  openFilesBase,
  openFilesLimit,
  openFilesOfMember,
  openFilesProblem,
} from "./open-files.js";

/** Commands whose threads run here. */
const computing: readonly CommandName[] = ["train", "baseline", "worker"];

/** A line where more threads are asked for than there are cores; null else. */
export function threadsWarning(
  command: CommandName,
  { threads, workers }: Pick<ResolvedOptions, "threads" | "workers">,
  cores: number,
): string | null {
  if (threads === null || threads <= cores || !computing.includes(command)) return null;
  const here = cores === 1 ? "1 core" : `${cores} cores`;
  const asked = `--threads ${threads}, and this machine has ${here}`;
  const fit = command === "train" ? Math.max(1, Math.floor(cores / workers.max)) : cores;
  const cost = "threads that wait for a core make a step many times slower";
  return `warning: ${asked}: ${cost}; write --threads ${fit} or leave it out`;
}

/**
 * Refuses a cluster that has more members than this process may have files open for.
 * @throws PacelineError `usage`.
 */
export function demandOpenFiles(
  command: CommandName,
  { workers, servers }: Pick<ResolvedOptions, "workers" | "servers">,
  limit: number | null = openFilesLimit(),
): void {
  if (command !== "train" && command !== "coordinator") return;
  const needed = openFilesBase + openFilesOfMember * (workers.max + servers.max);
  const problem = openFilesProblem(needed, limit);
  if (problem === null) return;
  throw new PacelineError("usage", `${problem}, or lower --workers and --servers`);
}
