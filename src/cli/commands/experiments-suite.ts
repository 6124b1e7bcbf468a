/**
 * `paceline experiments run | status | report matrix.yaml`: what a suite needs of the options
 * table, of signals and of the terminal is put together here; the suite itself is in the room
 * `experiment`.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { stringify } from "yaml";
import { PacelineError, toPacelineError } from "../../errors.js";
import { readConfigText, shippedMatrices } from "../../options/config-file.js";
import { hasModeWords, withoutModeWords } from "../../options/mode-words.js";
import type { Environment } from "../../options/option-row.js";
import {
  environmentValue,
  keyOfName,
  keysOf,
  type OptionKey,
  rowOf,
  withoutOptions,
} from "../../options/options.js";
import { resolve } from "../../options/resolve.js";
import { usableCores } from "../../runtime/process/cores.js";
import { plannedPace } from "../../runtime/run-plan.js";
import { diskFiles, writeTextAtomically } from "../../store/files.js";
import { summaryTable } from "../../store/runs/console-tables.js";
import { lockFolder } from "../../store/runs/folder-lock.js";
import { type Cell, type CellFacts, expandMatrix } from "../../study/cells.js";
import {
  type OptionTexts,
  type Priority,
  priorities,
  type RunOptions,
  readMatrixFile,
} from "../../study/matrix.js";
import { type PlannedCell, planSuite } from "../../study/suite-book.js";
import { durationText } from "../../study/suite-plan.js";
import { reportGroups, reportPage, summaryRows } from "../../study/suite-report.js";
import { SuiteRun } from "../../study/suite-run.js";
import { SuiteFolder } from "../../study/suite-state.js";
import { statusLines, statusOf } from "../../study/suite-status.js";
import { didYouMean } from "../../suggest.js";
import { onSignals, signalExitCode } from "../signals.js";
import type { Call } from "./command-plan.js";

/** A matrix, and what is to be done with it. */
export interface Suite {
  readonly path: string;
  readonly question: string | null;
  readonly cells: readonly Cell[];
  readonly folder: SuiteFolder;
  readonly least: Priority | null;
  readonly retryFailed: boolean;
  readonly files: typeof diskFiles;
}

/** What a suite needs of its command. */
type SuiteCall = Pick<Call, "flags" | "io" | "options">;

/** Runs the command; resolves to the exit code. */
export async function experimentsCommand(call: Call): Promise<number> {
  const { words, options, resolution } = call;
  const [part = "", word = ""] = words;
  const parts = { run: runSuite, status: showStatus, report: writeReport };
  for (const key of ["coordinator", "dryRun"] as const) {
    if (part === "run" || resolution.origins[key].kind !== "flag") continue;
    const sentence = `--${rowOf(key).name} does not apply to paceline experiments ${part}`;
    throw usage(`${sentence}; leave it out, or write run`);
  }
  const suite = await readSuite(word, call, part === "run" && options.coordinator !== null);
  return parts[part as keyof typeof parts](suite, call);
}

/** Reads the matrix that a word names. */
export async function readSuite(
  word: string,
  { flags, io }: SuiteCall,
  isOnCluster: boolean,
): Promise<Suite> {
  const path = matrixPath(word);
  const options = new TableOfRuns(io.environment, isOnCluster);
  const file = await readMatrixFile(path, options);
  const { cells, warnings } = expandMatrix(file, options);
  for (const warning of warnings) io.stderr.write(`warning: ${warning}\n`);
  if (isOnCluster) for (const cell of cells) options.demandSubmittable(cell);
  const least = priorityOf(flags.priority as string | undefined);
  demandCells(cells, least, path);
  return {
    path,
    question: file.question,
    cells,
    folder: new SuiteFolder((flags.resultsDir as string | undefined) ?? file.resultsDir),
    least,
    retryFailed: flags.retryFailed === true,
    files: diskFiles,
  };
}

/** The file at a path; where there is none, the matrix of that name that ships with Paceline. */
function matrixPath(word: string): string {
  if (existsSync(word)) return word;
  const shipped = shippedMatrices();
  const own = shipped.get(word) ?? shipped.get(`experiments-${word}`);
  if (own !== undefined) return own;
  if (/[\\/.]/.test(word)) return word;
  const names = [...shipped.keys()];
  const sentence = `there is no matrix ${word}${didYouMean(word, names)}`;
  const remedy = `give the path of a YAML file, or a name that ships: ${names.join(", ")}`;
  throw new PacelineError("usage", `${sentence}; ${remedy}`);
}

