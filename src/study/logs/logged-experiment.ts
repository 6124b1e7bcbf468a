/**
 * The experiment file that logs give of one run, and what it lacks: which workers, which servers,
 * and for what likely reason. Nothing is guessed: where logs hold several runs, one must be named.
 */
import { PacelineError } from "../../errors.js";
import {
  type ExperimentFile,
  experimentFile,
  type WorkerFinalMetrics,
} from "../../store/runs/experiment-file.js";
import { alternatives } from "../../suggest.js";
import type { LoggedRun, LoggedRuns, Told } from "./logged-runs.js";
import type { SignsOfLife } from "./signs-of-life.js";

/** What logs are asked for. */
export interface LogQuestion {
  readonly logs: LoggedRuns;
  readonly signs: SignsOfLife;
  /** The experiment's name; null to take the run's own. */
  readonly name: string | null;
  /** Which run, by its id, the beginning of it, or its name; null where there must be one alone. */
  readonly run: string | null;
  /** ISO 8601: the file's timestamp where no line has a time. */
  readonly timestamp: string;
  /** What was read, as it is told in messages: "3 logs", "/ecs/... from ... on". */
  readonly source: string;
  /** How more may be found. */
  readonly remedy: string;
}

/** The file, and all that there is to say of it. */
export interface LoggedExperiment {
  readonly experiment: ExperimentFile;
  /** What is missing, a sentence each; nothing is where it is empty. */
  readonly gaps: readonly string[];
  /** What was settled on the way. */
  readonly notes: readonly string[];
}

/**
 * The experiment file of the run that was asked for.
 * @throws PacelineError `data` where no metrics were found, `usage` where the run or its name is
 *   not told.
 */
export function loggedExperiment(question: LogQuestion): LoggedExperiment {
  const { logs, name } = question;
  const run = chosenRun(question);
  const notes = notesOf(run, logs);
  if (run.whole !== null) {
    const experiment = name === null ? run.whole : { ...run.whole, experiment_name: name };
    return { experiment, gaps: [], notes };
  }
  const named = name ?? run.name;
  if (named === null) {
    throw new PacelineError(
      "usage",
      "the lines name no experiment; write --experiment-name, e.g. --experiment-name sync_4workers",
    );
  }
  const experiment = experimentFile({
    name: named,
    timestamp: run.lastMs === null ? question.timestamp : new Date(run.lastMs).toISOString(),
    server: best(run.servers, ({ global_steps_completed: steps }) => steps)?.metrics ?? null,
    workers: [...run.workers.values()].map((told) => best(told, stepsOf)!.metrics),
  });
  return { experiment, gaps: gapsOf(run, question), notes };
}

function chosenRun(question: LogQuestion): LoggedRun {
  const { logs, run: wanted, name } = question;
  const runs = logs.runs();
  if (runs.length === 0) throw nothingFound(question);
  const isMeant = ({ run, name: own }: LoggedRun, word: string) =>
    run !== null && (run === word || own === word || run.startsWith(word));
  const exact = runs.filter(({ run, name: own }) => run === wanted || own === wanted);
  const meant =
    wanted !== null
      ? exact.length === 1
        ? exact
        : runs.filter((one) => isMeant(one, wanted))
      : runs.length > 1 && name !== null
        ? runs.filter(({ name: own }) => own === name)
        : runs;
  const [only] = meant;
  if (meant.length === 1 && only !== undefined) {
    demandOneRun(only, question);
    return only;
  }
  const told = runs.map(describe).join("; ");
  const what =
    wanted !== null
      ? `${meant.length === 0 ? "no run" : "more than one"} of ${question.source} is ${wanted}`
      : `${question.source} hold ${runs.length} runs`;
  const example = runs.find(({ run }) => run !== null)?.run;
  const remedy = example === undefined ? question.remedy : `choose one, e.g. --run ${example}`;
  throw new PacelineError("usage", `${what}: ${told}; ${remedy}`);
}

