/**
 * `paceline tune switch RUN.yaml`: the search with runs of its own, one after the other as the
 * cells of a suite. So it goes on where it was interrupted, and what is done is not done again.
 */
import { join } from "node:path";
import { stringify } from "yaml";
import { defaultMode } from "../../core/sync/modes.js";
import { PacelineError } from "../../errors.js";
import { withoutOptions } from "../../options/options.js";
import { usableCores } from "../../runtime/process/cores.js";
import { diskFiles, writeTextAtomically } from "../../store/files.js";
import { lockFolder } from "../../store/runs/folder-lock.js";
import { readTextFile, readYaml } from "../../store/yaml-file.js";
import { type Cell, expandMatrix } from "../../study/cells.js";
import { readMatrixText } from "../../study/matrix.js";
import { planSuite } from "../../study/suite-book.js";
import { SuiteRun } from "../../study/suite-run.js";
import { SuiteFolder } from "../../study/suite-state.js";
import { type Measured, percent, type SearchResult } from "../../study/switch-search.js";
import { reasonOf } from "../../system-reason.js";
import { onSignals } from "../signals.js";
import type { Call } from "./command-plan.js";
import { TableOfRuns } from "./experiments-suite.js";

/** What the runs of a search are. */
export interface TunedRuns {
  /** A file of options of `paceline train`. */
  readonly path: string;
  /** Runs of each share, with seeds that follow each other. */
  readonly repeats: number;
  /** The folder of results, made if it is not there. */
  readonly folder: string;
}

/** Options that say how workers keep pace, which the search chooses. */
const chosen = ["mode", "plan", "switch-order", "train-steps", "hparams", "ckpt-frequency"];

/** Carries runs out for a search; one at a time in a folder. */
export class RunsOfSearch {
  /** By share the accuracies of its runs, as fractions. */
  readonly accuracies = new Map<number, readonly number[]>();
  /** The signal that stopped the runs. */
  signal: NodeJS.Signals | null = null;
  readonly #runs: TunedRuns;
  readonly #io: Call["io"];
  readonly #folder: SuiteFolder;
  readonly #base: Readonly<Record<string, unknown>>;
  readonly #rules: unknown;
  #subtitle = "";

