/**
 * Runs a suite: one cell after the other as a process of its own, in the order of priorities, so
 * that cells never share the machine. What is finished is skipped, what is half-finished goes on
 * from its checkpoint, and a cell that fails stops no other.
 */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { stringify } from "yaml";
import { errorCodes, PacelineError, toPacelineError } from "../errors.js";
import { diskFiles, type Files, writeTextAtomically } from "../store/files.js";
import { readExperimentFile } from "../store/runs/experiment-file.js";
import { type CellExit, CellProcess, logTail } from "./cell-process.js";
import type { Cell } from "./cells.js";
import type { OptionTexts, Priority } from "./matrix.js";
import {
  type CellRecord,
  type Decision,
  decide,
  durationText,
  estimateSeconds,
  isCrowded,
  type Measured,
  orderCells,
  remainingSeconds,
} from "./suite-plan.js";
import {
  type CellOnDisk,
  isRunning,
  lookAtCell,
  readSuiteState,
  reasonOfRun,
  type SuiteFolder,
  type SuiteState,
  writeSuiteState,
} from "./suite-state.js";

/** What a suite is run with. */
export interface SuiteSetup {
  readonly matrixPath: string;
  readonly cells: readonly Cell[];
  readonly folder: SuiteFolder;
  /** The compiled program of the command line. */
  readonly entry: string;
  /** What the cells' processes inherit. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cores: number;
  /** Only cells at or above it; null for all. */
  readonly least: Priority | null;
  readonly retryFailed: boolean;
  readonly log: (line: string) => void;
  readonly clock: { readonly nowMs: () => number; readonly isoTime: () => string };
  readonly files?: Files;
}

/** A cell with what is to be done with it. */
export interface PlannedCell {
  readonly cell: Cell;
  readonly decision: Decision;
  readonly disk: CellOnDisk;
}

/** How a suite ended. */
export interface SuiteOutcome {
  readonly failed: readonly string[];
  /** The signal that stopped it. */
  readonly signal: NodeJS.Signals | null;
}

const lastLinesCount = 5;

/** Decides over all cells, in the order in which they will run. Nothing is changed. */
export async function planSuite(
  setup: Pick<SuiteSetup, "cells" | "folder" | "least" | "retryFailed" | "files">,
): Promise<PlannedCell[]> {
  const { cells, folder, least, retryFailed, files } = setup;
  const state = await readSuiteState(folder, files);
  const planned: PlannedCell[] = [];
  for (const cell of orderCells(cells, least)) {
    const disk = await lookAtCell(folder, cell, state, files);
    planned.push({ cell, disk, decision: decide(cell, disk, retryFailed) });
  }
  return planned;
}

/** A suite on its way. */
export class SuiteRun {
  readonly #setup: SuiteSetup;
  readonly #files: Files;
  readonly #measured: Measured[] = [];
  #state: SuiteState = { matrix: "", pid: null, cells: {} };
  #current: CellProcess | null = null;
  #signal: NodeJS.Signals | null = null;

  constructor(setup: SuiteSetup) {
    this.#setup = setup;
    this.#files = setup.files ?? diskFiles;
  }

  /** Passes a signal to the cell that runs, which saves and stops, and runs no other. */
  interrupt(signal: NodeJS.Signals): void {
    this.#signal ??= signal;
    // A cell has no terminal, so a hang-up means nothing to it.
    this.#current?.signal(signal === "SIGHUP" ? "SIGTERM" : signal);
  }