function priorityOf(text: string | undefined): Priority | null {
  if (text === undefined) return null;
  const found = priorities.find((one) => one === text);
  if (found !== undefined) return found;
  const hint = didYouMean(text, priorities);
  const sentence = `--priority ${text} is none of ${priorities.join(", ")}${hint}`;
  throw new PacelineError("usage", `${sentence}; write one of them`);
}

/** A priority that leaves nothing to do is a slip of the pen. */
export function demandCells(
  cells: readonly Pick<Cell, "priority">[],
  least: Priority | null,
  path: string,
): void {
  if (least === null) return;
  const limit = priorities.indexOf(least);
  if (cells.some(({ priority }) => priorities.indexOf(priority) <= limit)) return;
  const own = priorities.filter((one) => cells.some(({ priority }) => priority === one));
  const all = own.length === 1 ? `all are ${own[0]}` : `they are ${own.join(" and ")}`;
  const sentence = `no cell of ${path} is at or above ${least} (${all})`;
  throw new PacelineError("usage", `${sentence}; leave --priority out`);
}

async function runSuite(suite: Suite, call: Call): Promise<number> {
  const { io, options } = call;
  if (options.dryRun) return showPlan(suite, call);
  if (options.coordinator !== null) {
    return (await import("./experiments-cluster.js")).runAtCoordinator(suite, call);
  }
  const log = (line: string) => void io.stderr.write(`${line}\n`);
  const run = new SuiteRun({
    ...suite,
    matrixPath: suite.path,
    entry: process.argv[1] as string,
    environment: withoutOptions(io.environment, places),
    cores: usableCores(),
    log,
    clock: { nowMs: () => performance.now(), isoTime: () => new Date().toISOString() },
  });
  const code = await carryOutSuite(run, suite, call);
  const tail = commandTail(suite, call);
  if (code === 0) log(`all done; next: paceline experiments report ${tail}`);
  return code;
}

/** Runs a suite, which alone writes into its folder; resolves to the exit code. */
export async function carryOutSuite(
  run: Pick<SuiteRun, "run" | "interrupt">,
  suite: Suite,
  call: SuiteCall,
): Promise<number> {
  await diskFiles.makeFolder(suite.folder.path);
  const lock = await lockFolder(suite.folder.path);
  const release = onSignals((signal) => run.interrupt(signal));
  try {
    const { failed, signal } = await run.run();
    if (call.options.json) await showStatus(suite, call);
    if (signal !== null) return signalExitCode(signal);
    if (failed.length > 0) call.io.stderr.write(`not done: ${failed.join(", ")}\n`);
    return failed.length === 0 ? 0 : 1;
  } finally {
    release();
    await lock.release();
  }
}

async function showPlan(suite: Suite, { io, options }: SuiteCall): Promise<number> {
  const planned = await planSuite(suite);
  const { problemsOfCells } = await import("./cell-checks.js");
  const own = withoutOptions(io.environment, places);
  const problems = await problemsOfCells(planned, suite.folder, own);
  const [first] = problems.values();
  const exitCode = first === undefined ? 0 : first.exitCode;
  for (const [name, { message }] of problems) io.stderr.write(`${name}: ${message}\n`);
  if (options.json) {
    const cells = planned.map(({ cell, decision: { kind, reason } }) => ({
      name: cell.name,
      priority: cell.priority,
      action: kind,
      reason,
      problem: problems.get(cell.name)?.message ?? null,
      options: Object.fromEntries(cell.values),
    }));
    io.stdout.write(`${JSON.stringify({ cells })}\n`);
    return exitCode;
  }
  const width = Math.max(...planned.map(({ cell }) => cell.name.length));
  for (const [index, { cell, decision }] of planned.entries()) {
    const told = `${String(index + 1).padStart(String(planned.length).length)}. `;
    const { kind, reason } = decision;
    const action = kind === "leave" || kind === "skip" ? "skip" : kind;
    const why = reason === "waiting" ? "" : ` (${reason})`;
    io.stdout.write(
      `${told}${cell.name.padEnd(width)}  ${cell.priority.padEnd(8)}  ${action}${why}\n`,
    );
  }
  return exitCode;
}

async function showStatus(suite: Suite, { io, options }: SuiteCall): Promise<number> {
  const planned = await planSuite({ ...suite, retryFailed: false });
  const status = statusOf(planned, { cores: usableCores(), nowMs: Date.now() });
  if (options.json) {
    const place = { matrix: suite.path, resultsDir: suite.folder.path };
    io.stdout.write(`${JSON.stringify({ ...place, ...status })}\n`);
  } else io.stdout.write(`${statusLines(status).join("\n")}\n`);
  return 0;
}

