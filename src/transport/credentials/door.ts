/**
 * Who has come in by the port of a listener, and what each may say. Connections are known by their
 * remote address and port, as both protocols call their peers. A door counts them, whatever they
 * are, so that no computer takes all there are; where there are credentials it gives each a while
 * to say its first complete hello, and answers for roles and the token.
 *
 * A Unix socket's door asks for the token alone: who reaches the socket is the user that runs the
 * process.
 */
import type { Socket } from "node:net";
import { PacelineError } from "../../errors.js";
import type { RegisterReply } from "../../protocol/messages.js";
import { isPathAddress } from "../addresses.js";
import type { ChunkAcceptor, ChunkReceiver } from "../transport.js";
import {
  connectionsPerAddressMax,
  greetingConnectionsPerAddressMax,
  helloMsMax,
  refusedRegistrationsMax,
  refusedRegistrationsMs,
} from "../wire/limits.js";
import { type ClusterRole, isOpenCall, maySend, rolesOfCall } from "./roles.js";
import type { Peer, Security } from "./security.js";
import type { Certificates } from "./tls-folder.js";

interface Visitor {
  readonly socket: Socket;
  readonly address: string;
  readonly counts: Counts;
  peer: Peer | null;
  /** No longer has its certificate looked at. */
  forget: () => void;
  /** Why it is let go; null while it is not. */
  objection: PacelineError | null;
  /** Ends the wait for its hello; null once it has said it, or where nobody waits. */
  deadline: NodeJS.Timeout | null;
  hasGreeted: boolean;
}

/** Of one remote address. */
interface Counts {
  open: number;
  greeting: number;
  /** When registrations from here were refused, the latest. */
  refusedMs: number[];
}

/** How long a connection stays that has been told why it is let go. */
const lingerMs = 500;
/** Addresses without a connection that are remembered are forgotten where there are so many. */
const addressesMax = 4096;
/** A kind of refusal is told so often at most. */
const tellIntervalMs = 5000;

/** The door of one listener. */
export class Door {
  readonly #security: Security | null;
  readonly #isLocal: boolean;
  readonly #visitors = new Map<string, Visitor>();
  readonly #addresses = new Map<string, Counts>();
  readonly #told = new Map<string, number>();
  #onLetGo: (key: string, error: PacelineError) => void = () => {};

  constructor(security: Security | null, isLocal: boolean) {
    this.#security = security;
    this.#isLocal = isLocal;
  }

  /** The certificates that connections are made with; null where they are plain. */
  get tls(): Certificates | null {
    return this.#isLocal ? null : (this.#security?.tls ?? null);
  }

  /** True where calls are looked at. */
  get isGuarded(): boolean {
    return this.tls !== null || this.#security?.token != null;
  }

