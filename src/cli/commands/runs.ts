/** `paceline runs`: state and results of the runs in the folder of runs. */
import { lstat } from "node:fs/promises";
import { basename, join } from "node:path";
import { PacelineError } from "../../errors.js";
import { printable } from "../../report/progress.js";
import { alternatives, didYouMean } from "../../suggest.js";
import type { Call, CommandPlan } from "./command-plan.js";

const verbs = { ls: list, show, compare, rm: remove, export: exportCsv };
/** Flags that mean something with one verb only. */
const flagVerbs: Readonly<Record<string, keyof typeof verbs>> = {
  dryRun: "rm",
  csv: "export",
  per: "export",
};

/** The command with its words. */
export const runsPlan: CommandPlan = {
  name: "runs",
  sentence: "list, show, compare, remove or export the runs of the run folder",
  options: "runs",
  arguments: [`<${Object.keys(verbs).join("|")}>`, "[names...]"],
  verbs: [
    { name: "ls", words: "", sentence: "list the runs, the newest first, with state and result" },
    {
      name: "show",
      words: "RUN",
      sentence: "one run: its options, epochs, checkpoints and result",
    },
    { name: "compare", words: "RUN RUN...", sentence: "the results of several runs side by side" },
    { name: "rm", words: "RUN...", sentence: "remove the folders of runs that have ended" },
    {
      name: "export",
      words: "[RUN...]",
      sentence: "write a table of runs, epochs or steps as CSV",
    },
  ],
  extra: [
    {
      flags: "--dry-run",
      sentence: "with rm: print what would be removed, and remove nothing",
      verbs: ["rm"],
    },
    {
      flags: "--csv",
      sentence: "with export: comma-separated values, the only format",
      verbs: ["export"],
    },
    {
      flags: "--per <run|epoch|step>",
      sentence: "with export: what each row describes (default: run)",
      verbs: ["export"],
    },
  ],
  examples: [
    "paceline runs ls",
    "paceline runs show mlp-bsp-4w-001",
    "paceline runs compare mlp-bsp-4w-001 mlp-asp-4w-001",
    "paceline runs rm mlp-bsp-4w-001 --dry-run",
    "paceline runs export --csv --per epoch > epochs.csv",
  ],
  async run(call) {
    const [word, ...names] = call.words;
    const verb = word as keyof typeof verbs;
    for (const [key, owner] of Object.entries(flagVerbs)) {
      const flag = key === "dryRun" ? "--dry-run" : `--${key}`;
      if (call.flags[key] !== undefined && verb !== owner)
        throw usage(
          `${flag} does not apply to paceline runs ${verb}; leave it out, or write ${owner}`,
        );
    }
    return verbs[verb](names, call);
  },
};

async function list(names: readonly string[], { options, io }: Call): Promise<number> {
  if (names.length > 0) {
    throw usage(`paceline runs ls takes no names; write paceline runs show ${names[0]}`);
  }
  const { listRuns } = await import("../../study/run-records.js");
  const { leftOut } = await import("../../study/run-folders.js");
  const { listingOf, listTable } = await import("./runs-text.js");
  const records = await listRuns(options.runDir);
  if (options.json) io.stdout.write(`${JSON.stringify(records.map(listingOf))}\n`);
  else if (records.length > 0) io.stdout.write(lines(listTable(records)));
  else io.stderr.write(`no runs in ${options.runDir}; paceline train makes one\n`);
  for (const { problems } of records)
    for (const problem of problems) io.stderr.write(`${printable(problem)}\n`);
  for (const told of await leftOut(options.runDir)) io.stderr.write(`${printable(told)}\n`);
  return 0;
}

async function show(names: readonly string[], call: Call): Promise<number> {
  const { options, io } = call;
  if (names.length !== 1) {
    throw usage(`paceline runs show takes one name or path, not ${names.length}; see runs ls`);
  }
  const { readRun, remarksOf, sizedCheckpoints } = await import("../../study/run-records.js");
  const { describeRun, listingOf, optionsSet } = await import("./runs-text.js");
  const path = await findRun(names[0]!, options.runDir);
  const record = await readRun(path);
  const isFolder = (await lstat(path)).isDirectory();
  const broken: string[] = [];
  const details = {
    options: isFolder ? optionsSet(join(path, "config.yaml"), io.environment) : [],
    checkpoints: isFolder ? await sizedCheckpoints(path) : [],
    remarks: isFolder ? await remarksOf(path, (told) => broken.push(told)) : [],
  };
  for (const sentence of broken) io.stderr.write(`${printable(sentence)}\n`);
  if (options.json) {
    const { epochs, evaluations, form } = record;
    const all = { ...listingOf(record), epochs, evaluations, ...details, result: form };
    io.stdout.write(`${JSON.stringify(all)}\n`);
  } else io.stdout.write(lines(describeRun(record, details)));
  return 0;
}

