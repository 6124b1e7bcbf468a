/**
 * The chunks of which a server has a copy and another leads. It asks each primary for the chunks
 * that it backs up, takes what comes in order, and acknowledges on receipt: an entry that is here
 * is applied here, and nothing is decided again.
 *
 * Chunks that it has no copy of yet are asked for a few at a time, so that training beside it
 * keeps most of the network.
 *
 * Invariants: a copy is replaced as a whole or not at all; what is not the answer to the last
 * asking, or not the next in the chunk's order, changes nothing.
 */
import { termOf } from "../../protocol/ids.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { primaryOf, roleOfServer, serverOfIndex, type View } from "../../protocol/view.js";
import type { ChunkState } from "./chunk-state.js";
import type { ShardContext } from "./shard-context.js";
import type { ShardEvent } from "./shard-events.js";

/** Chunks that are being copied at one time. */
const copiesMax = 4;

/** What was asked of whom. */
interface Asking {
  readonly server: number;
  readonly incarnation: number;
  readonly generation: number;
  readonly fence: number;
}

type SnapshotEvent = ShardEvent & { readonly type: "snapshot" };
type EntryEvent = ShardEvent & { readonly type: "entry" };

/** The copies of one server in one run. */
export class Following {
  readonly #index: number;
  readonly #context: ShardContext;
  readonly #askings = new Map<number, Asking>();
  /** Parts of a snapshot of which the rest is yet to come, by chunk. */
  readonly #parts = new Map<number, { readonly event: SnapshotEvent }[]>();

  constructor(index: number, context: ShardContext) {
    this.#index = index;
    this.#context = context;
  }

  /** Asks whom a view names as primary, where that is not whom it asked before. */
  follow(states: readonly ChunkState[], view: View): void {
    const copied = states.filter(({ role }) => role !== "primary");
    const present = new Set(copied.map(({ index }) => index));
    for (const chunk of [...this.#askings.keys()]) if (!present.has(chunk)) this.forget(chunk);
    for (const state of copied) {
      const { index } = state;
      const asked = this.#askings.get(index);
      const server = primaryOf(view, index) ?? -1;
      const isOfLife = asked?.server === server && asked.incarnation === lifeOf(view, server);
      const isSame = isOfLife && asked.generation === view.generation;
      if (asked === undefined || isSame) continue;
      this.forget(index);
      // Entries that only a candidate has were of the one before: this one may have others.
      if (state.role === "candidate") state.loaded = false;
    }
    this.#askMore(states, view);
  }

  /** The way to a server is open, for the first time or again: what it was asked is asked again. */
  linked(server: number, states: readonly ChunkState[], view: View): void {
    for (const state of states) {
      if (this.#askings.get(state.index)?.server !== server) continue;
      this.forget(state.index);
    }
    this.#askMore(states, view);
  }

  /** Takes a part of a snapshot; true where the chunk is whole by it. */
  snapshot(
    event: SnapshotEvent,
    state: ChunkState | undefined,
    states: readonly ChunkState[],
  ): boolean {
    const { view } = this.#context;
    if (view === null || state === undefined || !this.#isAnswer(event, state)) {
      this.#context.release(event.slot);
      return false;
    }
    const { chunk, marks } = event;
    const parts = [...(this.#parts.get(chunk) ?? []), { event }];
    this.#parts.set(chunk, parts);
    if (marks === null) return false;
    this.#parts.delete(chunk);
    this.#context.emit({ type: "forget", chunk });
    for (const { event: one } of parts) {
      this.#context.emit({ type: "install", chunk, part: one.part, slot: one.slot });
    }
    state.restore(marks, event.seq);
    state.loaded = true;
    this.#acknowledge(event, state);
    this.#askMore(states, view);
    return true;
  }

  /** Takes an entry. */
  entry(event: EntryEvent, state: ChunkState | undefined): void {
    const { entry } = event;
    const isNext = state?.loaded === true && entry.seq === state.seq + 1;
    if (state === undefined || !this.#isAnswer(event, state) || !isNext) {
      this.#context.release(entry.gradient);
      const isOld = state?.loaded === true && entry.seq <= state.seq;
      if (state !== undefined && isOld && this.#isAnswer(event, state)) {
        this.#acknowledge(event, state);
      }
      return;
    }
    state.pending = entry;
    this.#acknowledge(event, { index: state.index, seq: entry.seq });
    state.commit(entry);
    if (entry.gradient < 0) return;
    this.#context.counts.updated(entry.lr);
    this.#context.emit({ type: "apply", entry, group: this.#context.groupOf(entry.chunk) });
    this.#context.release(entry.gradient);
  }

  /** Gives up what has come of a chunk's snapshot, and the asking for it. */
  forget(chunk: number): void {
    for (const { event } of this.#parts.get(chunk) ?? []) this.#context.release(event.slot);
    this.#parts.delete(chunk);
    this.#askings.delete(chunk);
  }

  /** Slots of snapshots that are not whole. */
  drain(): number[] {
    const slots = [...this.#parts.values()].flat().map(({ event }) => event.slot);
    this.#parts.clear();
    this.#askings.clear();
    return slots;
  }

  /** In-sync copies at once, others a few at a time. */
  #askMore(states: readonly ChunkState[], view: View): void {
    let copying = states.filter((state) => this.#askings.has(state.index) && !state.loaded).length;
    for (const state of states) {
      if (state.role === "primary" || this.#askings.has(state.index)) continue;
      if (!state.loaded && copying >= copiesMax) continue;
      if (!state.loaded) copying++;
      this.#ask(state, view);
    }
  }

  #ask(state: ChunkState, view: View): void {
    const server = primaryOf(view, state.index);
    if (server === undefined || roleOfServer(view, this.#index, state.index) === null) return;
    const fence = view.number;
    const { generation } = view;
    this.#askings.set(state.index, {
      ...{ server, incarnation: lifeOf(view, server), fence, generation },
    });
    const header: ChunkHeader = {
      ...emptyHeader,
      ...{ kind: "follow", run: view.run, generation: view.generation, fence },
      ...{ term: termOf(fence), rank: this.#index, incarnation: lifeOf(view, this.#index) },
      ...{ chunk: state.index, step: state.loaded ? state.seq : -1 },
    };
    this.#context.emit({ type: "tell", server, header });
  }

  #isAnswer({ server, fence, generation }: SnapshotEvent | EntryEvent, state: ChunkState): boolean {
    const asked = this.#askings.get(state.index);
    const isOfView = generation === state.generation && state.role !== "primary";
    return isOfView && asked?.server === server && asked.fence === fence;
  }

  #acknowledge(
    { server, fence, generation }: SnapshotEvent | EntryEvent,
    { index: chunk, seq }: Pick<ChunkState, "index" | "seq">,
  ): void {
    const { view, spec } = this.#context;
    if (view === null) return;
    const header: ChunkHeader = {
      ...emptyHeader,
      ...{ kind: "received", run: spec.run, generation, fence, chunk, step: seq },
      ...{ term: termOf(view.number), rank: this.#index, incarnation: lifeOf(view, this.#index) },
    };
    this.#context.emit({ type: "tell", server, header });
  }
}

function lifeOf(view: View, server: number): number {
  return serverOfIndex(view, server)?.incarnation ?? 0;
}
