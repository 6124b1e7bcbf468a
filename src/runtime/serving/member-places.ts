/**
 * Where the members of a serving coordinator are: idle ones in the pool, the others each with the
 * host of one run. All hosts stand behind one address. A member that is wanted elsewhere is told to
 * register again, and what registers is given to the run that has a place for it, else to the pool.
 *
 * Invariant: hosts have terms of their own, so an incarnation belongs to one of them, and what a
 * member opens, asks or says reaches the host that gave it.
 */
import type { Clock } from "../../host/clock.js";
import type { CoordinatorHost } from "../../host/coordinator-host.js";
import type { MemberIdentity, MemberRole } from "../../protocol/identity.js";
import type { RegisterReply, RegisterRequest } from "../../protocol/messages.js";
import type { MemberSnapshot } from "../../protocol/run-events.js";
import type { Needs } from "./job-policy.js";

/** A run's host, with the members that it is to have. */
export interface Seat {
  readonly host: CoordinatorHost;
  /** The run's name, for people. */
  readonly name: string;
  /** The run's id; null while members can't come yet. */
  readonly run: string | null;
  /** How many members it wants at this moment, those included that it has. */
  readonly wants: Needs;
  /** How many ranks of each role the run has. */
  readonly ranks: Needs;
}

/** How long a member that was told to register again is waited for. */
const comingMs = 15_000;
/** So many registrations are known again that are repeated because their answer was lost. */
const attemptsMax = 1024;

interface Kept {
  /** Members that were told to come, each with the time until which it is waited for. */
  readonly coming: Map<string, { readonly role: MemberRole; readonly untilMs: number }>;
  /** Registrations under way, by attempt, each with the rank that it is to have. */
  readonly pending: Map<string, { readonly role: MemberRole; readonly rank: number }>;
}

/** Places and who is in them. */
export class MemberPlaces {
  readonly #pool: CoordinatorHost;
  readonly #clock: Clock;
  readonly #seats = new Map<Seat, Kept>();
  readonly #attempts = new Map<string, CoordinatorHost>();

  constructor(pool: CoordinatorHost, clock: Clock) {
    this.#pool = pool;
    this.#clock = clock;
  }

