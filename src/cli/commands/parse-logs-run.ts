/** `paceline parse-logs`: the experiment file of a run of which nothing but logs is left. */
import { dirname } from "node:path";
import { errorCodes, PacelineError } from "../../errors.js";
import { printable } from "../../report/progress.js";
import { diskFiles, readWhole, writeTextAtomically } from "../../store/files.js";
import { summaryTable } from "../../store/runs/console-tables.js";
import { type ExperimentFile, readExperimentFile } from "../../store/runs/experiment-file.js";
import { type LoggedExperiment, loggedExperiment } from "../../study/logs/logged-experiment.js";
import { LogReader, logFilesAt } from "../../study/logs/read-logs.js";
import type { Call } from "./command-plan.js";
import { type LogGroups, logGroupsOf, readLogGroups } from "./log-group-flags.js";

const resultBytesMax = 64 * 1024 * 1024;

interface ParseFlags {
  readonly output?: string;
  readonly experimentName?: string;
  readonly run?: string;
  readonly force?: boolean;
}

/** Runs the command; resolves to the exit code. */
export async function parseLogs(call: Call): Promise<number> {
  const { options, io } = call;
  const flags: ParseFlags = call.flags;
  for (const [flag, value] of [
    ["--experiment-name", flags.experimentName],
    ["--run", flags.run],
  ]) {
    if (value === "") throw usage(`${flag} is empty; write a value or leave it out`);
  }
  const groups = await logGroupsOf(call.flags, options.ioTimeoutMs);
  const paths = await pathsOf(call.words, groups);
  const reader = new LogReader();
  for (const path of paths) {
    if (path === "-") await reader.takeStream("standard input", process.stdin);
    else await reader.takeFile(path);
  }
  if (groups !== null) {
    await readLogGroups(groups, reader, { nowMs: Date.now(), limitMs: options.ioTimeoutMs });
  }
  const found = loggedExperiment({
    ...{ logs: reader.logs, signs: reader.signs },
    ...{ name: flags.experimentName ?? null, run: flags.run ?? null },
    ...sourceOf(paths, groups),
    timestamp: new Date(reader.lastChangeMs || Date.now()).toISOString(),
  });
  const say = (line: string) => void io.stderr.write(`${printable(line)}\n`);
  if (!options.quiet) for (const line of found.notes) say(line);
  for (const gap of found.gaps) say(gap);
  const text = `${JSON.stringify(found.experiment, null, 2)}\n`;
  const told = await keep(found, text, flags);
  if (!options.quiet) for (const line of summaryOf(found.experiment)) say(line);
  if (told !== null && !options.quiet) say(told);
  const { experiment, gaps, notes } = found;
  if (options.json) {
    const object = { output: flags.output ?? null, gaps, notes, experiment };
    io.stdout.write(`${JSON.stringify(object)}\n`);
  } else if (flags.output === undefined) io.stdout.write(text);
  return gaps.length === 0 ? 0 : errorCodes.data.exitCode;
}

async function pathsOf(words: readonly string[], groups: LogGroups | null): Promise<string[]> {
  if (words.length === 0 && groups === null) {
    if (process.stdin.isTTY !== true) return ["-"];
    const remedy = "name log files, a folder of them, - for standard input, or --server-log-group";
    throw usage(`paceline parse-logs has no logs to read; ${remedy}`);
  }
  const found = await Promise.all(
    words.map(async (word) => (word === "-" ? ["-"] : logFilesAt(word))),
  );
  return [...new Set(found.flat())];
}

function sourceOf(paths: readonly string[], groups: LogGroups | null) {
  const logs = `the ${paths.length === 1 ? `log ${paths[0]}` : `${paths.length} logs`}`;
  if (groups === null) {
    const source = paths.length === 1 && paths[0] === "-" ? "the lines of standard input" : logs;
    return { source, remedy: "add the logs of all processes of the run, whole" };
  }
  const names = groups.names.map(({ group }) => group).join(" and ");
  const source = `the last ${groups.hoursAgo} h of ${names}`;
  const wider = Math.max(1, groups.hoursAgo * 2);
  return {
    source: paths.length === 0 ? source : `${logs} and ${source}`,
    remedy: `where the run is older, write --hours-ago ${wider}`,
  };
}

/** Writes the file; says what was done. What holds more stays as it is. */
async function keep(
  { experiment, gaps }: LoggedExperiment,
  text: string,
  { output, force }: ParseFlags,
): Promise<string | null> {
  if (output === undefined) return null;
  const before = await textAt(output);
  if (before === text) return `${output} is the same already`;
  if (before !== null && force !== true) await demandLess(output, experiment, gaps.length === 0);
  await diskFiles.makeFolder(dirname(output));
  await writeTextAtomically(diskFiles, output, text);
  return `result in ${output}${gaps.length === 0 ? "" : ", incomplete"}`;
}

async function textAt(path: string): Promise<string | null> {
  const names = await diskFiles.list(dirname(path)).catch(() => null);
  if (names === null || !names.includes(path.split("/").at(-1)!)) return null;
  return (await readWhole(diskFiles, path, resultBytesMax)).toString("utf8");
}

/** Refuses to replace what is no experiment file, or one that has more. */
async function demandLess(path: string, now: ExperimentFile, isWhole: boolean): Promise<void> {
  const before = await readExperimentFile(path).catch((cause) => {
    const sentence = `${path} is there and is no experiment file; choose another --output`;
    throw new PacelineError("usage", sentence, { cause });
  });
  const workers = (file: ExperimentFile) => file.raw_worker_metrics.length;
  const hasMore =
    workers(before) > workers(now) ||
    (before.server_metrics !== null && now.server_metrics === null) ||
    (before.paceline !== undefined && now.paceline === undefined);
  if (isWhole || !hasMore) return;
  const sizes = `${workers(before)} workers' metrics, these logs ${workers(now)}`;
  const sentence = `${path} holds more than these logs give (${sizes}), and is kept`;
  throw usage(`${sentence}; write --force to replace it, or choose another --output`);
}

function summaryOf({ experiment_name: experiment, ...file }: ExperimentFile): string[] {
  const { server_metrics: server, worker_metrics_aggregated: together } = file;
  const row = {
    experiment,
    mode: server?.mode ?? "-",
    workers: together.num_workers,
    seconds: server?.total_training_time_seconds ?? together.total_training_time_seconds,
    epochSeconds: together.average_epoch_time_seconds,
    accuracyPercent: together.final_test_accuracy_percent,
  };
  return summaryTable([row]);
}

function usage(message: string): PacelineError {
  return new PacelineError("usage", message);
}
