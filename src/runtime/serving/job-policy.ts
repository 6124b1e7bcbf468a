/**
 * Which job of a queue begins next, and what each of the others waits for, in a sentence.
 *
 * Higher priority goes first, then the earlier submission. A job that needs more members than are
 * free is passed by smaller ones behind it, so that members do not stand idle; a large one would
 * then never find enough of them free at once. So it is passed by `passesMax` jobs at the most:
 * after that those behind it wait until it has begun. One that needs more members than there are
 * in all holds nobody up.
 */
import type { MemberRole } from "../../protocol/identity.js";
import type { KeptJob } from "../../store/queue-state.js";

/** Counts of members. */
export interface Needs {
  readonly workers: number;
  readonly servers: number;
}

/** What the policy looks at of a job. */
export type WaitingJob = Pick<KeptJob, "id" | "name" | "passedBy"> & Needs;

/** The state of a cluster. */
export interface Supply {
  /** Idle members that nobody has been promised. */
  readonly free: Needs;
  /** All members, busy ones included. */
  readonly all: Needs;
  /** Names of the jobs that run. */
  readonly running: readonly string[];
  /** How many may run at a time. */
  readonly jobsMax: number;
}

/** What follows for a queue. */
export interface Choice {
  /** The job to begin; null where none can. */
  readonly next: number | null;
  /** Those before it that it passes by. */
  readonly passed: readonly number[];
  /** By number of a job what it waits for. */
  readonly waitsFor: ReadonlyMap<number, string>;
}

/** How many jobs may begin before one that was ahead of them. */
export const passesMax = 4;

/** Chooses among the jobs of a queue, which come in its order. */
export function chooseJob(queued: readonly WaitingJob[], supply: Supply): Choice {
  const { free, all, running, jobsMax } = supply;
  const waitsFor = new Map<number, string>();
  if (running.length >= jobsMax) {
    const turn = `waits for its turn: ${running.join(", ")} ${running.length > 1 ? "run" : "runs"}`;
    for (const { id } of queued) waitsFor.set(id, `${turn}, and --jobs is ${jobsMax}`);
    return { next: null, passed: [], waitsFor };
  }
  const passed: number[] = [];
  for (const [place, job] of queued.entries()) {
    const shortage = shortageOf(job, free);
    if (shortage === null) {
      for (const { id } of queued.slice(place + 1)) waitsFor.set(id, "waits for its turn");
      return { next: job.id, passed, waitsFor };
    }
    waitsFor.set(job.id, `waits for ${shortage}`);
    if (shortageOf(job, all) !== null) continue;
    if (job.passedBy >= passesMax) {
      const text = `waits until job ${job.name} has begun, which ${passesMax} jobs have passed`;
      for (const { id } of queued.slice(place + 1)) waitsFor.set(id, text);
      return { next: null, passed: [], waitsFor };
    }
    passed.push(job.id);
  }
  return { next: null, passed: [], waitsFor };
}

/** What is missing, as "2 more workers: 2 of 4 are free"; null where nothing is. */
export function shortageOf(needs: Needs, free: Needs): string | null {
  const parts = (["servers", "workers"] as const).flatMap((role) => {
    const missing = needs[role] - free[role];
    if (missing <= 0) return [];
    const noun = missing === 1 ? role.slice(0, -1) : role;
    return [`${missing} more ${noun}: ${Math.max(0, free[role])} of ${needs[role]} are free`];
  });
  return parts.length === 0 ? null : parts.join(", and ");
}

/** Why a member that is idle has nothing to do. */
export function idleReason(
  role: MemberRole,
  queued: readonly (Pick<KeptJob, "id" | "name"> & { readonly waitsFor: string })[],
  running: readonly (Pick<KeptJob, "name"> & Needs)[],
): string {
  const [first] = queued;
  if (first !== undefined) {
    return `idle: job ${first.name} ${first.waitsFor || "is about to begin"}`;
  }
  if (running.length === 0) return "idle: no job";
  const [job] = running;
  if (running.length > 1) return `idle: ${running.length} jobs have the ${role}s they need`;
  const count = role === "worker" ? job!.workers : job!.servers;
  return `idle: job ${job!.name} has its ${count} ${role}${count === 1 ? "" : "s"}`;
}
