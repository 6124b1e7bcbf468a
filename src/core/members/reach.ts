/**
 * Who can't reach a server, and what follows. Members tell with each heartbeat which servers they
 * need and can't reach, and for how long; a server that workers can't reach holds up every step
 * that needs all of them, though each of the two is heard of by the coordinator.
 *
 * The rule: a report counts from the lease on. A member that can't reach a server which a worker
 * reaches is taken out of the view, told why, and may come back, a worker later each time. A server
 * that no worker reaches is lost.
 *
 * Invariant: nobody is taken out while it is not known whether anybody reaches the server.
 */
import type { MemberIdentity, ServerReach } from "../../protocol/identity.js";

import { nameOf } from "./roster.js";

/** A member that takes part, and what it last told. */
export interface ReachReport extends Pick<MemberIdentity, "role" | "rank"> {
  readonly reach: readonly ServerReach[];
}

/** What follows from the reports; each with a sentence that holds the numbers. */
export interface ReachVerdict {
  /** Members to take out of the view. */
  readonly removed: readonly (Pick<MemberIdentity, "role" | "rank"> & {
    readonly reason: string;
  })[];
  /** A server that is lost to everybody; null where none is. */
  readonly lost: { readonly server: number; readonly reason: string } | null;
}

const allIsWell: ReachVerdict = { removed: [], lost: null };

/** Judges what everybody who takes part has told. */
export function judgeReach(reports: readonly ReachReport[], leaseMs: number): ReachVerdict {
  const missed = reports.flatMap(({ reach }) =>
    reach.flatMap(({ server, unreachedMs }) => (unreachedMs >= leaseMs ? [server] : [])),
  );
  for (const server of [...new Set(missed)].sort((a, b) => a - b)) {
    const verdict = judgeServer(server, reports, leaseMs);
    if (verdict !== allIsWell) return verdict;
  }
  return allIsWell;
}

function judgeServer(
  server: number,
  reports: readonly ReachReport[],
  leaseMs: number,
): ReachVerdict {
  const told = reports.map((member) => {
    const known = member.reach.find((one) => one.server === server);
    return { ...member, unreachedMs: known?.unreachedMs ?? null };
  });
  const cutOff = told.flatMap(({ unreachedMs, role, rank }) =>
    unreachedMs !== null && unreachedMs >= leaseMs ? [{ role, rank, unreachedMs }] : [],
  );
  const lease = `lease ${seconds(leaseMs)}`;
  const times = cutOff.map((one) => `${nameOf(one)} for ${seconds(one.unreachedMs)}`).join(", ");
  const workers = told.filter(({ role }) => role === "worker");
  const reaching = workers.filter(({ unreachedMs }) => unreachedMs === 0).length;
  if (reaching > 0) {
    const whom = nameOf({ role: "server", rank: server });
    const others = `${reaching} other ${reaching === 1 ? "worker reaches" : "workers reach"} it`;
    const removed = cutOff.map(({ role, rank, unreachedMs }) => {
      const what = `has not reached ${whom} for ${seconds(unreachedMs)}`;
      return { role, rank, reason: `${what}, ${lease}, and ${others}` };
    });
    return { removed, lost: null };
  }
  if (workers.some(({ unreachedMs }) => unreachedMs === null || unreachedMs < leaseMs)) {
    return allIsWell;
  }
  return { removed: [], lost: { server, reason: `no worker reaches it: ${times}, ${lease}` } };
}

/** How long a worker stays out that was taken out for the first time; twice as long each time. */
const firstAbsenceMs = 5000;
const absenceMsMax = 300_000;

/** Workers that were taken out and may not come back yet, by rank. */
export class Absences {
  readonly #byRank = new Map<number, { readonly untilMs: number; readonly durationMs: number }>();

  /** A worker is taken out: how long it stays out. */
  begin(rank: number, nowMs: number): number {
    const before = this.#byRank.get(rank)?.durationMs ?? 0;
    const durationMs = before === 0 ? firstAbsenceMs : Math.min(2 * before, absenceMsMax);
    this.#byRank.set(rank, { untilMs: nowMs + durationMs, durationMs });
    return durationMs;
  }

  /** True while this rank may not take part. */
  has(rank: number, nowMs: number): boolean {
    return nowMs < (this.#byRank.get(rank)?.untilMs ?? 0);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
