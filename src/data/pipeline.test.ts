import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../random.js";
import { InputPipeline, type PipelineFacts } from "./pipeline.js";

const plain: PipelineFacts = {
  shape: [2, 3, 4],
  mean: [0.1307, 0.5],
  std: [0.3081, 0.25],
  augment: { cropPadding: 0, flip: false, standardise: false },
};
const size = 24;

/** Each channel as it is: a value is its byte / 255. */
const unscaled: PipelineFacts = { ...plain, mean: [0, 0], std: [1, 1] };

function bytesOf(values: Float32Array): number[] {
  return Array.from(values, (value) => Math.round(255 * value));
}

function countingPixels(n: number): Uint8Array {
  return Uint8Array.from({ length: n * size }, (_, index) => 1 + (index % size));
}

test("values are (byte / 255 - mean) / std of their channel, each operation in f32", () => {
  const pixels = Uint8Array.from({ length: 2 * size }, (_, index) => (index * 37) % 256);
  const x = new Float32Array(2 * size);
  new InputPipeline(plain).fill(pixels, 2, x, null);
  for (const [index, value] of x.entries()) {
    const channel = Math.floor((index % size) / 12);
    const scaled = Math.fround((pixels[index] as number) / 255);
    const centred = Math.fround(scaled - Math.fround(plain.mean[channel] as number));
    const expected = centred / Math.fround(plain.std[channel] as number);
    assert.equal(value, Math.fround(expected), `value ${index}`);
  }
});

describe("augmentation", () => {
  const crop = { ...unscaled, augment: { cropPadding: 2, flip: false, standardise: false } };

  test("a crop is the picture moved by up to its padding, with zeros where it was not", () => {
    const n = 400;
    const pixels = countingPixels(n);
    const x = new Float32Array(n * size);
    new InputPipeline(crop).fill(pixels, n, x, new Random("crop"));
    const seen = new Set<string>();
    for (let example = 0; example < n; example++) {
      const found = bytesOf(x.subarray(example * size, (example + 1) * size));
      const shifts = [];
      for (let down = -2; down <= 2; down++) {
        for (let right = -2; right <= 2; right++) {
          const moved = Array.from({ length: size }, (_, at) => {
            const row = (Math.floor(at / 4) % 3) + down;
            const column = (at % 4) + right;
            const inside = row >= 0 && row < 3 && column >= 0 && column < 4;
            return inside ? 1 + Math.floor(at / 12) * 12 + row * 4 + column : 0;
          });
          if (moved.every((byte, at) => byte === found[at])) shifts.push(`${down},${right}`);
        }
      }
      assert.equal(shifts.length, 1, `example ${example} is one of the 25 crops`);
      seen.add(shifts[0] as string);
    }
    assert.equal(seen.size, 25);
  });

  test("a flip mirrors every row of every channel, in about half the cases", () => {
    const n = 400;
    const flip = { ...unscaled, augment: { cropPadding: 0, flip: true, standardise: false } };
    const x = new Float32Array(n * size);
    new InputPipeline(flip).fill(countingPixels(n), n, x, new Random("flip"));
    const kept = Array.from({ length: size }, (_, at) => 1 + at);
    const mirrored = kept.map((_, at) => 1 + 4 * Math.floor(at / 4) + 3 - (at % 4));
    let flips = 0;
    for (let example = 0; example < n; example++) {
      const found = bytesOf(x.subarray(example * size, (example + 1) * size));
      const isFlipped = found[0] === 4;
      assert.deepEqual(found, isFlipped ? mirrored : kept);
      if (isFlipped) flips++;
    }
    // Four deviations of a fair coin.
    assert.ok(Math.abs(flips - n / 2) < 4 * Math.sqrt(n / 4), `${flips} flips`);
  });

  test("equal streams give equal values, and evaluation changes no picture", () => {
    const both = { ...plain, augment: { cropPadding: 1, flip: true, standardise: false } };
    const pipeline = new InputPipeline(both);
    const pixels = countingPixels(8);
    const batch = (random: Random | null) => {
      const x = new Float32Array(8 * size);
      pipeline.fill(pixels, 8, x, random);
      return x;
    };
    assert.deepEqual(batch(new Random(1, "a")), batch(new Random(1, "a")));
    assert.notDeepEqual(batch(new Random(1, "a")), batch(new Random(2, "a")));
    const untouched = new Float32Array(8 * size);
    new InputPipeline(plain).fill(pixels, 8, untouched, null);
    assert.deepEqual(batch(null), untouched);
  });

  test("standardising gives mean 0 and deviation 1, and a flat picture zeros", () => {
    const standard = { ...plain, augment: { cropPadding: 0, flip: false, standardise: true } };
    const x = new Float32Array(2 * size);
    const pixels = new Uint8Array(2 * size).fill(7, size);
    pixels.set(countingPixels(1));
    new InputPipeline(standard).fill(pixels, 2, x, null);
    const first = x.subarray(0, size);
    const mean = first.reduce((sum, value) => sum + value, 0) / size;
    const variance = first.reduce((sum, value) => sum + value * value, 0) / size - mean * mean;
    assert.ok(Math.abs(mean) < 1e-6 && Math.abs(variance - 1) < 1e-5, `${mean}, ${variance}`);
    assert.deepEqual([...x.subarray(size)], new Array(size).fill(0));
  });
});
