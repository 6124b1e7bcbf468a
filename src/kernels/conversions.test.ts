import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Random } from "../random.js";
import { Arena } from "./arena.js";
import type { Conversions } from "./conversions.js";
import { scalarConversions } from "./scalar-conversions.js";
import { createWasmConversions } from "./wasm-conversions.js";

const largest = 3.4028234663852886e38;
const largestHalf = 65504;

describe("scalar", () => everyImplementation(scalarConversions));
describe("wasm", () => everyImplementation(createWasmConversions(null)));

function everyImplementation(conversions: Conversions): void {
  const halves = (values: readonly number[], overflow: "infinity" | "saturate" = "infinity") => {
    const bytes = new Uint8Array(2 * values.length);
    conversions.halvesFromFloats(Float32Array.from(values), bytes, overflow);
    return [...new Uint16Array(bytes.buffer)];
  };
  const floats = (bits: readonly number[]) => {
    const values = new Float32Array(bits.length);
    conversions.floatsFromHalves(new Uint8Array(Uint16Array.from(bits).buffer), values);
    return [...values];
  };

  test("numbers become the halves that IEEE 754 has for them", () => {
    const cases: readonly (readonly [value: number, half: number])[] = [
      [0, 0],
      [-0, 0x8000],
      [1, 0x3c00],
      [-2, 0xc000],
      [largestHalf, 0x7bff],
      [65519.99, 0x7bff],
      [65520, 0x7c00],
      [-largest, 0xfc00],
      [Number.POSITIVE_INFINITY, 0x7c00],
      [Number.NEGATIVE_INFINITY, 0xfc00],
      [Number.NaN, 0x7e00],
      [2 ** -14, 0x0400],
      [2 ** -14 - 2 ** -25, 0x0400],
      [2 ** -24, 1],
      [2 ** -25, 0],
      [2 ** -25 * 1.0001, 1],
      [3 * 2 ** -25, 2],
      [1e-45, 0],
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    ];
    const found = halves(cases.map(([value]) => value));
    cases.forEach(([value, half], index) => {
      assert.equal(found[index], half, `${value}`);
    });
  });

  test("what is too large for a half is an infinity or the largest half, as asked", () => {
    const values = [1e5, -1e30, 65520, Number.NEGATIVE_INFINITY];
    assert.deepEqual(halves(values), [0x7c00, 0xfc00, 0x7c00, 0xfc00]);
    assert.deepEqual(halves(values, "saturate"), [0x7bff, 0xfbff, 0x7bff, 0xfc00]);
  });

  test("every half comes back as it was, and its value lies where its bits say", () => {
    const patterns = Array.from({ length: 65536 }, (_, bits) => bits);
    const values = floats(patterns);
    patterns.forEach((bits) => {
      const [exponent, fraction] = [(bits >>> 10) & 31, bits & 1023];
      const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
      const special = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
      const magnitude = exponent === 31 ? special : size;
      assert.equal(values[bits], bits >= 0x8000 ? -magnitude : magnitude);
    });
    const back = halves(values);
    patterns.forEach((bits) => {
      const hasNoValue = (bits & 0x7fff) > 0x7c00;
      assert.equal(back[bits], hasNoValue ? (bits & 0x8000) | 0x7e00 : bits);
    });
  });

  test("a half is the nearest one, and of two equally near the even one", () => {
    fc.assert(
      fc.property(fc.float({ min: -65504, max: 65504, noNaN: true }), (value) => {
        const [bits] = halves([value]);
        const [found, above, below] = floats([bits!, bits! + 1, bits! === 0 ? 0 : bits! - 1]);
        const distance = Math.abs(found! - value);
        for (const neighbour of [above!, below!].filter(Number.isFinite)) {
          const other = Math.abs(neighbour - value);
          assert.ok(distance < other || (distance === other && (bits! & 1) === 0) || other === 0);
        }
      }),
      { seed: 12, numRuns: 2000 },
    );
  });

  test("bfloats are the upper halves of f32, rounded to the nearest and ties to even", () => {
    const cases: readonly (readonly [bits: number, bfloat: number, saturated?: number])[] = [
      [0x3f800000, 0x3f80],
      [0x3f808000, 0x3f80],
      [0x3f808001, 0x3f81],
      [0x3f818000, 0x3f82],
      [0x80000001, 0x8000],
      [0x00008001, 0x0001],
      [0x7f7fffff, 0x7f80, 0x7f7f],
      [0xff7fffff, 0xff80, 0xff7f],
      [0x7f7f7fff, 0x7f7f],
      [0x7f800000, 0x7f80],
      [0xff800000, 0xff80],
      [0x7f800001, 0x7fc0],
      [0xffc12345, 0xffc1],
    ];
    const values = new Float32Array(Uint32Array.from(cases, ([bits]) => bits).buffer);
    for (const overflow of ["infinity", "saturate"] as const) {
      const bytes = new Uint8Array(2 * cases.length);
      conversions.bfloatsFromFloats(values, bytes, overflow);
      cases.forEach(([bits, bfloat, saturated], index) => {
        const expected = overflow === "saturate" ? (saturated ?? bfloat) : bfloat;
        assert.equal(new Uint16Array(bytes.buffer)[index], expected, bits.toString(16));
      });
      const back = new Float32Array(cases.length);
      conversions.floatsFromBfloats(bytes, back);
      const expected = Uint32Array.from(new Uint16Array(bytes.buffer), (word) => word << 16);
      assert.deepEqual(new Uint32Array(back.buffer), expected);
    }
  });

  const quantised = (values: Float32Array, seed: number, blockValues = 16) => {
    const scales = new Uint8Array(4 * Math.ceil(values.length / blockValues));
    const codes = new Uint8Array(values.length);
    conversions.quantise(values, blockValues, seed, scales, codes);
    const back = new Float32Array(values.length);
    conversions.dequantise(scales, codes, blockValues, back);
    return {
      scales: [...new Float32Array(scales.buffer)],
      codes: new Int8Array(codes.buffer),
      back,
    };
  };

  test("whole multiples of a block's scale come back exactly, whatever the seed", () => {
    const values = Float32Array.from({ length: 255 }, (_, index) => index - 127);
    for (let seed = 0; seed < 50; seed++)
      assert.deepEqual(quantised(values, seed, 256).back, values);
  });

  test("rounding goes to a neighbour, and its mean over many seeds is the value", () => {
    const values = Float32Array.from({ length: 64 }, (_, index) => Math.sin(index * 7) * 3);
    const scale = Math.max(...values.map(Math.abs)) / 127;
    const sums = new Float64Array(values.length);
    const seeds = 4000;
    for (let seed = 0; seed < seeds; seed++) {
      const { back } = quantised(values, seed, 64);
      back.forEach((value, index) => {
        assert.ok(Math.abs(value - values[index]!) < scale * 1.0001, `${value}, ${values[index]}`);
        sums[index] = sums[index]! + value;
      });
    }
    // Of a mean of 4,000 roundings the deviation is at most scale / 2 / sqrt(4000).
    sums.forEach((sum, index) => {
      const error = Math.abs(sum / seeds - values[index]!);
      assert.ok(error < scale * 0.04, `${sum / seeds} for ${values[index]}`);
    });
  });

  test("a block of zeros or of tiny numbers is zero, one with an infinity is not a number", () => {
    const values = new Float32Array(48);
    values.fill(1e-40, 16, 32);
    values.fill(1, 32, 48);
    values[40] = Number.NEGATIVE_INFINITY;
    const { scales, codes, back } = quantised(values, 5);
    assert.deepEqual(scales, [0, 0, Number.POSITIVE_INFINITY]);
    assert.ok(codes.every((code) => code === 0));
    assert.deepEqual([...back], [...Array(32).fill(0), ...Array(16).fill(Number.NaN)]);
  });

  test("the largest values are picked in ascending order, equal ones from the front", () => {
    const values = Float32Array.of(1, -5, 3, 5, -3, 0, 5, 2);
    const picks = [[], [1], [1, 3], [1, 3, 6], [1, 2, 3, 6], [1, 2, 3, 4, 6], [1, 2, 3, 4, 6, 7]];
    picks.forEach((expected, k) => {
      const indices = new Uint32Array(k);
      const picked = new Float32Array(k);
      conversions.topK(values, k, indices, picked);
      assert.deepEqual([...indices], expected);
      assert.deepEqual(
        [...picked],
        expected.map((index) => values[index]!),
      );
    });
  });

  test("signs and the mean magnitude of each block come back", () => {
    const values = Float32Array.from({ length: 37 }, (_, index) => (index % 3) - 1);
    values[0] = -0;
    const [scales, bits] = [new Uint8Array(8), new Uint8Array(5)];
    conversions.packSigns(values, 32, scales, bits);
    const [first, second] = new Float32Array(scales.buffer);
    assert.equal(first, Math.fround(20 / 32));
    assert.equal(second, Math.fround(4 / 5));
    const back = new Float32Array(37);
    conversions.unpackSigns(scales, bits, 32, back);
    values.forEach((value, index) => {
      const negative = value < 0 || Object.is(value, -0);
      const scale = index < 32 ? first! : second!;
      assert.equal(back[index], negative ? -scale : scale, `${index}`);
    });
    assert.equal(bits[4]! >>> 5, 0);
  });

  test("checksums are those that XXH32 has for known texts", () => {
    const cases: readonly (readonly [text: string, sum: number])[] = [
      ["", 0x02cc5d05],
      ["a", 0x550d7456],
      ["abc", 0x32d153ff],
      ["Nobody inspects the spammish repetition", 0xe2293b2f],
    ];
    for (const [text, sum] of cases)
      assert.equal(conversions.checksum(new TextEncoder().encode(text), 0), sum, text);
  });

  test("sums and differences may be written over either side", () => {
    const [left, right] = [Float32Array.of(1, 2, 1e8), Float32Array.of(0.5, -2, 1)];
    conversions.subtract(left, right, left);
    assert.deepEqual([...left], [0.5, 4, 1e8 - 1].map(Math.fround));
    conversions.add(left, right, right);
    assert.deepEqual([...right], [1, 2, Math.fround(Math.fround(1e8 - 1) + 1)]);
  });

  test("views whose lengths don't agree are a bug", () => {
    const values = new Float32Array(4);
    assert.throws(() => conversions.floatsFromHalves(new Uint8Array(7), values), /agree/);
    assert.throws(() => conversions.add(values, new Float32Array(3), values), /equally long/);
    assert.throws(() => conversions.topK(values, 5, new Uint32Array(5), values), /selected/);
    assert.throws(
      () => conversions.quantise(values, 8, 1, new Uint8Array(4), new Uint8Array(4)),
      /multiple of 16/,
    );
  });
}

