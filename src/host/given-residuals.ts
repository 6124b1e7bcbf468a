/**
 * What workers give the coordinator: their residuals, and what the rule of local steps keeps. It
 * keeps what workers give at a barrier, piece by piece, until a checkpoint has it, and gives
 * workers what they go on with. Values lie here in
 * the coordinator's memory from the barrier until the checkpoint is written, and in a resumed run
 * until their rank takes part.
 *
 * Invariant: what a worker gave counts when it has said that it gave all; chunks of another
 * barrier, or of another life of its rank, are never mixed with them.
 */

import type { GivenResiduals } from "../core/work/barrier-round.js";
import { PacelineError } from "../errors.js";
import type { Layout } from "../protocol/layout.js";
import { type KeptPiece, keptValues, localPieces } from "../protocol/local/local-state.js";
import type { ResidualChunk, ResidualPlace, Residuals } from "../protocol/residuals.js";
import type { RunSpec } from "../protocol/run-spec.js";

/** What says which pieces there are. */
export interface KeptSetup {
  readonly spec: RunSpec;
  readonly layout: Layout;
}

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
  keep(residual: ResidualChunk, setup: KeptSetup): void {
    const { rank, incarnation, barrier, values } = residual;
    const { chunk: index, offset, length } = pieceOf(residual, setup);
    if (values.length !== length * 4) {
      const sizes = `${values.length} bytes instead of ${length * 4}`;
      throw new PacelineError("protocol", `residual of chunk ${index} has ${sizes}`);
    }
    let given = this.#given.get(rank);
    if (given?.incarnation !== incarnation || given.barrier !== barrier) {
      const memory = new Float32Array(keptValues(setup.spec, setup.layout));
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
  setup: KeptSetup,
): Uint8Array {
  const { offset, length } = pieceOf(place, setup);
  return bytesOf(values, offset, length);
}

/** Chunks of weights lie first, so that they have the same place here as in the flat vector. */
function pieceOf({ chunk: index }: ResidualPlace, { spec, layout }: KeptSetup): KeptPiece {
  const chunk = layout.chunks[index];
  if (chunk?.group === "weight") return { ...chunk, chunk: index };
  const piece = localPieces(spec, layout).find((one) => one.chunk === index);
  if (piece !== undefined) return piece;
  const what = chunk === undefined ? "does not exist" : `is of the group ${chunk.group}`;
  throw new PacelineError("protocol", `chunk ${index} ${what}: only weights have residuals`);
}

function bytesOf({ buffer, byteOffset }: Float32Array, offset: number, length: number): Uint8Array {
  return new Uint8Array(buffer, byteOffset + offset * 4, length * 4);
}
