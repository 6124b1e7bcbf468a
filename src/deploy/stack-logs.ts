/** The logs of a stack: shown as they come, or fetched into a folder, a file for each task. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PacelineError } from "../errors.js";
import { diskFiles, writeTextAtomically } from "../store/files.js";
import { makeFolders } from "../store/folders.js";
import { reasonOf } from "../system-reason.js";
import { jsonOf, type ProgramOutput, type ProgramPlace, runProgramHere } from "./outer-program.js";
import type { Stack } from "./stack.js";

/** Whose logs are meant. */
export const logRoles = ["coordinator", "server", "worker", "submit"] as const;
/** One of them. */
export type LogRole = (typeof logRoles)[number];

/** What of the logs is wanted. */
export interface LogChoice {
  /** Null for all roles. */
  readonly role: LogRole | null;
  /** A filter pattern of CloudWatch; null for every line. */
  readonly filter: string | null;
  /** Such as 30m, 6h or 2d; null for all that is kept. */
  readonly since: string | null;
}

/** A file that was fetched. */
export interface FetchedLog {
  readonly path: string;
  /** That came this time. */
  readonly lines: number;
  /** How many more the file has had already: it is as it was; null where it was written. */
  readonly moreBefore: number | null;
}

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A span of time in milliseconds. @throws PacelineError `usage` for what is none. */
export function sinceMs(since: string): number {
  const [, count, unit] = /^([1-9]\d{0,4})([mhd])$/.exec(since) ?? [];
  if (count !== undefined && unit !== undefined) return Number(count) * (unitsMs[unit] ?? 0);
  const sentence = `--since ${since} is no span of time`;
  throw new PacelineError("usage", `${sentence}; write minutes, hours or days, such as 30m or 6h`);
}

/** Shows lines, one group beside the other; resolves to the exit code. */
export async function showLogs(
  stack: Stack,
  { role, filter, since, follow }: LogChoice & { readonly follow: boolean },
  place: ProgramPlace,
  output: ProgramOutput,
): Promise<number> {
  const codes = await Promise.all(
    groupsOf(stack, role).map((group) => {
      const words = ["logs", "tail", group, "--region", stack.region, "--format", "short"];
      const prefix = role === null ? [] : ["--log-stream-name-prefix", `${role}/`];
      const pattern = filter === null ? [] : ["--filter-pattern", filter];
      const span = ["--since", since ?? "1h", ...(follow ? ["--follow"] : [])];
      return runProgramHere("aws", [...words, ...prefix, ...pattern, ...span], place, output);
    }),
  );
  return Math.max(...codes);
}

/**
 * Writes each stream of the logs to a file `<group>/<role>-<task>.log` below a folder. A file that
 * has lines which did not come stays as it is: CloudWatch may have them no longer.
 * @throws PacelineError of the program; `storage` where a file can't be written, or where one that
 * stays lacks some of what came, once all others are written.
 */
export async function fetchLogs(
  stack: Stack,
  { role, filter, since }: LogChoice,
  folder: string,
  place: ProgramPlace,
  nowMs: number,
): Promise<FetchedLog[]> {
  const fetched: FetchedLog[] = [];
  const refused: string[] = [];
  for (const group of groupsOf(stack, role)) {
    const words = ["logs", "filter-log-events", "--log-group-name", group];
    const prefix = role === null ? [] : ["--log-stream-name-prefix", `${role}/`];
    const pattern = filter === null ? [] : ["--filter-pattern", filter];
    const span = since === null ? [] : ["--start-time", String(nowMs - sinceMs(since))];
    const common = ["--region", stack.region, "--output", "json"];
    const call = [...words, ...prefix, ...pattern, ...span, ...common];
    const answer = (await jsonOf("aws", call, place)) as {
      readonly events?: readonly { readonly logStreamName: string; readonly message: string }[];
    } | null;
    const streams = new Map<string, string[]>();
    for (const { logStreamName, message } of answer?.events ?? []) {
      const lines = streams.get(logStreamName) ?? [];
      lines.push(message.replace(/\n$/, ""));
      streams.set(logStreamName, lines);
    }
    const below = join(folder, group.split("/").at(-1) ?? "logs");
    for (const [stream, lines] of streams) {
      const path = join(below, fileOf(stream));
      const before = await linesAt(path);
      const lost = countMissing(before, lines);
      const fresh = countMissing(lines, before);
      if (lost === 0) await write(below, path, lines);
      if (lost > 0 && fresh > 0) {
        const sentence = `${path} has ${lost} lines that did not come this time, and lacks`;
        refused.push(`${sentence} ${fresh} new ones`);
      } else {
        fetched.push({ path, lines: lines.length, moreBefore: lost === 0 ? null : lost });
      }
    }
  }
  if (refused.length === 0) return fetched;
  const remedy = "they are as they were; give another folder with --out";
  throw new PacelineError("storage", `${refused.join("; ")}; ${remedy}`);
}

/** "worker/worker/0123abcd" becomes worker-0123abcd.log: the first word is the role. */
function fileOf(stream: string): string {
  const parts = stream.split("/");
  return `${parts[0]}-${parts.at(-1)}.log`.replace(/[^\w.-]/g, "_");
}

/** Of a file that was fetched before; none where there is no file. */
async function linesAt(path: string): Promise<string[]> {
  try {
    return (await readFile(path, "utf8")).replace(/\n$/, "").split("\n");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw unusable(path, "read", cause);
  }
}

/** How many of some lines others lack, a line that comes twice counted twice. */
function countMissing(lines: readonly string[], others: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const line of others) counts.set(line, (counts.get(line) ?? 0) + 1);
  let missing = 0;
  for (const line of lines) {
    const left = counts.get(line) ?? 0;
    if (left === 0) missing += 1;
    else counts.set(line, left - 1);
  }
  return missing;
}

async function write(folder: string, path: string, lines: readonly string[]): Promise<void> {
  try {
    await makeFolders(folder);
    await writeTextAtomically(diskFiles, path, `${lines.join("\n")}\n`);
  } catch (cause) {
    throw unusable(path, "written", cause);
  }
}

function unusable(path: string, done: string, cause: unknown): PacelineError {
  const sentence = `${path} can't be ${done} (${reasonOf(cause)})`;
  return new PacelineError("storage", `${sentence}; give another folder with --out`, { cause });
}

/** Workers have a group of their own, all others share one. */
function groupsOf({ serverLogs, workerLogs }: Stack, role: LogRole | null): string[] {
  if (role === null) return [serverLogs, workerLogs];
  return [role === "worker" ? workerLogs : serverLogs];
}
