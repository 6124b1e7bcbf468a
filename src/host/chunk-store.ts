/**
 * The values of the chunks that a server holds: weights and optimizer state in the arena's slots,
 * changed by the kernels alone.
 *
 * Invariant: a slot that an unfinished write refers to is never modified. An update of such weights
 * writes to another slot, and the old one is freed when the last write has ended (copy on write).
 */
import { assert } from "../assert.js";
import type { Entry } from "../core/server/entry.js";
import type { ShardEffect } from "../core/server/shard-events.js";
import type { Arena } from "../kernels/arena.js";
import type { Kernels } from "../kernels/kernels.js";
import { sumOfSquares } from "../kernels/sum-of-squares.js";
import { statePartCount, updateScalars } from "../kernels/update-rule.js";
import type { Layout, ParameterGroup } from "../protocol/layout.js";
import type { ServedRule } from "../protocol/local/local-steps.js";
import { type ChunkPart, chunkParts } from "../protocol/messages.js";

interface ChunkSlots {
  weights: number;
  /** As many as the update rule keeps. */
  readonly states: number[];
}

/** A slot that is not modified until `done` is called. */
export interface LentSlot {
  readonly slot: number;
  readonly bytes: Uint8Array;
  readonly done: () => void;
}

/** The memory of one job. */
export class ChunkStore {
  readonly #arena: Arena;
  readonly #kernels: Kernels;
  readonly #layout: Layout;
  readonly #rule: ServedRule;
  readonly #differences: ServedRule;
  readonly #chunks = new Map<number, ChunkSlots>();
  /** Unfinished writes by slot. */
  readonly #writes = new Map<number, number>();
  /** Slots to free when their last write has ended. */
  readonly #retired = new Set<number>();

  /** @param parts with the rule whose state is kept, and that of differences where there are. */
  constructor(parts: {
    arena: Arena;
    kernels: Kernels;
    layout: Layout;
    rule: ServedRule;
    differences?: ServedRule;
  }) {
    this.#arena = parts.arena;
    this.#kernels = parts.kernels;
    this.#layout = parts.layout;
    this.#rule = parts.rule;
    this.#differences = parts.differences ?? parts.rule;
  }

