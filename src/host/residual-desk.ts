/**
 * The coordinator's desk for residuals: takes what workers give at a cut, piece by piece, until a
 * checkpoint has it, and gives workers what they go on with. Values lie here in the coordinator's
 * memory from the cut until the checkpoint is written, and in a resumed run until their rank takes
 * part.
 *
 * Invariant: what a worker gave counts when it has said that it gave all; pieces of another cut, or
 * of another life of its rank, are never mixed with them.
 */

import type { GivenResiduals } from "../core/work/cut-round.js";
import { PacelineError } from "../errors.js";
import type { Chunk, Layout } from "../protocol/layout.js";
import {
  type ResidualPiece,
  type ResidualPlace,
  type Residuals,
  weightValues,
} from "../protocol/residuals.js";

interface Given {
  readonly incarnation: number;
  readonly cut: number;
  readonly values: Float32Array;
  readonly chunks: Set<number>;
}

/** The residuals that come and go. */
export class ResidualDesk {
  readonly #given = new Map<number, Given>();

  /** Takes a piece in; the same again changes nothing. */
  keep(piece: ResidualPiece, layout: Layout): void {
    const { rank, incarnation, cut, values } = piece;
    const { index, offset, length } = chunkOf(piece, layout);
    if (values.length !== length * 4) {
      const sizes = `${values.length} bytes instead of ${length * 4}`;
      throw new PacelineError("protocol", `residual of chunk ${index} has ${sizes}`);
    }
    let given = this.#given.get(rank);
    if (given?.incarnation !== incarnation || given.cut !== cut) {
      const memory = new Float32Array(weightValues(layout));
      given = { incarnation, cut, values: memory, chunks: new Set() };
      this.#given.set(rank, given);
    }
    bytesOf(given.values, offset, length).set(values);
    given.chunks.add(index);
  }

  /** Hands over what these workers gave, and forgets everything. */
  take(workers: readonly GivenResiduals[]): Residuals[] {
    const present = new Map(this.#given);
    this.#given.clear();
    return workers.map(({ rank, chunks }) => {
      const given = present.get(rank);
      if (given?.chunks.size === chunks) return { rank, values: given.values };
      const counts = `${given?.chunks.size ?? 0} of ${chunks} pieces`;
      throw new PacelineError("protocol", `residuals of worker ${rank}: ${counts} have come`);
    });
  }
}

/** The bytes of one chunk of somebody's residuals. */
export function pieceOf(values: Float32Array, place: ResidualPlace, layout: Layout): Uint8Array {
  const { offset, length } = chunkOf(place, layout);
  return bytesOf(values, offset, length);
}

/** Chunks of weights lie first, so that they have the same place here as in the flat vector. */
function chunkOf({ chunk: index }: ResidualPlace, layout: Layout): Chunk {
  const chunk = layout.chunks[index];
  if (chunk?.group === "weight") return chunk;
  const what = chunk === undefined ? "does not exist" : `is of the group ${chunk.group}`;
  throw new PacelineError("protocol", `chunk ${index} ${what}: only weights have residuals`);
}

function bytesOf({ buffer, byteOffset }: Float32Array, offset: number, length: number): Uint8Array {
  return new Uint8Array(buffer, byteOffset + offset * 4, length * 4);
}
