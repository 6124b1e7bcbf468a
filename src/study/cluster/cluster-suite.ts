/**
 * Runs a suite on a cluster that serves: cells become jobs, in the order of priorities, and when
 * one has ended the records of its run come here, so that results, reports and charts lie as they
 * do after a suite on this machine. How many jobs run at a time is the coordinator's to say.
 *
 * Invariant: a job's name is in suite.json before the job is submitted, and no other attempt has
 * it. So a suite that was killed finds its jobs again, and submits none of them twice.
 */
import { randomBytes } from "node:crypto";
import { toPacelineError } from "../../errors.js";
import type { JobSummary } from "../../protocol/run-events.js";
import { diskFiles, type Files, writeTextAtomically } from "../../store/files.js";
import type { Cell } from "../cells.js";
import {
  type BookSetup,
  configText,
  type PlannedCell,
  SuiteBook,
  type SuiteOutcome,
} from "../suite-book.js";
import type { CellRecord } from "../suite-plan.js";
import { fetchRecords } from "./fetch-records.js";
import type { ClusterSize, JobCluster } from "./job-cluster.js";

/** What a suite is run with on a cluster. */
export interface ClusterSuiteSetup extends Omit<BookSetup, "cores"> {
  readonly cluster: JobCluster;
  /** What it had when it was first asked. */
  readonly size: ClusterSize;
  readonly isoTime: () => string;
  /** Between two looks at the jobs; a second if left out. */
  readonly lookMs?: number;
  /** So many jobs wait or run at a time; 50 if left out. */
  readonly aheadMax?: number;
}

/** Few enough: a coordinator forgets a job when 200 others have ended. */
const aheadDefault = 50;
const lookDefaultMs = 1000;
const lastLinesCount = 5;

/** A cell whose job is not over. */
interface OpenCell extends PlannedCell {
  /** How messages begin. */
  readonly told: string;
  /** Its job was taken, or may have been; null before. */
  job: string | null;
  /** What was said last of it. */
  said: string;
}

/** A suite on its way through a cluster. */
export class ClusterSuite {
  readonly #setup: ClusterSuiteSetup;
  readonly #files: Files;
  readonly #book: SuiteBook;
  #signal: NodeJS.Signals | null = null;
  #wake: () => void = () => {};

  constructor(setup: ClusterSuiteSetup) {
    this.#setup = setup;
    this.#files = setup.files ?? diskFiles;
    this.#book = new SuiteBook({ ...setup, cores: Number.POSITIVE_INFINITY });
  }

  /** Looks on no longer; jobs stay with the cluster. */
  interrupt(signal: NodeJS.Signals): void {
    this.#signal ??= signal;
    this.#wake();
  }

