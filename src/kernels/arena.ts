/**
 * All tensor values of a process: one memory, cut into slots that are named by their offset.
 *
 * The memory is a shared WebAssembly memory. Its whole address range is reserved at the start and
 * pages join it as slots need them, so that it is never moved: every view made earlier stays
 * valid while a socket reads into it, other threads see the same bytes, and SIMD kernels address
 * it by the offsets that the scalar ones use. (A growable SharedArrayBuffer does the first two,
 * but no WASM module can address it; an unshared memory detaches its views when it grows.)
 *
 * Slots are handed out first-fit from the lowest offset, which keeps the pages ever touched few.
 *
 * Invariant: live slots never overlap, start on 64 bytes (a cache line, and any SIMD width), and
 * hold whatever was there before: the caller that allocates also fills.
 */
import { assert } from "../assert.js";
import { PacelineError } from "../errors.js";

/** The most values one arena can address: 4 GiB of f32. */
export const arenaValuesMax = 2 ** 30;

/** Slots start at multiples of this many values: 64 bytes. */
export const slotAlignmentValues = 16;

const pageValues = 16384;
const growthPages = 256;

/** The part of WebAssembly.Memory that an arena uses. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}

declare const WebAssembly: {
  readonly Memory: new (options: {
    initial: number;
    maximum: number;
    shared: true;
  }) => SharedMemory;
};

interface Extent {
  offset: number;
  length: number;
}

/** What an arena holds at a moment, in values unless it says slots. */
export interface ArenaUsage {
  readonly slots: number;
  readonly used: number;
  readonly usedMax: number;
  /** Values backed by memory so far; the operating system commits pages as they are written. */
  readonly committed: number;
  readonly capacity: number;
}

/** An allocator of f32 slots over one shared memory. */
export class Arena {
  /** For WebAssembly kernels and for threads that share the values. */
  readonly memory: SharedMemory;
  readonly #capacity: number;
  readonly #live = new Map<number, number>();
  /** Free extents in ascending offset, never adjacent to each other; none is past #end. */
  readonly #free: Extent[] = [];
  #end = 0;
  #used = 0;
  #usedMax = 0;
  /** The buffer is another object each time the memory has grown; all are the same bytes. */
  readonly #buffers = new WeakSet<ArrayBufferLike>();
  #values: Float32Array;
  #bytes: Uint8Array;

  /** @param capacity the most values ever to be held, rounded up to a page of 16,384. */
  constructor(capacity: number = arenaValuesMax) {
    assert(capacity >= 1 && capacity <= arenaValuesMax, "arena capacity in range", { capacity });
    const maximum = Math.ceil(capacity / pageValues);
    this.#capacity = maximum * pageValues;
    try {
      this.memory = new WebAssembly.Memory({ initial: 0, maximum, shared: true });
    } catch (cause) {
      throw new PacelineError(
        "memory",
        `can't reserve ${this.#capacity * 4} bytes of address space for the arena: raise the ` +
          "address space limit (ulimit -v) or use fewer workers per server",
        { cause },
      );
    }
    this.#values = new Float32Array(this.memory.buffer);
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#buffers.add(this.memory.buffer);
  }

  /**
   * Every value so far. Read it anew after an allocation: a view taken before stays valid but may
   * be shorter.
   */
  get values(): Float32Array {
    return this.#values;
  }

  /** The same memory as bytes, little-endian. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** A view of `length` values from `offset`, for as long as the slot is held. */
  view(offset: number, length: number): Float32Array {
    return this.#values.subarray(offset, offset + length);
  }

  /** The bytes of `length` values from `offset`: what a socket reads into or writes from. */
  byteView(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset * 4, (offset + length) * 4);
  }

  /** Takes a slot and returns its offset in values. Throws "memory" when the arena is full. */
  allocate(length: number): number {
    assert(Number.isInteger(length) && length >= 1, "a slot holds values", { length });
    const size = Math.ceil(length / slotAlignmentValues) * slotAlignmentValues;
    const offset = this.#takeFree(size) ?? this.#takeEnd(size);
    this.#live.set(offset, size);
    this.#used += size;
    this.#usedMax = Math.max(this.#usedMax, this.#used);
    return offset;
  }

  /** Gives a slot back. Giving back what isn't held is a bug. */
  free(offset: number): void {
    const length = this.#live.get(offset);
    assert(length !== undefined, "a freed slot is held", { offset });
    this.#live.delete(offset);
    this.#used -= length;
    const free = this.#free;
    const next = this.#indexAfter(offset);
    const before = free[next - 1];
    const after = free[next];
    const joinsBefore = before !== undefined && before.offset + before.length === offset;
    const joinsAfter = after !== undefined && offset + length === after.offset;
    if (joinsBefore) {
      before.length += length + (joinsAfter ? after.length : 0);
      if (joinsAfter) free.splice(next, 1);
    } else if (joinsAfter) {
      after.offset = offset;
      after.length += length;
    } else {
      free.splice(next, 0, { offset, length });
    }
    const last = free[free.length - 1]!;
    if (last.offset + last.length === this.#end) {
      this.#end = last.offset;
      free.pop();
    }
  }

  /** True when a view's buffer is this arena's memory, before or after it grew. */
  owns(buffer: ArrayBufferLike): boolean {
    return this.#buffers.has(buffer);
  }

  /** True while the slot at this offset is held. */
  holds(offset: number): boolean {
    return this.#live.has(offset);
  }

  /** Counters for statistics and for tests of leaks. */
  usage(): ArenaUsage {
    return {
      slots: this.#live.size,
      used: this.#used,
      usedMax: this.#usedMax,
      committed: this.#values.length,
      capacity: this.#capacity,
    };
  }

  #takeFree(size: number): number | null {
    for (let index = 0; index < this.#free.length; index++) {
      const extent = this.#free[index]!;
      if (extent.length < size) continue;
      const { offset } = extent;
      if (extent.length === size) this.#free.splice(index, 1);
      else {
        extent.offset += size;
        extent.length -= size;
      }
      return offset;
    }
    return null;
  }

  #takeEnd(size: number): number {
    const offset = this.#end;
    const end = offset + size;
    if (end > this.#capacity) throw this.#full(size);
    if (end > this.#values.length) this.#grow(end, size);
    this.#end = end;
    return offset;
  }

  #grow(end: number, size: number): void {
    const committedPages = this.#values.length / pageValues;
    const neededPages = Math.ceil(end / pageValues) - committedPages;
    const leftPages = this.#capacity / pageValues - committedPages;
    try {
      this.memory.grow(Math.min(leftPages, Math.max(neededPages, growthPages)));
    } catch (cause) {
      throw this.#full(size, cause);
    }
    this.#values = new Float32Array(this.memory.buffer);
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.#buffers.add(this.memory.buffer);
  }

  #full(size: number, cause?: unknown): PacelineError {
    const { slots, used, capacity, committed } = this.usage();
    return new PacelineError(
      "memory",
      `the arena can't hold ${size} more values: ${slots} slots hold ${used} of ${capacity} ` +
        `(${committed} backed by memory); use more servers or fewer workers`,
      { cause, details: { size, slots, used, capacity, committed } },
    );
  }

  /** Index of the first free extent past the offset. */
  #indexAfter(offset: number): number {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#free[middle]!.offset > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
