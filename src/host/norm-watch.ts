/**
 * What a server measures of its updates where the run watches norms: of each chunk that it leads
 * the squares of weights and gradient, before they become new weights. Sums over its chunks are
 * kept by version until they are told, with the next heartbeat.
 */
import type { Entry } from "../core/server/entry.js";
import type { ParameterGroup } from "../protocol/layout.js";
import { servedRule } from "../protocol/local/local-steps.js";
import { hasNorms, type NormReport, type NormShare, normSharesMax } from "../protocol/norms.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { UpdateRuleSpec } from "../protocol/update-rules.js";
import { primaryOf, type View } from "../protocol/view.js";
import type { ChunkStore } from "./chunk-store.js";

/** Of one server's job. */
export class NormWatch {
  readonly #index: number;
  readonly #store: Pick<ChunkStore, "squaresOf">;
  readonly #rule: UpdateRuleSpec;
  #generation = 0;
  readonly #shares = new Map<number, NormShare>();

  /** @param index of the server. */
  constructor(index: number, store: Pick<ChunkStore, "squaresOf">, rule: UpdateRuleSpec) {
    this.#index = index;
    this.#store = store;
    this.#rule = rule;
  }

  /** An entry is about to move its chunk's values. */
  note(entry: Entry, group: ParameterGroup, view: View): void {
    const { chunk, version, scale, isDifference = false } = entry;
    if (!hasNorms(group) || primaryOf(view, chunk) !== this.#index) return;
    if (view.generation !== this.#generation) this.#shares.clear();
    this.#generation = view.generation;
    const squares = this.#store.squaresOf(entry);
    const own = group === "weight" ? this.#rule.weightDecay : this.#rule.weightDecayPlain;
    const decay = isDifference ? 0 : own;
    const before = this.#shares.get(version);
    this.#shares.set(version, {
      version,
      chunks: (before?.chunks ?? 0) + 1,
      weights: (before?.weights ?? 0) + squares.weights,
      gradient: (before?.gradient ?? 0) + scale * scale * squares.gradient,
      decay: (before?.decay ?? 0) + decay * decay * squares.weights,
    });
  }

  /** What has not been told, in reports that a message has room for. */
  take(): NormReport[] {
    const all = [...this.#shares.values()];
    this.#shares.clear();
    const reports: NormReport[] = [];
    for (let from = 0; from < all.length; from += normSharesMax) {
      const shares = all.slice(from, from + normSharesMax);
      reports.push({ generation: this.#generation, shares });
    }
    return reports;
  }
}

/** A server's watch where the run asks for it; else null. */
export function normWatchOf(
  spec: Pick<RunSpec, "watch" | "updateRule" | "protocol" | "plan">,
  index: number,
  store: Pick<ChunkStore, "squaresOf">,
): NormWatch | null {
  return spec.watch.includes("norms") ? new NormWatch(index, store, servedRule(spec)) : null;
}
