/**
 * What members counted, also those that are gone. A worker's counts begin anew with each life of
 * its rank, so those of lives that ended are added up, also of lives before the run was resumed. So
 * is what a server counts of its own; what it counts of its chunks goes with them to others.
 *
 * Invariants: what a rank has counted never shrinks while a run is on; at a quiet moment the counts
 * of workers are what they did, as each assignment ends with them.
 */
import type { MemberIdentity, WorkerIdentity } from "../../protocol/identity.js";
import type { MemberMessage, ServerStatistics, WorkerStatistics } from "../../protocol/messages.js";
import { idleServer, idleWorker, sumOfLives } from "../../protocol/statistics.js";
import type { Member } from "../members/roster.js";

/** What a life of a worker counted last. */
export interface LastCount {
  readonly incarnation: number;
  readonly counts: WorkerStatistics;
}

/** Null where the message tells nothing of it. */
function countsIn(message: MemberMessage): ToldCounts | null {
  if (message.type === "heartbeat" || message.type === "leave") return message;
  if (message.type === "assignmentDone") return { server: null, worker: message.statistics };
  if (message.type !== "returned" || message.done === null) return null;
  return { server: null, worker: message.done.statistics };
}

/** Keeps what a message tells of its member: what it does, and counts, also in those of a run. */
export function noteCounts(member: Member, message: MemberMessage, run: MemberCounts | null): void {
  if (message.type === "heartbeat")
    [member.activity, member.reach] = [message.activity, message.reach];
  const counts = countsIn(message);
  if (counts === null) return;
  member.server = counts.server;
  member.worker = counts.worker;
  run?.keep(member, counts);
}

/** Counts as a member tells them; null of the other role. */
export interface ToldCounts {
  readonly server: ServerStatistics | null;
  readonly worker: WorkerStatistics | null;
}

/** By rank. */
export type WorkerCounts = Readonly<Record<number, WorkerStatistics>>;

/** The step that all chunks have come to, as servers say; 0 while none holds any. */
export function stepOfAll(servers: readonly ServerStatistics[]): number {
  const told = servers.flatMap(({ chunks, versionMin }) => (chunks > 0 ? [versionMin] : []));
  return told.length === 0 ? 0 : Math.min(...told);
}

/** The counts in a form that is kept. */
export interface KeptCounts {
  readonly earlier: WorkerCounts;
  /** By rank, over lives before the last. */
  readonly past: WorkerCounts;
  /** By rank the last life's. */
  readonly last: Readonly<Record<number, LastCount>>;
}

/** The counts of one run. */
export class MemberCounts {
  /** What workers had counted when the run was resumed: by rank, over their lives before. */
  readonly earlier: WorkerCounts;
  #servers: Readonly<Record<number, ServerStatistics>> = {};
  /** By index, the life whose counts come last. */
  readonly #serverLives = new Map<number, number>();
  /** By index, what lives before the last had counted of their own. */
  readonly #serversPast = new Map<number, ServerStatistics>();
  readonly #present: Map<number, LastCount>;
  readonly #past: Map<number, WorkerStatistics>;
  /** Of the run: what servers count of chunks is of it once they have taken a view of it. */
  readonly #generation: number;

  constructor(
    generation = 0,
    earlier: WorkerCounts = {},
    kept: Omit<KeptCounts, "earlier"> | null = null,
  ) {
    this.#generation = generation;
    this.earlier = earlier;
    this.#past = byRank(kept?.past ?? earlier);
    this.#present = byRank(kept?.last ?? {});
  }

  /** All of it. */
  record(): KeptCounts {
    const [past, last] = [Object.fromEntries(this.#past), Object.fromEntries(this.#present)];
    return { earlier: this.earlier, past, last };
  }

  /** Takes what a member says of itself; nothing where it has nothing to say. */
  keep({ rank, incarnation }: MemberIdentity, counts: ToldCounts): void {
    if (counts.server !== null) this.#keepServer(rank, incarnation, counts.server);
    if (counts.worker === null) return;
    const last = this.#present.get(rank);
    if (last !== undefined && last.incarnation !== incarnation) {
      this.#past.set(rank, sumOfLives(this.#past.get(rank) ?? idleWorker, last.counts));
    }
    this.#present.set(rank, { incarnation, counts: counts.worker });
  }

  #keepServer(rank: number, incarnation: number, told: ServerStatistics): void {
    const isOfPast = told.generation !== this.#generation;
    const counts = isOfPast ? withOwnCounts(idleServer, told) : told;
    if (this.#serverLives.get(rank) !== incarnation) {
      const before = this.#servers[rank];
      if (before !== undefined) this.#serversPast.set(rank, before);
      this.#serverLives.set(rank, incarnation);
    }
    const past = this.#serversPast.get(rank);
    const all = past === undefined ? counts : withOwnCounts(counts, past);
    this.#servers = { ...this.#servers, [rank]: all };
  }

  /** A server is gone, and the run goes on: others have its chunks, and all that these count. */
  serverLost({ rank }: MemberIdentity): void {
    const last = this.#servers[rank];
    if (last === undefined) return;
    this.#servers = { ...this.#servers, [rank]: withOwnCounts(idleServer, last) };
  }

  /** What a rank has counted where its present life came to this; null of another life. */
  at({ rank, incarnation }: WorkerIdentity, counts: WorkerStatistics): WorkerStatistics | null {
    if (this.#present.get(rank)?.incarnation !== incarnation) return null;
    return sumOfLives(this.#past.get(rank) ?? idleWorker, counts);
  }

  /** By index. */
  get servers(): Readonly<Record<number, ServerStatistics>> {
    return this.#servers;
  }

  /** By rank, over all its lives since the run began; the clock is the last one's. */
  get workers(): WorkerCounts {
    const entries = [...this.#present].map(
      ([rank, { counts }]) =>
        [rank, sumOfLives(this.#past.get(rank) ?? idleWorker, counts)] as const,
    );
    return { ...Object.fromEntries(this.#past), ...Object.fromEntries(entries) };
  }
}

/** With what another life has counted that is not of its chunks. */
function withOwnCounts(counts: ServerStatistics, other: ServerStatistics): ServerStatistics {
  return {
    ...counts,
    updates: counts.updates + other.updates,
    updateSeconds: counts.updateSeconds + other.updateSeconds,
    duplicates: counts.duplicates + other.duplicates,
    tornSteps: counts.tornSteps + other.tornSteps,
    bytesIn: counts.bytesIn + other.bytesIn,
    bytesOut: counts.bytesOut + other.bytesOut,
    lr: counts.lr === 0 ? other.lr : counts.lr,
  };
}

function byRank<Counts>(counts: Readonly<Record<number, Counts>>): Map<number, Counts> {
  return new Map(Object.entries(counts).map(([rank, one]) => [Number(rank), one]));
}