  /** A slot as long as a chunk, for what is about to arrive. */
  allocate(chunk: number): { readonly slot: number; readonly bytes: Uint8Array } {
    const length = this.#lengthOf(chunk);
    const slot = this.#arena.allocate(length);
    return { slot, bytes: this.#arena.byteView(slot, length) };
  }

  /** Memory for so many bytes that are no values yet. */
  allocateBytes(length: number): { readonly slot: number; readonly bytes: Uint8Array } {
    const words = Math.ceil(length / 4);
    const slot = this.#arena.allocate(Math.max(1, words));
    return { slot, bytes: this.#arena.byteView(slot, words).subarray(0, length) };
  }

  /** A chunk's weights and each part of its state, as they are now. */
  viewsOf(chunk: number): Float32Array[] {
    const { weights, states } = this.#slotsOf(chunk);
    return [weights, ...states].map((slot) => this.valuesOf(slot, chunk));
  }

  /** The values of a slot as long as a chunk. */
  valuesOf(slot: number, chunk: number): Float32Array {
    return this.#arena.view(slot, this.#lengthOf(chunk));
  }

  /** The present weights, for reading. */
  weightsOf(chunk: number): Float32Array {
    return this.valuesOf(this.#slotsOf(chunk).weights, chunk);
  }

  /** False when a value in the slot is not finite. */
  finite(slot: number, chunk: number): boolean {
    return this.#kernels.finite(slot, this.#lengthOf(chunk));
  }

  /** Gives a slot up. */
  free(slot: number): void {
    if ((this.#writes.get(slot) ?? 0) > 0) this.#retired.add(slot);
    else this.#arena.free(slot);
  }

  /**
   * Makes a slot's values the chunk's weights or a part of its state. State that is not installed
   * is zero.
   */
  install(chunk: number, part: ChunkPart, slot: number): void {
    const slots = this.#slotsOf(chunk);
    const index = chunkParts.indexOf(part) - 1;
    if (index < 0) {
      if (slots.weights >= 0) this.free(slots.weights);
      slots.weights = slot;
      return;
    }
    const old = slots.states[index];
    if (old === undefined) {
      this.free(slot);
      return;
    }
    this.free(old);
    slots.states[index] = slot;
  }

  /**
   * Folds gradients into the slot of the first. The others are scratch memory afterwards. False
   * when a value of the result is not finite.
   */
  fold({ chunk, gradients, reduce }: ShardEffect & { readonly type: "fold" }): boolean {
    const inputs = gradients.map(({ slot, examples }) => ({ offset: slot, examples }));
    return this.#kernels.fold(gradients[0]!.slot, inputs, this.#lengthOf(chunk), reduce);
  }

  /** Sums of the squares of a chunk's weights, and of an entry's gradient as it arrived. */
  squaresOf({ chunk, gradient }: Entry): { readonly weights: number; readonly gradient: number } {
    const { weights } = this.#slotsOf(chunk);
    const [moved, by] = [this.valuesOf(weights, chunk), this.valuesOf(gradient, chunk)];
    return { weights: sumOfSquares(moved), gradient: sumOfSquares(by) };
  }

  /** Moves a chunk's values by an entry; its gradient is read and may still be on its way. */
  apply(entry: Entry, group: ParameterGroup): void {
    const slots = this.#slotsOf(entry.chunk);
    assert(slots.weights >= 0, "weights are loaded", { chunk: entry.chunk });
    this.#move(slots, entry, group);
  }

  /**
   * Moves a copy: parts of a chunk that are lent, the weights first, by an entry that the chunk
   * itself has applied, so that it has left them. What nobody else reads is changed where it lies.
   * Returns the parts as they are lent from there on.
   */
  applyToCopy(parts: readonly LentSlot[], entry: Entry, group: ParameterGroup): LentSlot[] {
    const [weights, ...states] = parts.map(({ slot }) => this.#takeBack(slot));
    const slots: ChunkSlots = { weights: weights!, states };
    this.#move(slots, entry, group);
    return [slots.weights, ...slots.states].map((slot) => {
      const lent = this.lendSlot(slot, entry.chunk);
      // It is freed with the last who reads it.
      this.#retired.add(slot);
      return lent;
    });
  }

  /** Ends a reading of a slot that its chunk has left; what nobody else reads is not freed. */
  #takeBack(slot: number): number {
    assert(this.#retired.has(slot), "a copy is moved after its chunk", { slot });
    const left = this.#writes.get(slot)! - 1;
    if (left > 0) this.#writes.set(slot, left);
    else {
      this.#writes.delete(slot);
      this.#retired.delete(slot);
    }
    return slot;
  }

  #move(
    slots: ChunkSlots,
    { chunk, gradient, lr, momentum, scale, version, isDifference = false }: Entry,
    group: ParameterGroup,
  ): void {
    const length = this.#lengthOf(chunk);
    const shared = this.#isLent(slots.weights);
    const target = shared ? this.#arena.allocate(length) : slots.weights;
    const moment = { lr, momentum, scale, group, updateCount: version };
    // State is updated where it lies: what a snapshot still sends is left behind.
    slots.states.forEach((state, index) => {
      if (!this.#isLent(state)) return;
      slots.states[index] = this.#copyOf(state, length);
      this.free(state);
    });
    const rule = isDifference ? this.#differences : this.#rule;
    this.#kernels.update(updateScalars(rule, moment), {
      weightsIn: slots.weights,
      weightsOut: target,
      gradient,
      state1: slots.states[0] ?? null,
      state2: slots.states[1] ?? null,
      length,
    });
    if (!shared) return;
    this.free(slots.weights);
    slots.weights = target;
  }

  /** Frees a chunk's values, as soon as no write refers to them. */
  forget(chunk: number): void {
    const slots = this.#chunks.get(chunk);
    if (slots === undefined) return;
    this.#chunks.delete(chunk);
    if (slots.weights >= 0) this.free(slots.weights);
    for (const slot of slots.states) this.free(slot);
  }

  /** Lends a part's bytes to a write; `done` must be called when it has ended. */
  lend(chunk: number, part: ChunkPart): LentSlot {
    const slots = this.#slotsOf(chunk);
    const slot = part === "weights" ? slots.weights : slots.states[chunkParts.indexOf(part) - 1];
    assert(slot !== undefined && slot >= 0, "the part is there", { chunk, part });
    return this.lendSlot(slot, chunk);
  }

  /** Lends the bytes of a slot as long as a chunk; as `lend` does. */
  lendSlot(slot: number, chunk: number): LentSlot {
    this.#writes.set(slot, (this.#writes.get(slot) ?? 0) + 1);
    const done = () => this.#endWrite(slot);
    return { slot, bytes: this.#arena.byteView(slot, this.#lengthOf(chunk)), done };
  }

  /** The parts that each chunk has. */
  parts(): readonly ChunkPart[] {
    return chunkParts.slice(0, 1 + statePartCount(this.#rule));
  }

  #isLent(slot: number): boolean {
    return (this.#writes.get(slot) ?? 0) > 0;
  }

  #copyOf(slot: number, length: number): number {
    const copy = this.#arena.allocate(length);
    this.#arena.view(copy, length).set(this.#arena.view(slot, length));
    return copy;
  }

  #endWrite(slot: number): void {
    const left = this.#writes.get(slot)! - 1;
    if (left > 0) {
      this.#writes.set(slot, left);
      return;
    }
    this.#writes.delete(slot);
    if (this.#retired.delete(slot)) this.#arena.free(slot);
  }

  #slotsOf(chunk: number): ChunkSlots {
    const known = this.#chunks.get(chunk);
    if (known !== undefined) return known;
    const length = this.#lengthOf(chunk);
    const states = Array.from({ length: statePartCount(this.#rule) }, () => {
      const slot = this.#arena.allocate(length);
      this.#kernels.fill(slot, length, 0);
      return slot;
    });
    const slots = { weights: -1, states };
    this.#chunks.set(chunk, slots);
    return slots;
  }

  #lengthOf(chunk: number): number {
    return this.#layout.chunks[chunk]!.length;
  }
}
