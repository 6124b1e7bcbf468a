/**
 * Which signs of load the other members give when one is silent. Processes that share a machine, or
 * the way to the coordinator, are kept waiting together. So a member's silence is judged by the
 * whole lease where one in 32 of the others had a late heartbeat a short while ago, and where
 * half of them are late at the moment: it is more likely that they are kept waiting, or not heard,
 * than that all of them failed at once.
 */

import type { Member } from "./roster.js";

/** So many others of which one was late are a loaded cluster; of fewer, one is enough. */
const othersPerLate = 32;

/** What a look at all members shows, with their detectors as they were last asked. */
export class MemberLoad {
  readonly #nowMs: number;
  #connected = 0;
  #lateNow = 0;
  #lateBefore = 0;

  constructor(members: Iterable<Pick<Member, "connected" | "detector">>, nowMs: number) {
    this.#nowMs = nowMs;
    for (const member of members) this.#count(member, 1);
  }

  /** True where this member's silence may have to do with load. */
  isSeenBy(member: Pick<Member, "connected" | "detector">): boolean {
    this.#count(member, -1);
    const [others, lateNow, lateBefore] = [this.#connected, this.#lateNow, this.#lateBefore];
    this.#count(member, 1);
    const isKeptWaiting = lateBefore > 0 && othersPerLate * lateBefore >= others;
    return isKeptWaiting || (lateNow > 0 && 2 * lateNow >= others);
  }

  #count({ connected, detector }: Pick<Member, "connected" | "detector">, by: 1 | -1): void {
    if (!connected) return;
    this.#connected += by;
    if (detector.isLate) this.#lateNow += by;
    if (this.#nowMs < detector.lateUntilMs) this.#lateBefore += by;
  }
}
