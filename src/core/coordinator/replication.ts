/**
 * Which servers hold which chunk over a run's life: who leads, who backs up, who is brought up to.
 * Where each chunk is wanted follows from the servers that are to hold chunks: its primary as
 * placement has it, then backups along the ring, as many as the run asks for or as there are
 * servers. What differs from that is changed in small steps, one `plan` for each view that stands.
 *
 * A server that is lost leaves the chunks that it led to their first in-sync backup. Where copies
 * are missing, servers that are wanted become candidates; a candidate becomes a backup when the
 * chunk's primary says that it waits for it. A chunk moves in the same way: who is wanted is
 * brought up beside those who hold it, then others give it up. Missing copies come before moves,
 * and of moves only some are under way at a time.
 *
 * Invariants: a chunk's first replica is a server that has all that was ever committed of it; who
 * gave a copy up, finished or not, begins no other before a view without it stands: what primaries
 * say of the earlier one has been heard by then.
 */
import type { Chunk } from "../../protocol/layout.js";
import { placeChunks, ringName } from "../../protocol/placement/placement.js";
import { buildRing, nodesFrom } from "../../protocol/placement/ring.js";
import type { ChunkCandidate } from "../../protocol/view.js";

/** Chunks that move at one time: so many snapshots travel beside training at most. */
export const movesMax = 4;

/** What is to be replicated, and how. */
export interface ReplicationRequest {
  readonly chunks: readonly Pick<Chunk, "key" | "length">[];
  /** Replicas of each chunk, its primary counted. */
  readonly replicas: number;
  readonly virtualNodes: number;
  readonly loadBound: number | null;
  readonly servers: readonly number[];
}

/** How far moves have come. */
export interface MoveCount {
  /** Chunks that are not where they are wanted. */
  readonly left: number;
  /** These and the ones that have come to be there since all were. */
  readonly total: number;
}

/** The places of one run's chunks. */
export class Replication {
  readonly #request: ReplicationRequest;
  /** Those that are to hold chunks. */
  readonly #holders: Set<number>;
  /** By chunk who is to hold it, the primary first. */
  #wanted: readonly (readonly number[])[];
  /** What views have of it stays as it is. */
  readonly #replicas: (readonly number[])[];
  readonly #candidates: Set<number>[];
  #moved = 0;

  /** @param held by chunk who holds it already; left out where nobody holds anything. */
  constructor(request: ReplicationRequest, held?: readonly (readonly number[])[]) {
    this.#request = request;
    this.#holders = new Set(request.servers);
    this.#wanted = this.#placed();
    this.#candidates = request.chunks.map(() => new Set());
    this.#replicas = [...(held ?? this.#wanted.map(([primary]) => [primary!]))];
    if (held === undefined) this.plan();
  }

  /** By chunk the servers that hold it, its primary first. */
  get replicas(): readonly (readonly number[])[] {
    return this.#replicas;
  }