  /** @throws PacelineError `usage` where the file is none of a run, or says how to keep pace. */
  constructor(runs: TunedRuns, io: Call["io"]) {
    this.#runs = runs;
    this.#io = io;
    this.#folder = new SuiteFolder(runs.folder);
    const { when, ...base } = contentOf(runs.path);
    const own = chosen.find((name) => name in base);
    if (own !== undefined) {
      const sentence = `${own} in ${runs.path} is what paceline tune switch tries`;
      throw usage(`${sentence}; leave it out`);
    }
    [this.#base, this.#rules] = [base, when];
    // What is wrong with the options is known before anything runs.
    const mode = this.#cellsOf(1)[0]!.facts.mode;
    if (mode === defaultMode) return;
    // A group, a rule or the environment may say it too.
    const sentence = `${runs.path} keeps pace by ${mode}, and what paceline tune switch tries`;
    const remedy = "leave the mode out, there and in the environment";
    throw usage(`${sentence} begins as ${defaultMode}; ${remedy}`);
  }

  /** Has a share's runs carried out, those aside that are done. */
  async measure(share: number): Promise<Measured> {
    const cells = this.#cellsOf(share);
    const { facts } = cells[0]!;
    const workers = facts.workers === 1 ? "1 worker" : `${facts.workers} workers`;
    this.#subtitle = `${facts.model} on ${facts.data}, ${workers}`;
    await this.#carryOut(cells);
    const planned = await planSuite({ ...this.#suite(cells), files: diskFiles });
    const accuracies = planned.map(({ cell, disk }) => {
      const accuracy = disk.study?.accuracyPercent ?? null;
      if (accuracy !== null) return Number((accuracy / 100).toFixed(6));
      throw usage(`${cell.name} has no accuracy; let it be evaluated, as --eval-every 1e does`);
    });
    this.accuracies.set(share, accuracies);
    const sum = accuracies.reduce((total, one) => total + one, 0);
    return { share, accuracy: sum / accuracies.length, runs: accuracies.length };
  }

  /** Writes the table that --replay reads, and the chart; resolves to their paths. */
  async keep({ share, reference }: SearchResult, margin: number): Promise<readonly string[]> {
    const rows = [...this.accuracies].flatMap(([of, values]) => {
      return values.map((accuracy) => `${of},${accuracy}`);
    });
    const table = join(this.#folder.path, "switch.csv");
    await writeTextAtomically(diskFiles, table, `share,accuracy\n${rows.join("\n")}\n`);
    const { writeCharts } = await import("../../study/chart/draw-charts.js");
    const { switchChart } = await import("../../study/chart/switch-chart.js");
    const { accuracies } = this;
    const wanted = reference.accuracy - margin;
    const chart = switchChart({ subtitle: this.#subtitle, accuracies, found: share, wanted });
    const outputDir = this.#folder.chartsPath;
    const pictures = await writeCharts([chart], { outputDir, files: diskFiles });
    return [table, ...pictures];
  }

  /** The cells of a share; BSP alone and another share are there for equal names. */
  #cellsOf(share: number): Cell[] {
    const planOf = (of: number) => (of === 1 ? "none" : `bsp:${percent(of)},asp`);
    const wanted = share === 0 ? "asp" : planOf(share);
    const include = [{ plan: planOf(1) }, { plan: share === 1 ? planOf(0.5) : wanted }];
    const rules = this.#rules === undefined ? {} : { when: this.#rules };
    const text = stringify({ repeats: this.#runs.repeats, base: this.#base, include, ...rules });
    const options = new TableOfRuns(this.#io.environment);
    const { cells } = expandMatrix(readMatrixText(text, this.#runs.path, options), options);
    const print = cells.map((cell) => cell.facts.print("plan"));
    const [alone] = print;
    return cells.filter((_, index) => (print[index] === alone) === (share === 1));
  }

  #suite(cells: readonly Cell[]) {
    return { cells, folder: this.#folder, least: null, retryFailed: true };
  }

  async #carryOut(cells: readonly Cell[]): Promise<void> {
    const log = (line: string) => void this.#io.stderr.write(`${line}\n`);
    const run = new SuiteRun({
      ...this.#suite(cells),
      matrixPath: this.#runs.path,
      entry: process.argv[1] as string,
      environment: withoutOptions(this.#io.environment, ["dataDir", "cacheDir"]),
      cores: usableCores(),
      log,
      clock: { nowMs: () => performance.now(), isoTime: () => new Date().toISOString() },
    });
    await diskFiles.makeFolder(this.#folder.path);
    const lock = await lockFolder(this.#folder.path);
    const release = onSignals((signal) => run.interrupt(signal));
    try {
      const { failed, signal } = await run.run();
      this.signal = signal;
      if (signal !== null) throw usage(`stopped by ${signal}; run it again to go on`);
      if (failed.length === 0) return;
      const sentence = `the search needs ${failed.join(", ")}, which failed`;
      throw usage(`${sentence}; mend what its log says and run the same command again`);
    } finally {
      release();
      await lock.release();
    }
  }
}

function contentOf(path: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readTextFile(path);
  } catch (cause) {
    if (cause instanceof PacelineError) throw cause;
    const sentence = `${path} can't be read (${reasonOf(cause)})`;
    throw new PacelineError("usage", `${sentence}; give a file of options, or --replay table.csv`, {
      cause,
    });
  }
  const { content } = readYaml(text, path);
  if (typeof content === "object" && content !== null && !Array.isArray(content)) {
    return content as Record<string, unknown>;
  }
  throw usage(`${path} is no file of options; write lines such as model: mlp`);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
