/**
 * The chunks that a server holds: which a view gives and takes, and how their values come.
 *
 * Invariants: a chunk that a view newly gives, or that is rolled back, waits for its load; one that
 * a view takes away is given up with everything on it, and its waiters are told so; of one that is
 * led no more and still backed up what is committed stays; a chunk is loaded once in a generation,
 * whatever comes twice.
 */

import { shownId } from "../../protocol/ids.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { primaryOf, type ReplicaRole, rolesOfServer, type View } from "../../protocol/view.js";
import type { ChunkReplies } from "./chunk-replies.js";
import { ChunkState } from "./chunk-state.js";
import type { ShardContext } from "./shard-context.js";
import type { ShardEvent } from "./shard-events.js";

/** The chunks of one server in one run. */
export class HeldChunks {
  readonly #index: number;
  readonly #context: ShardContext;
  readonly #replies: ChunkReplies;
  readonly #chunks = new Map<number, ChunkState>();

  constructor(index: number, context: ShardContext, replies: ChunkReplies) {
    this.#index = index;
    this.#context = context;
    this.#replies = replies;
  }

  /** The chunk, if it is held. */
  get(chunk: number): ChunkState | undefined {
    return this.#chunks.get(chunk);
  }

  /** The chunk, if it is held and led. */
  leading(chunk: number): ChunkState | null {
    const state = this.#chunks.get(chunk);
    return state?.role === "primary" ? state : null;
  }

  /** All that are held. */
  states(): ChunkState[] {
    return [...this.#chunks.values()];
  }

  /** All that are held and led. */
  led(): ChunkState[] {
    return this.states().filter(({ role }) => role === "primary");
  }

  /** Gives up what the view gives to others or rolls back, makes room for what it gives. */
  follow(view: View): void {
    const roles = rolesOfServer(view, this.#index);
    const { generation, phaseFromStep } = view;
    for (const [chunk, state] of this.#chunks) {
      const isBack = state.generation < generation;
      const role = roles.get(chunk);
      const isCopyKept = !isBack && role !== undefined && isKept(state, role);
      if (isCopyKept && (role === "primary" || state.role !== "primary")) continue;
      const why = isBack ? rolledBack(state.generation, generation) : this.whereIs(chunk);
      this.#replies.refuseWaiting(state, view, why);
      if (isCopyKept) this.#handOver(state);
      else this.#giveUp(state);
    }
    for (const [chunk, role] of roles) {
      const state = this.#chunks.get(chunk) ?? new ChunkState(chunk, view);
      state.phaseFromStep = phaseFromStep;
      const isNewLeader = state.loaded && role === "primary" && state.role !== "primary";
      if (isNewLeader) state.unsettled = (view.replicas[chunk]?.length ?? 0) > 1;
      state.role = role;
      this.#chunks.set(chunk, state);
    }
  }

  /** Why nothing is said of a chunk that is not held: who has it, if a view says so. */
  whereIs(chunk: number): string {
    const { view } = this.#context;
    const primary = view === null ? undefined : primaryOf(view, chunk);
    const where = `chunk ${chunk} is not held here`;
    if (view === null || primary === undefined || primary === this.#index) return where;
    return `${where}: server ${primary} has it in view ${shownId(view.number)}`;
  }

  /**
   * Takes a part of a chunk's values; the chunk, where that was the last one. What comes again is
   * answered and changes nothing.
   */
  load(event: ShardEvent & { readonly type: "load" }): ChunkState | null {
    const { chunk, part, slot, channel, generation, marks } = event;
    const { run } = this.#context.spec;
    const header = { ...emptyHeader, run, generation, chunk, part };
    const held = this.#chunks.get(chunk);
    if (held?.role !== "primary" || generation < held.generation) {
      this.#context.release(slot);
      const isBack = held?.role === "primary";
      const why = isBack ? rolledBack(generation, held.generation) : this.whereIs(chunk);
      this.#context.refuse(header, channel, why);
      return null;
    }
    const state = generation > held.generation ? this.#renewed(held, generation) : held;
    const isAgain = state.loaded;
    if (isAgain) this.#context.release(slot);
    else this.#context.emit({ type: "install", chunk, part, slot });
    const isLast = !isAgain && part === "weights";
    if (isLast) {
      if (marks !== null) state.restore(marks);
      state.loaded = true;
    }
    const loaded: ChunkHeader = { ...header, kind: "loaded" };
    this.#context.emit({ type: "reply", channel, header: loaded, withWeights: false, copy: null });
    return isLast ? state : null;
  }

  /** Another leads from here on: what is committed stays as a copy, and all else is given up. */
  #handOver(state: ChunkState): void {
    for (const slot of state.drain()) this.#context.release(slot);
    state.unsettled = false;
    this.#replies.forget(state.index);
  }

  #giveUp(state: ChunkState): void {
    this.#handOver(state);
    this.#chunks.delete(state.index);
    this.#context.emit({ type: "forget", chunk: state.index });
  }

  #renewed(state: ChunkState, generation: number): ChunkState {
    this.#giveUp(state);
    const { phaseFromStep } = state;
    const renewed = new ChunkState(state.index, { generation, phaseFromStep });
    this.#chunks.set(state.index, renewed);
    return renewed;
  }
}

/**
 * A copy that led, or counted, is not what a candidate begins with. A candidate that entries wait
 * for may lead before a view has called it a backup; who led and backs up has all that counts.
 */
function isKept({ role }: ChunkState, next: ReplicaRole): boolean {
  return role === next || next !== "candidate";
}

function rolledBack(generation: number, present: number): string {
  return `generation ${generation} has been rolled back: this is generation ${present}`;
}
