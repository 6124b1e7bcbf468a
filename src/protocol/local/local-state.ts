/**
 * What a worker keeps of the update rule that it applies to its own weights between two exchanges:
 * each part of the rule's state over the values that it moves, then how many updates it has made.
 * It goes where residuals go (residuals.ts), behind them, in pieces of their own: into checkpoints,
 * and back to the worker of the same rank.
 *
 * Invariant: a piece's number, place and length follow from the spec and the layout.
 */
import { keepsResiduals } from "../compression.js";
import type { Layout } from "../layout.js";
import { weightValues } from "../residuals.js";
import type { RunSpec } from "../run-spec.js";
import { factsOf, type UpdateRuleSpec } from "../update-rules.js";
import { lastingLocalSteps } from "./local-steps.js";

/** How many updates are counted: all that f32 counts one by one. */
export const localUpdatesMax = 2 ** 24;

/** How large a rule's state is. */
export interface LocalStateSize {
  /** Vectors of state. */
  readonly parts: number;
  /** Values of each: weights and plain parameters, which lie first in the flat vector. */
  readonly trained: number;
  /** All values, and one that counts updates; none where the rule keeps nothing. */
  readonly values: number;
}

/** A piece of what a worker keeps, as it travels. */
export interface KeptPiece {
  /** Its number: that of a chunk, or one past all chunks. */
  readonly chunk: number;
  /** Its place in what is kept of the worker, residuals first. */
  readonly offset: number;
  readonly length: number;
}

/** What it depends on. */
export type LocalFacts = Pick<RunSpec, "protocol" | "updateRule"> & Partial<Pick<RunSpec, "plan">>;

/** The size of the state of a rule that is applied to a worker's own weights. */
export function localStateSize(
  { name }: UpdateRuleSpec,
  { tensors }: Pick<Layout, "tensors">,
): LocalStateSize {
  const parts = factsOf(name).state.length;
  const moved = tensors.filter(({ group }) => group === "weight" || group === "plain");
  const trained = moved.reduce((sum, { length }) => sum + length, 0);
  return { parts, trained, values: parts === 0 ? 0 : parts * trained + 1 };
}

/** How many values a worker of this run keeps of local steps. */
export function localValues(spec: LocalFacts, layout: Pick<Layout, "tensors">): number {
  return lastingLocalSteps(spec) === null ? 0 : localStateSize(spec.updateRule, layout).values;
}

/** The pieces in which the state of local steps travels; none where there is none. */
export function localPieces(spec: LocalFacts, layout: Layout): KeptPiece[] {
  if (localValues(spec, layout) === 0) return [];
  const { chunks } = layout;
  const { parts, trained } = localStateSize(spec.updateRule, layout);
  const start = weightValues(layout);
  const pieces = Array.from({ length: parts }, (_, part) =>
    chunks
      .filter(({ offset }) => offset < trained)
      .map(({ index, offset, length }) => ({
        chunk: (part + 1) * chunks.length + index,
        offset: start + part * trained + offset,
        length,
      })),
  ).flat();
  const count = { chunk: (parts + 1) * chunks.length, offset: start + parts * trained, length: 1 };
  return [...pieces, count];
}

/** True where workers have state of their own, which a checkpoint has to have. */
export function workersKeep(spec: LocalFacts & Pick<RunSpec, "compression">) {
  const keepsRule =
    lastingLocalSteps(spec) !== null && factsOf(spec.updateRule.name).state.length > 0;
  return keepsRule || keepsResiduals(spec.compression);
}

/** How many values a checkpoint has of a worker: those of residuals, and of local steps. */
export function keptValues(spec: LocalFacts, layout: Layout): number {
  return weightValues(layout) + localValues(spec, layout);
}
