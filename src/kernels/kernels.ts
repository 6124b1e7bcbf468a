/**
 * The few operations on values that a server performs, over one arena. Positions are offsets in
 * values.
 *
 * Every implementation gives the same bits: each f32 operation is rounded on its own, in the
 * order that scalar.ts writes down; no fused multiply-add, no reassociation.
 */
import type { Reduce } from "../protocol/reduction.js";
import type { UpdateScalars } from "./update-rule.js";

/** One contribution to a fold. */
export interface FoldInput {
  /** Where its gradient lies. */
  readonly offset: number;
  /** Examples it stands for; a contribution of 0 examples is left out. */
  readonly examples: number;
}

/** Where the vectors of one update lie, each `length` values long. */
export interface UpdateSlots {
  readonly weightsIn: number;
  /** May equal weightsIn, or be another slot while a write still refers to weightsIn. */
  readonly weightsOut: number;
  /** Read only. */
  readonly gradient: number;
  /** Updated in place; null where the rule keeps no such part. */
  readonly state1: number | null;
  /** Updated in place; null where the rule keeps no such part. */
  readonly state2: number | null;
  readonly length: number;
}

/** One implementation, bound to its arena. */
export interface Kernels {
  /** For manifests and reports. */
  readonly name: string;

  /**
   * Folds gradients, given in ascending rank, into `out`: the mean is the sum of fround(n_r *
   * g_r), each addition rounded, times fround(1 / sum of n_r); the sum leaves both factors out. The
   * median and the trimmed mean put the values of all inputs in order, place by place (-NaN first,
   * NaN last), where they lie, add those that are left in that order, and multiply by fround(1 /
   * their number).
   * Without examples the result is zero. `out` may be the first input's slot, no other's. False
   * when any value of the result is an infinity or not a number.
   */
  fold(out: number, inputs: readonly FoldInput[], length: number, reduce: Reduce): boolean;

  /**
   * Applies a gradient with an update rule, or a batch's statistic to a buffer. Slots other
   * than the two of weights must differ.
   */
  update(scalars: UpdateScalars, slots: UpdateSlots): void;

  /** False when any value is an infinity or not a number. */
  finite(offset: number, length: number): boolean;

  /** Copies values between slots that don't overlap. */
  copy(from: number, to: number, length: number): void;

  /** Sets every value. */
  fill(offset: number, length: number, value: number): void;
}
