/** The flat vectors of training in one process, in one arena that the kernels work on. */
import { Arena, slotAlignmentValues } from "../../kernels/arena.js";
import type { BaselineStart } from "./baseline-start.js";

/** Offsets of whole flat vectors in the arena. */
export interface Vectors {
  readonly arena: Arena;
  readonly weights: number;
  readonly states: readonly number[];
  /** Where a rank's gradient is written. */
  readonly gradient: number;
  /** By rank; for one rank it is that place itself. */
  readonly held: readonly number[];
}

/** Places a start's vectors, and those of so many ranks. */
export function placeVectors({ state: start }: BaselineStart, ranks: number): Vectors {
  const { length } = start.weights;
  const count = 2 + start.state.length + ranks;
  const arena = new Arena(count * (length + slotAlignmentValues));
  const place = (values: Float32Array) => {
    const offset = arena.allocate(length);
    arena.view(offset, length).set(values);
    return offset;
  };
  const gradient = arena.allocate(length);
  return {
    arena,
    weights: place(start.weights),
    states: start.state.map(place),
    gradient,
    held: Array.from({ length: ranks }, () => (ranks === 1 ? gradient : arena.allocate(length))),
  };
}