  /** Runs what is to be run. What forbids any of it is a `usage` error before anything is. */
  async run(): Promise<SuiteOutcome> {
    const { folder, matrixPath, log } = this.#setup;
    this.#state = await readSuiteState(folder, this.#files);
    this.#refuseSecond();
    const planned = await planSuite(this.#setup);
    const blocked = planned.find(({ decision }) => decision.kind === "blocked");
    if (blocked !== undefined) {
      const { cell, decision } = blocked;
      throw new PacelineError("usage", `${cell.name} can't be run: ${decision.reason}`);
    }
    this.#refuseOtherSuite(planned);
    await this.#files.makeFolder(folder.cellsPath);
    await this.#files.makeFolder(folder.runsPath);
    await this.#keep({ matrix: realPathOf(matrixPath), pid: process.pid });
    for (const { cell, disk, decision } of planned)
      if (decision.kind === "skip") this.#measure(cell, disk);
    const failed: string[] = [];
    try {
      for (const [index, one] of planned.entries()) {
        if (this.#signal !== null) break;
        const left = planned.slice(index + 1);
        const told = `[${index + 1}/${planned.length}] ${one.cell.name}`;
        if (!(await this.#carryOut(one, told, left))) failed.push(one.cell.name);
      }
    } finally {
      await this.#keep({ pid: null });
    }
    if (this.#signal !== null) log(`stopped by ${this.#signal}; run it again to continue`);
    return { failed, signal: this.#signal };
  }

  #refuseSecond(): void {
    const { pid } = this.#state;
    if (pid === null || pid === process.pid || !isRunning(pid, "experiments")) return;
    const { path } = this.#setup.folder;
    const sentence = `process ${pid} runs a suite in ${path}`;
    throw new PacelineError("usage", `${sentence}; wait until it ends, or stop it`);
  }

  /** Two matrices in one folder would write over each other's results and half-finished runs. */
  #refuseOtherSuite(planned: readonly PlannedCell[]): void {
    const { folder, matrixPath } = this.#setup;
    const own = realPathOf(matrixPath);
    for (const { cell, decision, disk } of planned) {
      const matrix = disk.record?.matrix ?? this.#state.matrix;
      if (matrix === "" || realPathOf(matrix) === own) continue;
      const lost = lostBy(folder, cell, decision, disk);
      if (lost === null) continue;
      const sentence = `${lost} of ${matrix}`;
      throw new PacelineError("usage", `${sentence}; choose another --results-dir, or remove it`);
    }
  }

  /** Does what was decided; false when the cell is not done. */
  async #carryOut(
    { cell, decision, disk }: PlannedCell,
    told: string,
    left: readonly PlannedCell[],
  ): Promise<boolean> {
    const { log } = this.#setup;
    const { kind, reason } = decision;
    if (kind === "skip" || kind === "leave") {
      log(`${told}: ${reason}${kind === "skip" ? "; skipped" : "; --retry-failed runs it again"}`);
      return kind === "skip";
    }
    const seconds = estimateSeconds(cell.facts, this.#measured);
    const about = seconds === null ? "" : `, takes about ${durationText(seconds)}`;
    const crowded = isCrowded(cell.facts, this.#setup.cores) ? ", more workers than cores" : "";
    const why = reason === "waiting" ? "started" : reason;
    log(`${told}: ${why}${about}${crowded}`);
    const record =
      kind === "collect" ? await this.#collect(cell) : await this.#train(cell, kind === "resume");
    await this.#record(cell, record);
    if (record.state !== "done") {
      log(`${told}: ${record.state}: ${record.error}`);
      for (const line of record.lastLines) log(`    ${line}`);
      if (record.state === "failed") log(`    whole log: ${this.#setup.folder.logPath(cell.name)}`);
      return false;
    }
    const after = await lookAtCell(this.#setup.folder, cell, this.#state, this.#files);
    this.#measure(cell, { ...disk, ...after });
    const accuracy = after.study?.accuracyPercent ?? null;
    const result = accuracy === null ? "" : `, ${accuracy.toFixed(2)} % of the test set`;
    log(`${told}: done in ${durationText(record.seconds)}${result}${this.#whatIsLeft(left)}`);
    return true;
  }

  #whatIsLeft(planned: readonly PlannedCell[]): string {
    const left = planned.filter(({ decision: { kind } }) => kind !== "skip" && kind !== "leave");
    if (left.length === 0) return "";
    const seconds = remainingSeconds(
      left.map(({ cell }) => cell),
      this.#measured,
    );
    const about = seconds === null ? "" : `, about ${durationText(seconds)}`;
    return `; ${left.length} ${left.length === 1 ? "cell" : "cells"} left${about}`;
  }

  /** Trains, from a checkpoint if asked for; one that turns out unusable is given up. */
  async #train(cell: Cell, resumes: boolean): Promise<CellRecord> {
    const { record, exit } = await this.#attempt(cell, resumes);
    if (!resumes || exit.code !== errorCodes.checkpoint.exitCode) return record;
    this.#setup.log(`${cell.name}: ${record.error}: starts over`);
    return (await this.#attempt(cell, false)).record;
  }

  async #attempt(cell: Cell, resumes: boolean): Promise<{ record: CellRecord; exit: CellExit }> {
    const { folder, entry, environment, clock, cores } = this.#setup;
    const { name, fingerprint } = cell;
    const earlier = this.#state.cells[name];
    const isSame = earlier?.fingerprint === fingerprint;
    const config = folder.configPath(name);
    if (!resumes) await this.#files.remove(folder.runPath(name));
    await writeTextAtomically(this.#files, config, configText(cell));
    const words = ["train", config, "--run-dir", folder.runsPath];
    words.push(...(resumes ? ["--resume", name] : ["--name", name]));
    const logPath = folder.logPath(name);
    const startedMs = clock.nowMs();
    const child = new CellProcess({ entry, words, environment, logPath, appends: resumes });
    this.#current = child;
    if (this.#signal !== null) child.signal(this.#signal);
    const record: CellRecord = {
      state: "running",
      fingerprint,
      matrix: this.#state.matrix,
      attempts: (isSame ? earlier.attempts : 0) + 1,
      seconds: resumes ? (earlier?.seconds ?? 0) : 0,
      runFolder: `runs/${name}`,
      crowded: isCrowded(cell.facts, cores),
      resumed: resumes,
      error: null,
      lastLines: [],
      pid: child.pid,
      startedAt: clock.isoTime(),
    };
    try {
      await this.#record(cell, record);
    } catch (thrown) {
      child.signal("SIGTERM");
      await child.ended;
      throw thrown;
    }
    const exit = await child.ended;
    this.#current = null;
    const seconds = record.seconds + (clock.nowMs() - startedMs) / 1000;
    return { record: await this.#concluded(cell, { ...record, seconds, pid: null }, exit), exit };
  }

  async #concluded(cell: Cell, record: CellRecord, exit: CellExit): Promise<CellRecord> {
    const { folder } = this.#setup;
    if (exit.code === 0) return this.#collect(cell, record);
    if ((exit.code ?? 0) > 128 || exit.signal !== null) {
      const error = exit.signal === null ? "stopped by a signal" : `ended by ${exit.signal}`;
      return { ...record, state: "interrupted", error };
    }
    const told = await reasonOfRun(folder.runPath(cell.name), this.#files);
    const lastLines = logTail(folder.logPath(cell.name), lastLinesCount);
    return { ...record, state: "failed", error: exitReason(exit, told), lastLines };
  }

  /** Puts the run's result among the results, under the cell's name. */
  async #collect(cell: Cell, attempted: CellRecord | null = null): Promise<CellRecord> {
    const { folder, cores } = this.#setup;
    const { name, fingerprint, run } = cell;
    const known = attempted ?? this.#state.cells[name]!;
    const record = { ...known, pid: null, error: null, lastLines: [] };
    const path = `${folder.runPath(name)}/result.json`;
    try {
      const file = await readExperimentFile(path, this.#files);
      const { attempts, resumed } = record;
      const paceline = {
        ...(file.paceline as object | undefined),
        ...{ crowded: isCrowded(cell.facts, cores), fingerprint, run, attempts, resumed },
      };
      const named = { ...file, experiment_name: name, paceline };
      const text = `${JSON.stringify(named, null, 2)}\n`;
      await writeTextAtomically(this.#files, folder.resultPath(name), text);
    } catch (thrown) {
      return { ...record, state: "failed", error: toPacelineError(thrown).message };
    }
    return { ...record, state: "done" };
  }

  #measure(cell: Cell, { record, study, epochExamples }: CellOnDisk): void {
    const seconds = record?.seconds || (study?.seconds ?? null);
    if (seconds !== null) this.#measured.push({ facts: cell.facts, seconds, epochExamples });
  }

  #record({ name }: Cell, record: CellRecord): Promise<void> {
    return this.#keep({ cells: { ...this.#state.cells, [name]: record } });
  }

  async #keep(changes: Partial<SuiteState>): Promise<void> {
    this.#state = { ...this.#state, ...changes };
    await writeSuiteState(this.#setup.folder, this.#state, this.#files);
  }
}

/** The one name of a file that several paths may lead to; where it is gone, the path made whole. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}

/** What of a cell is written over or cleared away when it is done as decided; null for nothing. */
function lostBy(
  folder: SuiteFolder,
  { name, fingerprint }: Cell,
  { kind }: Decision,
  { record, result, run }: CellOnDisk,
): string | null {
  if (kind !== "begin" && kind !== "resume" && kind !== "collect") return null;
  if (result.kind === "file") return `${folder.resultPath(name)} is a result`;
  const isOther = record !== null && record.fingerprint !== fingerprint;
  const isHalf = isOther && run.checkpointStep !== null;
  return isHalf ? `${folder.runPath(name)} is a half-finished run` : null;
}

/** An exit code in words: the run's own where it left any, else what the code stands for. */
function exitReason({ code, problem }: CellExit, told: string | null): string {
  if (problem !== null) return `it could not be started: ${problem}`;
  const meanings = Object.values(errorCodes).filter(({ exitCode }) => exitCode === code);
  const meaning = meanings.length === 1 ? meanings[0]!.meaning : "the run failed";
  return `exit code ${code}: ${told ?? meaning}`;
}

function configText({ name, values }: { name: string; values: OptionTexts }): string {
  const plain = (text: string) => (String(Number(text)) === text ? Number(text) : text);
  const entries = [...values].map(([option, text]) => [option, plain(text)]);
  return `# The options of ${name}.\n${stringify(Object.fromEntries(entries))}`;
}
