import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import { scalarConversions } from "../../kernels/scalar-conversions.js";
import { type Codec, CodecTable, codecNames, type EncodeSettings } from "./codec.js";

const table = new CodecTable(scalarConversions);
const settings: EncodeSettings = { share: 0.1, seed: 7 };

/** Finite values of every magnitude, denormals and both zeros among them. */
const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
/** Lengths around lanes and blocks. */
const lengths = fc.oneof(
  fc.constantFrom(0, 1, 3, 4, 15, 16, 17, 255, 256, 257, 1023, 1024, 1025, 2049),
  fc.nat({ max: 600 }),
);
const vectors = lengths.chain((length) =>
  fc
    .oneof(
      fc.array(finite, { minLength: length, maxLength: length }),
      fc.array(fc.float({ min: -2, max: 2, noNaN: true }), {
        minLength: length,
        maxLength: length,
      }),
    )
    .map((values) => Float32Array.from(values)),
);

/** Encodes into memory with room behind, and checks that the room is left alone. */
function encode(codec: Codec, values: Float32Array, how = settings): Uint8Array {
  const { min, max } = codec.sizes(values.length);
  const bytes = new Uint8Array(max + 5).fill(171);
  const used = codec.encode(values, bytes, how);
  assert.ok(used >= min && used <= max, `${codec.name}: ${min} <= ${used} <= ${max}`);
  assert.deepEqual([...bytes.subarray(max)], [171, 171, 171, 171, 171]);
  return bytes.slice(0, used);
}

function decode(codec: Codec, bytes: Uint8Array, length: number): Float32Array {
  const values = new Float32Array(length).fill(Number.NaN);
  codec.decode(bytes, values);
  return values;
}

function refusesAs(code: string, pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof PacelineError && error.code === code, String(error));
    assert.match(error.message, pattern);
    return true;
  };
}

test("ids, names and the table agree", () => {
  assert.equal(table.all.length, codecNames.length);
  codecNames.forEach((name, id) => {
    assert.equal(table.ofId(id), table.named(name));
    assert.equal(table.ofId(id).name, name);
  });
  const ids = ["raw", "fp16", "bf16", "int8", "topk", "randomk", "onebit", "topk2bit"] as const;
  ids.forEach((name, id) => {
    assert.equal(table.named(name).id, id);
  });
});

test("an id that a peer made up is answered with the known ones", () => {
  for (const id of [-1, 0.5, table.all.length, 4294967295]) {
    assert.throws(
      () => table.ofId(id),
      refusesAs("protocol", /is unknown here; known codecs are 0 \(raw\), 1 \(fp16\)/),
    );
  }
});

test("raw brings every bit pattern back, and writes values little-endian", () => {
  const raw = table.named("raw");
  assert.deepEqual([...encode(raw, Float32Array.of(1, -2))], [0, 0, 128, 63, 0, 0, 0, 192]);
  fc.assert(
    fc.property(fc.uint32Array({ maxLength: 200 }), (patterns) => {
      const words = Uint32Array.from(patterns);
      const bytes = encode(raw, new Float32Array(words.buffer));
      assert.deepEqual(new Uint32Array(decode(raw, bytes, words.length).buffer), words);
    }),
    { seed: 10, numRuns: 200 },
  );
});

