/**
 * The residuals that workers give the coordinator: it keeps what workers give at a barrier, chunk
 * by chunk, until a checkpoint has it, and gives workers what they go on with. Values lie here in
 * the coordinator's memory from the barrier until the checkpoint is written, and in a resumed run
 * until their rank takes part.
 *
 * Invariant: what a worker gave counts when it has said that it gave all; chunks of another
 * barrier, or of another life of its rank, are never mixed with them.
 */

import type { GivenResiduals } from "../core/work/barrier-round.js";
import { PacelineError } from "../errors.js";
import type { Chunk, Layout } from "../protocol/layout.js";
import {
  type ResidualChunk,
  type ResidualPlace,
  type Residuals,
  weightValues,
} from "../protocol/residuals.js";

interface Given {
  readonly incarnation: number;
  readonly barrier: number;
  readonly values: Float32Array;
  readonly chunks: Set<number>;
}

/** The residuals that come and go. */
export class GivenResidualStore {
  readonly #given = new Map<number, Given>();

  /** Takes a chunk's residual in; the same again changes nothing. */
  keep(residual: ResidualChunk, layout: Layout): void {
    const { rank, incarnation, barrier, values } = residual;
    const { index, offset, length } = chunkOf(residual, layout);
    if (values.length !== length * 4) {
      const sizes = `${values.length} bytes instead of ${length * 4}`;
      throw new PacelineError("protocol", `residual of chunk ${index} has ${sizes}`);
    }
    let given = this.#given.get(rank);
    if (given?.incarnation !== incarnation || given.barrier !== barrier) {
      const memory = new Float32Array(weightValues(layout));
      given = { incarnation, barrier, values: memory, chunks: new Set() };
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
      const counts = `${given?.chunks.size ?? 0} of ${chunks} chunks`;
      throw new PacelineError("protocol", `residuals of worker ${rank}: ${counts} have come`);
    });
  }
}

/** The bytes of one chunk of somebody's residuals. */
export function residualBytes(
  values: Float32Array,
  place: ResidualPlace,
  layout: Layout,
): Uint8Array {
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