  /** Counts a connection in; false, and it is ended, where there is no room for it. */
  admit(socket: Socket, ioTimeoutMs: number): boolean {
    const key = keyOf(socket);
    if (this.#isLocal || key === null) return true;
    const address = socket.remoteAddress!;
    const before = this.#visitors.get(key);
    if (before !== undefined) this.#leave(key, before.socket);
    const counts = this.#addresses.get(address) ?? { open: 0, greeting: 0, refusedMs: [] };
    const isCrowded =
      counts.open >= connectionsPerAddressMax ||
      counts.greeting >= greetingConnectionsPerAddressMax;
    if (isCrowded) {
      const { open, greeting } = counts;
      const sentence = `${open} connections are open, ${greeting} of them without a hello`;
      this.tell(`connections from ${address} are refused: ${sentence}`);
      socket.destroy();
      return false;
    }
    counts.open += 1;
    counts.greeting += 1;
    if (this.#addresses.size >= addressesMax) this.#forgetAddresses();
    this.#addresses.set(address, counts);
    const limitMs = Math.min(ioTimeoutMs, helloMsMax);
    const deadline = this.isGuarded ? this.#deadline(key, socket, limitMs) : null;
    this.#visitors.set(key, {
      ...{ socket, address, counts, deadline },
      ...{ peer: null, forget: () => {}, objection: null },
      hasGreeted: false,
    });
    socket.once("close", () => this.#leave(key, socket));
    return true;
  }

  /**
   * A connection's handshake is done.
   * @param whose "the certificate of 10.0.0.1:8000", for messages.
   */
  entered(key: string, peer: Peer, whose: string): void {
    const visitor = this.#visitors.get(key);
    if (visitor === undefined) return;
    visitor.peer = peer;
    const letGo = (error: PacelineError) => this.#letGo(key, error);
    visitor.forget = this.tls?.peers.add(peer, whose, letGo) ?? visitor.forget;
  }

  /** Who has what is open over a connection told, and ended, when that connection is let go. */
  whenLetGo(tell: (key: string, error: PacelineError) => void): void {
    this.#onLetGo = tell;
  }

  /** A connection has said its first complete hello. */
  greeted(key: string): void {
    const visitor = this.#visitors.get(key);
    if (visitor === undefined || visitor.hasGreeted) return;
    visitor.hasGreeted = true;
    if (visitor.deadline !== null) clearTimeout(visitor.deadline);
    visitor.counts.greeting -= 1;
  }

  /** Why a gRPC call is not answered; null where it is. */
  objectionToCall(path: string, key: string, authorization: string): PacelineError | null {
    const objection = this.#visitors.get(key)?.objection ?? null;
    if (objection !== null) return objection;
    try {
      const role = this.#roleOf(key);
      if (role !== null && !rolesOfCall(path).includes(role)) {
        throw this.#refusal(key, `may not call ${path.split("/").at(-1)}`, rolesOfCall(path));
      }
      if (!isOpenCall(path)) this.demandToken(key, authorization.replace(/^Bearer /, ""));
      return null;
    } catch (thrown) {
      if (thrown instanceof PacelineError) return thrown;
      throw thrown;
    }
  }

  /** Throws "refused" where a peer's certificate is not of the role that it says it has. */
  demandRole(key: string, wanted: ClusterRole): void {
    const role = this.#roleOf(key);
    if (role === null || role === wanted) return;
    throw this.#refusal(key, `may not speak as a ${wanted}`, [wanted]);
  }

  /** Throws "refused" where what a peer has said is not the cluster's token. */
  demandToken(key: string, said: string): void {
    const objection = this.#security?.token?.objection(said) ?? null;
    if (objection === null) return;
    this.tell(`${key} is refused: ${objection.message}`);
    throw objection;
  }

  /** An acceptor whose receivers hear only what the role of their peer may say. */
  checked(accept: ChunkAcceptor): ChunkAcceptor {
    if (this.tls === null) return accept;
    return (channel) => {
      const { peer } = channel;
      const role = this.#roleOf(peer);
      const receiver = accept(channel);
      return role === null ? receiver : this.#limited(receiver, role, peer);
    };
  }

  /**
   * Has a registration answered for a peer that says it has this role; throws "refused" where its
   * certificate has another, or while its address has had too many refused.
   */
  async registration(
    key: string,
    role: ClusterRole,
    register: () => RegisterReply | Promise<RegisterReply>,
  ): Promise<RegisterReply> {
    const counts = this.#visitors.get(key)?.counts ?? null;
    if (counts !== null) demandPatience(counts);
    let isAccepted = false;
    try {
      this.demandRole(key, role);
      const reply = await register();
      isAccepted = reply.accepted;
      return reply;
    } finally {
      if (!isAccepted) counts?.refusedMs.push(performance.now());
    }
  }

  /** Says a sentence in the log, unless it was said a moment ago. */
  tell(sentence: string): void {
    const kind = sentence.replaceAll(/\d+/g, "#");
    const nowMs = performance.now();
    if (nowMs - (this.#told.get(kind) ?? Number.NEGATIVE_INFINITY) < tellIntervalMs) return;
    if (this.#told.size > 1000) this.#told.clear();
    this.#told.set(kind, nowMs);
    this.#security?.log(sentence);
  }

  #letGo(key: string, error: PacelineError): void {
    const visitor = this.#visitors.get(key);
    if (visitor === undefined) return;
    visitor.objection = error;
    this.#onLetGo(key, error);
    const limit = setTimeout(() => visitor.socket.destroy(), lingerMs);
    visitor.socket.once("close", () => clearTimeout(limit));
  }

  #roleOf(key: string): ClusterRole | null {
    if (this.tls === null) return null;
    const peer = this.#visitors.get(key)?.peer ?? null;
    if (peer !== null) return peer.role;
    throw new PacelineError("refused", `${key} has shown no certificate`);
  }

  #refusal(key: string, what: string, wanted: readonly ClusterRole[]): PacelineError {
    const peer = this.#visitors.get(key)?.peer;
    const who = `${peer?.name ?? key}, with a ${peer?.role ?? "stranger"}'s certificate,`;
    const remedy = `a certificate of ${wanted.join(" or ")} is needed`;
    this.tell(`${key} is refused: ${who} ${what}: ${remedy}`);
    return new PacelineError("refused", `${who} ${what}: ${remedy}`);
  }

  #limited(receiver: ChunkReceiver, role: ClusterRole, peer: string): ChunkReceiver {
    return {
      onHeader: (header, payloadBytes) => {
        if (maySend(role, header.kind)) return receiver.onHeader(header, payloadBytes);
        throw this.#refusal(
          peer,
          `may not send ${header.kind} messages`,
          rolesThatSend(header.kind),
        );
      },
      onChunk: (header, destination) => receiver.onChunk(header, destination),
      onClose: (error) => receiver.onClose(error),
    };
  }

  #deadline(key: string, socket: Socket, limitMs: number): NodeJS.Timeout {
    const giveUp = (): void => {
      if (this.#visitors.get(key)?.hasGreeted !== false) return;
      this.tell(`${key} is let go: it said no complete hello within ${limitMs / 1000} s`);
      socket.destroy();
    };
    // A process that has stood still reads first what came meanwhile.
    return setTimeout(() => setImmediate(giveUp), limitMs);
  }

  #leave(key: string, socket: Socket): void {
    const visitor = this.#visitors.get(key);
    if (visitor?.socket !== socket) return;
    this.greeted(key);
    visitor.forget();
    this.#visitors.delete(key);
    const { counts, address } = visitor;
    counts.open -= 1;
    if (counts.open === 0 && counts.refusedMs.length === 0) this.#addresses.delete(address);
  }

  #forgetAddresses(): void {
    for (const [address, { open }] of this.#addresses) {
      if (open === 0) this.#addresses.delete(address);
    }
  }
}

/** The door of a listener at an address. */
export function doorAt(address: string, security: Security | null): Door {
  return new Door(security, isPathAddress(address));
}

function demandPatience(counts: Counts): void {
  const nowMs = performance.now();
  counts.refusedMs = counts.refusedMs.filter((atMs) => nowMs - atMs < refusedRegistrationsMs);
  if (counts.refusedMs.length < refusedRegistrationsMax) return;
  const seconds = refusedRegistrationsMs / 1000;
  const sentence = `${refusedRegistrationsMax} registrations were refused within ${seconds} s`;
  throw new PacelineError("refused", `${sentence}; mend what was refused, then try again`);
}

/** What a connection is called; null of a Unix socket's. */
export function keyOf({ remoteAddress, remotePort }: Socket): string | null {
  return remoteAddress === undefined ? null : `${remoteAddress}:${remotePort}`;
}

function rolesThatSend(kind: Parameters<typeof maySend>[1]): ClusterRole[] {
  return (["coordinator", "server", "worker"] as const).filter((role) => maySend(role, kind));
}