async function compare(names: readonly string[], { options, io }: Call): Promise<number> {
  if (names.length < 2) {
    throw usage(`paceline runs compare takes two or more names, not ${names.length}; see runs ls`);
  }
  demandOnce(names);
  const { readStudyResult } = await import("../../study/read-results.js");
  const { compareResults } = await import("../../study/compare-runs.js");
  const { comparisonText } = await import("./runs-text.js");
  const results = [];
  for (const name of names) {
    results.push(await readStudyResult(await findRun(name, options.runDir)));
  }
  const comparison = compareResults(results);
  io.stdout.write(
    options.json ? `${JSON.stringify(comparison)}\n` : lines(comparisonText(comparison)),
  );
  return 0;
}

async function remove(names: readonly string[], { options, flags, io }: Call): Promise<number> {
  if (names.length === 0) throw usage("paceline runs rm needs the names of runs; see runs ls");
  demandOnce(names);
  const { removeRuns, runNames } = await import("../../study/run-folders.js");
  const { bytesText } = await import("./runs-text.js");
  const isTrial = flags.dryRun === true;
  const there = await runNames(options.runDir);
  for (const name of names) {
    // What is there, or is no name at all, is for removeRuns to look at.
    if (basename(name) !== name || (await exists(join(options.runDir, name)))) continue;
    throw unknownRun(name, options.runDir, there, "see paceline runs ls");
  }
  const removed = await removeRuns(options.runDir, names, isTrial);
  const verb = isTrial ? "would remove" : "removed";
  const text = removed.map(({ name, bytes }) => `${verb} ${printable(name)} (${bytesText(bytes)})`);
  io.stdout.write(options.json ? `${JSON.stringify({ removed, isTrial })}\n` : lines(text));
  return 0;
}

async function exportCsv(names: readonly string[], { options, flags, io }: Call): Promise<number> {
  if (options.json) throw usage("paceline runs export writes CSV; for JSON write runs show --json");
  const { listRuns, readRun } = await import("../../study/run-records.js");
  const { csvOf, csvUnits } = await import("./runs-csv.js");
  const written = (flags.per as string | undefined) ?? "run";
  const unit = csvUnits.find((one) => one === written);
  if (unit === undefined) {
    const hint = didYouMean(written, csvUnits);
    throw usage(`--per ${written} is not a row${hint}; write ${alternatives(csvUnits)}`);
  }
  demandOnce(names);
  const records = names.length === 0 ? await listRuns(options.runDir) : [];
  for (const name of names) records.push(await readRun(await findRun(name, options.runDir)));
  const broken: string[] = [];
  const noteBroken = (told: string) => void broken.push(told);
  for await (const piece of csvOf(records, unit, noteBroken)) io.stdout.write(piece);
  for (const sentence of broken) io.stderr.write(`${printable(sentence)}\n`);
  for (const { problems } of records)
    for (const problem of problems) io.stderr.write(`${printable(problem)}\n`);
  return 0;
}

/** The path of a run that is named, or pointed at. */
async function findRun(word: string, runDir: string): Promise<string> {
  const { runNames } = await import("../../study/run-folders.js");
  const names = await runNames(runDir);
  if (names.includes(word)) return join(runDir, word);
  if (await exists(word)) return word;
  throw unknownRun(word, runDir, names, "see paceline runs ls, or give a path");
}

function unknownRun(word: string, runDir: string, names: readonly string[], remedy: string) {
  const hint = didYouMean(word, names);
  const rest = names.length === 0 ? "it holds none; check --run-dir" : remedy;
  return usage(`no run ${JSON.stringify(word)} in ${runDir}${hint}; ${rest}`);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

function demandOnce(names: readonly string[]): void {
  const twice = names.find((name, place) => names.indexOf(name) !== place);
  if (twice !== undefined) throw usage(`${twice} is named twice; name each run once`);
}
