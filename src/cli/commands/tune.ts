/** `paceline tune switch`: how much of a run to do in step before it goes on asynchronously. */

import { PacelineError } from "../../errors.js";
import { printable } from "../../report/progress.js";
import type { SearchResult } from "../../study/switch-search.js";
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
  arguments: ["<switch>"],
  verbs: [
    {
      name: "switch",
      words: "",
      sentence: "search the earliest switch from BSP to ASP that keeps BSP's accuracy",
    },
  ],
  extra: [
    {
      flags: "--replay <table.csv>",
      sentence: "take accuracies from a table with the columns share and accuracy",
    },
    { flags: "--margin <accuracy>", sentence: "accuracy that may be lost (default: 0.01)" },
    { flags: "--trials <count>", sentence: "shares that are tried (default: 5)" },
  ],
  examples: ["paceline tune switch --replay table.csv --margin 0.01 --json"],
  run: tune,
};

async function tune({ flags, options, io }: Call): Promise<number> {
  const margin = numberOf("--margin", flags.margin, 0.01, "a number from 0 to 1", (value) => {
    return value >= 0 && value <= 1;
  });
  const trialsMax = numberOf(
    "--trials",
    flags.trials,
    5,
    "a whole number from 1 to 50",
    (value) => {
      return Number.isInteger(value) && value >= 1 && value <= 50;
    },
  );
  if (flags.replay === undefined) {
    throw usage(
      "paceline tune switch needs --replay table.csv; write the accuracies measured there",
    );
  }
  const { lookUp, readSwitchTable } = await import("../../study/switch-table.js");
  const { percent, searchSwitch } = await import("../../study/switch-search.js");
  const table = await readSwitchTable(String(flags.replay));
  const result = await searchSwitch({ margin, trialsMax }, (share) => lookUp(table, share));
  if (options.json) {
    io.stdout.write(`${JSON.stringify(reportOf(result, margin))}\n`);
    return 0;
  }
  for (const { reason } of options.quiet ? [] : result.trials) {
    io.stderr.write(`${printable(reason)}\n`);
  }
  io.stdout.write(`switch at ${percent(result.share)} of the work\n`);
  return 0;
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