/** Views that a conversion reads and writes; the same in an arena or anywhere. */
type Take = (bytes: number) => Uint8Array;

const edgeCases = [
  0,
  -0,
  1e-45,
  6e-8,
  -6e-5,
  65504,
  65520,
  largest,
  -largest,
  Number.POSITIVE_INFINITY,
  Number.NaN,
];
const lengths = fc.oneof(
  fc.constantFrom(0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64),
  fc.nat({ max: 700 }),
);
const inputs = fc.record({
  length: lengths,
  seed: fc.nat(),
  kind: fc.constantFrom("any", "finite", "equal"),
});

function fillValues(values: Float32Array, seed: number, kind: string): void {
  const random = new Random("conversions", seed);
  for (let index = 0; index < values.length; index++) {
    const special = kind === "any" && random.below(12) === 0;
    if (kind === "equal") values[index] = (random.below(7) - 3) / 4;
    else if (special) values[index] = edgeCases[random.below(edgeCases.length)]!;
    else values[index] = random.normal() * 10 ** (random.below(12) - 6);
  }
}

/** Runs every conversion and returns all the bytes that were written. */
function everything(
  conversions: Conversions,
  take: Take,
  input: { readonly length: number; readonly seed: number; readonly kind: string },
): Uint8Array[] {
  const { length, seed, kind } = input;
  const floatsOf = (bytes: Uint8Array) =>
    new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const vector = () => floatsOf(take(4 * length));
  const values = vector();
  fillValues(values, seed, kind);
  const written: (Uint8Array | Float32Array)[] = [];
  const kept = <T extends Uint8Array | Float32Array>(view: T) => {
    written.push(view);
    return view;
  };
  for (const overflow of ["infinity", "saturate"] as const) {
    const halves = kept(take(2 * length));
    conversions.halvesFromFloats(values, halves, overflow);
    conversions.floatsFromHalves(halves, kept(vector()));
    const bfloats = kept(take(2 * length));
    conversions.bfloatsFromFloats(values, bfloats, overflow);
    conversions.floatsFromBfloats(bfloats, kept(vector()));
  }
  const block = 16 * (1 + (seed % 5));
  const scalesOf = () => kept(take(4 * Math.ceil(length / block)));
  const [scales, codes] = [scalesOf(), kept(take(length))];
  conversions.quantise(values, block, seed >>> 0, scales, codes);
  conversions.dequantise(scales, codes, block, kept(vector()));
  const [means, bits] = [scalesOf(), kept(take(Math.ceil(length / 8)))];
  conversions.packSigns(values, block, means, bits);
  conversions.unpackSigns(means, bits, block, kept(vector()));
  for (const k of new Set([0, Math.min(1, length), seed % (length + 1), length])) {
    const [indices, picked] = [kept(take(4 * k)), kept(take(4 * k))];
    const indexWords = new Uint32Array(indices.buffer, indices.byteOffset, k);
    conversions.topK(values, k, indexWords, floatsOf(picked));
  }
  const [sum, difference, other] = [kept(vector()), kept(vector()), vector()];
  fillValues(other, seed + 1, "finite");
  conversions.add(values, other, sum);
  conversions.subtract(values, other, difference);
  const answers = Uint32Array.of(
    conversions.checksum(codes, seed >>> 0),
    conversions.checksum(codes.subarray(Math.min(1, length)), 1),
    conversions.finite(values) ? 1 : 0,
  );
  return [...written, answers].map((view) => bitsOf(view));
}

