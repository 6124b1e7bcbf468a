/**
 * Who follows the chunks that a server leads: its in-sync backups, and candidates that are brought
 * up. A follower asks for a chunk over a channel of its own and says which seq it has; from there
 * on it gets every entry over that channel, in order, after a snapshot where its own copy is not
 * what the entries go on from.
 *
 * An entry counts when all who count have acknowledged it: the backups of the view, and candidates
 * from their first acknowledgement on, of which the coordinator is then told. Only a view makes a
 * primary wait for a follower no more.
 *
 * A server that comes to lead a chunk with further backups may have an entry that was not
 * committed, and they may have one that it has not. So the chunk is unsettled, and says nothing,
 * until every backup has acknowledged the same seq.
 *
 * Invariant: what an in-sync backup has not acknowledged has left the server to nobody but
 * followers.
 */
import { termOf } from "../../protocol/ids.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { serverOfIndex, type View } from "../../protocol/view.js";
import type { ChunkState } from "./chunk-state.js";
import type { Entry } from "./entry.js";
import type { ShardContext } from "./shard-context.js";

/** One server that follows one chunk. */
interface Follower {
  readonly incarnation: number;
  /** What it had in an earlier one is rolled back. */
  readonly generation: number;
  /** Where entries go; -1 while it has no channel. */
  channel: number;
  /** The view under which it asked, which names this asking. */
  fence: number;
  /** True where entries wait for it. */
  counts: boolean;
  /** True once the coordinator has been told that they do, and that it has what is committed. */
  told: boolean;
  /** What it has for certain; -1 where that is not known. */
  seq: number;
}

/** The followers of one server's chunks in one run. */
export class Followers {
  readonly #context: ShardContext;
  /** By chunk and server. */
  readonly #chunks = new Map<number, Map<number, Follower>>();

  constructor(context: ShardContext) {
    this.#context = context;
  }

  /** Has the followers of a chunk that a view gives to this server to lead. */
  follow(state: ChunkState, view: View): void {
    const known = this.#chunks.get(state.index) ?? new Map<number, Follower>();
    const wanted = new Map<number, boolean>();
    for (const server of (view.replicas[state.index] ?? []).slice(1)) wanted.set(server, true);
    for (const { chunk, server } of view.candidates) {
      if (chunk === state.index && !wanted.has(server)) wanted.set(server, false);
    }
    for (const [server, { incarnation, generation }] of known) {
      const isSame = serverOfIndex(view, server)?.incarnation === incarnation;
      const isBack = generation < view.generation;
      if (!isSame || isBack || !wanted.has(server)) known.delete(server);
    }
    for (const [server, isBackup] of wanted) {
      const incarnation = serverOfIndex(view, server)?.incarnation ?? 0;
      const follower = known.get(server) ?? newFollower(incarnation, view.generation);
      follower.counts ||= isBackup;
      follower.told ||= isBackup;
      known.set(server, follower);
    }
    this.#chunks.set(state.index, known);
  }

  /** Forgets who followed chunks that this server does not lead: another's order goes on there. */
  keepOnly(led: readonly ChunkState[]): void {
    const present = new Set(led.map(({ index }) => index));
    for (const chunk of [...this.#chunks.keys()]) {
      if (!present.has(chunk)) this.#chunks.delete(chunk);
    }
  }

  /** True while an entry, or all of the chunk's state, waits for somebody who counts. */
  lacks(state: ChunkState, seq: number): boolean {
    for (const follower of this.#chunks.get(state.index)?.values() ?? []) {
      if (follower.counts && follower.seq < seq) return true;
    }
    return false;
  }

  /** The end of a sentence, on whom a chunk waits for. */
  missing(state: ChunkState, seq: number): string {
    const servers = [...(this.#chunks.get(state.index) ?? [])]
      .filter(([, { counts, seq: has }]) => counts && has < seq)
      .map(([server]) => server);
    return servers.length === 0 ? "" : `: waiting for server ${servers.join(", ")}`;
  }

  /** Gives an entry to all who have what it goes on from, or are about to. */
  send(entry: Entry): void {
    for (const follower of this.#chunks.get(entry.chunk)?.values() ?? []) {
      if (follower.channel >= 0) this.#sendEntry(entry, follower);
    }
  }

  /**
   * A server asks for a chunk's entries: it is given what it lacks. The reason where it is none
   * that may.
   */
  ask(state: ChunkState, view: View, header: ChunkHeader, channel: number): string | null {
    const { rank: server, incarnation, fence, step: seq } = header;
    const follower = this.#chunks.get(state.index)?.get(server);
    if (follower === undefined || follower.incarnation !== incarnation) {
      return `server ${server} is not to follow chunk ${state.index} here`;
    }
    const isLate =
      fence < follower.fence || (fence === follower.fence && channel < follower.channel);
    if (isLate) return null;
    follower.channel = channel;
    follower.fence = fence;
    const { pending } = state;
    if (seq === state.seq || seq === pending?.seq) {
      follower.seq = Math.max(follower.seq, seq);
    } else {
      // A copy that no entry of this order goes on from counts for nothing.
      follower.seq = -1;
      this.#sendSnapshot(state, view, follower, server);
    }
    if (pending !== null && seq !== pending.seq) this.#sendEntry(pending, follower);
    return null;
  }

  /**
   * A follower has a seq, as it says over the channel by which it asked: nobody else can say so
   * for it. From a candidate's first one on entries wait for it, so that it gets to
   * have all that is committed; only then the coordinator is told.
   */
  received(state: ChunkState, header: ChunkHeader, channel: number): void {
    const { rank: server, incarnation, fence, step: seq } = header;
    const chunk = state.index;
    const follower = this.#chunks.get(chunk)?.get(server);
    const isOfAsking = follower?.fence === fence && follower.channel === channel;
    const isKnown = follower?.incarnation === incarnation && isOfAsking;
    const isSent = seq <= (state.pending?.seq ?? state.seq);
    if (!isKnown || !isSent || seq <= follower.seq) return;
    follower.seq = seq;
    follower.counts = true;
    if (follower.told || seq < state.seq) return;
    follower.told = true;
    this.#context.emit({ type: "caughtUp", chunk, server, incarnation });
  }

  /** A channel is gone; who came by it asks again. */
  closed(channel: number): void {
    for (const followers of this.#chunks.values()) {
      for (const follower of followers.values()) {
        if (follower.channel === channel) follower.channel = -1;
      }
    }
  }

  #sendSnapshot(state: ChunkState, view: View, follower: Follower, server: number): void {
    const header: ChunkHeader = {
      ...emptyHeader,
      ...{ kind: "snapshot", run: view.run, generation: view.generation },
      ...{ term: termOf(view.number), rank: server, incarnation: follower.incarnation },
      ...{ chunk: state.index, step: state.seq, version: state.version, fence: follower.fence },
      detail: JSON.stringify(state.marks()),
    };
    this.#context.emit({ type: "sendParts", channel: follower.channel, header });
  }

  #sendEntry(entry: Entry, { channel, fence }: Follower): void {
    this.#context.emit({ type: "sendEntry", channel, entry, fence });
  }
}

function newFollower(incarnation: number, generation: number): Follower {
  return { incarnation, generation, channel: -1, fence: 0, counts: false, told: false, seq: -1 };
}
