/**
 * The servers of a run while it trains: which are in, who holds which chunk, and what changes when
 * one is lost, comes, has caught up or is to leave. It asks for what follows in the views.
 *
 * A server that is to leave is drained: others take over its chunks, then a view goes on without
 * it, and only then it is told to go.
 *
 * Invariant: no primary changes but by a loss, or while nobody is asked for a checkpoint.
 */
import type { MemberMessage } from "../../protocol/messages.js";
import type { RunEvent } from "../../protocol/run-events.js";
import type { ViewPhase, ViewServer } from "../../protocol/view.js";
import { type Member, nameOf } from "../members/roster.js";
import type { RunSetup } from "../work/run-setup.js";
import type { CoordinatorRecord } from "./coordinator-record.js";
import { type MoveCount, Replication } from "./replication.js";
import { chunkCount, drainEnded, movesBegun, movesDone } from "./training-words.js";
import { ViewRounds } from "./view-rounds.js";

/** A server that is to leave. */
interface Drain {
  readonly member: Member;
  readonly sinceMs: number;
  /** Chunks that it held when it was asked to. */
  readonly chunks: number;
}

/** How far a checkpoint is, if one is on its way. */
export interface SavingStand {
  /** Servers are asked for their chunks, or are about to be. */
  readonly isSaving: boolean;
  /** They have copied them, and training goes on. */
  readonly isBeside: boolean;
}

/** A server that holds nothing any more and may go, with the sentence on it. */
interface Drained {
  readonly member: Member;
  readonly text: string;
}

/** Who hears of servers. */
export interface ServersPort {
  emit(event: RunEvent): void;
  /** A server is told to leave, of which nobody has anything any more. */
  dismiss(member: Member, text: string): void;
}

/** The servers of one run. */
export class RunServers {
  readonly views: ViewRounds;
  readonly #replication: Replication;
  readonly #wanted: number;
  /** So many have to be left to hold chunks. */
  readonly #min: number;
  readonly #drains = new Map<number, Drain>();
  #told = "";
  /** Names of those that were to leave and are wanted after all, until that is told. */
  #stays: readonly string[] = [];
  /** When chunks began to move, and how many; null while none do. */
  #moving: { readonly sinceMs: number; total: number } | null = null;

