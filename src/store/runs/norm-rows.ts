/**
 * Rows of metrics.jsonl about the norms of each step, from the shares that servers tell. A step's
 * row is there when all chunks that have norms have told of it.
 *
 * Invariant: each share counts once; a step of which a share is missing, as its server died, gets
 * no row.
 */
import type { NormReport, NormShare } from "../../protocol/norms.js";

/** One line of metrics.jsonl about the norms of a step. */
export interface NormRow {
  readonly kind: "norms";
  /** ISO 8601. */
  readonly time: string;
  readonly step: number;
  /** Of all weights before the step's update. */
  readonly weightNorm: number;
  /** Of the gradient that the update took. */
  readonly gradientNorm: number;
  /** Of what weight decay adds to it. */
  readonly decayNorm: number;
}

/** So many steps may wait for their last share; the earliest is given up for another. */
const openStepsMax = 16_384;

/** Of one run. */
export class NormRows {
  readonly #chunks: number;
  #generation = 0;
  readonly #open = new Map<number, NormShare>();

  /** @param chunks that have norms. */
  constructor(chunks: number) {
    this.#chunks = chunks;
  }

  /** Takes what a server told; the rows that are whole by it, in ascending step. */
  take({ generation, shares }: NormReport, time: string): NormRow[] {
    if (generation < this.#generation) return [];
    if (generation > this.#generation) this.#open.clear();
    this.#generation = generation;
    const whole = shares
      .map((share) => this.#add(share))
      .filter(({ chunks }) => chunks >= this.#chunks);
    for (const { version } of whole) this.#open.delete(version);
    while (this.#open.size > openStepsMax) this.#open.delete(Math.min(...this.#open.keys()));
    return whole
      .sort((left, right) => left.version - right.version)
      .map(({ version: step, weights, gradient, decay }) => {
        const norms = {
          weightNorm: Math.sqrt(weights),
          gradientNorm: Math.sqrt(gradient),
          decayNorm: Math.sqrt(decay),
        };
        return { kind: "norms", time, step, ...norms };
      });
  }

  #add(share: NormShare): NormShare {
    const { version } = share;
    const known = this.#open.get(version);
    const sum: NormShare = {
      version,
      chunks: (known?.chunks ?? 0) + share.chunks,
      weights: (known?.weights ?? 0) + share.weights,
      gradient: (known?.gradient ?? 0) + share.gradient,
      decay: (known?.decay ?? 0) + share.decay,
    };
    this.#open.set(version, sum);
    return sum;
  }
}
