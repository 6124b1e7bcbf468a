/**
 * Who has registered with the coordinator: ranks, incarnations, liveness. A rank belongs to one
 * live process at a time; a dead worker's rank is kept for a process that asks for it during the
 * rank grace, and is otherwise given to the lowest asker.
 *
 * Invariant: an incarnation is given to one process and never again; what a dead incarnation says
 * is not heard.
 */

import type { MemberIdentity, MemberRole, ServerReach } from "../../protocol/identity.js";
import { IdSource } from "../../protocol/ids.js";
import {
  protocolVersion,
  type RegisterReply,
  type RegisterRequest,
  type ServerStatistics,
  type WorkerStatistics,
} from "../../protocol/messages.js";
import type { MemberSnapshot, RunEvent } from "../../protocol/run-events.js";
import type { FrameAddresses } from "../../protocol/view.js";
import type { RecordedMember } from "../coordinator/coordinator-record.js";
import { type FailureContext, FailureDetector, type FailureVerdict } from "./failure-detector.js";
import { MemberLoad } from "./member-load.js";

/** Times and limits of membership. */
export interface RosterConfig {
  readonly heartbeatIntervalMs: number;
  readonly leaseMs: number;
  readonly closedGraceMs: number;
  readonly rankGraceMs: number;
  /** How long members may take to come and to prepare. */
  readonly startTimeoutMs: number;
}

/** A registered process. */
export interface Member extends MemberIdentity {
  readonly pid: number;
  readonly host: string;
  readonly address: string;
  readonly frames: FrameAddresses | null;
  /** The try by which it became a member, in its own words. */
  readonly attempt: string;
  readonly detector: FailureDetector;
  /** True while its session stream is open. */
  connected: boolean;
  /** True once its session stream has been open. */
  opened: boolean;
  /** The run it was last told of, "" if none. */
  toldOf: string;
  /** The run it has prepared for, "" if none. */
  readyFor: string;
  activity: string;
  /** The sentence with which it was told to leave; null while it was not. */
  dismissal: string | null;
  /** Why it could not be let go when it asked for that last; "" where it did not. */
  refusedLeave: string;
  /** What it computes with, for the run it is ready for. */
  engine: string;
  /** What its engine chose, for the same run. */
  algorithms: readonly string[];
  server: ServerStatistics | null;
  worker: WorkerStatistics | null;
  /** Which servers it reaches, as it told last. */
  reach: readonly ServerReach[];
}

/** So many leases may a member be silent that builds model and data, or has yet to speak. */
const startLeases = 5;

/** True for a member that has not begun to speak, or prepares itself for the run it was told of. */
function isStarting({ opened, toldOf, readyFor }: Member): boolean {
  return !opened || toldOf !== readyFor;
}

/** What a member is called in sentences. */
export function nameOf(member: { readonly role: MemberRole; readonly rank: number }): string {
  return `${member.role}-${member.rank}`;
}

/** The sentence that people look for when a member has come. */
export function registrationOf({ role, rank, pid, host }: Member): string {
  const name = role === "worker" ? "Worker" : "Server";
  return `${name} ${rank} registered with ID ${rank} (pid ${pid} on ${host})`;
}

/**
 * The sentence on a lost member; `left` workers go on without it, null where it was not counted on.
 * A server's step is as it told last, or the run's where it holds nothing that is further.
 */
export function lossOf(
  member: Member,
  reason: string,
  left: number | null,
  globalSteps: number,
): string {
  const text = `${nameOf(member)} ${reason}`;
  const workers = `${left} worker${left === 1 ? "" : "s"}`;
  const step = member.worker?.clock ?? 0;
  if (member.dismissal !== null) {
    return left === null
      ? member.dismissal
      : `${member.dismissal} at step ${step}, going on with ${workers}`;
  }
  if (member.role === "server" && member.server !== null) {
    return `${text}: lost at step ${Math.max(member.server.versionMin, globalSteps)}`;
  }
  if (left === null) return reason.startsWith("left") ? text : `${text}: lost`;
  return `${text}: lost at step ${step}, going on with ${workers}`;
}

