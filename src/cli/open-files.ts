/**
 * How many files this process may have open, judged before anything else is loaded: modules and
 * connections are files too, and a limit that is met in the middle ends a run without a reason that
 * a reader could use. Nothing is imported here but the platform.
 */
import { readFileSync } from "node:fs";

/** What a command has open at most while it loads. */
export const openFilesBase = 256;
/** What each member of a run adds: its log, pipes and connections. */
export const openFilesOfMember = 8;

/** The limit of this process; null where the system does not tell, or sets none. */
export function openFilesLimit(path = "/proc/self/limits"): number | null {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync(path, "utf8")) ?? [];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}

/** What to say where the limit is too low for so many; null where it is not. */
export function openFilesProblem(needed: number, limit: number | null): string | null {
  if (limit === null || limit >= needed) return null;
  const sentence = `this process may have ${limit} files open and needs about ${needed}`;
  return `${sentence}; raise the limit with ulimit -n ${Math.max(1024, 2 * needed)}`;
}
