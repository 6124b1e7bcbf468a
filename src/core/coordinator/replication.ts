/**
 * Which servers hold which chunk over a run's life: who leads, who backs up, who is brought up to.
 * Every chunk is to have as many replicas as the run asks for, or as many as there are servers.
 *
 * A server that is lost leaves the chunks that it led to their first in-sync backup. Where copies
 * are missing, further servers along the ring become candidates; a candidate becomes a backup when
 * the chunk's primary says that it waits for it.
 *
 * Invariant: a chunk's first replica is a server that has all that was ever committed of it.
 */
import type { Chunk } from "../../protocol/layout.js";
import { ringName } from "../../protocol/placement.js";
import { buildRing, nodesFrom, type Ring } from "../../protocol/ring.js";
import type { ChunkCandidate } from "../../protocol/view.js";

/** What is to be replicated, and how. */
export interface ReplicationRequest {
  readonly chunks: readonly Pick<Chunk, "key">[];
  /** Replicas of each chunk, its primary counted. */
  readonly replicas: number;
  readonly virtualNodes: number;
  readonly servers: readonly number[];
  /** By chunk who leads it at first. */
  readonly primaries: readonly number[];
}

/** The places of one run's chunks. */
export class Replication {
  readonly #wanted: number;
  readonly #virtualNodes: number;
  readonly #keys: readonly string[];
  readonly #servers: Set<number>;
  /** What views have of it stays as it is. */
  readonly #replicas: (readonly number[])[];
  readonly #candidates: Set<number>[];

  constructor({ chunks, replicas, virtualNodes, servers, primaries }: ReplicationRequest) {
    this.#wanted = replicas;
    this.#virtualNodes = virtualNodes;
    this.#keys = chunks.map(({ key }) => key);
    this.#servers = new Set(servers);
    this.#replicas = primaries.map((primary) => [primary]);
    this.#candidates = primaries.map(() => new Set());
    this.#nominate();
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

  /** True when every chunk has all the replicas that it can have. */
  get isRedundant(): boolean {
    const count = Math.min(this.#wanted, this.#servers.size);
    return this.#replicas.every(({ length }) => length >= count);
  }

  /** True where every chunk has a replica without this server. */
  canSpare(server: number): boolean {
    return this.#replicas.every((servers) => servers.some((other) => other !== server));
  }

  /** A server is gone that can be spared. */
  lose(server: number): void {
    this.#servers.delete(server);
    this.#replicas.forEach((servers, chunk) => {
      this.#replicas[chunk] = servers.filter((other) => other !== server);
      this.#candidates[chunk]!.delete(server);
    });
    this.#nominate();
  }

  /** A server has come, and holds nothing yet. */
  join(server: number): void {
    this.#servers.add(server);
    this.#nominate();
  }

  /** A candidate has all that is committed, and is waited for; false where it is none. */
  caughtUp(chunk: number, server: number): boolean {
    if (this.#candidates[chunk]?.delete(server) !== true) return false;
    this.#replicas[chunk] = [...this.#replicas[chunk]!, server];
    return true;
  }

  #nominate(): void {
    if (this.#wanted < 2) return;
    const ring = buildRing([...this.#servers].map(ringName), this.#virtualNodes);
    const indices = new Map([...this.#servers].map((server) => [ringName(server), server]));
    const wanted = Math.min(this.#wanted, this.#servers.size);
    this.#replicas.forEach((holders, chunk) => {
      const candidates = this.#candidates[chunk]!;
      for (const server of this.#along(ring, chunk, indices)) {
        if (holders.length + candidates.size >= wanted) break;
        if (!holders.includes(server)) candidates.add(server);
      }
    });
  }

  #along(ring: Ring, chunk: number, indices: ReadonlyMap<string, number>): number[] {
    return [...nodesFrom(ring, this.#keys[chunk]!)].map((node) => indices.get(node)!);
  }
}