  /** Runs with hosts, in the order in which they began. */
  get seats(): readonly Seat[] {
    return [...this.#seats.keys()];
  }

  /** Members may be with this run from here on. */
  add(seat: Seat): void {
    this.#seats.set(seat, { coming: new Map(), pending: new Map() });
  }

  /** The run is over: its members are told to register again, and nobody comes any more. */
  remove(seat: Seat): void {
    this.#seats.delete(seat);
    // A host that is remembered here would stay with all that it holds.
    for (const [attempt, host] of this.#attempts) {
      if (host === seat.host) this.#attempts.delete(attempt);
    }
    seat.host.move(seat.host.snapshot().members, `job ${seat.name} is over`);
  }

  /** Members that have nothing to do and can be had at once. */
  get idle(): readonly MemberSnapshot[] {
    return this.#pool.snapshot().members.filter(({ state }) => state === "alive");
  }

  /** How many there are, busy or not. */
  get all(): Needs {
    const members = this.seats.flatMap(({ host }) => host.snapshot().members);
    return counted([...members, ...this.#pool.snapshot().members]);
  }

  /** Idle members that no run is short of. */
  get free(): Needs {
    const free = counted(this.idle);
    const short = this.seats.map((seat) => this.#missing(seat));
    const taken = (role: keyof Needs) => short.reduce((sum, one) => sum + one[role], 0);
    return {
      workers: Math.max(0, free.workers - taken("workers")),
      servers: Math.max(0, free.servers - taken("servers")),
    };
  }

  /** Has idle members register again that runs are short of. */
  fill(): void {
    const idle = [...this.idle];
    for (const seat of this.seats) {
      if (seat.run === null) continue;
      const missing = this.#missing(seat);
      const chosen = [
        ...take(idle, "server", missing.servers),
        ...take(idle, "worker", missing.workers),
      ];
      if (chosen.length === 0) continue;
      const untilMs = this.#clock.nowMs() + comingMs;
      const { coming } = this.#seats.get(seat)!;
      for (const member of chosen) coming.set(keyOf(member), { role: member.role, untilMs });
      this.#pool.move(chosen, `job ${seat.name} wants this ${rolesOf(chosen)}`);
    }
  }

  /** Registers a process with the run that has a place for it, else with the idle ones. */
  async register(request: RegisterRequest): Promise<RegisterReply> {
    const again = this.#attempts.get(request.attempt);
    if (again !== undefined) {
      const seat = this.seats.find(({ host }) => host === again);
      return withRun(await again.register(request), seat?.run ?? "");
    }
    const seat = this.#seatFor(request);
    const kept = seat === null ? undefined : this.#seats.get(seat);
    if (seat === null || kept === undefined) return this.#registerIdle(request);
    const rank = this.#rankIn(seat, request);
    if (rank === null) return this.#registerIdle(request);
    kept.pending.set(request.attempt, { role: request.role, rank });
    kept.coming.delete(keyOf(request));
    try {
      const { run } = seat;
      const reply = await seat.host.register({ ...request, rank });
      if (reply.accepted && run !== null) {
        this.#note(request, seat.host);
        return withRun(reply, run);
      }
    } finally {
      kept.pending.delete(request.attempt);
    }
    return this.#registerIdle(request);
  }

  /** The host that a member is, or was, with; the pool's where none knows it. */
  hostOf(member: MemberIdentity): CoordinatorHost {
    return this.#hosts().find((host) => host.remembers(member)) ?? this.#pool;
  }

  /** A rank that was asked for matters to a run of its own only. */
  async #registerIdle(request: RegisterRequest): Promise<RegisterReply> {
    const { role, rank } = request;
    const members = this.#pool.snapshot().members;
    const isTaken = members.some((member) => member.role === role && member.rank === rank);
    this.#note(request, this.#pool);
    return withRun(await this.#pool.register(isTaken ? { ...request, rank: null } : request), "");
  }

  /**
   * The rank that a process is to have in a run: the one that it had there, where that is free, or
   * the lowest that nobody has. Ranks are not kept for lost members, whose places others take.
   */
  #rankIn(seat: Seat, { role, rank }: RegisterRequest): number | null {
    const having = [...seat.host.snapshot().members, ...this.#seats.get(seat)!.pending.values()];
    const taken = new Set(having.filter((one) => one.role === role).map((one) => one.rank));
    const count = seat.ranks[plural(role)];
    if (rank !== null && rank < count && !taken.has(rank)) return rank;
    const lowest = Array.from({ length: count }, (_, one) => one).find((one) => !taken.has(one));
    return lowest ?? null;
  }

  #seatFor(request: RegisterRequest): Seat | null {
    const role = plural(request.role);
    const key = keyOf(request);
    const open = this.seats.filter(
      (seat) => seat.run !== null && seat.wants[role] > this.#have(seat)[role],
    );
    const expected = open.find((seat) => this.#seats.get(seat)!.coming.has(key));
    return expected ?? open.find((seat) => this.#missing(seat)[role] > 0) ?? null;
  }

  #hosts(): CoordinatorHost[] {
    return [this.#pool, ...this.seats.map(({ host }) => host)];
  }

  #have(seat: Seat): Needs {
    // A registration under way may be in the roster already.
    const pending = [...this.#seats.get(seat)!.pending.values()];
    const ranked = [...seat.host.snapshot().members, ...pending].map(
      ({ role, rank }) => [`${role}-${rank}`, { role }] as const,
    );
    return counted([...new Map(ranked).values()]);
  }

  /** What a run wants besides what it has and what is on its way. */
  #missing(seat: Seat): Needs {
    const { coming } = this.#seats.get(seat)!;
    const nowMs = this.#clock.nowMs();
    for (const [key, { untilMs }] of coming) if (untilMs <= nowMs) coming.delete(key);
    const onTheWay = counted([...coming.values()]);
    const [have, { wants }] = [this.#have(seat), seat];
    const left = (role: keyof Needs) => Math.max(0, wants[role] - have[role] - onTheWay[role]);
    return { workers: left("workers"), servers: left("servers") };
  }

  #note({ attempt }: RegisterRequest, host: CoordinatorHost): void {
    if (attempt === "") return;
    this.#attempts.set(attempt, host);
    const [oldest] = this.#attempts.keys();
    if (this.#attempts.size > attemptsMax) this.#attempts.delete(oldest!);
  }
}

function withRun(reply: RegisterReply, run: string): RegisterReply {
  return reply.accepted ? { ...reply, run } : reply;
}

function counted(members: readonly { readonly role: MemberRole }[]): Needs {
  const workers = members.filter(({ role }) => role === "worker").length;
  return { workers, servers: members.length - workers };
}

/** Takes so many of a role out of a list. */
function take(idle: MemberSnapshot[], role: MemberRole, count: number): MemberSnapshot[] {
  const chosen = idle.filter((member) => member.role === role).slice(0, count);
  for (const member of chosen) idle.splice(idle.indexOf(member), 1);
  return chosen;
}

function plural(role: MemberRole): keyof Needs {
  return role === "worker" ? "workers" : "servers";
}

function rolesOf(members: readonly { readonly role: MemberRole }[]): string {
  return [...new Set(members.map(({ role }) => role))].join(" or ");
}

function keyOf({ role, pid, host }: Pick<MemberSnapshot, "role" | "pid" | "host">): string {
  return `${role} ${pid} ${host}`;
}
