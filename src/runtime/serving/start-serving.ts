/**
 * A coordinator that serves: takes jobs into a queue that outlives it, carries out as many at a
 * time as it may and members suffice for, and keeps idle members in a pool. Each job is a run with
 * a host, a term and a folder of its own.
 *
 * Invariant: what a submitter, a member or a run's folder hears of a job is durable in the queue
 * before, so that another coordinator goes on with every job that was taken and has not ended.
 */

import { join } from "node:path";
import { PacelineError, toPacelineError } from "../../errors.js";
import { type Clock, every, type Timer } from "../../host/clock.js";
import { CoordinatorHost } from "../../host/coordinator-host.js";
import type { MemberRole } from "../../protocol/identity.js";
import type {
  CoordinatorSnapshot,
  JobEvents,
  JobEventsRequest,
  Submission,
} from "../../protocol/run-events.js";
import { diskFiles, makeFolderDurably, removeAsides } from "../../store/files.js";
import { type KeptJob, queueLockName } from "../../store/queue-state.js";
import { type FolderLock, lockFolder } from "../../store/runs/folder-lock.js";
import { foreignLock } from "../../store/runs/run-directory.js";
import { folderServingStore, type ServingStore } from "../../store/serving-store.js";
import type { Listener, Transport } from "../../transport/transport.js";
import type { Observer } from "../observer.js";
import { processClock } from "../process/process-clock.js";
import { demandLoopback, type RoleParts } from "../role-settings.js";
import { openTransport } from "../role-transport.js";
import {
  type CarrierParts,
  type CoordinatorSettings,
  hostPartsOf,
  type RunRequest,
} from "../run-carrier.js";
import { demandPreparable } from "../run-preparation.js";
import type { RunSettings } from "../run-settings.js";
import { wantedAddress } from "../start-coordinator.js";
import { dismiss } from "./dismissal.js";
import { readRecordPart } from "./job-events.js";
import { chooseJob, idleReason } from "./job-policy.js";
import { hasEnded, JobQueue } from "./job-queue.js";
import { JobRun } from "./job-run.js";
import { MemberPlaces } from "./member-places.js";
import { type JobDesk, ServingFront } from "./serving-front.js";
import { type ServingSnapshot, servingPicture, summaryOf } from "./serving-picture.js";

/** Where a coordinator serves, and how much at a time. */
export interface ServingSettings extends CoordinatorSettings {
  /** The folder of runs, which has the queue. */
  readonly runDir: string;
  /** How many runs are on at a time; 1 if left out. */
  readonly jobsMax?: number;
  /**
   * A process on another machine that served from the folder is gone, as the user says; or
   * "elected", where this one is to serve in spite of any other.
   */
  readonly takeOver?: boolean | "elected";
}

/** What is around a coordinator that serves. */
export interface ServingParts extends RoleParts {
  /** Makes a run of a submitted configuration, or throws. */
  readonly readSubmitted: (configText: string) => RunRequest;
  /** Who looks on at the run of a job; nobody if left out. */
  readonly observersOf?: (name: string) => readonly Observer[];
  /** Where the queue and the states of runs are kept; in the folder of runs if left out. */
  readonly store?: ServingStore | undefined;
}

/** A coordinator that serves. */
export interface RunningServing {
  /** host:port bound. */
  readonly address: string;
  /** Resolves when it was interrupted, and its runs have stopped and its members left. */
  serve(): Promise<void>;
  /** Runs are saved and stop, and the queue stays; true if it was the first time. */
  interrupt(reason: string): boolean;
  /** The present picture. */
  snapshot(): ServingSnapshot;
  /** Resolves when all that the runs' folders were given is there, or could not be brought. */
  flush(): Promise<void>;
  /** Stops listening and ends every session. */
  close(): Promise<void>;
}

/**
 * Starts to serve, and goes on with the jobs of a coordinator before; resolves once it listens.
 * @throws PacelineError `usage` where settings are wrong, the port can't be had or another process
 *   serves from the folder; `storage` where the queue can't be read or written.
 */
export async function startServing(
  settings: ServingSettings,
  parts: ServingParts,
): Promise<RunningServing> {
  if (parts.transport === undefined) demandLoopback(settings);
  const { runDir } = settings;
  await makeFolderDurably(diskFiles, runDir);
  const lock = await lockFolder(runDir, queueLockName, diskFiles, foreignLock(settings));
  let serving: StartedServing | null = null;
  try {
    await removeAsides(diskFiles, runDir).catch(() => undefined);
    const store = parts.store ?? folderServingStore(runDir);
    const queue = new JobQueue(await store.readQueue());
    serving = new StartedServing(settings, { ...parts, store }, queue, lock);
    await serving.begin();
    return serving;
  } catch (thrown) {
    if (serving === null) await lock.release();
    else await serving.close();
    throw thrown;
  }
}