/** A loss as it is told; whom somebody asked to leave is not lost. */
export function lossEventOf(
  member: Member,
  reason: string,
  left: number | null,
  step: number,
): RunEvent & { readonly kind: "lost" | "left" } {
  const { role, rank, incarnation, dismissal } = member;
  const kind = dismissal === null ? "lost" : "left";
  return { kind, role, rank, incarnation, text: lossOf(member, reason, left, step) };
}

/** Of the time between two looks at a member, so much counts: more means that nobody looked. */
const lookMs = 250;

/** The largest number of workers or servers in one cluster. */
export const membersMax = 1024;

/** Members in ascending rank. */
type Lists = Readonly<Record<MemberRole | "everybody", readonly Member[]>>;

/** The members, by role and rank. */
export class Roster {
  readonly #config: RosterConfig;
  readonly #members = new Map<string, Member>();
  /** The same in order; null while that is to be found again. */
  #lists: Lists | null = null;
  /** When each rank lost its process. */
  readonly #vacatedMs = new Map<string, number>();
  /** By rank the process that left last as it was told to. */
  readonly #dismissed = new Map<string, number>();
  readonly #incarnations: IdSource;

  /** @param term of the coordinator. */
  constructor(config: RosterConfig, term: number) {
    this.#config = config;
    this.#incarnations = new IdSource(term);
  }

