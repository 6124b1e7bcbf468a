/**
 * Ids that a coordinator gives out: of views, incarnations, assignments, pauses, barriers and
 * evaluations. An id is term x 2^32 + n, where the term is the coordinator's and n counts from 1,
 * so that a coordinator which starts again has to know nothing but its term to give ids that are
 * larger than each one before.
 *
 * Invariant: every id is a safe integer, and ids compare as (term, n) does. Bit operations cut
 * them to 32 bits: nothing uses those on an id.
 */
import { assert } from "../assert.js";

const twoTo32 = 4294967296;

/** The highest term whose ids are safe integers. */
export const termMax = 2097151;

/** The n-th id of a term. */
export function mint(term: number, n: number): number {
  assert(Number.isInteger(term) && term >= 0 && term <= termMax, "a term of safe ids", { term });
  assert(Number.isInteger(n) && n >= 0 && n < twoTo32, "a count below 2^32", { n });
  return term * twoTo32 + n;
}

/** The term under which an id was given. */
export function termOf(id: number): number {
  return Math.floor(id / twoTo32);
}

/** Which id of its term this is, counted from 1. */
export function countOf(id: number): number {
  return id % twoTo32;
}

/** An id as people read it: "term.n". */
export function shownId(id: number): string {
  return `${termOf(id)}.${countOf(id)}`;
}

/** Gives the ids of one kind, each larger than the one before. */
export class IdSource {
  #term: number;
  #count = 0;

  /** @param term the coordinator's. */
  constructor(term: number) {
    this.#term = term;
  }

  /** The term of the ids that come. */
  get term(): number {
    return this.#term;
  }

  /** Goes on under a higher term; one that is not higher changes nothing. */
  raise(term: number): void {
    if (term <= this.#term) return;
    this.#term = term;
    this.#count = 0;
  }

  next(): number {
    return mint(this.#term, ++this.#count);
  }
}
