/** `paceline tune switch`: how much of a run to do in step before it goes on asynchronously. */

import { PacelineError } from "../../errors.js";
import { printable } from "../../report/progress.js";
import { percent, type SearchResult } from "../../study/switch-search.js";
import { signalExitCode } from "../signals.js";
import type { Call, CommandPlan } from "./command-plan.js";

/** What `paceline tune switch --json` prints. */
export interface TuneReport {
  /** The least share that keeps BSP's accuracy, in percent of the work. */
  readonly switch_percent: number;
  /** BSP's mean accuracy, as a fraction. */
  readonly bsp_accuracy: number;
  readonly margin: number;
  readonly tried: readonly {
    readonly percent: number;
    /** The share whose accuracy it is. */
    readonly measured_percent: number;
    readonly accuracy: number;
    readonly runs: number;
    readonly enough: boolean;
  }[];
}

/** The command. */
export const tunePlan: CommandPlan = {
  name: "tune",
  sentence: "find how much of a run to do in step before it goes on asynchronously",
  options: "tune",
  arguments: ["<switch>", "[run.yaml]"],
  verbs: [
    {
      name: "switch",
      words: "[RUN]",
      sentence: "search the earliest switch from BSP to ASP that keeps BSP's accuracy",
    },
  ],
  extra: [
    {
      flags: "--replay <table.csv>",
      sentence: "take accuracies from a table with the columns share and accuracy, and run nothing",
    },
    { flags: "--runs <count>", sentence: "runs of each share (default: 1)" },
    {
      flags: "--results-dir <folder>",
      sentence: "folder for runs, table and chart (default: tune_results)",
    },
    { flags: "--margin <accuracy>", sentence: "accuracy that may be lost (default: 0.01)" },
    { flags: "--trials <count>", sentence: "shares that are tried (default: 5)" },
  ],
  examples: [
    "paceline tune switch digits.yaml --runs 3 --margin 0.01",
    "paceline tune switch --replay table.csv --margin 0.01 --json",
  ],
  run: tune,
};

async function tune({ words, flags, options, io }: Call): Promise<number> {
  const margin = numberOf("--margin", flags.margin, 0.01, "a number from 0 to 1", (value) => {
    return value >= 0 && value <= 1;
  });
  const trialsMax = countOf("--trials", flags.trials, 5, 50);
  const repeats = countOf("--runs", flags.runs, 1, 100);
  const [, path] = words;
  const { searchSwitch } = await import("../../study/switch-search.js");
  const settings = { margin, trialsMax };
  const told = { margin, options, io };
  if ((flags.replay === undefined) === (path === undefined)) {
    const given = path === undefined ? "neither" : "both";
    const sentence = `paceline tune switch takes a run's file or --replay, and got ${given}`;
    throw usage(`${sentence}; write paceline tune switch RUN.yaml, or --replay table.csv`);
  }
  if (path === undefined) {
    const idle = [flags.runs && "--runs", flags.resultsDir && "--results-dir"].find(Boolean);
    if (idle) {
      const sentence = `${idle} has no effect beside --replay, which runs nothing`;
      throw usage(`${sentence}; leave it out`);
    }
    const { lookUp, readSwitchTable } = await import("../../study/switch-table.js");
    const table = await readSwitchTable(String(flags.replay));
    tell(await searchSwitch(settings, (share) => lookUp(table, share)), told);
    return 0;
  }
  const { RunsOfSearch } = await import("./tune-runs.js");
  const folder = String(flags.resultsDir ?? "tune_results");
  const runs = new RunsOfSearch({ path, repeats, folder }, io);
  try {
    const result = await searchSwitch(settings, (share) => runs.measure(share));
    for (const kept of await runs.keep(result, margin)) io.stderr.write(`${kept}\n`);
    tell(result, told);
    return 0;
  } catch (thrown) {
    if (runs.signal !== null) return signalExitCode(runs.signal);
    throw thrown;
  }
}

/** Prints the result, and why each share was enough or not. */
function tell(
  result: SearchResult,
  { margin, options, io }: Pick<Call, "options" | "io"> & { readonly margin: number },
): void {
  if (options.json) {
    io.stdout.write(`${JSON.stringify(reportOf(result, margin))}\n`);
    return;
  }
  for (const { reason } of options.quiet ? [] : result.trials) {
    io.stderr.write(`${printable(reason)}\n`);
  }
  io.stdout.write(`switch at ${percent(result.share)} of the work\n`);
}

function countOf(flag: string, written: unknown, otherwise: number, most: number): number {
  return numberOf(flag, written, otherwise, `a whole number from 1 to ${most}`, (value) => {
    return Number.isInteger(value) && value >= 1 && value <= most;
  });
}

function reportOf({ share, reference, trials }: SearchResult, margin: number): TuneReport {
  return {
    switch_percent: share * 100,
    bsp_accuracy: reference.accuracy,
    margin,
    tried: trials.map(({ asked, share: measured, accuracy, runs, isEnough }) => {
      const percents = { percent: asked * 100, measured_percent: measured * 100 };
      return { ...percents, accuracy, runs, enough: isEnough };
    }),
  };
}

function numberOf(
  flag: string,
  written: unknown,
  otherwise: number,
  wanted: string,
  isRight: (value: number) => boolean,
): number {
  if (written === undefined) return otherwise;
  const text = String(written);
  const value = Number(text);
  if (/^\d*\.?\d+$/.test(text) && isRight(value)) return value;
  throw usage(`${flag} ${text} is not ${wanted}; write ${wanted}`);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
