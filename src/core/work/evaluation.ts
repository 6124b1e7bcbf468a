/**
 * One evaluation on the whole test set, shared among the workers. Each takes a contiguous range;
 * the range of a worker that is lost is given to another. The sums are added in order of the
 * ranges, so that equal shares give equal bits.
 */

import type { Range } from "../../protocol/messages.js";
import { equalRanges } from "./cursor.js";

const nobody = -1;

interface Part {
  readonly range: Range;
  rank: number;
  result: { readonly correct: number; readonly lossSum: number } | null;
}

/** An evaluation under way. */
export class Evaluation {
  readonly id: number;
  readonly epoch: number;
  readonly step: number;
  readonly final: boolean;
  readonly #parts: Part[];

  constructor(about: {
    id: number;
    epoch: number;
    step: number;
    final: boolean;
    testExamples: number;
    ranks: readonly number[];
  }) {
    this.id = about.id;
    this.epoch = about.epoch;
    this.step = about.step;
    this.final = about.final;
    this.#parts = equalRanges(about.testExamples, about.ranks.length)
      .map((range, index) => ({ range, rank: about.ranks[index]!, result: null }))
      .filter(({ range }) => range.end > range.start);
  }

  /** What each worker is to evaluate. */
  assignments(): { rank: number; range: Range }[] {
    return this.#parts.map(({ rank, range }) => ({ rank, range }));
  }

  /** Takes a result; one for a range that is not asked for is ignored. */
  report(range: Range, correct: number, lossSum: number): void {
    const part = this.#parts.find(({ range: asked }) => asked.start === range.start);
    if (part === undefined || part.range.end !== range.end || part.result !== null) return;
    part.result = { correct, lossSum };
  }

  /** A worker is gone: its open ranges are nobody's until they are given away. */
  orphan(lost: number): void {
    for (const part of this.#parts) {
      if (part.rank === lost && part.result === null) part.rank = nobody;
    }
  }

  /**
   * Gives open ranges that are nobody's to these ranks in turn; the new assignments are returned.
   */
  giveAway(ranks: readonly number[]): { rank: number; range: Range }[] {
    const open = this.#parts.filter(({ rank, result }) => rank === nobody && result === null);
    if (ranks.length === 0) return [];
    open.forEach((part, index) => {
      part.rank = ranks[index % ranks.length]!;
    });
    return open.map(({ rank, range }) => ({ rank, range }));
  }

  /** Ranks whose results are missing. */
  missing(): number[] {
    const open = this.#parts.filter(({ rank, result }) => rank !== nobody && result === null);
    return open.map(({ rank }) => rank);
  }

  /** Accuracy and mean loss once every range is in, else null. */
  outcome(): { accuracyPercent: number; loss: number; examples: number } | null {
    let correct = 0;
    let lossSum = 0;
    let examples = 0;
    for (const { range, result } of this.#parts) {
      if (result === null) return null;
      correct += result.correct;
      lossSum += result.lossSum;
      examples += range.end - range.start;
    }
    if (examples === 0) return { accuracyPercent: 0, loss: 0, examples };
    return { accuracyPercent: (100 * correct) / examples, loss: lossSum / examples, examples };
  }
}
