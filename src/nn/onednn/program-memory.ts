/**
 * Memory for a program's values. Each value lives from the operation that writes it first to the
 * one that reads it last; values whose lives don't touch may lie in the same place.
 *
 * The plan is greedy: the largest value first, each at the lowest place where nothing alive at the
 * same time lies (Pisarchyk and Lee 2020, arXiv 2001.03288, "greedy by size"). One block of memory
 * serves all programs of an executor, since they run one at a time.
 *
 * Invariant: two regions whose lives overlap never share a byte.
 */
import { assert } from "../../assert.js";
import type { Dnnl } from "./dnnl.js";

/** Distance to which places are rounded: a cache line, the width of the widest vectors. */
const lineBytes = 64;
const largePageBytes = 2 * 1024 * 1024;

/** A value's memory: its life in operations, first and last included, and its place. */
export interface Region {
  readonly bytes: number;
  first: number;
  last: number;
  /** In bytes from the memory's begin; -1 before it is planned. */
  offset: number;
}

/** Gives each region its place; returns how many bytes that takes in all. */
export function planRegions(regions: readonly Region[]): number {
  const order = regions
    .map((region, index) => ({ region, index }))
    .sort((left, right) => right.region.bytes - left.region.bytes || left.index - right.index);
  const placed: Region[] = [];
  let total = 0;
  for (const { region } of order) {
    assert(region.first <= region.last, "a region lives", { ...region });
    let offset = 0;
    for (const other of placed) {
      if (other.last < region.first || region.last < other.first) continue;
      if (offset + region.bytes <= other.offset) break;
      offset = Math.max(offset, rounded(other.offset + other.bytes, lineBytes));
    }
    region.offset = offset;
    const at = placed.findIndex((other) => other.offset > offset);
    placed.splice(at < 0 ? placed.length : at, 0, region);
    total = Math.max(total, offset + region.bytes);
  }
  return rounded(total, lineBytes);
}

/** One block of memory that grows. It begins with zeros. */
export class ProgramMemory {
  readonly #dnnl: Dnnl;
  #buffer = new ArrayBuffer(0);
  #begin = 0;
  #bytes = 0;

  constructor(dnnl: Dnnl) {
    this.#dnnl = dnnl;
  }

  /** Bytes in use by the largest program. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Makes room. True when the memory lies elsewhere afterwards and what it held is lost. */
  reserve(bytes: number): boolean {
    if (bytes <= this.#bytes) return false;
    const alignment = bytes > 4 * largePageBytes ? largePageBytes : lineBytes;
    // The old block goes first, so that both are never held.
    this.#buffer = new ArrayBuffer(0);
    this.#buffer = new ArrayBuffer(bytes + alignment);
    const address = this.#dnnl.addressOf(new Uint8Array(this.#buffer));
    const beyond = Number(address % BigInt(alignment));
    this.#begin = beyond === 0 ? 0 : alignment - beyond;
    this.#bytes = bytes;
    if (alignment === largePageBytes) {
      this.#dnnl.preferLargePages(this.addressAt(0), bytes);
    }
    return true;
  }

  addressAt(offset: number): bigint {
    return this.#dnnl.addressOf(new Uint8Array(this.#buffer, this.#begin + offset));
  }

  valuesAt(offset: number, count: number): Float32Array {
    return new Float32Array(this.#buffer, this.#begin + offset, count);
  }

  /** Gives the memory up. */
  release(): void {
    this.#buffer = new ArrayBuffer(0);
    this.#bytes = 0;
  }
}

function rounded(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
