/**
 * The jobs of a serving coordinator and what happens to each: taken, begun, stopped with the
 * coordinator, cancelled, ended. It decides nothing about when a job begins (job-policy.ts) and
 * writes nothing: `state` is what has to be kept of it.
 *
 * Of jobs that have ended the latest are remembered; what they came to is in their folders.
 */
import { PacelineError } from "../../errors.js";
import type { JobResult, JobState, Submission } from "../../protocol/run-events.js";
import type { KeptJob, QueueState } from "../../store/queue-state.js";
import type { Needs } from "./job-policy.js";

/** So many jobs that have ended are remembered. */
export const endedMax = 200;

/** A job that is to be taken. */
export interface NewJob extends Needs, Submission {
  readonly name: string;
}

/** How a job ends. */
export interface JobEnd {
  readonly state: Exclude<JobState, "queued" | "running">;
  readonly reason: string;
  readonly result: JobResult | null;
}

/** True of a job that will not change any more. */
export function hasEnded({ state }: Pick<KeptJob, "state">): boolean {
  return state !== "queued" && state !== "running";
}

/** The queue; times of day are passed in, in ISO 8601. */
export class JobQueue {
  #term: number;
  #taken: number;
  readonly #jobs: Map<number, KeptJob>;

  constructor(kept: QueueState | null) {
    this.#term = kept?.term ?? 0;
    this.#taken = kept?.taken ?? 0;
    this.#jobs = new Map((kept?.jobs ?? []).map((job) => [job.id, job]));
  }

  /** What another coordinator goes on from. */
  get state(): QueueState {
    return { term: this.#term, taken: this.#taken, jobs: [...this.#jobs.values()] };
  }

  /** Every job, in the order in which they were taken. */
  get jobs(): readonly KeptJob[] {
    return [...this.#jobs.values()];
  }

  /** Those that wait: higher priority first, then the earlier. */
  get queued(): readonly KeptJob[] {
    return this.jobs
      .filter(({ state }) => state === "queued")
      .sort((left, right) => right.priority - left.priority || left.id - right.id);
  }

  /** Those that run, or ran when the coordinator before died. */
  get running(): readonly KeptJob[] {
    return this.jobs.filter(({ state }) => state === "running");
  }

  /** A term above this one and above each one before. */
  nextTerm(above = 0): number {
    this.#term = Math.max(this.#term, above) + 1;
    return this.#term;
  }

  /** A name for a job that has none: no job has it, nor is it among those that are taken. */
  nextName(taken: readonly string[]): string {
    const known = new Set([...taken, ...this.jobs.map(({ name }) => name)]);
    for (let number = this.#taken + 1; ; number++) {
      if (!known.has(`job-${number}`)) return `job-${number}`;
    }
  }

  /**
   * Takes a job.
   * @throws PacelineError `usage` where one of its name waits or runs.
   */
  add({ name, config, priority, host, pid, workers, servers }: NewJob, now: string): KeptJob {
    const same = this.jobs.find((job) => job.name === name && !hasEnded(job));
    if (same !== undefined) {
      const sentence = `--name ${name}: a job of that name is already ${same.state}`;
      throw new PacelineError("usage", `${sentence}; choose another name`);
    }
    const id = ++this.#taken;
    const job: KeptJob = {
      ...{ id, name, state: "queued", priority, workers, servers, config },
      ...{ submittedAt: now, startedAt: null, endedAt: null },
      submitter: host === "" ? null : { host, pid },
      ...{ reason: "", result: null, passedBy: 0 },
      ...{ hasBegun: false, isStopped: false, isCancelled: false },
    };
    this.#jobs.set(id, job);
    return job;
  }

  /** Takes back what was added and could not be kept. */
  drop({ id }: Pick<KeptJob, "id">): void {
    this.#jobs.delete(id);
  }

  /**
   * The job of this name or number; of several of one name the latest.
   * @throws PacelineError `refused` where there is none.
   */
  find(wanted: string): KeptJob {
    const named = this.jobs.findLast(({ name }) => name === wanted);
    const found = named ?? this.#jobs.get(/^\d{1,9}$/.test(wanted) ? Number(wanted) : -1);
    if (found !== undefined) return found;
    const sentence = `there is no job ${wanted} here`;
    throw new PacelineError("refused", `${sentence}: see paceline jobs ls, or paceline runs ls`);
  }

  /** The job as it stands; null where it is forgotten. */
  get(id: number): KeptJob | null {
    return this.#jobs.get(id) ?? null;
  }

  /** The run of a job begins; those before it in the queue have been passed by it. */
  begin(id: number, passed: readonly number[], now: string): void {
    const startedAt = this.#jobs.get(id)?.startedAt ?? now;
    this.#change(id, { state: "running", hasBegun: true, startedAt, reason: "" });
    for (const one of passed) {
      this.#change(one, { passedBy: (this.#jobs.get(one)?.passedBy ?? 0) + 1 });
    }
  }

  /** A job that was about to begin, as it was before: it waits again. */
  putBack(job: KeptJob): void {
    const isOn = job.state === "running";
    this.#jobs.set(job.id, isOn ? { ...job, state: "queued", isStopped: true } : job);
  }

  /** Its run goes on, and may be taken up in place from here on. */
  goesOn(id: number): void {
    this.#change(id, { isStopped: false });
  }

  /** The run of a job is stopped; it waits again, and then goes on from its checkpoint. */
  stop(id: number, reason: string): void {
    this.#change(id, { state: "queued", isStopped: true, reason });
  }

  /** A job that runs is to be ended, or after all not. */
  cancel(id: number, isCancelled = true): void {
    this.#change(id, { isCancelled });
  }

  /** A job has ended. */
  end(id: number, { state, reason, result }: JobEnd, now: string): void {
    this.#change(id, { state, reason, result, endedAt: now, config: "" });
    const ended = this.jobs.filter(hasEnded);
    const surplus = ended.slice(0, Math.max(0, ended.length - endedMax));
    for (const job of surplus) this.#jobs.delete(job.id);
  }

  #change(id: number, to: Partial<KeptJob>): void {
    const job = this.#jobs.get(id);
    if (job !== undefined) this.#jobs.set(id, { ...job, ...to });
  }
}
