/**
 * The jobs that a serving coordinator has taken and not begun, in the order in which they came. A
 * job is judged before it is taken, so that its submitter hears why it is refused.
 */
import { PacelineError } from "../errors.js";
import type { CoordinatorSnapshot } from "../protocol/run-events.js";
import type { RunSettings } from "./run-settings.js";

/** A run that waits. */
export interface Job<Request> {
  readonly name: string;
  readonly request: Request;
}

/** The queue. */
export class JobQueue<Request> {
  #jobs: Job<Request>[] = [];
  #taken = 0;
  #wake: () => void = () => {};

  /** A name for a job that has none. */
  nextName(prefix: string): string {
    return `${prefix}-${this.#taken + 1}`;
  }

  /**
   * Takes a job; gives how many wait before it.
   * @throws PacelineError `usage` where a job of its name waits.
   */
  add(job: Job<Request>): number {
    if (this.#jobs.some(({ name }) => name === job.name)) {
      const sentence = `--name ${job.name}: a job of that name is already queued`;
      throw new PacelineError("usage", `${sentence}; choose another name`);
    }
    this.#taken += 1;
    this.#jobs.push(job);
    this.#wake();
    return this.#jobs.length - 1;
  }

  /** The job whose turn it is, or null. */
  next(): Job<Request> | null {
    return this.#jobs.shift() ?? null;
  }

  /** Resolves when there may be a job, or at `wake`. */
  wait(): Promise<void> {
    if (this.#jobs.length > 0) return Promise.resolve();
    return new Promise((resolve) => (this.#wake = resolve));
  }

  /** Ends a wait. */
  wake(): void {
    this.#wake();
  }

  /** Drops what waits and gives its names. */
  clear(): string[] {
    const names = this.#jobs.map(({ name }) => name);
    this.#jobs = [];
    return names;
  }
}

/** What a job waits for where too few members are here; null where they are enough. */
export function missingMembers(
  name: string,
  { workers, servers }: Pick<RunSettings, "workers" | "servers">,
  { members }: Pick<CoordinatorSnapshot, "members">,
  startTimeoutMs: number,
): string | null {
  const count = (role: string) =>
    members.filter((member) => member.role === role && member.state !== "dead").length;
  const [here, serversHere] = [count("worker"), count("server")];
  if (here >= workers.max && serversHere >= servers.min) return null;
  const wanted = `${counted(workers.max, "worker")} and ${counted(servers.min, "server")}`;
  const found = `${here} and ${serversHere} are here`;
  const limit = `after ${startTimeoutMs / 1000} s (--start-timeout)`;
  const ending = `${limit} it starts with at least ${workers.min} and ${servers.min}, or fails`;
  return `job ${name} waits for ${wanted}, ${found}; ${ending}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