/** Writes the report and the charts of what is done; resolves to the exit code. */
export async function writeReport(suite: Suite, call: SuiteCall): Promise<number> {
  const { io, options } = call;
  const planned = await planSuite({ ...suite, retryFailed: false });
  const cores = usableCores();
  const groups = reportGroups(planned, cores);
  const { names: charts, problem } = await drawnCharts(suite, planned);
  const tail = commandTail(suite, call);
  const page = reportPage({
    title: `Experiments of ${suite.path}`,
    question: suite.question,
    commands: [`paceline experiments run ${tail}`, `paceline experiments report ${tail}`],
    planned,
    cores,
    charts,
    remarks: problem === null ? [] : [`No charts are drawn: ${problem}.`],
  });
  await diskFiles.makeFolder(suite.folder.path);
  await writeTextAtomically(diskFiles, suite.folder.reportPath, page);
  const asJson = { matrix: suite.path, report: suite.folder.reportPath, groups };
  if (options.json) io.stdout.write(`${JSON.stringify(asJson)}\n`);
  else io.stdout.write(`${summaryTable(summaryRows(groups)).join("\n")}\n`);
  for (const line of remarks(
    planned,
    groups.some(({ crowded }) => crowded),
  ))
    io.stderr.write(`${line}\n`);
  io.stderr.write(`report in ${suite.folder.reportPath}\n`);
  return 0;
}

function remarks(planned: readonly PlannedCell[], someCrowded: boolean): string[] {
  const missing = planned.filter(({ decision }) => decision.kind !== "skip");
  const seconds = planned.reduce((sum, { disk }) => sum + (disk.record?.seconds ?? 0), 0);
  return [
    ...(someCrowded ? ["* more workers than cores: its times say little"] : []),
    ...(missing.length > 0 ? [`not done: ${missing.map(({ cell }) => cell.name).join(", ")}`] : []),
    `${durationText(seconds)} of running`,
  ];
}

interface Charts {
  /** Names of the pictures for light pages. */
  readonly names: readonly string[];
  /** Why there are none. */
  readonly problem: string | null;
}

/** Draws the finished cells. What can't be in one chart is no reason not to report. */
async function drawnCharts({ folder }: Suite, planned: readonly PlannedCell[]): Promise<Charts> {
  const results = planned.flatMap(({ decision, disk }) =>
    decision.kind === "skip" && disk.study !== null ? [disk.study] : [],
  );
  if (results.length === 0) return { names: [], problem: null };
  const { drawCharts } = await import("../../study/chart/draw-charts.js");
  try {
    const { files } = await drawCharts({ results, outputDir: folder.chartsPath, files: diskFiles });
    const names = files.map((path) => basename(path));
    return { names: names.filter((name) => /(?<!-dark)\.png$/.test(name)), problem: null };
  } catch (thrown) {
    const error = toPacelineError(thrown);
    if (error.code !== "usage") throw error;
    return { names: [], problem: error.message };
  }
}

/** The matrix, and what was said beside it. */
export function commandTail({ path, folder, least }: Suite, { flags }: SuiteCall): string {
  const priority = least === null ? "" : ` --priority ${least}`;
  const place = flags.resultsDir === undefined ? "" : ` --results-dir ${folder.path}`;
  return `${path}${priority}${place}`;
}

/** Options that the suite itself gives to a run, or that show a run to a person. */
const ownOfSuite: readonly OptionKey[] = [
  "name",
  "runDir",
  "resume",
  "dryRun",
  "json",
  "quiet",
  "verbose",
  "progress",
];
/** Options that say where things lie; processes read them from the environment as ever. */
const places: readonly OptionKey[] = ["dataDir", "cacheDir"];
/** How a command reaches a cluster that serves; no part of what it runs there. */
const reach: readonly OptionKey[] = ["coordinator", "tls", "tokenFile", "ioTimeoutMs"];
/** Options that may change without making another experiment of a cell. */
const idleGroups: readonly string[] = ["keeping", "showing"];
const idleOptions: readonly OptionKey[] = ["cacheDir", "port", "host"];

/** The options of `paceline train`, as a matrix reads them. */
export class TableOfRuns implements RunOptions {
  readonly fromEnvironment: RunOptions["fromEnvironment"];
  readonly #environment: Environment;

