/**
 * One evaluation on the whole test set, shared among the workers. Each takes a contiguous range;
 * the range of a worker that is lost is given to another. The sums are added in order of the
 * ranges, so that equal shares give equal bits.
 *
 * Invariant: an outcome is of one version of the whole model.
 */

import type { Range } from "../../protocol/messages.js";
import { modelVersion, updatesOfAll } from "../../protocol/model-version.js";
import { equalRanges } from "./ranges.js";

const nobody = -1;

interface Part {
  readonly range: Range;
  rank: number;
  result: PartResult | null;
}

interface PartResult {
  readonly correct: number;
  readonly lossSum: number;
  readonly version: string;
  /** Updates that every chunk had had. */
  readonly updates: number;
}

/** What was found on a range, and by chunk the version of the weights that it was found with. */
export interface PartReport {
  readonly range: Range;
  readonly correct: number;
  readonly lossSum: number;
  readonly versions: readonly number[];
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
  report({ range, correct, lossSum, versions }: PartReport): void {
    const part = this.#parts.find(({ range: asked }) => asked.start === range.start);
    if (part === undefined || part.range.end !== range.end || part.result !== null) return;
    const version = modelVersion(versions);
    part.result = { correct, lossSum, version, updates: updatesOfAll(versions) };
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

  /** Which version of the model was evaluated; null where nothing was. */
  evaluated(): { readonly version: string; readonly updates: number } | null {
    return this.#parts[0]?.result ?? null;
  }

  /** What is wrong where workers evaluated different versions of the model; else null. */
  conflict(): string | null {
    const [first, ...others] = this.#parts.filter(({ result }) => result !== null);
    const other = others.find(({ result }) => result!.version !== first!.result!.version);
    if (first === undefined || other === undefined) return null;
    const seen = ({ rank, result }: Part) => `worker-${rank} evaluated version ${result!.version}`;
    return `${seen(first)} of the model and ${seen(other)}: an evaluation is of one version`;
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
