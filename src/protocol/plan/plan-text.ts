/**
 * How people write a plan of protocols: `bsp:6.25%,asp`, phases in their order, each with its
 * share of the run's work, its epochs, or the plateau that ends it. The last one has what is left.
 *
 * Invariant: a plan that was read holds together: lengths add up to no more than there is, each
 * phase but the last ends, and no phase follows one of the same mode.
 */

import type { Reading } from "../spec-field.js";
import type { Plateau } from "./plan.js";

/** How long a phase is: a share of all work, epochs, until a plateau; null for what is left. */
export type PhaseLength =
  | { readonly kind: "share"; readonly share: number }
  | { readonly kind: "epochs"; readonly epochs: number }
  | { readonly kind: "plateau"; readonly plateau: Plateau }
  | null;

/** One phase as it was written. */
export interface PhaseWords {
  readonly mode: string;
  readonly length: PhaseLength;
}

/** A whole plan, of at least two phases. */
export type PlanWords = readonly PhaseWords[];

/** Reads a plan; `modeOf` gives a mode's name, null where there is none of that name. */
export function parsePlan(
  text: string,
  modeOf: (word: string) => string | null,
): Reading<PlanWords> {
  const phases: PhaseWords[] = [];
  for (const part of planParts(text)) {
    const [word = "", length, ...rest] = part.trim().split(":");
    const mode = modeOf(word);
    if (mode === null) return { problem: `names no mode in ${JSON.stringify(part)}` };
    if (rest.length > 0) return { problem: `has two lengths in ${JSON.stringify(part)}` };
    const read = length === undefined ? { value: null } : lengthOf(length);
    if ("problem" in read) return { problem: `${read.problem} in ${JSON.stringify(part)}` };
    phases.push({ mode, length: read.value });
  }
  const problem = planProblem(phases);
  return problem === null ? { value: phases } : { problem };
}

/** The phases of a plan as they were written; a `name=value` belongs to the phase before it. */
export function planParts(text: string): string[] {
  const parts: string[] = [];
  for (const part of text.split(/,(?![^(]*\))/)) {
    const isMore = parts.length > 0 && /^\s*[a-z-]+=/.test(part);
    if (isMore) parts.push(`${parts.pop()},${part}`);
    else parts.push(part);
  }
  return parts;
}

/** True of what says how long a phase is. */
export function isLengthWord(text: string): boolean {
  return !("problem" in lengthOf(text));
}

function lengthOf(text: string): Reading<PhaseLength> {
  const [, percent] = /^((?:\d+\.?\d*|\.\d+)(?:e-\d+)?)%$/.exec(text) ?? [];
  if (percent !== undefined) {
    const share = Number(percent) / 100;
    if (share > 0 && share <= 1) return { value: { kind: "share", share } };
    return { problem: "has a share that is not above 0 and at most 100 %" };
  }
  const [, epochs] = /^(\d{1,7})e$/.exec(text) ?? [];
  if (epochs !== undefined) {
    if (Number(epochs) > 0) return { value: { kind: "epochs", epochs: Number(epochs) } };
    return { problem: "has no epoch" };
  }
  const [, window, delta] =
    /^plateau\((\d{1,4}),\s*((?:\d+\.?\d*|\.\d+)(?:e-\d+)?)\)$/.exec(text) ?? [];
  if (window === undefined)
    return { problem: "has no length such as 6.25%, 5e or plateau(3,0.01)" };
  if (Number(window) < 1 || Number(window) > 1000) {
    return { problem: "has a window that is not from 1 to 1000 evaluations" };
  }
  const plateau = { window: Number(window), delta: Number(delta) };
  return { value: { kind: "plateau", plateau } };
}

function planProblem(phases: PlanWords): string | null {
  if (phases.length < 2) return "has one phase, which is a mode";
  const twin = phases.findIndex(({ mode }, index) => mode === phases[index - 1]?.mode);
  if (twin > 0) return `goes from ${phases[twin]!.mode} to itself`;
  const endless = phases.slice(0, -1).find(({ length }) => length === null);
  if (endless !== undefined) return `does not say when ${endless.mode} ends`;
  const shares = phases.flatMap(({ length }) => (length?.kind === "share" ? [length.share] : []));
  const sum = shares.reduce((total, share) => total + share, 0);
  const percent = `${Number((100 * sum).toPrecision(6))} %`;
  if (sum > 1 + 1e-9) return `adds up to ${percent} of the work`;
  const last = phases.at(-1)!.length;
  if (last === null) {
    return sum >= 1 - 1e-9 ? "leaves no work to its last phase" : null;
  }
  if (last.kind !== "share") return "gives its last phase a length; it has what is left";
  const isWhole = shares.length === phases.length && sum >= 1 - 1e-9;
  return isWhole ? null : `adds up to ${percent} of the work; leave the last length out`;
}

/** A plan as text. */
export function planText(phases: PlanWords): string {
  return phases.map(({ mode, length }) => `${mode}${lengthText(length)}`).join(",");
}

function lengthText(length: PhaseLength): string {
  if (length === null) return "";
  switch (length.kind) {
    case "share":
      return `:${Number((100 * length.share).toPrecision(12))}%`;
    case "epochs":
      return `:${length.epochs}e`;
    default:
      return `:plateau(${length.plateau.window},${length.plateau.delta})`;
  }
}
