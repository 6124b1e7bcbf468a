/**
 * What the runner of a suite keeps on the disk, wherever its cells are trained: their states, their
 * results, and how long they took. It refuses what two runners, or two matrices, would ruin in one
 * folder.
 */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { stringify } from "yaml";
import { PacelineError, toPacelineError } from "../errors.js";
import { diskFiles, type Files, writeTextAtomically } from "../store/files.js";
import { readExperimentFile } from "../store/runs/experiment-file.js";
import type { Cell } from "./cells.js";
import type { Priority } from "./matrix.js";
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
  nothingYet,
  readSuiteState,
  type SuiteFolder,
  type SuiteState,
  writeSuiteState,
} from "./suite-state.js";

/** A suite, and what of it is to be run. */
export interface BookSetup {
  readonly matrixPath: string;
  readonly cells: readonly Cell[];
  readonly folder: SuiteFolder;
  /** Of the machine that cells are trained on; infinite where each worker has one of its own. */
  readonly cores: number;
  /** Only cells at or above it; null for all. */
  readonly least: Priority | null;
  readonly retryFailed: boolean;
  readonly log: (line: string) => void;
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

/** Decides over all cells, in the order in which they will run. Nothing is changed. */
export async function planSuite(
  setup: Pick<BookSetup, "cells" | "folder" | "least" | "retryFailed" | "files">,
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

/** The book of a suite that is run. */
export class SuiteBook {
  readonly #setup: BookSetup;
  readonly #files: Files;
  readonly #measured: Measured[] = [];
  #state: SuiteState = nothingYet;

  constructor(setup: BookSetup) {
    this.#setup = setup;
    this.#files = setup.files ?? diskFiles;
  }

  /**
   * What is to be done. Nothing is changed but that this process runs the suite.
   * @throws PacelineError `usage` for what forbids any of it.
   */
  async open(): Promise<PlannedCell[]> {
    const { folder, matrixPath } = this.#setup;
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
    return planned;
  }

  /** No process runs the suite any more. */
  close(): Promise<void> {
    return this.#keep({ pid: null });
  }

  /** Gives the folder an id that it keeps, for the names of its jobs on clusters. */
  async identify(id: string): Promise<void> {
    if (this.#state.id === "") await this.#keep({ id });
  }

  /** A name for a cell's job that no other has, of this folder or another. */
  async nextJob({ name }: Pick<Cell, "name">): Promise<string> {
    const number = this.#state.jobs + 1;
    await this.#keep({ jobs: number });
    return jobName(name, `${this.#state.id}-${number}`);
  }

  recordOf({ name }: Pick<Cell, "name">): CellRecord | undefined {
    return this.#state.cells[name];
  }

  record({ name }: Pick<Cell, "name">, record: CellRecord): Promise<void> {
    return this.#keep({ cells: { ...this.#state.cells, [name]: record } });
  }

  /** A record of another attempt; a resumed one goes on with the seconds of those before. */
  attemptOf(cell: Cell, begun: Pick<CellRecord, "pid" | "job" | "startedAt" | "resumed">) {
    const { name, fingerprint, facts } = cell;
    const earlier = this.#state.cells[name];
    const isSame = earlier?.fingerprint === fingerprint;
    const record: CellRecord = {
      ...{ state: "running", fingerprint, error: null, lastLines: [] },
      matrix: this.#state.matrix,
      attempts: (isSame ? earlier.attempts : 0) + 1,
      seconds: begun.resumed ? (earlier?.seconds ?? 0) : 0,
      runFolder: `runs/${name}`,
      crowded: isCrowded(facts, this.#setup.cores),
      ...begun,
    };
    return record;
  }

  /** Writes the config that a cell is given. */
  async writeConfig(cell: Cell): Promise<string> {
    const path = this.#setup.folder.configPath(cell.name);
    await writeTextAtomically(this.#files, path, configText(cell));
    return path;
  }

  /** Puts the run's result among the results, under the cell's name. */
  async collect(cell: Cell, attempted: CellRecord | null = null): Promise<CellRecord> {
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

  /**
   * Keeps how a cell has ended, and tells it; false when it is not done.
   * @param left cells behind it.
   */
  async conclude(
    cell: Cell,
    record: CellRecord,
    told: string,
    left: readonly PlannedCell[],
  ): Promise<boolean> {
    const { folder, log } = this.#setup;
    await this.record(cell, record);
    if (record.state !== "done") {
      log(`${told}: ${record.state}: ${record.error}`);
      for (const line of record.lastLines) log(`    ${line}`);
      if (record.state === "failed") log(`    whole log: ${folder.logPath(cell.name)}`);
      return false;
    }
    const after = await lookAtCell(folder, cell, this.#state, this.#files);
    this.#measure(cell, after);
    const accuracy = after.study?.accuracyPercent ?? null;
    const result = accuracy === null ? "" : `, ${accuracy.toFixed(2)} % of the test set`;
    log(`${told}: done in ${durationText(record.seconds)}${result}${this.#whatIsLeft(left)}`);
    return true;
  }

  /** ", takes about 20 s, more workers than cores", as far as that is known. */
  prospectOf({ facts }: Cell): string {
    const seconds = estimateSeconds(facts, this.#measured);
    const about = seconds === null ? "" : `, takes about ${durationText(seconds)}`;
    const crowded = isCrowded(facts, this.#setup.cores) ? ", more workers than cores" : "";
    return `${about}${crowded}`;
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

  #measure(cell: Cell, { record, study, epochExamples }: CellOnDisk): void {
    const seconds = record?.seconds || (study?.seconds ?? null);
    if (seconds !== null) this.#measured.push({ facts: cell.facts, seconds, epochExamples });
  }

  async #keep(changes: Partial<SuiteState>): Promise<void> {
    this.#state = { ...this.#state, ...changes };
    await writeSuiteState(this.#setup.folder, this.#state, this.#files);
  }
}

/** The longest name of a run. */
const jobNameMax = 100;

/** A cell's name, shortened where it has to be, and what tells the job from others. */
export function jobName(cell: string, ending: string): string {
  return `${cell.slice(0, jobNameMax - ending.length - 1)}-${ending}`;
}

/** The options of a cell as a config file. */
export function configText({ name, values }: Pick<Cell, "name" | "values">): string {
  const plain = (text: string) => (String(Number(text)) === text ? Number(text) : text);
  const entries = [...values].map(([option, text]) => [option, plain(text)]);
  return `# The options of ${name}.\n${stringify(Object.fromEntries(entries))}`;
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