/** Lines without a run's name must be of one run. */
function demandOneRun({ run, servers, workers }: LoggedRun, { remedy }: LogQuestion): void {
  if (run !== null) return;
  const differing = [...workers].find(([, told]) => told.length > 1);
  const told = servers.length > 1 ? servers : (differing?.[1] ?? []);
  if (told.length < 2) return;
  const who = servers.length > 1 ? "the servers" : `worker ${differing![0]}`;
  const places = alternatives(told.map(({ entry }) => entry.where)).replace(" or ", " and ");
  const sentence = `${who} told different numbers (${places}), so these are of several runs`;
  const narrower = "read the lines of one run alone";
  throw new PacelineError("usage", `${sentence}, which name none; ${narrower}: ${remedy}`);
}

function describe({ run, servers, workers, whole, lastMs }: LoggedRun): string {
  const ids = [...workers.keys()];
  const parts = [
    ...(whole === null ? [] : ["its whole result"]),
    ...(servers.length === 0 ? [] : ["the servers"]),
    ...(ids.length === 0 ? [] : [`worker${ids.length === 1 ? "" : "s"} ${ids.join(", ")}`]),
  ];
  const at = lastMs === null ? "" : ` at ${new Date(lastMs).toISOString()}`;
  return `${run ?? "lines that name no run"} (${parts.join(", ")}${at})`;
}

function nothingFound({ logs, signs, source, remedy }: LogQuestion): PacelineError {
  const { cut, foreign } = logs;
  const [first] = cut;
  if (first !== undefined) {
    const where = first.entry.where;
    const what = `${source} hold no whole METRICS_JSON line: ${cut.length} are cut off (${where})`;
    return new PacelineError("data", `${what}; read the log where it is whole`);
  }
  const [odd] = foreign;
  if (odd !== undefined) {
    const what = `the METRICS_JSON lines of ${source} have another form`;
    const remedyHere = "give the lines of a parameter server and its workers";
    const sentence = `${what} (${odd.entry.where}: ${odd.problem}); ${remedyHere}`;
    return new PacelineError("data", sentence);
  }
  const lines = `${signs.entries} line${signs.entries === 1 ? "" : "s"}`;
  const what = `${source} (${lines}) hold no METRICS_JSON line: ${signs.whyNothing()}`;
  return new PacelineError("data", `${what}; ${remedy}`);
}

function notesOf({ servers, workers, whole }: LoggedRun, { foreign }: LoggedRuns): string[] {
  const notes = foreign.map(
    ({ entry, problem }) => `${entry.where} is no line of this form, left out: ${problem}`,
  );
  if (whole !== null) return notes;
  if (servers.length > 1)
    notes.push(`the servers told ${servers.length} times: the most steps count`);
  for (const [id, told] of workers) {
    if (told.length < 2) continue;
    notes.push(`worker ${id} told ${told.length} times: the most steps count`);
  }
  return notes;
}

function gapsOf({ servers, workers }: LoggedRun, { logs, signs, remedy }: LogQuestion): string[] {
  const gaps: string[] = [];
  const cutOf = (pattern: RegExp) =>
    logs.cut.find(({ finding }) => {
      return finding.kind === "cut" && pattern.test(finding.text);
    });
  if (servers.length === 0) {
    const cut = cutOf(/SERVER_FINAL/);
    const why =
      cut === undefined
        ? "the coordinator's log is not among these, or the run has not ended"
        : `their line is cut off at ${cut.entry.where}`;
    gaps.push(`the servers' metrics are missing: ${why}; ${remedy}`);
  }
  const all = [...workers.values()].flat();
  const totals = [...all, ...servers].map(({ metrics }) => metrics.total_workers);
  const total = Math.max(0, ...totals);
  for (let id = 0; id < total; id++) {
    if (workers.has(id)) continue;
    const cut = cutOf(new RegExp(`"worker_id":\\s*${id}\\b`));
    const why =
      cut === undefined ? signs.whyMissing(id) : `its line is cut off at ${cut.entry.where}`;
    gaps.push(`worker ${id} of ${total} is missing: ${why}; ${remedy}`);
  }
  return gaps;
}

function stepsOf({ local_steps_completed: steps }: WorkerFinalMetrics): number {
  return steps;
}

/** The one with the most steps, of several the last. */
function best<Metrics>(
  told: readonly Told<Metrics>[],
  steps: (metrics: Metrics) => number,
): Told<Metrics> | undefined {
  return told.reduce<Told<Metrics> | undefined>(
    (most, one) => (most === undefined || steps(one.metrics) >= steps(most.metrics) ? one : most),
    undefined,
  );
}
