/**
 * Workers that say that they can't go on. Before training that is the user's to mend and ends the
 * run; later it is a loss, as others go on with the work. A cause that stays, as a broken record of
 * the test set, meets each life of a rank anew, and then each rank: so the third in succession ends
 * the run, and says what the worker said.
 */
import { type ErrorCode, errorCodes } from "../../errors.js";
import { type Member, nameOf } from "../members/roster.js";
import type { Ending } from "./run-ending.js";

/** So often in succession lives of one rank may fail with one code. */
export const failuresMax = 3;

/** Counts, by rank, the failures that lives in training ended with. */
export class WorkerFailures {
  readonly #counts = new Map<number, { readonly code: ErrorCode; readonly count: number }>();

  /**
   * Why the run ends with this one; null where it is a loss like any other. What a retry may mend
   * does not count, nor a life that has yet to take part: nobody has to wait for that.
   */
  judge(
    member: Pick<Member, "role" | "rank">,
    isActive: boolean,
    code: ErrorCode,
    reason: string,
  ): Ending | null {
    const { role, rank } = member;
    if (role !== "worker" || !isActive || errorCodes[code]?.retryable !== false) return null;
    const before = this.#counts.get(rank);
    const count = before?.code === code ? before.count + 1 : 1;
    this.#counts.set(rank, { code, count });
    if (count < failuresMax) return null;
    const text = `${nameOf(member)} has failed ${count} times in succession: ${reason}`;
    return { outcome: "failed", code, reason: text };
  }
}
