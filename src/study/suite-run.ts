/**
 * Runs a suite: one cell after the other as a process of its own, in the order of priorities, so
 * that cells never share the machine. What is finished is skipped, what is half-finished goes on
 * from its checkpoint, and a cell that fails stops no other.
 */
import { errorCodes } from "../errors.js";
import { diskFiles, type Files } from "../store/files.js";
import { type CellExit, CellProcess, logTail } from "./cell-process.js";
import type { Cell } from "./cells.js";
import { type BookSetup, type PlannedCell, SuiteBook, type SuiteOutcome } from "./suite-book.js";
import type { CellRecord } from "./suite-plan.js";
import { reasonOfRun } from "./suite-state.js";

/** What a suite is run with. */
export interface SuiteSetup extends BookSetup {
  /** The compiled program of the command line. */
  readonly entry: string;
  /** What the cells' processes inherit. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: { readonly nowMs: () => number; readonly isoTime: () => string };
}

const lastLinesCount = 5;

/** A suite on its way. */
export class SuiteRun {
  readonly #setup: SuiteSetup;
  readonly #files: Files;
  readonly #book: SuiteBook;
  #current: CellProcess | null = null;
  #signal: NodeJS.Signals | null = null;

  constructor(setup: SuiteSetup) {
    this.#setup = setup;
    this.#files = setup.files ?? diskFiles;
    this.#book = new SuiteBook(setup);
  }

  /** Passes a signal to the cell that runs, which saves and stops, and runs no other. */
  interrupt(signal: NodeJS.Signals): void {
    this.#signal ??= signal;
    // A cell has no terminal, so a hang-up means nothing to it.
    this.#current?.signal(signal === "SIGHUP" ? "SIGTERM" : signal);
  }

  /** Runs what is to be run. What forbids any of it is a `usage` error before anything is. */
  async run(): Promise<SuiteOutcome> {
    const planned = await this.#book.open();
    const failed: string[] = [];
    try {
      for (const [index, one] of planned.entries()) {
        if (this.#signal !== null) break;
        const left = planned.slice(index + 1);
        const told = `[${index + 1}/${planned.length}] ${one.cell.name}`;
        if (!(await this.#carryOut(one, told, left))) failed.push(one.cell.name);
      }
    } finally {
      await this.#book.close();
    }
    const { log } = this.#setup;
    if (this.#signal !== null) log(`stopped by ${this.#signal}; run it again to continue`);
    return { failed, signal: this.#signal };
  }

  /** Does what was decided; false when the cell is not done. */
  async #carryOut(
    { cell, decision }: PlannedCell,
    told: string,
    left: readonly PlannedCell[],
  ): Promise<boolean> {
    const { log } = this.#setup;
    const { kind, reason } = decision;
    if (kind === "skip" || kind === "leave") {
      log(`${told}: ${reason}${kind === "skip" ? "; skipped" : "; --retry-failed runs it again"}`);
      return kind === "skip";
    }
    const isElsewhere = kind === "follow" ? `${reason}, which is left there: starts over here` : "";
    const why = reason === "waiting" ? "started" : isElsewhere || reason;
    log(`${told}: ${why}${this.#book.prospectOf(cell)}`);
    const record =
      kind === "collect"
        ? await this.#book.collect(cell)
        : await this.#train(cell, kind === "resume");
    return this.#book.conclude(cell, record, told, left);
  }

  /** Trains, from a checkpoint if asked for; one that turns out unusable is given up. */
  async #train(cell: Cell, resumes: boolean): Promise<CellRecord> {
    const { record, exit } = await this.#attempt(cell, resumes);
    if (!resumes || exit.code !== errorCodes.checkpoint.exitCode) return record;
    this.#setup.log(`${cell.name}: ${record.error}: starts over`);
    return (await this.#attempt(cell, false)).record;
  }

  async #attempt(cell: Cell, resumes: boolean): Promise<{ record: CellRecord; exit: CellExit }> {
    const { folder, entry, environment, clock } = this.#setup;
    const { name } = cell;
    if (!resumes) await this.#files.remove(folder.runPath(name));
    const config = await this.#book.writeConfig(cell);
    const words = ["train", config, "--run-dir", folder.runsPath];
    words.push(...(resumes ? ["--resume", name] : ["--name", name]));
    const logPath = folder.logPath(name);
    const startedMs = clock.nowMs();
    const child = new CellProcess({ entry, words, environment, logPath, appends: resumes });
    this.#current = child;
    if (this.#signal !== null) child.signal(this.#signal);
    const begun = { pid: child.pid, job: null, startedAt: clock.isoTime(), resumed: resumes };
    const record = this.#book.attemptOf(cell, begun);
    try {
      await this.#book.record(cell, record);
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
    if (exit.code === 0) return this.#book.collect(cell, record);
    if ((exit.code ?? 0) > 128 || exit.signal !== null) {
      const error = exit.signal === null ? "stopped by a signal" : `ended by ${exit.signal}`;
      return { ...record, state: "interrupted", error };
    }
    const told = await reasonOfRun(folder.runPath(cell.name), this.#files);
    const lastLines = logTail(folder.logPath(cell.name), lastLinesCount);
    return { ...record, state: "failed", error: exitReason(exit, told), lastLines };
  }
}

/** An exit code in words: the run's own where it left any, else what the code stands for. */
function exitReason({ code, problem }: CellExit, told: string | null): string {
  if (problem !== null) return `it could not be started: ${problem}`;
  const meanings = Object.values(errorCodes).filter(({ exitCode }) => exitCode === code);
  const meaning = meanings.length === 1 ? meanings[0]!.meaning : "the run failed";
  return `exit code ${code}: ${told ?? meaning}`;
}
