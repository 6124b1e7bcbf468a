import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../random.js";
import {
  fromZero,
  type Matrix,
  multiply,
  Panel,
  rowMajor,
  type Start,
  transposed,
} from "./matrix.js";

function draw(random: Random, count: number, density = 1): Float32Array {
  return Float32Array.from({ length: count }, () => {
    const value = random.normal();
    return random.float() < density ? value : 0;
  });
}

function at(matrix: Matrix, row: number, column: number): number {
  return matrix.values[matrix.origin + matrix.rows[row]! + matrix.columns[column]!] as number;
}

/** The definition, one sum after the other. */
function plainProduct(
  a: Matrix,
  b: Matrix,
  start: Start,
  rows: number,
  columns: number,
  inner: number,
): Float32Array {
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = start.values[row * start.rowStride + column * start.columnStride] as number;
      for (let index = 0; index < inner; index++) sum += at(a, row, index) * at(b, index, column);
      out[row * columns + column] = sum;
    }
  }
  return out;
}

function panelFor(inner: number): Panel {
  const panel = new Panel();
  panel.reserve(inner);
  return panel;
}

describe("multiply", () => {
  const extents = [0, 1, 2, 3, 4, 5, 7, 8, 13];

  for (const density of [1, 0.3, 0]) {
    test(`gives the bits of the definition for all small extents, density ${density}`, () => {
      const random = new Random("matrix", density * 10);
      for (const rows of extents) {
        for (const columns of extents) {
          for (const inner of extents) {
            const a = rowMajor(draw(random, rows * inner, density), rows, inner);
            const b = rowMajor(draw(random, inner * columns), inner, columns);
            const values = draw(random, Math.max(rows, columns));
            const start: Start =
              rows % 2 === 0
                ? { values, rowStride: 0, columnStride: 1 }
                : { values, rowStride: 1, columnStride: 0 };
            const out = new Float32Array(rows * columns).fill(Number.NaN);
            const place = rowMajor(out, rows, columns);
            multiply(panelFor(inner), a, b, start, place, rows, columns, inner);
            const expected = plainProduct(a, b, start, rows, columns, inner);
            assert.deepEqual(out, expected, `${rows} x ${columns} over ${inner}`);
          }
        }
      }
    });
  }

  test("takes each operand transposed", () => {
    const random = new Random("transposed");
    const [rows, columns, inner] = [6, 9, 5];
    const a = transposed(rowMajor(draw(random, rows * inner, 0.5), inner, rows));
    const b = transposed(rowMajor(draw(random, inner * columns), columns, inner));
    const out = new Float32Array(rows * columns);
    const outTransposed = transposed(rowMajor(out, columns, rows));
    multiply(panelFor(20), a, b, fromZero, outTransposed, rows, columns, inner);
    const expected = plainProduct(a, b, fromZero, rows, columns, inner);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        assert.equal(at(outTransposed, row, column), expected[row * columns + column]);
      }
    }
  });

  test("reads operands whose places are neither even nor distinct, from an origin", () => {
    const random = new Random("scattered");
    const [rows, columns, inner] = [5, 6, 9];
    const scattered = (rowCount: number, columnCount: number): Matrix => ({
      values: draw(random, 100),
      origin: 7,
      rows: Int32Array.from({ length: rowCount }, () => random.below(40)),
      columns: Int32Array.from({ length: columnCount }, () => random.below(40)),
    });
    const a = scattered(rows, inner);
    const b = scattered(inner, columns);
    const out = new Float32Array(rows * columns);
    const place = rowMajor(out, rows, columns);
    multiply(panelFor(inner), a, b, fromZero, place, rows, columns, inner);
    assert.deepEqual(out, plainProduct(a, b, fromZero, rows, columns, inner));
  });

  test("keeps values beyond the product as they were", () => {
    const out = new Float32Array(12).fill(7);
    const a = rowMajor(Float32Array.of(1, 2, 3), 3, 1);
    const b = rowMajor(Float32Array.of(10), 1, 1);
    multiply(panelFor(1), a, b, fromZero, rowMajor(out, 3, 1), 3, 1, 1);
    assert.deepEqual([...out.slice(0, 5)], [10, 20, 30, 7, 7]);
  });

  test("lets NaN through from either side", () => {
    const product = (left: number, right: number) => {
      const out = new Float32Array(1);
      const [a, b] = [left, right].map((value) => rowMajor(Float32Array.of(value), 1, 1));
      multiply(panelFor(1), a!, b!, fromZero, rowMajor(out, 1, 1), 1, 1, 1);
      return out[0];
    };
    assert.ok(Number.isNaN(product(Number.NaN, 1)));
    assert.ok(Number.isNaN(product(1, Number.NaN)));
  });
});
