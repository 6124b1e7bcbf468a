/**
 * Which examples an epoch takes in which order, and how a run of positions is shared among workers.
 * Both follow from counts and the seed alone, so every process finds the same without talking.
 *
 * Examples that lie together in a file are shuffled as a block: the blocks among themselves, and
 * the examples within each. So a run of positions touches few files, and of the order only the
 * blocks that are asked for are ever worked out.
 */
import { assert } from "../assert.js";
import { Random } from "../random.js";

/** A run of positions, `start` included, `end` not. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** What the order of an epoch follows from. */
export interface EpochFacts {
  /** Examples 0 to count - 1 are taken. */
  readonly count: number;
  /** Examples of a block, the last one's rest excepted; 0 where all are shuffled as one. */
  readonly blockExamples: number;
  readonly seed: number;
  readonly epoch: number;
}

/** The order in which an epoch takes its examples. */
export interface EpochOrder {
  /** The examples at the positions start to end - 1; not to be written to. */
  indices(start: number, end: number): Uint32Array;
}

/** The order of an epoch; the same facts give the same order everywhere. */
export function epochOrder(facts: EpochFacts): EpochOrder {
  const { count, blockExamples, seed, epoch } = facts;
  if (blockExamples > 0) return new BlockOrder(facts);
  const examples = epochPermutation(count, seed, epoch);
  return { indices: (start, end) => examples.subarray(start, end) };
}

/** The order in which the epoch takes the examples 0 to count - 1, shuffled as one. */
export function epochPermutation(count: number, seed: number, epoch: number): Uint32Array {
  return new Random(seed, "permutation", epoch).shuffle(ascending(count));
}

/** Cuts `count` positions into contiguous, disjoint ranges whose sizes differ by at most one. */
export function workerRanges(count: number, workers: number): Range[] {
  assert(Number.isInteger(count) && count >= 0, "position count", { count });
  assert(Number.isInteger(workers) && workers >= 1, "worker count", { workers });
  const ranges: Range[] = [];
  for (let rank = 0; rank < workers; rank++) {
    const start = Math.floor((count * rank) / workers);
    ranges.push({ start, end: Math.floor((count * (rank + 1)) / workers) });
  }
  return ranges;
}

/** Blocks worked out that are kept: a batch may lie in two. */
const keptBlocksMax = 2;

class BlockOrder implements EpochOrder {
  readonly #facts: EpochFacts;
  /** Which block comes first, second, ... */
  readonly #blocks: Uint32Array;
  /** Where in that order the last block comes, which may have fewer examples than the others. */
  readonly #restPlace: number;
  readonly #restExamples: number;
  /** The examples of blocks by their number, the latest asked for last. */
  readonly #kept = new Map<number, Uint32Array>();

  constructor(facts: EpochFacts) {
    const { count, blockExamples, seed, epoch } = facts;
    const blockCount = Math.ceil(count / blockExamples);
    this.#facts = facts;
    this.#blocks = new Random(seed, "blocks", epoch).shuffle(ascending(blockCount));
    this.#restPlace = this.#blocks.indexOf(blockCount - 1);
    this.#restExamples = count - (blockCount - 1) * blockExamples;
  }

  indices(start: number, end: number): Uint32Array {
    const { count } = this.#facts;
    assert(0 <= start && start <= end && end <= count, "positions", { start, end, count });
    const examples = new Uint32Array(end - start);
    for (let position = start; position < end; ) {
      const { place, first } = this.#placeOf(position);
      const block = this.#block(this.#blocks[place] as number);
      const from = position - first;
      const part = block.subarray(from, Math.min(block.length, from + end - position));
      examples.set(part, position - start);
      position += part.length;
    }
    return examples;
  }

  /** The place of the block that holds a position, and the block's first position. */
  #placeOf(position: number): { place: number; first: number } {
    const { blockExamples } = this.#facts;
    const behindRest = this.#restPlace * blockExamples + this.#restExamples;
    if (position < behindRest) {
      const place = Math.min(Math.floor(position / blockExamples), this.#restPlace);
      return { place, first: place * blockExamples };
    }
    const between = Math.floor((position - behindRest) / blockExamples);
    return { place: this.#restPlace + 1 + between, first: behindRest + between * blockExamples };
  }

  #block(block: number): Uint32Array {
    const known = this.#kept.get(block);
    this.#kept.delete(block);
    const examples = known ?? this.#shuffled(block);
    this.#kept.set(block, examples);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size > keptBlocksMax) this.#kept.delete(oldest);
    }
    return examples;
  }

  #shuffled(block: number): Uint32Array {
    const { blockExamples, count, seed, epoch } = this.#facts;
    const first = block * blockExamples;
    const examples = ascending(Math.min(blockExamples, count - first), first);
    return new Random(seed, "block", epoch, block).shuffle(examples);
  }
}

function ascending(count: number, first = 0): Uint32Array {
  assert(Number.isInteger(count) && count >= 0, "example count", { count });
  const numbers = new Uint32Array(count);
  for (let index = 0; index < count; index++) numbers[index] = first + index;
  return numbers;
}
