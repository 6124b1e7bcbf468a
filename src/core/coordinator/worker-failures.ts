/**
 * Workers that say that they can't go on. Before training that is the user's to mend and ends the
 * run; later it is a loss, as others go on with the work. A cause that stays, as a broken record of
 * the test set, meets each life of a rank anew, and then each rank: so the third in succession ends
 * the run, and says what the worker said. Steps in between prove nothing, as such a cause may meet
 * evaluations only; but what went well for long enough was not the same failure.
 */
import { type ErrorCode, errorCodes } from "../../errors.js";
import { type Member, nameOf } from "../members/roster.js";
import type { Ending } from "./run-ending.js";

/** So often in succession lives of one rank may fail with one code. */
export const failuresMax = 3;

/** A failure so long after the one before is the first of its kind again. */
export const successionMs = 3_600_000;

/** What a worker says when it can't go on. */
export interface FailureSaid {
  readonly code: ErrorCode;
  readonly reason: string;
}

interface Failure {
  readonly code: ErrorCode;
  readonly count: number;
  readonly atMs: number;
}

/** Counts, by rank, the failures that lives in training ended with. */
export class WorkerFailures {
  readonly #counts = new Map<number, Failure>();

  /**
   * Why the run ends with this one; null where it is a loss like any other. What a retry may mend
   * does not count, nor a life that has yet to take part: nobody has to wait for that.
   */
  judge(
    member: Pick<Member, "role" | "rank">,
    isActive: boolean,
    { code, reason }: FailureSaid,
    nowMs: number,
  ): Ending | null {
    const { role, rank } = member;
    if (role !== "worker" || !isActive || errorCodes[code]?.retryable !== false) return null;
    const before = this.#counts.get(rank);
    const isSame = before?.code === code && nowMs - before.atMs < successionMs;
    const count = isSame ? before.count + 1 : 1;
    this.#counts.set(rank, { code, count, atMs: nowMs });
    if (count < failuresMax) return null;
    const text = `${nameOf(member)} has failed ${count} times in succession: ${reason}`;
    return { outcome: "failed", code, reason: text };
  }
}
