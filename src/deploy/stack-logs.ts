/** The logs of a stack: shown as they come, or fetched into a folder, a file for each task. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PacelineError } from "../errors.js";
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
  readonly lines: number;
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
 * Writes each stream of the logs to a file `<group>/<role>-<task>.log` below a folder.
 * @throws PacelineError of the program; `storage` where a file can't be written.
 */
export async function fetchLogs(
  stack: Stack,
  { role, filter, since }: LogChoice,
  folder: string,
  place: ProgramPlace,
  nowMs: number,
): Promise<FetchedLog[]> {
  const fetched: FetchedLog[] = [];
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
      await keep(below, path, lines);
      fetched.push({ path, lines: lines.length });
    }
  }
  return fetched;
}

/** "worker/worker/0123abcd" becomes worker-0123abcd.log: the first word is the role. */
function fileOf(stream: string): string {
  const parts = stream.split("/");
  return `${parts[0]}-${parts.at(-1)}.log`.replace(/[^\w.-]/g, "_");
}

async function keep(folder: string, path: string, lines: readonly string[]): Promise<void> {
  try {
    await makeFolders(folder);
    await writeFile(path, `${lines.join("\n")}\n`);
  } catch (cause) {
    const sentence = `${path} can't be written (${reasonOf(cause)})`;
    throw new PacelineError("storage", `${sentence}; give another folder with --out`, { cause });
  }
}

/** Workers have a group of their own, all others share one. */
function groupsOf({ serverLogs, workerLogs }: Stack, role: LogRole | null): string[] {
  if (role === null) return [serverLogs, workerLogs];
  return [role === "worker" ? workerLogs : serverLogs];
}