  /** @param isOnCluster the environment says how a cluster is reached. */
  constructor(environment: Environment, isOnCluster = false) {
    this.#environment = environment;
    const values: [string, { text: string; variable: string; isPlace: boolean }][] = [];
    for (const key of keysOf("train")) {
      const found = environmentValue(key, "train", environment);
      if (found === null || ownOfSuite.includes(key)) continue;
      if (isOnCluster && reach.includes(key)) continue;
      const { name: variable } = found;
      const text = canonical(key, found.text, `the environment (${variable})`);
      values.push([rowOf(key).name, { text, variable, isPlace: places.includes(key) }]);
    }
    this.fromEnvironment = new Map(values);
  }

  read(name: string, value: unknown, place: string): OptionTexts {
    if (name === "when")
      throw usage(`"when" in ${place} has no effect there; write it at the top of the matrix`);
    const written = readConfigText(stringify({ [name]: value }), place);
    return new Map(
      [...written].map(([key, text]) => {
        const row = rowOf(key);
        if (ownOfSuite.includes(key))
          throw usage(`"${row.name}" in ${place} is given by the suite itself; leave it out`);
        if (!row.commands.includes("train"))
          throw usage(`"${row.name}" in ${place} is not an option of paceline train; leave it out`);
        return [row.name, canonical(key, text, place)];
      }),
    );
  }

  resolve(values: OptionTexts, place: string): CellFacts {
    const written = new Map([...values].map(([name, text]) => [keyOfName(name)!, text]));
    const file = { path: place, values: written };
    const options = resolvedOptions(file, withoutOptions(this.#environment, places));
    const { workers, servers, seed, model, data, epochs, maxSteps, batchSize } = options;
    return {
      ...{ mode: plannedPace(options), seed, model, data, epochs, maxSteps, batchSize },
      servers: servers.min,
      workers: workers.max,
      workersMin: workers.min,
      workersAtStart: workers.start ?? workers.max,
      trainLimit: options.trainLimit,
      print: (name) => {
        const key = keyOfName(name)!;
        return rowOf(key).type.print(options[key]);
      },
    };
  }

  /** @throws PacelineError `usage` for an option that a job can't have. */
  demandSubmittable({ name, values }: Pick<Cell, "name" | "values">): void {
    for (const option of values.keys()) {
      const key = keyOfName(option)!;
      if (rowOf(key).commands.includes("submit") && !reach.includes(key)) continue;
      const variable = this.fromEnvironment.get(option)?.variable;
      const from = variable === undefined ? `of ${name}` : `of the environment (${variable})`;
      const why = "is no option of a job: the cluster's processes were given theirs at their start";
      const remedy = "leave it out, or run the suite on this machine";
      throw usage(`"${option}" ${from} ${why}; ${remedy}`);
    }
  }

  apart(values: OptionTexts): OptionTexts {
    const written = new Map([...values].map(([name, text]) => [keyOfName(name)!, text]));
    const plain = withoutModeWords(written, (key) => rowOf(key).name);
    return new Map(
      [...plain].map(([key, text]) => {
        const { name } = rowOf(key);
        return [name, values.get(name) === text ? text : canonical(key, text, "a match")] as const;
      }),
    );
  }

  matters(name: string): boolean {
    const key = keyOfName(name)!;
    return !idleGroups.includes(rowOf(key).group) && !idleOptions.includes(key);
  }
}

/** Resolves a cell; of an option without effect it says how some cells alone can have it. */
function resolvedOptions(
  file: { readonly path: string; readonly values: ReadonlyMap<OptionKey, string> },
  environment: Environment,
) {
  try {
    return resolve("train", { file, environment }).options;
  } catch (thrown) {
    if (!(thrown instanceof PacelineError) || !thrown.message.startsWith(file.path)) throw thrown;
    const remedy = "or give it to some cells by a rule under when:";
    throw usage(`${thrown.details.option} in ${thrown.message}, ${remedy}`);
  }
}

/** A value as its type prints it; "none" stands for an empty list. */
function canonical(key: OptionKey, text: string, place: string): string {
  const { name, type } = rowOf(key);
  if (hasModeWords(key, text)) return text;
  const parsed = type.parse(type.separator !== undefined && text === "none" ? "" : text);
  if (!("problem" in parsed)) return type.print(parsed.value);
  const hint = didYouMean(text, type.choices ?? []);
  const sentence = `${name}: ${text === "" ? '""' : text} in ${place} ${parsed.problem}${hint}`;
  throw usage(`${sentence}; write ${type.wanted}`);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
