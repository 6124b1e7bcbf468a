/**
 * The one matrix product of the reference engine: out = start + a b, with a [rows, inner],
 * b [inner, columns] and out [rows, columns], each an f32 array under two strides, so that a
 * transposed operand is only another pair of strides.
 *
 * The idea: four rows of a are packed side by side, and four columns of b run against them with
 * sixteen sums in registers, so that eight loads feed sixteen products. While packing, positions
 * where all four rows are zero are left out: images are mostly background, and ReLU makes more of
 * it.
 *
 * Invariant: every sum is one f64 accumulator that starts at `start` and adds products in ascending
 * inner order, rounded to f32 once at the end. Blocking and left-out zeros don't change a bit of
 * it as long as b is finite. Error: f64 sums of exact products, so half a unit in the last f32
 * place.
 */

/** A matrix in memory: (row, column) is at `row * rowStride + column * columnStride`. */
export interface Matrix {
  readonly values: Float32Array;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** Room for four packed rows, made once and used by one product at a time. */
export class Panel {
  /** Offset in b of each inner position that was packed. */
  readonly places: Int32Array;
  /** The four rows' values at that position, side by side. */
  readonly values: Float32Array;

  /** @param innerMax the largest inner extent that a product will have. */
  constructor(innerMax: number) {
    this.places = new Int32Array(innerMax);
    this.values = new Float32Array(4 * innerMax);
  }
}

/** A row-major matrix of `columns` columns. */
export function rowMajor(values: Float32Array, columns: number): Matrix {
  return { values, rowStride: columns, columnStride: 1 };
}

/** The same memory read as its transpose. */
export function transposed(matrix: Matrix): Matrix {
  return {
    values: matrix.values,
    rowStride: matrix.columnStride,
    columnStride: matrix.rowStride,
  };
}

/**
 * out[row, column] = start[column] + sum over inner of a[row, inner] * b[inner, column].
 * @param start at least `columns` values; never written.
 */
export function multiply(
  panel: Panel,
  a: Matrix,
  b: Matrix,
  start: Float32Array,
  out: Matrix,
  rows: number,
  columns: number,
  inner: number,
): void {
  const wholeColumns = columns - (columns % 4);
  for (let row = 0; row < rows; row += 4) {
    const height = Math.min(4, rows - row);
    const count = pack(panel, a, row, height, inner, b.rowStride);
    if (height === 4) fourColumns(panel, count, b, start, out, row, wholeColumns);
    const from = height === 4 ? wholeColumns : 0;
    for (let column = from; column < columns; column++) {
      oneColumn(panel, count, b, start, out, row, height, column);
    }
  }
}

/** Packs four rows, or as many as are left; returns how many inner positions were kept. */
function pack(
  panel: Panel,
  a: Matrix,
  row: number,
  height: number,
  inner: number,
  placeStride: number,
): number {
  const { places, values: packed } = panel;
  const { values, rowStride, columnStride } = a;
  // A missing row repeats the last one; its sums are never written.
  const last = row + height - 1;
  const start0 = row * rowStride;
  const start1 = Math.min(row + 1, last) * rowStride;
  const start2 = Math.min(row + 2, last) * rowStride;
  const start3 = Math.min(row + 3, last) * rowStride;
  let count = 0;
  for (let position = 0, step = 0; position < inner; position++, step += columnStride) {
    const v0 = values[start0 + step] as number;
    const v1 = values[start1 + step] as number;
    const v2 = values[start2 + step] as number;
    const v3 = values[start3 + step] as number;
    if (v0 === 0 && v1 === 0 && v2 === 0 && v3 === 0) continue;
    const at = 4 * count;
    places[count] = position * placeStride;
    packed[at] = v0;
    packed[at + 1] = v1;
    packed[at + 2] = v2;
    packed[at + 3] = v3;
    count++;
  }
  return count;
}

/** Four packed rows against the columns [0, columns) of b, four at a time. */
function fourColumns(
  panel: Panel,
  count: number,
  b: Matrix,
  start: Float32Array,
  out: Matrix,
  row: number,
  columns: number,
): void {
  const { places, values: packed } = panel;
  const { values, columnStride } = b;
  for (let column = 0; column < columns; column += 4) {
    const b0 = column * columnStride;
    const b1 = b0 + columnStride;
    const b2 = b1 + columnStride;
    const b3 = b2 + columnStride;
    let s00 = start[column] as number;
    let s01 = start[column + 1] as number;
    let s02 = start[column + 2] as number;
    let s03 = start[column + 3] as number;
    let s10 = s00;
    let s11 = s01;
    let s12 = s02;
    let s13 = s03;
    let s20 = s00;
    let s21 = s01;
    let s22 = s02;
    let s23 = s03;
    let s30 = s00;
    let s31 = s01;
    let s32 = s02;
    let s33 = s03;
    for (let index = 0, at = 0; index < count; index++, at += 4) {
      const place = places[index] as number;
      const p0 = packed[at] as number;
      const p1 = packed[at + 1] as number;
      const p2 = packed[at + 2] as number;
      const p3 = packed[at + 3] as number;
      const q0 = values[b0 + place] as number;
      const q1 = values[b1 + place] as number;
      const q2 = values[b2 + place] as number;
      const q3 = values[b3 + place] as number;
      s00 += p0 * q0;
      s01 += p0 * q1;
      s02 += p0 * q2;
      s03 += p0 * q3;
      s10 += p1 * q0;
      s11 += p1 * q1;
      s12 += p1 * q2;
      s13 += p1 * q3;
      s20 += p2 * q0;
      s21 += p2 * q1;
      s22 += p2 * q2;
      s23 += p2 * q3;
      s30 += p3 * q0;
      s31 += p3 * q1;
      s32 += p3 * q2;
      s33 += p3 * q3;
    }
    write(out, row, column, s00, s01, s02, s03);
    write(out, row + 1, column, s10, s11, s12, s13);
    write(out, row + 2, column, s20, s21, s22, s23);
    write(out, row + 3, column, s30, s31, s32, s33);
  }
}

function write(
  out: Matrix,
  row: number,
  column: number,
  v0: number,
  v1: number,
  v2: number,
  v3: number,
): void {
  const { values, rowStride, columnStride } = out;
  const at = row * rowStride + column * columnStride;
  values[at] = v0;
  values[at + columnStride] = v1;
  values[at + 2 * columnStride] = v2;
  values[at + 3 * columnStride] = v3;
}

/** Up to four packed rows against one column of b. */
function oneColumn(
  panel: Panel,
  count: number,
  b: Matrix,
  start: Float32Array,
  out: Matrix,
  row: number,
  height: number,
  column: number,
): void {
  const { places, values: packed } = panel;
  const { values, columnStride } = b;
  const base = column * columnStride;
  let s0 = start[column] as number;
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (let index = 0, at = 0; index < count; index++, at += 4) {
    const q = values[base + (places[index] as number)] as number;
    s0 += (packed[at] as number) * q;
    s1 += (packed[at + 1] as number) * q;
    s2 += (packed[at + 2] as number) * q;
    s3 += (packed[at + 3] as number) * q;
  }
  const at = row * out.rowStride + column * out.columnStride;
  out.values[at] = s0;
  if (height > 1) out.values[at + out.rowStride] = s1;
  if (height > 2) out.values[at + 2 * out.rowStride] = s2;
  if (height > 3) out.values[at + 3 * out.rowStride] = s3;
}