/** How often it is looked at whether a job can begin or a run is short of members. */
const lookIntervalMs = 100;

interface StoredParts extends ServingParts {
  readonly store: ServingStore;
}

class StartedServing implements RunningServing, JobDesk {
  readonly #settings: ServingSettings;
  readonly #parts: StoredParts;
  readonly #queue: JobQueue;
  readonly #lock: FolderLock;
  readonly #clock: Clock;
  readonly #transport: Transport;
  readonly #pool: CoordinatorHost;
  readonly #places: MemberPlaces;
  readonly #runs = new Map<number, JobRun>();
  /** Runs that begin or are on, each until all of it is done. */
  readonly #under = new Set<Promise<void>>();
  #waitsFor: ReadonlyMap<number, string> = new Map();
  #isBeginning = false;
  #listener: Listener | null = null;
  #looks: Timer | null = null;
  #lastWrite: Promise<void> = Promise.resolve();
  #isUnwritten = false;
  /** Jobs that have no place in what is written yet: nobody was told that they are taken. */
  readonly #unkept = new Set<number>();
  #interruption: string | null = null;
  #onInterrupted: () => void = () => {};
  readonly #interrupted: Promise<void>;

  constructor(settings: ServingSettings, parts: StoredParts, queue: JobQueue, lock: FolderLock) {
    this.#settings = settings;
    this.#parts = parts;
    this.#queue = queue;
    this.#lock = lock;
    this.#clock = parts.clock ?? processClock;
    this.#transport = parts.transport ?? openTransport("coordinator", settings, parts.log);
    const noRun = () => {
      throw new PacelineError("internal", "idle members have no run");
    };
    this.#pool = new CoordinatorHost({
      ...hostPartsOf(settings, this.#around(), queue.nextTerm()),
      ...{ initialState: noRun, saveCheckpoint: noRun, persist: noRun, readExamples: noRun },
      note: (role) => this.#whyIdle(role),
      onEvent: ({ text }) => this.#log(text),
      onEnded: () => {},
    });
    this.#places = new MemberPlaces(this.#pool, this.#clock);
    this.#interrupted = new Promise((resolve) => {
      this.#onInterrupted = resolve;
    });
  }

  get address(): string {
    return this.#listener?.address ?? "";
  }

  /** Goes on with what ran, and listens: members that come back find their runs. */
  async begin(): Promise<void> {
    await this.#keep();
    const { running, queued } = this.#queue;
    const left = [...running, ...queued].map(({ name }) => name);
    if (left.length > 0)
      this.#log(`goes on with ${left.join(", ")}, of ${this.#parts.store.where}`);
    for (const job of running) await this.#beginRun(job, []);
    const front = new ServingFront(this.#places, this);
    this.#listener = await this.#transport.serveCoordinator(wantedAddress(this.#settings), front);
    this.#looks = every(this.#clock, lookIntervalMs, () => this.#dispatch());
  }

  async serve(): Promise<void> {
    await this.#interrupted;
    while (this.#under.size > 0) await Promise.all(this.#under);
    await dismiss(this.#pool, this.#interruption ?? "", this.#clock);
    await this.#lastWrite.catch(() => undefined);
  }

  interrupt(reason: string): boolean {
    const isFirst = this.#interruption === null;
    this.#interruption = reason;
    for (const run of this.#runs.values()) run.interrupt(reason);
    const kept = this.#queue.queued.map(({ name }) => name);
    if (isFirst && kept.length > 0) {
      this.#log(
        `${reason}: queued jobs are kept in ${this.#parts.store.where}: ${kept.join(", ")}`,
      );
    }
    this.#onInterrupted();
    return isFirst;
  }

  snapshot(): ServingSnapshot {
    const runs = this.#hosted();
    const jobs = this.#queue.jobs.filter((job) => !hasEnded(job));
    const pictures = runs.map(({ name, host }): [string, CoordinatorSnapshot] => {
      return [name, host.snapshot()];
    });
    return servingPicture(
      this.#pool.snapshot(),
      pictures,
      jobs.map((job) => this.#summary(job)),
      {
        whyIdle: (role) => this.#whyIdle(role),
      },
    );
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.flush()));
  }

  async close(): Promise<void> {
    this.#looks?.cancel();
    for (const { host } of this.#hosted()) host.close();
    this.#pool.close();
    await this.#listener?.close();
    if (this.#parts.transport === undefined) await this.#transport.close();
    await this.#lastWrite.catch(() => undefined);
    await this.#lock.release();
  }

  get isStopping(): boolean {
    return this.#interruption !== null;
  }

  status(): unknown {
    return this.snapshot();
  }

  async submit(submission: Submission): Promise<string> {
    try {
      return await this.#take(submission);
    } catch (thrown) {
      const error = toPacelineError(thrown);
      this.#log(`a job is refused: ${error.message}`);
      throw error.code === "internal" ? new PacelineError("refused", error.message) : error;
    }
  }

  jobs(wanted: string): unknown {
    const found = wanted === "" ? this.#queue.jobs : [this.#queue.find(wanted)];
    return found.map((job) => this.#summary(job));
  }

  async cancelJob(wanted: string): Promise<string> {
    const job = this.#queue.find(wanted);
    const { id, name, state } = job;
    if (state === "queued") {
      const reason = "cancelled while it was queued";
      this.#queue.end(id, { state: "cancelled", reason, result: null }, isoNow());
      await this.#keepOr(() => this.#queue.putBack(job));
      this.#log(`job ${name} is cancelled`);
      return `job ${name} is cancelled: it was queued`;
    }
    if (state !== "running") {
      throw new PacelineError("refused", `job ${name} has ended (${state}): nothing is cancelled`);
    }
    this.#queue.cancel(id);
    await this.#keepOr(() => this.#queue.cancel(id, false));
    this.#log(`job ${name} is cancelled`);
    this.#runs.get(id)?.interrupt("cancelled");
    return `job ${name} is cancelled: its run writes a checkpoint and ends`;
  }

  async jobEvents({ job: wanted, from, record }: JobEventsRequest): Promise<JobEvents> {
    const { id, name, hasBegun } = this.#queue.find(wanted);
    const isOver = () => hasEnded(this.#queue.get(id) ?? { state: "done" });
    if (!hasBegun) return { text: "", next: from, isOver: isOver() };
    // What is written before the job has ended is read after it was seen to have.
    const wasOver = isOver();
    const folder = join(this.#settings.runDir, name);
    const part = await readRecordPart(folder, record ?? "events", from);
    return { ...part, isOver: wasOver && part.text === "" };
  }

  /** Has the queue written, or what was changed taken back. */
  async #keepOr(takeBack: () => void): Promise<void> {
    await this.#keep().catch((thrown: unknown) => {
      takeBack();
      throw thrown;
    });
  }

  async #take(submission: Submission): Promise<string> {
    if (this.#interruption !== null) {
      throw new PacelineError("unavailable", "this coordinator is stopping and accepts no jobs");
    }
    const { settings } = this.#parts.readSubmitted(submission.config);
    const folders = (await diskFiles.list(this.#settings.runDir)) ?? [];
    const name = settings.name ?? this.#queue.nextName(folders);
    await demandPreparable({ ...settings, name });
    const job = this.#queue.add({ ...submission, ...needsOf(settings), name }, isoNow());
    this.#unkept.add(job.id);
    await this.#keepOr(() => this.#queue.drop(job)).finally(() => this.#unkept.delete(job.id));
    const before = this.#queue.queued.findIndex(({ id }) => id === job.id) + this.#runs.size;
    this.#log(`job ${name} is taken${before <= 0 ? "" : `, ${before} before it`}`);
    this.#dispatch();
    return name;
  }

  /** Sends members where they are wanted, and begins the job whose turn it is. */
  #dispatch(): void {
    if (this.#interruption !== null || this.#listener === null) return;
    this.#places.fill();
    if (this.#isUnwritten) {
      this.#writeAgain();
      return;
    }
    const { free, all } = this.#places;
    const running = [...this.#runs.values()].map(({ name }) => name);
    const jobsMax = this.#settings.jobsMax ?? 1;
    const queued = this.#queue.queued.filter(({ id }) => !this.#unkept.has(id));
    const { next, passed, waitsFor } = chooseJob(queued, { free, all, running, jobsMax });
    this.#tellWaiting(queued, waitsFor);
    this.#waitsFor = waitsFor;
    const job = next === null ? null : this.#queue.get(next);
    if (job === null || this.#isBeginning) return;
    this.#isBeginning = true;
    const begun = this.#beginRun(job, passed).finally(() => {
      this.#isBeginning = false;
      this.#under.delete(begun);
    });
    this.#under.add(begun);
  }

  /** Nothing begins before the queue can be written again. */
  #writeAgain(): void {
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    void this.#keepOrTell().finally(() => {
      this.#isBeginning = false;
    });
  }

  /** Has a job's run begin, or go on where it is there; resolves when members may come. */
  async #beginRun(job: KeptJob, passed: readonly number[]): Promise<void> {
    const { id, name } = job;
    this.#queue.begin(id, passed, isoNow());
    const run = new JobRun(job, this.#settings.runDir, {
      nextTerm: (above) => this.#nextTerm(above),
      isQueueEmpty: () => this.#queue.queued.length === 0,
      onGoesOn: () => this.#queue.goesOn(id),
      states: this.#parts.store.states,
    });
    this.#runs.set(id, run);
    await this.#keepOrTell();
    if (this.#isUnwritten) {
      // Nobody has heard of it: the job waits until the queue can be written.
      this.#runs.delete(id);
      this.#queue.putBack(job);
      return;
    }
    try {
      const request = this.#parts.readSubmitted(job.config);
      const observers = this.#parts.observersOf?.(name) ?? [];
      const address = () => this.address || wantedAddress(this.#settings);
      const parts = { ...this.#around(), observers, address };
      await run.prepare(request, this.#settings, parts);
    } catch (thrown) {
      this.#onNotBegun(run, thrown);
      return;
    }
    this.#places.add(run);
    // What came while it was prepared is meant for it.
    if (this.#queue.get(id)?.isCancelled === true) run.interrupt("cancelled");
    if (this.#interruption !== null) run.interrupt(this.#interruption);
    const under = this.#carryOut(run).finally(() => this.#under.delete(under));
    this.#under.add(under);
  }

  async #carryOut(run: JobRun): Promise<void> {
    const { id } = run;
    try {
      const end = await run.carryOut();
      const isCancelled = this.#queue.get(id)?.isCancelled === true;
      const stop = run.stopOf(end, isCancelled ? null : this.#interruption);
      if (stop !== null) this.#queue.stop(id, stop);
      else this.#queue.end(id, run.endOf(end, isCancelled), isoNow());
      await this.#keepOrTell();
      if (stop === null) await this.#forget(run);
    } catch (thrown) {
      this.#onNotBegun(run, thrown);
    }
    const reason = this.#interruption;
    if (reason !== null) await dismiss(run.host, reason, this.#clock);
    this.#places.remove(run);
    run.host.close();
    this.#runs.delete(id);
    this.#dispatch();
  }

  /** A run that can't begin, or go on, is no other job's trouble. */
  #onNotBegun(run: JobRun, thrown: unknown): void {
    const error = toPacelineError(thrown);
    for (const observer of this.#parts.observersOf?.(run.name) ?? []) {
      observer.onNotBegun?.(run.name, error);
    }
    this.#queue.end(run.id, run.failureOf(error), isoNow());
    this.#runs.delete(run.id);
    void this.#keepOrTell().then(() => this.#forget(run));
  }

  /** Once the queue says that a job has ended its run's state is of no use. */
  async #forget({ name }: JobRun): Promise<void> {
    if (this.#isUnwritten) return;
    const folder = join(this.#settings.runDir, name);
    const tell = (thrown: unknown) => this.#log(toPacelineError(thrown).message);
    await this.#parts.store.forget(folder).catch(tell);
  }

  #hosted(): JobRun[] {
    return [...this.#runs.values()].filter(({ isPrepared }) => isPrepared);
  }

  #around(): Omit<CarrierParts, "observers" | "address"> {
    const isGiven = this.#parts.transport !== undefined;
    const log = (line: string) => this.#log(line);
    return { transport: this.#transport, isGiven, clock: this.#clock, serve: true, log };
  }

  /** Terms are of one host each, and no later one has them. */
  async #nextTerm(above: number): Promise<number> {
    const term = this.#queue.nextTerm(above);
    await this.#keep();
    return term;
  }

  #whyIdle(role: MemberRole): string {
    if (this.#interruption !== null) return "idle: the coordinator stops";
    const queued = this.#queue.queued.map((job) => this.#summary(job));
    return idleReason(role, queued, this.#queue.running);
  }

  #summary(job: KeptJob) {
    return summaryOf(job, this.#waitsFor.get(job.id) ?? "");
  }

  /** Says what a job waits for where that has changed. */
  #tellWaiting(queued: readonly KeptJob[], waitsFor: ReadonlyMap<number, string>): void {
    for (const { id, name } of queued) {
      const text = waitsFor.get(id);
      if (text !== undefined && text !== this.#waitsFor.get(id)) this.#log(`job ${name} ${text}`);
    }
  }

  /** Makes the queue durable as it is. */
  #keep(): Promise<void> {
    const { state } = this.#queue;
    const { store } = this.#parts;
    const write = this.#lastWrite.catch(() => undefined).then(() => store.writeQueue(state));
    this.#lastWrite = write;
    return write;
  }

  /** The same where nobody can be told no: what could not be written is written with the next. */
  async #keepOrTell(): Promise<void> {
    try {
      await this.#keep();
      this.#isUnwritten = false;
    } catch (thrown) {
      if (!this.#isUnwritten) this.#log(toPacelineError(thrown).message);
      this.#isUnwritten = true;
    }
  }

  #log(line: string): void {
    this.#parts.log?.(line);
  }
}

/** The members that a job begins with. */
function needsOf({ workers, servers }: Pick<RunSettings, "workers" | "servers">) {
  return { workers: workers.start ?? workers.max, servers: servers.min };
}

function isoNow(): string {
  return new Date().toISOString();
}
