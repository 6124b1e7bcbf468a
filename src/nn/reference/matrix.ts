/**
 * The one matrix product of the reference engine: out = start + a b, with a [rows, inner],
 * b [inner, columns] and out [rows, columns]. A matrix is memory under two tables of places, one by
 * row and one by column, whose sum tells where a value lies: a transposed operand is the tables
 * swapped, and a convolution is a product whose operand is the picture itself, each value of which
 * stands for several (reference-conv2d.ts).
 *
 * The idea: four rows of a are packed side by side, and four columns of b run against them with
 * sixteen sums, so that eight loads feed sixteen products. While packing, positions where all four
 * rows are zero are left out: images are mostly background, and ReLU makes more of it.
 *
 * Invariant: every sum is one f64 accumulator that starts at `start` and adds products in ascending
 * inner order, rounded to f32 once. Blocking and left-out zeros change no bit if b is finite.
 */

/** A matrix in memory: (row, column) is at `origin + rows[row] + columns[column]`. */
export interface Matrix {
  readonly values: Float32Array;
  readonly origin: number;
  readonly rows: Int32Array;
  readonly columns: Int32Array;
}

/** Where the sums start: for (row, column) at `row * rowStride + column * columnStride`. */
export interface Start {
  readonly values: Float32Array;
  readonly rowStride: 0 | 1;
  readonly columnStride: 0 | 1;
}

/** Sums that start at zero. */
export const fromZero: Start = { values: new Float32Array(1), rowStride: 0, columnStride: 0 };

/** Room for four packed rows, used by one product at a time. */
export class Panel {
  /** Place in b of each inner position that was packed. */
  places = new Int32Array(0);
  /** The four rows' values at that position, side by side. */
  values = new Float32Array(0);

  /** Makes room for products of the given inner extent. */
  reserve(inner: number): void {
    if (inner <= this.places.length) return;
    this.places = new Int32Array(inner);
    this.values = new Float32Array(4 * inner);
  }
}

/** The places 0, stride, 2 stride ... of `count` rows or columns. */
export function evenly(count: number, stride: number): Int32Array {
  return Int32Array.from({ length: count }, (_, index) => index * stride);
}

/** A row-major matrix. */
export function rowMajor(values: Float32Array, rows: number, columns: number): Matrix {
  return { values, origin: 0, rows: evenly(rows, columns), columns: evenly(columns, 1) };
}

/** The same memory read as its transpose. */
export function transposed(matrix: Matrix): Matrix {
  return { ...matrix, rows: matrix.columns, columns: matrix.rows };
}

/** out[row, column] = start + sum over inner of a[row, inner] * b[inner, column]. */
export function multiply(
  panel: Panel,
  a: Matrix,
  b: Matrix,
  start: Start,
  out: Matrix,
  rows: number,
  columns: number,
  inner: number,
): void {
  const wholeColumns = columns - (columns % 4);
  for (let row = 0; row < rows; row += 4) {
    const height = Math.min(4, rows - row);
    const count = pack(panel, a, row, height, inner, b.rows);
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
  innerPlaces: Int32Array,
): number {
  const { places, values: packed } = panel;
  const { values, origin, rows, columns } = a;
  // A missing row repeats the last one; its sums are never written.
  const last = row + height - 1;
  const start0 = origin + (rows[row] as number);
  const start1 = origin + (rows[Math.min(row + 1, last)] as number);
  const start2 = origin + (rows[Math.min(row + 2, last)] as number);
  const start3 = origin + (rows[Math.min(row + 3, last)] as number);
  let count = 0;
  for (let position = 0; position < inner; position++) {
    const column = columns[position] as number;
    const v0 = values[start0 + column] as number;
    const v1 = values[start1 + column] as number;
    const v2 = values[start2 + column] as number;
    const v3 = values[start3 + column] as number;
    if (v0 === 0 && v1 === 0 && v2 === 0 && v3 === 0) continue;
    const at = 4 * count;
    places[count] = innerPlaces[position] as number;
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
  start: Start,
  out: Matrix,
  row: number,
  columns: number,
): void {
  const { places, values: packed } = panel;
  const { values, origin, columns: columnPlaces } = b;
  for (let column = 0; column < columns; column += 4) {
    const b0 = origin + (columnPlaces[column] as number);
    const b1 = origin + (columnPlaces[column + 1] as number);
    const b2 = origin + (columnPlaces[column + 2] as number);
    const b3 = origin + (columnPlaces[column + 3] as number);
    let s00 = startAt(start, row, column);
    let s01 = startAt(start, row, column + 1);
    let s02 = startAt(start, row, column + 2);
    let s03 = startAt(start, row, column + 3);
    let s10 = startAt(start, row + 1, column);
    let s11 = startAt(start, row + 1, column + 1);
    let s12 = startAt(start, row + 1, column + 2);
    let s13 = startAt(start, row + 1, column + 3);
    let s20 = startAt(start, row + 2, column);
    let s21 = startAt(start, row + 2, column + 1);
    let s22 = startAt(start, row + 2, column + 2);
    let s23 = startAt(start, row + 2, column + 3);
    let s30 = startAt(start, row + 3, column);
    let s31 = startAt(start, row + 3, column + 1);
    let s32 = startAt(start, row + 3, column + 2);
    let s33 = startAt(start, row + 3, column + 3);
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

function startAt(start: Start, row: number, column: number): number {
  return start.values[row * start.rowStride + column * start.columnStride] as number;
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
  const { values, columns } = out;
  const at = out.origin + (out.rows[row] as number);
  values[at + (columns[column] as number)] = v0;
  values[at + (columns[column + 1] as number)] = v1;
  values[at + (columns[column + 2] as number)] = v2;
  values[at + (columns[column + 3] as number)] = v3;
}

/** Up to four packed rows against one column of b. */
function oneColumn(
  panel: Panel,
  count: number,
  b: Matrix,
  start: Start,
  out: Matrix,
  row: number,
  height: number,
  column: number,
): void {
  const { places, values: packed } = panel;
  const { values } = b;
  const base = b.origin + (b.columns[column] as number);
  const last = row + height - 1;
  let s0 = startAt(start, row, column);
  let s1 = startAt(start, Math.min(row + 1, last), column);
  let s2 = startAt(start, Math.min(row + 2, last), column);
  let s3 = startAt(start, Math.min(row + 3, last), column);
  for (let index = 0, at = 0; index < count; index++, at += 4) {
    const q = values[base + (places[index] as number)] as number;
    s0 += (packed[at] as number) * q;
    s1 += (packed[at + 1] as number) * q;
    s2 += (packed[at + 2] as number) * q;
    s3 += (packed[at + 3] as number) * q;
  }
  const at = out.origin + (out.columns[column] as number);
  out.values[at + (out.rows[row] as number)] = s0;
  if (height > 1) out.values[at + (out.rows[row + 1] as number)] = s1;
  if (height > 2) out.values[at + (out.rows[row + 2] as number)] = s2;
  if (height > 3) out.values[at + (out.rows[row + 3] as number)] = s3;
}