  /**
   * Runs what is to be run.
   * @throws PacelineError before anything is submitted where something forbids it, later where the
   *   cluster stays away.
   */
  async run(): Promise<SuiteOutcome> {
    const planned = await this.#book.open();
    try {
      await this.#book.identify(randomBytes(4).toString("hex"));
      const { failed, open } = await this.#begin(planned);
      this.#tellShort(open);
      while (open.size > 0 && this.#signal === null) {
        failed.push(...(await this.#look(open)));
        if (open.size > 0) await this.#pause();
      }
      if (this.#signal !== null) this.#tellLeft(open);
      return { failed, signal: this.#signal };
    } finally {
      await this.#book.close();
    }
  }

  /** Settles what needs no job; the rest is open. */
  async #begin(planned: readonly PlannedCell[]) {
    const { log } = this.#setup;
    const failed: string[] = [];
    const open = new Map<string, OpenCell>();
    for (const [index, one] of planned.entries()) {
      const { cell, decision } = one;
      const { kind, reason } = decision;
      const told = `[${index + 1}/${planned.length}] ${cell.name}`;
      if (kind === "skip" || kind === "leave") {
        log(
          `${told}: ${reason}${kind === "skip" ? "; skipped" : "; --retry-failed runs it again"}`,
        );
        if (kind === "leave") failed.push(cell.name);
      } else if (kind === "collect") {
        const left = planned.slice(index + 1);
        const record = await this.#book.collect(cell);
        if (!(await this.#book.conclude(cell, record, told, left))) failed.push(cell.name);
      } else {
        await this.#cancelFormer(one);
        const job = kind === "follow" ? decision.job : null;
        open.set(cell.name, { ...one, told, job, said: "" });
      }
    }
    return { failed, open };
  }

  /** A job that was begun with other options is of no use any more. */
  async #cancelFormer({ cell, decision }: PlannedCell): Promise<void> {
    const former = this.#book.recordOf(cell);
    if (decision.kind === "follow" || former?.state !== "running" || former.job === null) return;
    await this.#setup.cluster.cancel(former.job);
  }

  /** Says which cells need more members than there are. */
  #tellShort(open: ReadonlyMap<string, OpenCell>): void {
    const { cluster, size, log } = this.#setup;
    for (const { told, cell } of open.values()) {
      const { workersAtStart, servers } = cell.facts;
      if (workersAtStart <= size.workers && servers <= size.servers) continue;
      const wanted = `${workersAtStart} workers and ${servers} servers`;
      const there = `${size.workers} and ${size.servers}`;
      log(`${told}: needs ${wanted}, ${cluster.where} has ${there}: waits until more come`);
    }
  }

  /** Sees to each open cell once; names of those that have failed are returned. */
  async #look(open: Map<string, OpenCell>): Promise<string[]> {
    const jobs = await this.#setup.cluster.jobs();
    const failed: string[] = [];
    const { aheadMax = aheadDefault } = this.#setup;
    let [ahead, toldWaiting] = [0, false];
    for (const one of [...open.values()]) {
      if (this.#signal !== null) break;
      const job = one.job === null ? undefined : jobs.get(one.job);
      const isOn = job?.state === "queued" || job?.state === "running";
      if (isOn || job === undefined) ahead++;
      if (job === undefined && ahead > aheadMax) continue;
      if (isOn) {
        // What the first of them waits for the others wait for too.
        if (job.state === "running" || !toldWaiting) this.#tell(one, job);
        toldWaiting ||= job.state === "queued";
        continue;
      }
      const record =
        job === undefined ? await this.#submit(one) : await this.#recordOf(one.cell, job);
      if (record === null) continue;
      open.delete(one.cell.name);
      const isDone = await this.#book.conclude(one.cell, record, one.told, [...open.values()]);
      if (!isDone) failed.push(one.cell.name);
    }
    return failed;
  }

  #tell(one: OpenCell, { state, waitsFor }: JobSummary): void {
    const text = state === "running" ? "runs" : waitsFor;
    if (text === "" || text === one.said) return;
    one.said = text;
    this.#setup.log(`${one.told}: job ${one.job} ${text}`);
  }

  /** Gives a cell to the cluster; where that refuses it, how the cell has ended. */
  async #submit(one: OpenCell): Promise<CellRecord | null> {
    const { cluster, folder, isoTime, log } = this.#setup;
    const { cell, told } = one;
    if (one.job === null) {
      await this.#files.remove(folder.runPath(cell.name));
      await this.#book.writeConfig(cell);
      const job = await this.#book.nextJob(cell);
      const begun = { pid: null, job, startedAt: isoTime(), resumed: false };
      await this.#book.record(cell, this.#book.attemptOf(cell, begun));
      one.job = job;
    }
    const { job } = one;
    try {
      await cluster.submit(job, configText(cell));
    } catch (thrown) {
      const { code, message, retryable } = toPacelineError(thrown);
      if (retryable || code === "internal") throw thrown;
      await writeTextAtomically(this.#files, folder.logPath(cell.name), `${message}\n`);
      const error = `${cluster.where} refuses it: ${message}`;
      return { ...this.#book.recordOf(cell)!, state: "failed", error, job: null };
    }
    log(`${told}: ${whyOf(one)}is job ${job} of ${cluster.where}`);
    return null;
  }

  /** What a cell has come to, whose job has ended. */
  async #recordOf(cell: Cell, summary: JobSummary): Promise<CellRecord> {
    const { cluster, folder } = this.#setup;
    const { name: job, state, reason, result, startedAt, endedAt } = summary;
    const spentMs = Date.parse(endedAt ?? "") - Date.parse(startedAt ?? "");
    const seconds = Number.isFinite(spentMs) ? Math.max(0, spentMs) / 1000 : 0;
    const record = { ...this.#book.recordOf(cell)!, seconds, job };
    const interrupted = {
      state: "interrupted",
      error: `its job was ${reason}`,
      job: null,
    } as const;
    if (state === "cancelled") return { ...record, ...interrupted };
    let lastLines: string[];
    try {
      const lines = await fetchRecords(job, cluster, folder, cell.name, this.#files);
      lastLines = lines.slice(-lastLinesCount);
    } catch (thrown) {
      const { code, message } = toPacelineError(thrown);
      if (code !== "refused" && code !== "protocol") throw thrown;
      return { ...record, state: "failed", error: `its records can't be had: ${message}` };
    }
    if (state === "done") return this.#book.collect(cell, record);
    return {
      ...record,
      state: "failed",
      error: `exit code ${result?.exitCode}: ${reason}`,
      lastLines,
    };
  }

  #tellLeft(open: ReadonlyMap<string, OpenCell>): void {
    const { cluster, log } = this.#setup;
    const jobs = [...open.values()].flatMap(({ job }) => (job === null ? [] : [job]));
    log(`stopped by ${this.#signal}; run it again to continue`);
    if (jobs.length === 0) return;
    const remedy = "paceline jobs cancel NAME ends one";
    log(`${cluster.where} goes on with ${jobs.join(", ")}; ${remedy}`);
  }

  async #pause(): Promise<void> {
    if (this.#signal !== null) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#setup.lookMs ?? lookDefaultMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Why a cell is begun, unless it simply waited. */
function whyOf({ decision }: PlannedCell): string {
  if (decision.kind === "resume") return "half-finished on this machine, starts over there: ";
  return decision.kind === "follow" || decision.reason === "waiting" ? "" : `${decision.reason}: `;
}