/** A copy, with every NaN of floats replaced by one, since operations may make any. */
function bitsOf(view: Uint8Array | Uint32Array | Float32Array): Uint8Array {
  if (view instanceof Float32Array) {
    const words = new Uint32Array(view.buffer, view.byteOffset, view.length);
    const same = words.map((word) => ((word & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : word));
    return new Uint8Array(same.buffer);
  }
  return Uint8Array.from(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
}

describe("SIMD conversions have the scalar conversions' bits", () => {
  const apart: Take = (bytes) => new Uint8Array(bytes);

  test("of views anywhere", () => {
    const staged = createWasmConversions(null);
    fc.assert(
      fc.property(inputs, (input) => {
        const expected = everything(scalarConversions, apart, input);
        assert.deepEqual(everything(staged, apart, input), expected);
      }),
      { seed: 13, numRuns: 300 },
    );
  });

  test("of views in the arena, whose other values stay and whose slots all come back", () => {
    const arena = new Arena(1 << 20);
    const conversions = createWasmConversions(arena);
    const slots: number[] = [];
    const inside: Take = (bytes) => {
      const values = Math.ceil(bytes / 4) + 1;
      const slot = arena.allocate(values);
      slots.push(slot);
      arena.byteView(slot, values).fill(77, bytes);
      return arena.byteView(slot, values).subarray(0, bytes);
    };
    fc.assert(
      fc.property(inputs, (input) => {
        const expected = everything(scalarConversions, apart, input);
        const sizes: number[] = [];
        const counting: Take = (bytes) => {
          sizes.push(bytes);
          return inside(bytes);
        };
        assert.deepEqual(everything(conversions, counting, input), expected);
        assert.equal(arena.usage().slots, slots.length);
        slots.forEach((slot, index) => {
          const after = arena.bytes.subarray(
            slot * 4 + sizes[index]!,
            slot * 4 + sizes[index]! + 4,
          );
          assert.deepEqual([...after], [77, 77, 77, 77]);
          arena.free(slot);
        });
        slots.length = 0;
      }),
      { seed: 14, numRuns: 150 },
    );
  });
});