  /**
   * Answers a registration; `limits` are the ranks that the present run has room for. One that
   * did not hear the answer and asks again is given the same, and no further member comes of it.
   */
  register(
    request: RegisterRequest,
    limits: Readonly<Record<MemberRole, number>>,
    nowMs: number,
  ): { reply: RegisterReply; member: Member | null; replaced: Member | null } {
    const known = this.everybody().find((member) => isSameAttempt(member, request));
    if (known !== undefined) return { reply: this.#accept(known), member: null, replaced: null };
    const refusal = this.#refusal(request, limits, nowMs);
    if (refusal !== null) {
      return { reply: { accepted: false, ...refusal }, member: null, replaced: null };
    }
    const rank = request.rank ?? this.#lowestFree(request.role, limits[request.role], nowMs);
    const replaced = this.get(request.role, rank) ?? null;
    const { role, pid, host, address, frames, attempt } = request;
    const identity = { role, rank, incarnation: this.#incarnations.next() };
    const member = this.#admit({ ...identity, pid, host, address, frames, attempt }, nowMs);
    return { reply: this.#accept(member), member, replaced };
  }

  /** Takes up a member of an earlier coordinator's, which has the time to start to be back. */
  expect(recorded: RecordedMember, run: string, nowMs: number): void {
    const { role, rank, incarnation, pid, host, address, frames, engine, algorithms } = recorded;
    const from = { role, rank, incarnation, pid, host, address, frames, attempt: "" };
    const member = this.#admit(from, nowMs);
    [member.toldOf, member.readyFor, member.activity] = [run, run, "to come back"];
    [member.engine, member.algorithms] = [engine, algorithms];
  }

  #admit(
    from: MemberIdentity & Pick<Member, "pid" | "host" | "address" | "frames" | "attempt">,
    nowMs: number,
  ): Member {
    const { leaseMs, closedGraceMs, heartbeatIntervalMs, startTimeoutMs } = this.#config;
    const detector = new FailureDetector(nowMs, {
      ...{ leaseMs, closedGraceMs, lookMs },
      ...{ heartbeatMs: heartbeatIntervalMs },
      startMs: Math.min(startTimeoutMs, startLeases * leaseMs),
    });
    const member: Member = {
      ...from,
      detector,
      connected: false,
      opened: false,
      toldOf: "",
      readyFor: "",
      activity: "registered",
      dismissal: null,
      refusedLeave: "",
      engine: "",
      algorithms: [],
      server: null,
      worker: null,
      reach: [],
    };
    const key = keyOf(from.role, from.rank);
    this.#members.set(key, member);
    this.#lists = null;
    this.#vacatedMs.delete(key);
    return member;
  }

  #accept({ rank, incarnation }: Member): RegisterReply {
    const { heartbeatIntervalMs, leaseMs } = this.#config;
    const times = { heartbeatIntervalMs, leaseMs };
    return { accepted: true, rank, incarnation, term: this.term, ...times, run: "" };
  }

  /** The live member of a rank, if any. */
  get(role: MemberRole, rank: number): Member | undefined {
    return this.#members.get(keyOf(role, rank));
  }

  /** The member if it is still this incarnation. */
  find(role: MemberRole, rank: number, incarnation: number): Member | undefined {
    const member = this.get(role, rank);
    return member?.incarnation === incarnation ? member : undefined;
  }

  /** A member's session is open: the member, if it is one still. */
  opened({ role, rank, incarnation }: MemberIdentity, nowMs: number): Member | undefined {
    const member = this.find(role, rank, incarnation);
    if (member === undefined) return undefined;
    member.connected = true;
    member.opened = true;
    member.detector.reopened(nowMs);
    return member;
  }

  /** A member's session is closed, which may open again. */
  closed({ role, rank, incarnation }: MemberIdentity, nowMs: number): void {
    const member = this.find(role, rank, incarnation);
    if (member === undefined) return;
    member.connected = false;
    member.detector.closed(nowMs);
  }

  /** All live members of a role in ascending rank. */
  all(role: MemberRole): readonly Member[] {
    return this.#listed()[role];
  }

  /** All live members: servers, then workers, each in ascending rank. */
  everybody(): readonly Member[] {
    return this.#listed().everybody;
  }

  /** Those of them whose session has been open. */
  spokenTo(): readonly Member[] {
    return this.everybody().filter(({ opened }) => opened);
  }

  /** They are asked for with each event, and change seldom. */
  #listed(): Lists {
    if (this.#lists !== null) return this.#lists;
    const of = (role: MemberRole) =>
      [...this.#members.values()]
        .filter((member) => member.role === role)
        .sort((left, right) => left.rank - right.rank);
    const [server, worker] = [of("server"), of("worker")];
    this.#lists = { server, worker, everybody: [...server, ...worker] };
    return this.#lists;
  }

  /** True of a process that was told to leave: its end is no news. */
  wasDismissed(role: MemberRole, rank: number, pid: number): boolean {
    return this.#dismissed.get(keyOf(role, rank)) === pid;
  }

  /** Takes a member off; its rank stays kept for the rank grace. */
  remove(member: Member, nowMs: number): void {
    const key = keyOf(member.role, member.rank);
    if (this.#members.get(key) !== member) return;
    this.#members.delete(key);
    this.#lists = null;
    if (member.dismissal !== null) this.#dismissed.set(key, member.pid);
    this.#vacatedMs.set(key, nowMs);
  }

  /** The term under which incarnations are given. */
  get term(): number {
    return this.#incarnations.term;
  }

  /**
   * Gives incarnations under this term from here on, if it is higher: the workers that then have to
   * register again, as marks of a checkpoint may name lives by the ids of lower terms. Servers push
   * nothing: theirs are in no marks.
   */
  raiseTerm(term: number): readonly Member[] {
    if (term <= this.term) return [];
    this.#incarnations.raise(term);
    return this.all("worker");
  }

  /** Members found dead, with the reason. */
  dead(nowMs: number): { member: Member; reason: string }[] {
    const found: { member: Member; reason: string }[] = [];
    const load = new MemberLoad(this.#members.values(), nowMs);
    for (const member of this.#members.values()) {
      const verdict = this.#verdictOn(member, load, nowMs);
      if (verdict.state === "dead") found.push({ member, reason: verdict.reason });
    }
    return found;
  }

  /** Every member as others may see it; looking at it changes nothing. */
  snapshot(nowMs: number, inView: (member: Member) => boolean): MemberSnapshot[] {
    const load = new MemberLoad(this.#members.values(), nowMs);
    return this.everybody().map((member) => {
      const { state, reason } = member.detector.glance(nowMs, this.#contextOf(member, load));
      const { role, rank, incarnation, pid, host, address, frames } = member;
      const { activity, engine, server, worker } = member;
      return {
        role,
        rank,
        incarnation,
        pid,
        host,
        address,
        frames,
        state,
        reason,
        activity,
        engine,
        inView: inView(member),
        server,
        worker,
      };
    });
  }

  #verdictOn(member: Member, load: MemberLoad, nowMs: number): FailureVerdict {
    return member.detector.verdict(nowMs, this.#contextOf(member, load));
  }

  #contextOf(member: Member, load: MemberLoad): FailureContext {
    const isAsked = member.role === "server" && !member.connected;
    const refused = isAsked ? refusedAt(member, this.#members.values()) : null;
    return { isStarting: isStarting(member), refused, isLoaded: load.isSeenBy(member) };
  }

  #refusal(
    request: RegisterRequest,
    limits: Readonly<Record<MemberRole, number>>,
    nowMs: number,
  ): { code: "refused" | "protocol" | "usage"; reason: string } | null {
    if (request.protocol !== protocolVersion) {
      return {
        code: "protocol",
        reason:
          `this ${request.role} speaks protocol ${request.protocol}, the coordinator ` +
          `${protocolVersion}: run the same version of Paceline on both`,
      };
    }
    const limit = limits[request.role];
    const { role, rank } = request;
    if (rank !== null && (rank < 0 || rank >= limit)) {
      return {
        code: "usage",
        reason: `rank ${rank} is out of range: this run takes ${role}s 0 to ${limit - 1}`,
      };
    }
    if (rank === null) {
      if (this.#lowestFree(role, limit, nowMs) < limit) return null;
      return { code: "refused", reason: `this run has its ${limit} ${role}s already` };
    }
    const holder = this.get(role, rank);
    if (holder === undefined || !holder.connected) return null;
    const load = new MemberLoad(this.#members.values(), nowMs);
    const { reason } = this.#verdictOn(holder, load, nowMs);
    return {
      code: "refused",
      reason:
        `rank ${rank} is taken by ${role}-${rank} (pid ${holder.pid} on ${holder.host}, ` +
        `${reason}): choose another --rank or leave it out`,
    };
  }

  /** The lowest rank without a claim; else the lowest that is kept for a lost one; else `limit`. */
  #lowestFree(role: MemberRole, limit: number, nowMs: number): number {
    let firstKept: number | null = null;
    for (let rank = 0; rank < limit; rank++) {
      const key = keyOf(role, rank);
      if (this.#members.has(key)) continue;
      const vacatedMs = this.#vacatedMs.get(key);
      if (vacatedMs === undefined || nowMs - vacatedMs >= this.#config.rankGraceMs) return rank;
      firstKept ??= rank;
    }
    return firstKept ?? limit;
  }
}

/**
 * Who is refused at the address of this life of a server, which nobody reaches; null if nobody. A
 * process that lives listens, so one without a session besides is not waited for.
 */
function refusedAt(server: Member, members: Iterable<Member>): string | null {
  let refused: string | null = null;
  for (const member of members) {
    for (const one of member.reach) {
      if (one.server !== server.rank || one.incarnation !== server.incarnation) continue;
      if (one.unreachedMs === 0) return null;
      if (one.refused) refused ??= nameOf(member);
    }
  }
  return refused;
}

function isSameAttempt(member: Member, { role, attempt }: RegisterRequest): boolean {
  return attempt !== "" && member.role === role && member.attempt === attempt;
}

function keyOf(role: MemberRole, rank: number): string {
  return `${role}-${rank}`;
}
