/**
 * One entry of a chunk's order: everything that changes the chunk by it, as plain data. It is made
 * when contributions are sealed, and nothing is decided again from there on: a server with the
 * same entries in the same order, with the same kernels, has the same bits.
 *
 * Invariant: numbers are the very ones that are applied; an entry that changes marks only has no
 * gradient, no examples and the version of the one before.
 */
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { PushOutcome } from "../../protocol/messages.js";

/** What was decided of a push; it is answered so whenever it comes again. */
export interface PushVerdict {
  readonly outcome: PushOutcome;
  readonly staleness: number;
  readonly detail: string;
  /**
   * What the pace that judges pushes said of it, as headers have it: 0 where it was rejected, else
   * what its gradient is multiplied by; null where nothing judged it.
   */
  readonly scale: number | null;
}

/** The verdict on a push whose gradient waits for its step to be sealed. */
export const heldVerdict: PushVerdict = {
  outcome: "applied",
  staleness: 0,
  detail: "",
  scale: null,
};

/** A push that needs never be looked at again, and what was decided of it. */
export interface ContributorMark extends WorkerIdentity {
  readonly step: number;
  /** Examples that it is made of; a step without any uses none. */
  readonly examples: number;
  readonly verdict: PushVerdict;
  /**
   * The step that it was folded with, where it came too late for its own; below 0 where it was in
   * an update of late ones alone, which the number names. Left out where it was in time.
   */
  readonly inStep?: number;
}

/** A change of one chunk. */
export interface Entry {
  readonly chunk: number;
  /**
   * Its place in the chunk's order, counted from 1 since the chunk was loaded; entries that change
   * marks only count.
   */
  readonly seq: number;
  /** In ascending rank. */
  readonly marks: readonly ContributorMark[];
  /** The last step sealed, this entry included; -1 if none. */
  readonly sealedStep: number;
  /** Slot of the gradient, folded or single; -1 where marks alone change. */
  readonly gradient: number;
  /** Pushes that are in the gradient. */
  readonly pushes: number;
  /**
   * Of the one push that leads: updates of the chunk since the version that it was computed with;
   * null where the entry is of another, of none with examples, or of several.
   */
  readonly staleness: number | null;
  /** Examples that are in the gradient. */
  readonly examples: number;
  /** The learning rate. */
  readonly lr: number;
  /** The momentum coefficient, which rules without one don't read. */
  readonly momentum: number;
  /** What the gradient is multiplied by, an f32 number. */
  readonly scale: number;
  /** True where the gradient is a difference that local steps made; left out where it is none. */
  readonly isDifference?: boolean;
  /** Updates of the chunk, this entry included: its version (and what bias correction counts). */
  readonly version: number;
}

/** True where an entry moves the chunk's values. */
export function movesValues({ gradient }: Pick<Entry, "gradient">): boolean {
  return gradient >= 0;
}
