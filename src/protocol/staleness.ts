/**
 * The rule by which ASP treats a stale push. A push computed on version v that arrives when the
 * chunk is at version v + t has staleness t: it answers a question asked t updates ago. It may
 * count in full, count for less, or be refused; the worker then goes on with the fresh weights it
 * is sent.
 *
 * Scaling is max(floor, 1 / (1 + a * t)) after the staleness-aware rate of Zhang et al. 2016
 * (arXiv 1511.05950, equation 6, softened by a and bounded from below).
 *
 * Invariant: the scale is an f32 number in (0, 1], so that the bits applied are the bits logged.
 */
import { assert } from "../assert.js";
import type { StalenessRule } from "./run-spec.js";

/** The ranges of its numbers that are no counts. */
export const stalenessRanges = { scale: "[0, 1000]", floor: "[0, 1]" } as const;

/** How a push is applied, and why. `scale` multiplies the gradient; it is 0 for a refused push. */
export interface StalenessJudgement {
  readonly accept: boolean;
  readonly scale: number;
  readonly reason: string;
}

/** Judges a push that is `staleness` updates behind. */
export function judgeStaleness(rule: StalenessRule, staleness: number): StalenessJudgement {
  assert(Number.isInteger(staleness) && staleness >= 0, "staleness is a count", { staleness });
  const rejects = rule.rule === "reject" || rule.rule === "scale+reject";
  if (rejects && staleness > rule.max) {
    return {
      accept: false,
      scale: 0,
      reason: `staleness ${staleness} is above the bound ${rule.max}: rejected`,
    };
  }
  const scales = rule.rule === "scale" || rule.rule === "scale+reject";
  if (!scales) {
    return { accept: true, scale: 1, reason: `staleness ${staleness}: applied in full` };
  }
  const scale = Math.fround(Math.max(rule.floor, 1 / (1 + rule.scale * staleness)));
  return {
    accept: true,
    scale,
    reason: `staleness ${staleness}: scaled by ${Number(scale.toFixed(6))}`,
  };
}
