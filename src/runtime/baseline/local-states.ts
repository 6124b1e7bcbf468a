/**
 * By rank what the rule of local steps keeps between them, where one process computes for all
 * ranks; in checkpoints it lies where that of a cluster's workers does.
 */
import type { Layout } from "../../protocol/layout.js";
import { keptValues, localValues } from "../../protocol/local/local-state.js";
import { type Residuals, weightValues } from "../../protocol/residuals.js";
import type { RunSpec } from "../../protocol/run-spec.js";

/** The states of one run; none where its steps are not local. */
export class LocalStates {
  readonly #spec: RunSpec;
  readonly #layout: Layout;
  readonly #states = new Map<number, Float32Array>();

  /** @param kept by rank what a checkpoint has of each worker. */
  constructor(spec: RunSpec, layout: Layout, kept: ReadonlyMap<number, Float32Array> = new Map()) {
    this.#spec = spec;
    this.#layout = layout;
    const start = weightValues(layout);
    if (localValues(spec, layout) === 0) return;
    for (const [rank, values] of kept) this.#states.set(rank, values.slice(start));
  }

  /** What is kept of a rank, zero to begin with. */
  of(rank: number): Float32Array {
    const known = this.#states.get(rank);
    if (known !== undefined) return known;
    const state = new Float32Array(localValues(this.#spec, this.#layout));
    this.#states.set(rank, state);
    return state;
  }

  /** As a checkpoint keeps it; nothing was dropped of any push. */
  residuals(): Residuals[] {
    if (localValues(this.#spec, this.#layout) === 0) return [];
    return [...this.#states].map(([rank, state]) => {
      const values = new Float32Array(keptValues(this.#spec, this.#layout));
      values.set(state, weightValues(this.#layout));
      return { rank, values };
    });
  }
}
