/**
 * What comes to a server from those whose chunks it has copies of: snapshots and entries, whose
 * values are written straight into slots, as events for the server's machine; and who is in a step,
 * from where that is decided.
 */

import type { ShardEvent } from "../core/server/shard-events.js";
import { toPacelineError } from "../errors.js";
import type { ServerReach } from "../protocol/identity.js";
import type { Layout } from "../protocol/layout.js";
import type { ChunkHeader } from "../protocol/messages.js";
import type { View } from "../protocol/view.js";
import { readDecided, readMarks } from "./chunk-marks.js";
import type { ChunkStore } from "./chunk-store.js";
import { readEntry } from "./entry-text.js";
import { ReplicaLinks, type ReplicaLinksParts } from "./replica-links.js";

/** The run that the copies are of, and who hears of them. */
export interface CopiedRun {
  readonly run: string;
  readonly layout: Layout;
  readonly store: ChunkStore;
  /** Slots with gradients that are not finite, of which entries move nothing. */
  readonly overflown: Set<number>;
  take(event: ShardEvent): void;
  /** Performs what needs memory; null where there is none, and the run is given up here. */
  whileMemoryLasts<T>(action: () => T): T | null;
  /** So many bytes of values are about to come. */
  onBytes(bytes: number): void;
}

/** The inbox of one server in one run. */
export class ReplicaInbox {
  readonly #parts: ReplicaLinksParts;
  readonly #job: CopiedRun;
  readonly #links: ReplicaLinks;
  /** By server the slot that a payload is being written to. */
  readonly #arriving = new Map<number, number>();

  constructor(parts: ReplicaLinksParts, job: CopiedRun) {
    this.#parts = parts;
    this.#job = job;
    this.#links = new ReplicaLinks(parts, job.run, {
      onLinked: (server) => job.take({ type: "linked", server }),
      onTrouble: (server) => this.#giveUp(server),
      onHeader: (server, header, bytes) => this.#destination(server, header, bytes),
      onChunk: (server, header) => this.#onChunk(server, header),
    });
  }

  /** Goes over to a later view; see `ReplicaLinks`. */
  follow(view: View): boolean {
    return this.#links.follow(view);
  }

  /** Says something to a server; see `ReplicaLinks`. */
  tell(server: number, header: ChunkHeader): void {
    this.#links.tell(server, header);
  }

  /** Which servers are reached. */
  reach(): ServerReach[] {
    return this.#links.reach();
  }

  /** Ends every link. */
  close(): void {
    this.#links.close();
  }

  #giveUp(server: number): void {
    const slot = this.#arriving.get(server);
    this.#arriving.delete(server);
    if (slot !== undefined) this.#job.store.free(slot);
  }

  #destination(
    server: number,
    { kind, chunk }: ChunkHeader,
    payloadBytes: number,
  ): Uint8Array | null {
    this.#giveUp(server);
    const { layout, store, whileMemoryLasts, onBytes } = this.#job;
    const isKept = kind === "snapshot" || kind === "entry";
    if (!isKept || payloadBytes !== (layout.chunks[chunk]?.length ?? 0) * 4) return null;
    if (payloadBytes === 0) return null;
    const place = whileMemoryLasts(() => store.allocate(chunk));
    if (place === null) return null;
    this.#arriving.set(server, place.slot);
    onBytes(payloadBytes);
    return place.bytes;
  }

  #onChunk(server: number, header: ChunkHeader): void {
    const slot = this.#arriving.get(server) ?? -1;
    this.#arriving.delete(server);
    try {
      const event = this.#eventOf(server, header, slot);
      if (event !== null) this.#job.take(event);
      else this.#refuse(server, header, slot, header.detail);
    } catch (thrown) {
      const error = toPacelineError(thrown);
      if (error.code !== "protocol") throw thrown;
      this.#refuse(server, header, slot, error.message);
    }
  }

  /** Null where it is none, or lacks its values. */
  #eventOf(server: number, header: ChunkHeader, slot: number): ShardEvent | null {
    const { kind, chunk, part, fence, generation, step: seq, version, detail } = header;
    const { layout, store, overflown } = this.#job;
    const about = { server, fence, generation };
    if (kind === "snapshot" && slot >= 0) {
      const marks = part === "weights" ? readMarks(detail, chunk) : null;
      return { type: "snapshot", chunk, part, slot, seq, marks, ...about };
    }
    if (kind === "sealed") {
      const decided = readDecided(detail, chunk);
      return { type: "sealed", decision: { generation, step: seq, seq: version, decided } };
    }
    if (kind !== "entry" || layout.chunks[chunk] === undefined) return null;
    const entry = readEntry(header, slot);
    if (entry.pushes > 0 !== slot >= 0) return null;
    if (slot >= 0 && !store.finite(slot, chunk)) overflown.add(slot);
    return { type: "entry", entry, ...about };
  }

  #refuse(server: number, { kind, chunk }: ChunkHeader, slot: number, why: string): void {
    if (slot >= 0) this.#job.store.free(slot);
    this.#parts.log(`server ${server} says of chunk ${chunk}: ${kind} ${why}`);
  }
}
