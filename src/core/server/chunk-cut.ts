/**
 * A chunk's part of a consistent cut. The chunk is marked: what it has committed is kept as a copy,
 * and pushes wait. When all chunks of the run are marked, the limits are known (protocol/cut.ts),
 * and the chunk goes on. What it commits from there on within the limits is late: it belongs before
 * the cut and is committed to the copy as well, so that nobody waits for a slow worker's push.
 *
 * Invariants: nothing is applied to a marked chunk before the limits are known; the copy has what
 * was committed before and each late push once, in the order in which the chunk has them.
 */

import type { CutLimit } from "../../protocol/cut.js";
import { type View, workerOfRank } from "../../protocol/view.js";
import { ChunkState } from "./chunk-state.js";
import type { Entry } from "./entry.js";

/** One chunk's part of one cut. */
export class ChunkCut {
  /** Whose it is. */
  readonly channel: number;
  /** The chunk as the cut has it. */
  readonly copy: ChunkState;
  #limits: readonly CutLimit[] | null = null;

  /** @param chunk whose entries are all committed. */
  constructor(channel: number, chunk: ChunkState) {
    this.channel = channel;
    this.copy = new ChunkState(chunk.index, chunk);
    this.copy.restore(chunk.marks(), chunk.seq);
  }

  /** True until the limits are known: pushes wait. */
  get isMarked(): boolean {
    return this.#limits === null;
  }

  /** The limits are known; the first stand. */
  settle(limits: readonly CutLimit[]): void {
    this.#limits ??= limits;
  }

  /** True where an entry that the chunk has committed belongs before the cut. */
  takes({ marks }: Pick<Entry, "marks">): boolean {
    return marks.every((mark) =>
      this.#limits?.some(({ rank, incarnation, step }) => {
        return rank === mark.rank && incarnation === mark.incarnation && mark.step <= step;
      }),
    );
  }

  /** True when nothing late is to come: of who has left the view nothing does. */
  isWhole(view: View): boolean {
    return (
      this.#limits?.every(({ rank, incarnation, step }) => {
        const isGone = workerOfRank(view, rank)?.incarnation !== incarnation;
        return isGone || this.copy.seen(rank, incarnation, step) !== null;
      }) === true
    );
  }
}