for (const codec of table.all) {
  const { name } = codec;

  test(`${name}: sizes hold, bytes repeat, and adding is decoding and adding`, () => {
    fc.assert(
      fc.property(vectors, fc.nat(), fc.constantFrom(0.001, 0.01, 0.25), (values, seed, share) => {
        const how = { seed, share };
        const bytes = encode(codec, values, how);
        assert.deepEqual(encode(codec, values, how), bytes);
        const decoded = decode(codec, bytes, values.length);
        const base = Float32Array.from(values, (value) => Math.fround(value / 3));
        const sum = base.slice();
        codec.accumulate(bytes, sum, 1);
        const difference = base.slice();
        codec.accumulate(bytes, difference, -1);
        for (let index = 0; index < values.length; index++) {
          assert.equal(sum[index]! + 0, Math.fround(base[index]! + decoded[index]!) + 0);
          assert.equal(difference[index]! + 0, Math.fround(base[index]! - decoded[index]!) + 0);
        }
      }),
      { seed: 20, numRuns: 150 },
    );
  });

  test(`${name}: memory that no word starts at gives the same`, () => {
    const values = Float32Array.from({ length: 1100 }, (_, index) => Math.sin(index * index));
    const bytes = encode(codec, values);
    const odd = new Uint8Array(codec.sizes(values.length).max + 3).subarray(1);
    const used = codec.encode(values, odd, settings);
    assert.deepEqual([...odd.subarray(0, used)], [...bytes]);
    const decoded = decode(codec, bytes, values.length);
    assert.deepEqual(decode(codec, odd.subarray(0, used), values.length), decoded);
  });

  test(`${name}: bytes of another length are refused`, () => {
    fc.assert(
      fc.property(lengths, fc.integer({ min: -9, max: 9 }), (length, more) => {
        const bytes = encode(codec, new Float32Array(length).fill(1));
        const size = Math.max(0, bytes.length + more);
        if (size === bytes.length) return;
        const wrong = new Uint8Array(size);
        wrong.set(bytes.subarray(0, size));
        const values = new Float32Array(length);
        assert.throws(() => codec.decode(wrong, values), refusesAs("protocol", /\d/));
        assert.throws(() => codec.accumulate(wrong, values, 1), refusesAs("protocol", /\d/));
        assert.deepEqual(values, new Float32Array(length), "nothing was added");
      }),
      { seed: 30, numRuns: 150 },
    );
  });

  test(`${name}: any bytes are decoded or refused, never worse`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 90 }), fc.nat({ max: 60 }), (bytes, length) => {
        const values = new Float32Array(length);
        try {
          codec.decode(bytes, values);
        } catch (error) {
          refusesAs("protocol", /\d|damaged/)(error);
        }
      }),
      { seed: 40, numRuns: 400 },
    );
  });

  if (name === "raw") continue;
  test(`${name}: what is not a number is refused, wherever it stands`, () => {
    for (const length of [1, 5, 300, 1025]) {
      for (const at of [0, length - 1]) {
        const values = new Float32Array(length).fill(0.5);
        values[at] = Number.NaN;
        assert.throws(() => encode(codec, values), refusesAs("diverged", /is NaN; \w+ can't/));
      }
    }
  });
}

test("fp16 and bf16 keep what they can write, and round the rest by half a place at most", () => {
  const cases = [
    ["fp16", 2 ** -11, 2 ** -25, 65504],
    ["bf16", 2 ** -8, 2 ** -134, 3.3895313892515355e38],
  ] as const;
  for (const [name, relative, absolute, largest] of cases) {
    const codec = table.named(name);
    const special = Float32Array.of(0, -0, 1, -2, 0.5, 2 ** -14, -largest, largest);
    assert.deepEqual(decode(codec, encode(codec, special), 8), special);
    const infinities = Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
    assert.deepEqual(decode(codec, encode(codec, infinities), 2), infinities);
    const huge = Float32Array.of(3.4e38, -3.4e38);
    assert.deepEqual(decode(codec, encode(codec, huge), 2), Float32Array.of(largest, -largest));
    fc.assert(
      fc.property(vectors, (values) => {
        const decoded = decode(codec, encode(codec, values), values.length);
        assert.deepEqual(decode(codec, encode(codec, decoded), values.length), decoded);
        values.forEach((value, index) => {
          const kept = Math.min(Math.max(value, -largest), largest);
          const error = Math.abs(decoded[index]! - kept);
          assert.ok(error <= Math.abs(kept) * relative + absolute, `${value}: ${decoded[index]}`);
        });
      }),
      { seed: 50, numRuns: 150 },
    );
  }
});

test("int8 stays within a step of its scale and is right in the mean", () => {
  const codec = table.named("int8");
  fc.assert(
    fc.property(vectors, fc.nat(), (values, seed) => {
      const decoded = decode(codec, encode(codec, values, { share: 1, seed }), values.length);
      for (let start = 0; start < values.length; start += 256) {
        const block = values.subarray(start, start + 256);
        const scale = Math.max(...block.map(Math.abs)) / 127;
        block.forEach((value, index) => {
          const error = Math.abs(decoded[start + index]! - value);
          assert.ok(error <= scale * 1.0001 + 4e-37, `${value}: off by ${error}`);
        });
      }
    }),
    { seed: 60, numRuns: 150 },
  );
  const values = Float32Array.of(1, 0.3, -0.771, 0.0021);
  const sums = [0, 0, 0, 0];
  for (let seed = 0; seed < 4000; seed++) {
    const decoded = decode(codec, encode(codec, values, { share: 1, seed }), 4);
    decoded.forEach((value, index) => {
      sums[index]! += value / 4000;
    });
  }
  sums.forEach((mean, index) => {
    // Four standard deviations of the mean of 4,000 values that lie a step of 1/127 apart.
    assert.ok(Math.abs(mean - values[index]!) < 4 * (0.5 / 127 / Math.sqrt(4000)), `${mean}`);
  });
});

test("top-k keeps the largest magnitudes, the first of equal ones, and nothing else", () => {
  const codec = table.named("topk");
  fc.assert(
    fc.property(vectors, fc.constantFrom(0.001, 0.1, 0.25), (values, share) => {
      const decoded = decode(codec, encode(codec, values, { share, seed: 0 }), values.length);
      const count = Math.ceil(values.length / 4);
      const kept = Math.min(count, Math.max(Math.sign(count), Math.round(share * values.length)));
      const order = [...values.keys()].sort(
        (a, b) => Math.abs(values[b]!) - Math.abs(values[a]!) || a - b,
      );
      const expected = new Float32Array(values.length);
      for (const index of order.slice(0, kept)) expected[index] = values[index]!;
      assert.deepEqual(decoded, expected);
    }),
    { seed: 70, numRuns: 150 },
  );
});

test("two-bit top-k keeps what top-k does, at two levels a block that keep its magnitude", () => {
  const [codec, whole] = [table.named("topk2bit"), table.named("topk")];
  const long = Float32Array.from({ length: 9000 }, (_, index) => Math.tan(index * index) / 9);
  const judge = (values: Float32Array, share: number) => {
    const decoded = decode(codec, encode(codec, values, { share, seed: 0 }), values.length);
    const kept = decode(whole, encode(whole, values, { share, seed: 0 }), values.length);
    const places = [...kept.keys()].filter((index) => kept[index] !== 0);
    decoded.forEach((value, index) => {
      assert.ok(value === 0 || Math.sign(value) === Math.sign(kept[index]!), `${index}: ${value}`);
    });
    for (let start = 0; start < places.length; start += 512) {
      const block = places.slice(start, start + 512);
      const levels = new Set(block.map((index) => Math.abs(decoded[index]!)));
      assert.ok(levels.size <= 2, `levels ${[...levels].join(" ")}`);
      const sumOf = (from: Float32Array) =>
        block.reduce((sum, index) => sum + Math.abs(from[index]!), 0);
      const [sum, wanted] = [sumOf(decoded), sumOf(kept)];
      assert.ok(Math.abs(sum - wanted) <= wanted * 1e-6 + 512 * 2 ** -149, `${sum} ${wanted}`);
    }
  };
  fc.assert(
    fc.property(vectors, fc.constantFrom(0.001, 0.1, 0.25), (values, share) => {
      // Places of zeros can't be told from what is dropped.
      judge(
        values.map((value) => (value === 0 ? 0.5 : value)),
        share,
      );
    }),
    { seed: 90, numRuns: 150 },
  );
  for (const share of [0.01, 0.25]) judge(long, share);
  const { length } = encode(codec, long, { share: 0.05, seed: 0 });
  const bits = (8 * length) / 450;
  assert.ok(bits > 10 && bits < 10.5, `${bits} bits a kept value`);
});

test("random-k keeps values of every place over time, equally often", () => {
  const codec = table.named("randomk");
  const values = Float32Array.from({ length: 101 }, (_, index) => index + 1);
  const counts = new Array<number>(101).fill(0);
  for (let seed = 0; seed < 2000; seed++) {
    const decoded = decode(codec, encode(codec, values, { share: 0.1, seed }), 101);
    assert.equal(decoded.filter((value) => value !== 0).length, 10);
    decoded.forEach((value, index) => {
      if (value === 0) return;
      assert.equal(value, values[index]);
      counts[index]! += 1;
    });
  }
  assert.ok(Math.min(...counts) > 120 && Math.max(...counts) < 280, counts.join(" "));
});

test("onebit gives each value its sign and the mean magnitude of its block", () => {
  const codec = table.named("onebit");
  fc.assert(
    fc.property(vectors, (values) => {
      const decoded = decode(codec, encode(codec, values), values.length);
      for (let start = 0; start < values.length; start += 1024) {
        const block = values.subarray(start, start + 1024);
        let sum = 0;
        for (const value of block) sum += Math.abs(value);
        const mean = sum / block.length;
        block.forEach((value, index) => {
          const got = decoded[start + index]!;
          const negative = value < 0 || Object.is(value, -0);
          assert.ok(got === 0 || got < 0 === negative, `${value}: ${got}`);
          assert.ok(Math.abs(Math.abs(got) - mean) <= mean * 1e-6 + 2 ** -149, `${got} ${mean}`);
        });
      }
    }),
    { seed: 80, numRuns: 150 },
  );
});

test("codecs that scale or drop refuse infinities", () => {
  for (const name of ["int8", "topk", "randomk", "onebit", "topk2bit"] as const) {
    const values = Float32Array.of(1, 2, Number.NEGATIVE_INFINITY, 3);
    assert.throws(
      () => encode(table.named(name), values),
      refusesAs("diverged", /value 2 is -Infinity/),
    );
  }
});

test("hostile bytes of the right length are refused with what is wrong", () => {
  const words = (...list: number[]) => new Uint8Array(Uint32Array.from(list).buffer);
  const scaled = (scale: number, rest: number) => {
    const bytes = new Uint8Array(4 + rest);
    new DataView(bytes.buffer).setFloat32(0, scale, true);
    return bytes;
  };
  const damagedCode = scaled(1, 16);
  damagedCode[7] = 128;
  const spareBits = scaled(1, 2);
  spareBits[5] = 255;
  // One value of 16 or 4,096 is kept: its levels, its code, the groups of its gap.
  const twoBit = (lower: number, upper: number, ...rest: readonly number[]) => {
    const bytes = new Uint8Array(12 + rest.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 1, true);
    view.setFloat32(4, lower, true);
    view.setFloat32(8, upper, true);
    bytes.set(rest, 12);
    return bytes;
  };
  type Damaged = "int8" | "topk" | "randomk" | "onebit" | "topk2bit";
  const cases: [name: Damaged, Uint8Array, number, RegExp][] = [
    ["topk2bit", twoBit(Number.NaN, 1, 0, 3), 16, /levels NaN and 1/],
    ["topk2bit", twoBit(-1, 1, 0, 3), 16, /levels -1 and 1/],
    ["topk2bit", twoBit(2, 1, 0, 3), 16, /levels 2 and 1/],
    ["topk2bit", twoBit(1, Number.POSITIVE_INFINITY, 0, 3), 16, /levels 1 and Infinity/],
    ["topk2bit", twoBit(1, 2, 4, 3), 16, /spare bits/],
    ["topk2bit", twoBit(1, 2, 1, 16), 16, /index 16 is past the last of 16/],
    ["topk2bit", twoBit(1, 2, 1, 131, 0), 4096, /gap before value 0 is too long/],
    ["topk2bit", twoBit(1, 2, 1, 128, 128), 4096, /ends amid the place of value 0/],
    ["topk2bit", twoBit(1, 2, 1, 255, 255, 255, 1), 4096, /index 16383 is past the last of 4096/],
    ["topk2bit", twoBit(1, 2, 1, 3, 3), 16, /1 bytes follow the last of 1 values/],
    ["topk2bit", words(5, 0, 0, 0, 0, 0, 0), 16, /keeps 5 of 16/],
    ["int8", scaled(Number.NaN, 16), 16, /scale NaN/],
    ["int8", scaled(Number.POSITIVE_INFINITY, 16), 16, /scale Infinity/],
    ["int8", scaled(-1, 16), 16, /scale -1/],
    ["int8", scaled(3e38, 16), 16, /scale 3/],
    ["int8", damagedCode, 16, /value 3 of an int8 encoding is -128/],
    ["onebit", scaled(Number.NaN, 2), 12, /scale NaN/],
    ["onebit", scaled(-0.5, 2), 12, /scale -0.5/],
    ["onebit", spareBits, 12, /spare bits/],
    ["topk", words(2, 5, 5, 0, 0), 16, /index 5 comes after 5/],
    ["topk", words(2, 5, 4, 0, 0), 16, /index 4 comes after 5/],
    ["topk", words(2, 5, 16, 0, 0), 16, /index 16 is past the last of 16/],
    ["topk", words(5, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0), 16, /keeps 5 of 16/],
    ["topk", words(0), 16, /keeps 0 of 16/],
    ["topk", words(4294967295, 0), 16, /keeps 4294967295/],
    ["randomk", words(5, 0, 0, 0, 0, 0, 0), 16, /keeps 5 of 16/],
    ["randomk", words(0, 0), 16, /keeps 0 of 16/],
  ];
  for (const [name, bytes, length, pattern] of cases) {
    const values = new Float32Array(length);
    assert.throws(() => table.named(name).decode(bytes, values), refusesAs("protocol", pattern));
  }
});

test("no encoding but raw's is longer than half of what raw takes, for chunks that matter", () => {
  for (const codec of table.all.slice(1)) {
    assert.ok(codec.sizes(262144).max <= 262144 * 2 + 8, codec.name);
  }
});