  /** In ascending chunk. */
  get candidates(): ChunkCandidate[] {
    return this.#candidates.flatMap((servers, chunk) =>
      [...servers].map((server) => ({ chunk, server })),
    );
  }

  /** How many servers are to hold chunks. */
  get holders(): number {
    return this.#holders.size;
  }

  /** True when every chunk has all the replicas that it can have. */
  get isRedundant(): boolean {
    return this.#replicas.every((_, chunk) => !this.#lacks(chunk));
  }

  /** How many chunks are still to move, those that lack copies aside. */
  get moves(): MoveCount {
    const isLeft = (chunk: number) => !this.#isPlaced(chunk) && !this.#lacks(chunk);
    const left = this.#wanted.filter((_, chunk) => isLeft(chunk)).length;
    return { left, total: left + this.#moved };
  }

  /** True where every chunk has a replica without this server. */
  canSpare(server: number): boolean {
    return this.#replicas.every((servers) => servers.some((other) => other !== server));
  }

  /** The chunks that a server holds, or is brought up to. */
  chunksOf(server: number): number[] {
    const has = (chunk: number) =>
      this.#replicas[chunk]!.includes(server) || this.#candidates[chunk]!.has(server);
    return this.#replicas.flatMap((_, chunk) => (has(chunk) ? [chunk] : []));
  }

  /** A server is gone that can be spared. */
  lose(server: number): void {
    this.#holders.delete(server);
    this.#replicas.forEach((servers, chunk) => {
      this.#replicas[chunk] = servers.filter((other) => other !== server);
      this.#candidates[chunk]!.delete(server);
    });
    if (this.#holders.size > 0) this.#wanted = this.#placed();
  }

  /** A server is to hold chunks, which has come or was to hold none any more. */
  join(server: number): void {
    this.#holders.add(server);
    this.#wanted = this.#placed();
  }

  /** A server is to hold nothing any more, once others do; some others must be there. */
  leave(server: number): void {
    this.#holders.delete(server);
    this.#wanted = this.#placed();
  }

  /** A candidate has all that is committed, and is waited for; false where it is none. */
  caughtUp(chunk: number, server: number): boolean {
    if (this.#candidates[chunk]?.delete(server) !== true) return false;
    this.#replicas[chunk] = [...this.#replicas[chunk]!, server];
    return true;
  }

  /**
   * The next small step, once a view stands that has all that went before: chunks are given up by
   * whom they are wanted at no more, then copies are begun. True where anything changes.
   */
  plan(): boolean {
    const settled = this.#settle();
    const forgotten = this.#forgetUnwanted();
    const lacking = this.#nominateLacking();
    const isBusy = lacking > 0 || !this.isRedundant;
    const moving = isBusy ? 0 : this.#nominateMoves();
    if (this.moves.left === 0) this.#moved = 0;
    return settled + forgotten + lacking + moving > 0;
  }

  /** Some chunks whose wanted holders all have them are held by nobody else from here on. */
  #settle(): number {
    let settled = 0;
    this.#wanted.forEach((wanted, chunk) => {
      const holders = this.#replicas[chunk]!;
      const isCopied = wanted.every((server) => holders.includes(server));
      if (!isCopied || this.#isPlaced(chunk) || settled >= movesMax) return;
      this.#replicas[chunk] = wanted;
      this.#moved++;
      settled++;
    });
    return settled;
  }

  #forgetUnwanted(): number {
    let forgotten = 0;
    this.#candidates.forEach((candidates, chunk) => {
      for (const server of candidates) {
        if (this.#wanted[chunk]!.includes(server)) continue;
        candidates.delete(server);
        forgotten++;
      }
    });
    return forgotten;
  }

  #nominateLacking(): number {
    let nominated = 0;
    this.#wanted.forEach((wanted, chunk) => {
      const candidates = this.#candidates[chunk]!;
      for (const server of wanted) {
        if (this.#replicas[chunk]!.length + candidates.size >= wanted.length) break;
        if (this.#replicas[chunk]!.includes(server) || candidates.has(server)) continue;
        candidates.add(server);
        nominated++;
      }
    });
    return nominated;
  }

  #nominateMoves(): number {
    const before = this.#candidates.reduce((sum, { size }) => sum + size, 0);
    let copying = before;
    this.#wanted.forEach((wanted, chunk) => {
      for (const server of wanted) {
        const isThere = this.#replicas[chunk]!.includes(server);
        if (copying >= movesMax || isThere || this.#candidates[chunk]!.has(server)) continue;
        this.#candidates[chunk]!.add(server);
        copying++;
      }
    });
    return copying - before;
  }

  #lacks(chunk: number): boolean {
    return this.#replicas[chunk]!.length < this.#wanted[chunk]!.length;
  }

  /** The order of the backups is let be. */
  #isPlaced(chunk: number): boolean {
    const wanted = this.#wanted[chunk]!;
    const holders = this.#replicas[chunk]!;
    const isSame = holders.length === wanted.length && holders.every((one) => wanted.includes(one));
    return isSame && holders[0] === wanted[0];
  }

  #placed(): (readonly number[])[] {
    const { chunks, replicas, virtualNodes, loadBound } = this.#request;
    const servers = [...this.#holders];
    const { primaries } = placeChunks({ chunks, servers, virtualNodes, loadBound });
    if (replicas === 1) return primaries.map((primary) => [primary]);
    const ring = buildRing(servers.map(ringName), virtualNodes);
    const indices = new Map(servers.map((server) => [ringName(server), server]));
    return primaries.map((primary, chunk) => {
      const placed = [primary];
      for (const node of nodesFrom(ring, chunks[chunk]!.key)) {
        if (placed.length >= replicas) break;
        const server = indices.get(node)!;
        if (server !== primary) placed.push(server);
      }
      return placed;
    });
  }
}