  /**
   * Chunks are placed on these servers, and no worker is in yet; or both are as a record has them.
   */
  constructor(
    { spec, layout, generation }: RunSetup,
    term: number,
    members: readonly Member[],
    phase: ViewPhase,
    record: Pick<CoordinatorRecord, "view" | "stand"> | null = null,
  ) {
    const { chunks } = layout;
    const { virtualNodes, loadBound, run, replicas } = spec;
    const inView = record?.view.servers ?? members.map(viewServerOf);
    const servers = inView.map(({ index }) => index);
    const request = { chunks, servers, virtualNodes, loadBound, replicas };
    this.#wanted = replicas;
    this.#min = spec.servers;
    this.#replication = new Replication(request, record?.view.replicas);
    const first = { run, servers: inView, replicas: this.#replication.replicas, phase };
    this.views = new ViewRounds(first, term, generation);
    if (record !== null) this.views.restore(record.view, record.stand);
    this.views.nominate(this.#replication.candidates);
  }

  /** How many there are. */
  get count(): number {
    return this.views.servers().length;
  }

  /** How far chunks that move have come. */
  get moves(): MoveCount {
    return this.#replication.moves;
  }

  /** Names of the servers that are to leave. */
  get draining(): string[] {
    return [...this.#drains.values()].map(({ member }) => nameOf(member));
  }

  /** True where every chunk has an in-sync replica without this life of a server. */
  canSpare({ rank, incarnation }: Member): boolean {
    return !this.views.hasServer({ index: rank, incarnation }) || this.#replication.canSpare(rank);
  }

  /**
   * A server is gone that can be spared: the chunks that it led go to their backups. Where too few
   * are left, those stay that were to leave. False where it had no part in the run.
   */
  lose({ rank, incarnation }: Member): boolean {
    if (this.#drains.get(rank)?.member.incarnation === incarnation) this.#drains.delete(rank);
    if (!this.views.hasServer({ index: rank, incarnation })) return false;
    this.#replication.lose(rank);
    if (this.#replication.holders < this.#min) this.#keepAll();
    // Copies that are made before anyone looks are news all the same.
    this.#told = "";
    this.#place();
    this.views.removeServer(rank);
    return true;
  }

  /** Who was to leave and is still in stays. */
  #keepAll(): void {
    for (const [index, { member }] of this.#drains) {
      const { incarnation } = member;
      if (!this.views.hasServer({ index, incarnation })) continue;
      this.#replication.join(index);
      this.#drains.delete(index);
      this.#stays = [...this.#stays, nameOf(member)];
    }
  }

  /** A server has prepared itself after training began. */
  join(member: Member): void {
    const server = viewServerOf(member);
    if (this.views.hasServer(server)) return;
    this.views.admitServer(server);
    this.#replication.join(member.rank);
  }

  /** A primary waits for a candidate from here on. */
  caughtUp(message: MemberMessage & { readonly type: "caughtUp" }): void {
    const { chunk, server: index, incarnation } = message;
    if (!this.views.hasServer({ index, incarnation })) return;
    if (this.#replication.caughtUp(chunk, index)) this.#place();
  }

  /** True while this life of a member is a server that is to leave. */
  isDraining({ role, rank, incarnation }: Member): boolean {
    return role === "server" && this.#drains.get(rank)?.member.incarnation === incarnation;
  }

  /** Why a server can't be drained; null where it can, or has nothing to do with the run. */
  drainObjection({ rank, incarnation }: Member): string | null {
    if (!this.views.hasServer({ index: rank, incarnation })) return null;
    const { holders } = this.#replication;
    if (this.#drains.has(rank)) return `server-${rank} is being drained already`;
    if (holders > this.#min) return null;
    const are = holders === 1 ? "it is the only server" : `${holders} servers take part`;
    const least = `and at least ${this.#min} must be left`;
    const remedy = "start another first, within the maximum of --servers";
    return `server-${rank} can't be drained: ${are} ${least}; ${remedy}`;
  }

  /** A server is to leave, to which there is no objection: how many chunks it has. */
  drain(member: Member, nowMs: number): number {
    const { rank } = member;
    const chunks = this.#replication.chunksOf(rank).length;
    this.#drains.set(rank, { member, sinceMs: nowMs, chunks });
    this.#replication.leave(rank);
    return chunks;
  }

  /** The next small step of copies and moves, as a view stands. */
  #plan(): void {
    if (this.#replication.plan()) this.#place();
    for (const [index, { member }] of this.#drains) {
      const { incarnation } = member;
      // A view without its chunks stands first, so that it has given them up by itself.
      const isDone = this.#replication.chunksOf(index).length === 0 && !this.views.busy;
      if (isDone && this.views.hasServer({ index, incarnation })) this.views.removeServer(index);
    }
  }

  /** Those who were to leave and that the view, which stands, has no more. */
  #takeDrained(nowMs: number): Drained[] {
    return [...this.#drains.values()].flatMap(({ member, sinceMs, chunks }) => {
      const { rank, incarnation } = member;
      if (this.views.hasServer({ index: rank, incarnation })) return [];
      this.#drains.delete(rank);
      const moved = `${chunkCount(chunks)} moved in ${seconds(nowMs - sinceMs)}`;
      return [{ member, text: `server-${rank} drained: ${moved}` }];
    });
  }

  /**
   * Tells what is new and takes the next small step, unless servers are asked for a checkpoint.
   * While one is written beside training nobody leaves, as a server that does may have copies.
   */
  attend(port: ServersPort, { isSaving, isBeside }: SavingStand, nowMs: number): void {
    for (const name of this.#stays) port.emit({ kind: "warning", text: drainEnded(name) });
    this.#stays = [];
    for (const text of this.news(nowMs)) port.emit({ kind: "info", text });
    if (isSaving || this.views.busy) return;
    this.#plan();
    if (isBeside || this.views.busy) return;
    for (const { member, text } of this.#takeDrained(nowMs)) port.dismiss(member, text);
  }

  /** Sentences on how many servers hold each chunk and on moves, where that has changed. */
  news(nowMs: number): string[] {
    if (this.views.busy) return [];
    const moves = this.#newsOfMoves(nowMs);
    const text = this.#wanted < 2 ? this.#told : this.#stand();
    if (text === this.#told) return moves;
    this.#told = text;
    return [...moves, text];
  }

  #newsOfMoves(nowMs: number): string[] {
    const { left, total } = this.moves;
    const moving = this.#moving;
    if (left > 0) {
      this.#moving = { sinceMs: moving?.sinceMs ?? nowMs, total };
      return moving === null ? [movesBegun({ left, total })] : [];
    }
    this.#moving = null;
    return moving === null ? [] : [movesDone(moving.total, seconds(nowMs - moving.sinceMs))];
  }

  #stand(): string {
    const { isRedundant, holders } = this.#replication;
    const missing = this.#wanted - holders;
    const more = `${missing} more server${missing === 1 ? "" : "s"}`;
    const short = missing > 0 ? `; --replicas ${this.#wanted} needs ${more}` : "";
    if (holders < 2) return `every chunk is on one server${short}`;
    if (!isRedundant) return `some chunks lack a replica, which is copied meanwhile${short}`;
    return `redundant: every chunk is on ${Math.min(this.#wanted, holders)} servers${short}`;
  }

  #place(): void {
    this.#replication.replicas.forEach((servers, chunk) => {
      this.views.place(chunk, servers);
    });
    this.views.nominate(this.#replication.candidates);
  }
}

function viewServerOf({ rank, incarnation, address, frames }: Member): ViewServer {
  return { index: rank, incarnation, address, frames };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
