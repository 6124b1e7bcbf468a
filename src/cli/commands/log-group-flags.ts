/** Which log groups of CloudWatch `paceline parse-logs` reads: named, or as terraform tells. */
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { PacelineError } from "../../errors.js";
import type { LogEntry } from "../../study/logs/log-entries.js";
import type { LogReader } from "../../study/logs/read-logs.js";

/** Log groups and the time to read of them. */
export interface LogGroups {
  readonly names: readonly { readonly group: string; readonly of: "server" | "worker" }[];
  readonly region: string | null;
  readonly hoursAgo: number;
}

interface GroupFlags {
  readonly serverLogGroup?: string;
  readonly workerLogGroup?: string;
  readonly useTerraform?: boolean;
  readonly terraformDir?: string;
  readonly hoursAgo?: string;
  readonly region?: string;
}

const hourMs = 3_600_000;
const hoursDefault = 24;
const hoursMax = 24 * 3650;
const terraformDirDefault = "terraform";
const outputBytesMax = 16 * 1024 * 1024;
/** What an entry is looked through with at a time. */
const batchEntries = 10_000;

/**
 * The groups that the flags name; null where they name none.
 * @throws PacelineError `usage`.
 */
export async function logGroupsOf(
  given: Readonly<Record<string, unknown>>,
  limitMs: number,
): Promise<LogGroups | null> {
  const flags: GroupFlags = given;
  const hoursAgo = hoursOf(flags.hoursAgo);
  const { serverLogGroup: server, workerLogGroup: worker, region = null } = flags;
  const named = [
    ...(server === undefined ? [] : [{ group: demandGroup("server", server), of: "server" }]),
    ...(worker === undefined ? [] : [{ group: demandGroup("worker", worker), of: "worker" }]),
  ] as LogGroups["names"][number][];
  if (flags.useTerraform !== true) {
    if (flags.terraformDir !== undefined) throw usage(unused("--terraform-dir", "--use-terraform"));
    if (named.length > 0) return { names: named, region, hoursAgo: hoursAgo ?? hoursDefault };
    const groupFlags = "--server-log-group, --worker-log-group or --use-terraform";
    if (hoursAgo !== null) throw usage(unused("--hours-ago", groupFlags));
    if (region !== null) throw usage(unused("--region", groupFlags));
    return null;
  }
  const outputs = await terraformOutputs(flags.terraformDir ?? terraformDirDefault, limitMs);
  const told = groupsIn(outputs).filter(({ of }) => named.every((one) => one.of !== of));
  const names = [...named, ...told];
  if (names.length === 0) {
    const known = Object.keys(outputs).join(", ") || "none";
    const where = flags.terraformDir ?? terraformDirDefault;
    const sentence = `no output of terraform in ${where} is a log group (there are: ${known})`;
    throw usage(`${sentence}; run terraform apply, or write --server-log-group`);
  }
  const theirs = outputs.aws_region ?? outputs.region ?? null;
  return { names, region: region ?? theirs, hoursAgo: hoursAgo ?? hoursDefault };
}

/** Reads all of them into a reader; a call of the service may take so long. */
export async function readLogGroups(
  { names, region, hoursAgo }: LogGroups,
  reader: LogReader,
  { nowMs, limitMs }: { readonly nowMs: number; readonly limitMs: number },
): Promise<void> {
  const { logGroupEvents } = await import("../../store/remote/log-groups.js");
  const span = { fromMs: Math.max(0, Math.round(nowMs - hoursAgo * hourMs)), toMs: nowMs };
  for (const { group } of names) {
    let entries: LogEntry[] = [];
    for await (const { stream, timeMs, text } of logGroupEvents({
      group,
      region,
      limitMs,
      ...span,
    })) {
      const where = `${group} ${stream}`;
      entries.push({ text, timeMs, where, stream: where });
      if (entries.length < batchEntries) continue;
      reader.takeEntries(entries);
      entries = [];
    }
    reader.takeEntries(entries);
  }
}

function hoursOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const hours = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && hours > 0 && hours <= hoursMax) return hours;
  throw usage(`--hours-ago ${text} is no number of hours; write e.g. 2 or 0.5`);
}

function demandGroup(of: string, text: string): string {
  if (/^[\w./#-]{1,512}$/.test(text)) return text;
  const example = `/ecs/paceline-dev-${of}`;
  throw usage(`--${of}-log-group ${text || '""'} is no log group; write e.g. ${example}`);
}

/** The outputs of a configuration that are texts. */
async function terraformOutputs(folder: string, limitMs: number): Promise<Record<string, string>> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    throw usage(`there is no folder ${folder}; write --terraform-dir, or --server-log-group`);
  }
  const words = [`-chdir=${folder}`, "output", "-json", "-no-color"];
  const limits = { maxBuffer: outputBytesMax, timeout: limitMs };
  const { stdout } = await promisify(execFile)("terraform", words, limits).catch((cause) => {
    const { code, stderr = "" } = cause as { code?: unknown; stderr?: string };
    const what =
      code === "ENOENT"
        ? "the program terraform is not installed"
        : `terraform output in ${folder} failed: ${stderr.trim().split("\n")[0] || String(code)}`;
    throw new PacelineError("usage", `${what}; write --server-log-group instead`, { cause });
  });
  try {
    const outputs = JSON.parse(stdout) as Record<string, { value?: unknown }>;
    const texts = Object.entries(outputs).map(([name, { value }]) => [name, value] as const);
    return Object.fromEntries(texts.filter(([, value]) => typeof value === "string")) as never;
  } catch (cause) {
    const sentence = `terraform output in ${folder} is not JSON`;
    throw new PacelineError("usage", `${sentence}; write --server-log-group instead`, { cause });
  }
}

function groupsIn(outputs: Readonly<Record<string, string>>): LogGroups["names"][number][] {
  return Object.entries(outputs)
    .filter(([name, value]) => /log_group(_name)?$/.test(name) && value !== "")
    .map(([name, group]) => ({ group, of: /worker/.test(name) ? "worker" : "server" }));
}

function unused(flag: string, wanted: string): string {
  return `${flag} means something with ${wanted} only; leave it out, or add that`;
}

function usage(message: string): PacelineError {
  return new PacelineError("usage", message);
}
