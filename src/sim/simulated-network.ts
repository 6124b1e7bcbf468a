/**
 * The network of a simulated world: who answers at which address, which ways are blocked, which
 * connections are open, and what goes wrong with them. A way is from one node to another, so that a
 * partition may be of one direction only. A side that hears nothing for a while, since the way is
 * blocked or the other process stands still, ends its connection, as keepalive would have it.
 */
import { PacelineError } from "../errors.js";
import type { MemberIdentity } from "../protocol/identity.js";
import type { ChunkHeader, MemberMessage } from "../protocol/messages.js";
import type { Random } from "../random.js";
import type { ChunkAcceptor, CoordinatorService, Listener } from "../transport/transport.js";
import { Connection, type ConnectionSurroundings } from "./connection.js";
import { Pipe } from "./pipe.js";
import type { SimulatedProcess } from "./simulated-process.js";
import type { VirtualTime } from "./virtual-time.js";
import type { WireForm } from "./wire-forms.js";

/** How fast the network is and how patient those who use it. */
export interface NetworkSettings {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** Time between the events in which one message arrives. */
  readonly beatMsMax: number;
  /** How long a call or the opening of a connection is waited for. */
  readonly ioTimeoutMs: number;
  /** As what messages are on their way; as objects if left out. */
  readonly wire?: WireForm;
}

/** What answers at an address. */
export interface Served {
  readonly process: SimulatedProcess;
  readonly service: CoordinatorService | null;
  readonly accept: ChunkAcceptor | null;
}

/** The share of the time-out after which a silent connection is given up. */
const keepaliveShare = 2 / 3;

/** The network. */
export class SimulatedNetwork implements ConnectionSurroundings {
  readonly settings: NetworkSettings;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #served = new Map<string, Served>();
  readonly #connections = new Set<Connection>();
  readonly #calls = new Set<{ to: SimulatedProcess; fail(error: PacelineError): void }>();
  /** How often each way is blocked. */
  readonly #blocked = new Map<string, number>();
  readonly #stalled = new Map<string, Set<Pipe>>();
  /** Told of each chunk message that is sent. */
  onSent: (header: ChunkHeader, from: string) => void = () => {};
  /** The same of what members say to the coordinator. */
  onSaid: (member: MemberIdentity, message: MemberMessage) => void = () => {};
  /** See `ConnectionSurroundings`. */
  onAct: (process: SimulatedProcess, kind: string, isDone: boolean) => void = () => {};
  /** Until when nodes ask twice. */
  readonly #repeating = new Map<string, number>();
  /** By node the answers to calls that are yet to be lost. */
  readonly #lostAnswers = new Map<string, number>();

  constructor(time: VirtualTime, random: Random, settings: NetworkSettings) {
    this.#time = time;
    this.#random = random;
    this.settings = settings;
  }

  get wire(): WireForm {
    return this.settings.wire ?? "objects";
  }

  get nowMs(): number {
    return this.#time.nowMs;
  }

  plan = (atMs: number, action: () => void): void => void this.#time.at(atMs, action);

  delayMs(): number {
    const { delayMsMin, delayMsMax } = this.settings;
    return delayMsMin + this.#random.float() * (delayMsMax - delayMsMin);
  }

  beatMs(): number {
    return this.#random.float() * this.settings.beatMsMax;
  }

  copiesPayload(): boolean {
    return this.#random.below(3) > 0;
  }

  resets(): boolean {
    return this.#random.below(2) === 0;
  }

  isBlocked(from: string, to: string): boolean {
    return this.#blocked.size > 0 && (this.#blocked.get(wayOf(from, to)) ?? 0) > 0;
  }

  awaitOpen(pipe: Pipe): void {
    const waiting = this.#stalled.get(pipe.way) ?? new Set<Pipe>();
    this.#stalled.set(pipe.way, waiting.add(pipe));
  }

  onOver(connection: Connection): void {
    if (connection.client.isOver && connection.server.isOver) this.#connections.delete(connection);
  }

