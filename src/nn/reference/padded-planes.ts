/**
 * A batch of planes with a margin of zeros around each, so that a window which reaches beyond a
 * picture reads zeros without asking where it is. The copy lives in the workspace and lasts for
 * one call of a kernel; where no margin is needed the planes are read where they are.
 *
 * Invariant: (plane, row, column) of the source is at `place`, also for rows and columns beyond the
 * source, as far as the margin reaches; there the value is zero.
 */
import type { Workspace } from "./reference-kernel.js";

/** How far a margin reaches before and after the source, in rows and in columns. */
export interface Margin {
  readonly before: readonly [number, number];
  readonly after: readonly [number, number];
}

/** Planes [rows, columns] of one array, padded. */
export class PaddedPlanes {
  /** Distance between two rows, and between two planes. */
  readonly rowStride: number;
  readonly planeStride: number;
  readonly #workspace: Workspace;
  readonly #source: Float32Array;
  readonly #rows: number;
  readonly #columns: number;
  readonly #margin: Margin;

  /** @param source as many planes as a batch may have, one after the other; never written. */
  constructor(
    workspace: Workspace,
    source: Float32Array,
    [rows, columns]: readonly [number, number],
    margin: Margin,
  ) {
    this.#workspace = workspace;
    this.#source = source;
    this.#rows = rows;
    this.#columns = columns;
    this.#margin = margin;
    this.rowStride = margin.before[1] + columns + margin.after[1];
    this.planeStride = (margin.before[0] + rows + margin.after[0]) * this.rowStride;
    if (this.#isBare) return;
    workspace.reservePictures((source.length / (rows * columns)) * this.planeStride);
  }

  get #isBare(): boolean {
    return this.planeStride === this.#rows * this.#columns;
  }

  /** Where a value lies; row and column may lie in the margin. */
  place(plane: number, row: number, column: number): number {
    const { before } = this.#margin;
    return plane * this.planeStride + (row + before[0]) * this.rowStride + column + before[1];
  }

  /** The first `planes` planes, padded, until the workspace is used again. */
  load(planes: number): Float32Array {
    if (this.#isBare) return this.#source;
    const values = this.#workspace.pictures;
    values.fill(0, 0, planes * this.planeStride);
    let from = 0;
    for (let plane = 0; plane < planes; plane++) {
      let to = this.place(plane, 0, 0);
      for (let row = 0; row < this.#rows; row++, to += this.rowStride) {
        for (let column = 0; column < this.#columns; column++, from++) {
          values[to + column] = this.#source[from] as number;
        }
      }
    }
    return values;
  }
}
