import assert from "node:assert/strict";
import { test } from "node:test";
import { MemorySplit } from "./split.js";

test("inputs are (pixel / 255 - mean) / std of their channel, each operation in f32", () => {
  const pixels = Uint8Array.from({ length: 2 * 2 * 6 }, (_, index) => (index * 37) % 256);
  const normalisation = { mean: [0.1307, 0.5], std: [0.3081, 0.25] };
  const split = new MemorySplit(pixels, Uint8Array.of(3, 4), [2, 2, 3], normalisation);
  const x = new Float32Array(12);
  const y = new Int32Array(1);
  split.fill([0, 1], 1, 2, x, y);
  assert.equal(y[0], 4);
  for (const [index, value] of x.entries()) {
    const channel = Math.floor(index / 6);
    const scaled = Math.fround((pixels[12 + index] as number) / 255);
    const centred = Math.fround(scaled - Math.fround(normalisation.mean[channel] as number));
    const expected = centred / Math.fround(normalisation.std[channel] as number);
    assert.equal(value, Math.fround(expected), `value ${index}`);
  }
});