  /** Starts to answer at an address. */
  serve(address: string, served: Served): Listener {
    if (this.#served.get(address)?.process.isAlive === true) {
      throw new PacelineError("usage", `address ${address} is in use; choose another`);
    }
    this.#served.set(address, served);
    const close = async () => {
      if (this.#served.get(address) === served) this.#served.delete(address);
    };
    return { address, close };
  }

  /** What answers at an address, if anything does. */
  at(address: string): Served | undefined {
    const served = this.#served.get(address);
    return served?.process.isAlive === true ? served : undefined;
  }

  /** A connection that has just been made; its first message is yet to be sent. */
  connect(client: SimulatedProcess, served: Served): Connection {
    const connection = new Connection(client, served.process, this);
    this.#connections.add(connection);
    return connection;
  }

  /** A way from a process to another for what belongs to no connection. */
  pipe(from: SimulatedProcess, to: SimulatedProcess): Pipe {
    return new Pipe(from.node, to, this);
  }

  /** True where the answer to a call of this node is to be lost; it is counted. */
  losesAnswer(node: string): boolean {
    const left = this.#lostAnswers.get(node) ?? 0;
    if (left > 0) this.#lostAnswers.set(node, left - 1);
    return left > 0;
  }

  /** Has the next answers to calls of this node lost. */
  loseAnswers(node: string, count: number): void {
    this.#lostAnswers.set(node, count);
  }

  /** Has a node's calls, and what it asks of servers, made twice for a while. */
  repeat(node: string, durationMs: number): void {
    this.#repeating.set(node, this.nowMs + durationMs);
  }

  repeats(node: string): boolean {
    return this.#repeating.size > 0 && this.nowMs < (this.#repeating.get(node) ?? 0);
  }

  /** Has what a node sends over its connections to another be lost, until both find out. */
  swallow(from: string, to: string): void {
    const patienceMs = this.settings.ioTimeoutMs * keepaliveShare;
    for (const connection of this.#between(from, to)) {
      connection.endOn(from)?.out.swallow();
      this.#time.after(patienceMs, () => {
        connection.client.break(silence(patienceMs));
        connection.server.break(silence(patienceMs));
      });
    }
  }

  /** Blocks the way from one node to another for a while. */
  block(from: string, to: string, durationMs: number): void {
    const way = wayOf(from, to);
    this.#blocked.set(way, (this.#blocked.get(way) ?? 0) + 1);
    this.#time.after(durationMs, () => this.#unblock(way));
    const { ioTimeoutMs } = this.settings;
    const patienceMs = ioTimeoutMs * keepaliveShare;
    if (durationMs <= patienceMs) return;
    this.#time.after(patienceMs, () => {
      if (this.isBlocked(from, to)) this.breakBetween(from, to, () => silence(patienceMs));
    });
  }

  /** A process stands still: who is connected with it gives up, unless it goes on in time. */
  stoodStill(process: SimulatedProcess): void {
    const patienceMs = this.settings.ioTimeoutMs * keepaliveShare;
    this.#time.after(patienceMs, () => {
      if (!process.isFrozen || !process.isAlive) return;
      for (const { client, server } of [...this.#connections]) {
        if (client.process === process) server.break(silence(patienceMs));
        if (server.process === process) client.break(silence(patienceMs));
      }
    });
  }

  /** Breaks every connection between two nodes, at both ends. */
  breakBetween(
    left: string,
    right: string,
    errorOf = () => new PacelineError("unavailable", "the connection broke"),
  ): void {
    for (const connection of this.#between(left, right)) {
      connection.client.break(errorOf());
      connection.server.break(errorOf());
    }
  }

  /**
   * One node takes its connections to another for broken, while what it sent over them goes on to
   * arrive, late: the other side hears of the end after that.
   */
  leaveBehind(from: string, to: string, lateMs: number): void {
    for (const connection of this.#between(from, to)) {
      const end = connection.endOn(from);
      end?.out.delay(lateMs);
      end?.break(new PacelineError("unavailable", "the connection broke"));
    }
  }

  /**
   * A process has ended. Where it is silent nobody is told, and others find out by waiting; what it
   * had sent may be late.
   */
  ended(process: SimulatedProcess, isSilent: boolean, lateMs = 0): void {
    const patienceMs = this.settings.ioTimeoutMs * keepaliveShare;
    for (const connection of [...this.#connections]) {
      const { client, server } = connection;
      const own = [client, server].find((end) => end.process === process);
      if (own === undefined || own.isOver) continue;
      if (lateMs > 0) own.out.delay(lateMs);
      own.die(isSilent);
      const other = connection.otherThan(own);
      if (isSilent) this.#time.after(patienceMs, () => other.break(silence(patienceMs)));
    }
    if (isSilent) return;
    const error = new PacelineError("unavailable", `${process.name} closed the connection`);
    for (const call of this.#calls) {
      if (call.to !== process) continue;
      this.#calls.delete(call);
      this.#time.after(this.delayMs(), () => call.fail(error));
    }
  }

  /**
   * A process waits for what another answers to a call: it is told where that ends first, and is
   * not silent then. Calling what is returned says that it waits no more.
   */
  awaitAnswer(to: SimulatedProcess, fail: (error: PacelineError) => void): () => void {
    const call = { to, fail };
    this.#calls.add(call);
    return () => void this.#calls.delete(call);
  }

  /** How many connections have an end that is not over. */
  get connections(): number {
    return this.#connections.size;
  }

  #between(left: string, right: string): Connection[] {
    return [...this.#connections].filter(
      (connection) => connection.endOn(left) !== undefined && connection.endOn(right) !== undefined,
    );
  }

  #unblock(way: string): void {
    const left = (this.#blocked.get(way) ?? 1) - 1;
    if (left > 0) {
      this.#blocked.set(way, left);
      return;
    }
    this.#blocked.delete(way);
    const waiting = this.#stalled.get(way) ?? [];
    this.#stalled.delete(way);
    for (const pipe of waiting) pipe.flow();
  }
}

/** The way from one node to another, as a word. */
export function wayOf(from: string, to: string): string {
  return `${from}>${to}`;
}

function silence(patienceMs: number): PacelineError {
  return new PacelineError("timeout", `nothing was heard for ${(patienceMs / 1000).toFixed(1)} s`);
}
