import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import type { ReadableFile } from "../files.js";
import { readAllTensors, type TensorToWrite, writeSafetensors } from "./safetensors.js";
import { headerBytesMax } from "./safetensors-header.js";

/** What the safetensors library for Python, version 0.8.0, saves for `goldenTensors`. */
const golden =
  "e8000000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a227074227d2c226e756d5f6261" +
  "74636865735f747261636b6564223a7b226474797065223a22493634222c227368617065223a5b5d2c226461746" +
  "15f6f666673657473223a5b302c385d7d2c2266635f62696173223a7b226474797065223a22463332222c2273686" +
  "17065223a5b315d2c22646174615f6f666673657473223a5b382c31325d7d2c2266635f77656967687473223a7b2" +
  "26474797065223a22463332222c227368617065223a5b322c335d2c22646174615f6f666673657473223a5b31322" +
  "c33365d7d7d2020202007000000000000000000003f0000803f000000c00000404000008840000000806f12833a";

const goldenTensors: TensorToWrite[] = [
  { name: "fc_bias", shape: [1], values: Float32Array.of(0.5) },
  { name: "fc_weights", shape: [2, 3], values: Float32Array.of(1, -2, 3, 4.25, -0, 1e-3) },
  { name: "num_batches_tracked", shape: [], values: BigInt64Array.of(7n) },
];

async function written(tensors: TensorToWrite[], metadata = {}): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const write = async (bytes: Uint8Array): Promise<void> => {
    assert.ok(bytes.byteLength <= 1024 * 1024);
    pieces.push(Buffer.from(bytes));
  };
  await writeSafetensors(write, tensors, metadata);
  return Buffer.concat(pieces);
}

function inMemory(content: Uint8Array): ReadableFile & { asked: number } {
  return {
    bytes: content.byteLength,
    asked: 0,
    async read(into, position) {
      this.asked += into.byteLength;
      assert.ok(position + into.byteLength <= content.byteLength, "read past the end");
      into.set(content.subarray(position, position + into.byteLength));
    },
    close: async () => undefined,
  };
}

function withHeader(header: string | Uint8Array, dataBytes: number, headerBytes?: bigint): Buffer {
  const text = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(headerBytes ?? BigInt(text.length));
  return Buffer.concat([prefix, text, Buffer.alloc(dataBytes)]);
}

function isCheckpointError(thrown: unknown): thrown is PacelineError {
  return thrown instanceof PacelineError && thrown.code === "checkpoint";
}

test("a file is byte for byte what the Python library writes", async () => {
  const bytes = await written(goldenTensors, { format: "pt" });
  assert.equal(bytes.toString("hex"), golden);
});

test("a file of the Python library is read with names, shapes and values", async () => {
  const tensors = await readAllTensors(inMemory(Buffer.from(golden, "hex")), "golden");
  assert.deepEqual([...tensors.keys()].sort(), goldenTensors.map(({ name }) => name).sort());
  for (const { name, shape, values } of goldenTensors) {
    assert.deepEqual(tensors.get(name), { shape, values });
  }
});

test("a tensor longer than one piece is written in pieces and comes back", async () => {
  const values = Float32Array.from({ length: 600_000 }, (_, index) => index / 7);
  const bytes = await written([{ name: "long", shape: [600, 1000], values }]);
  const tensors = await readAllTensors(inMemory(bytes), "long");
  assert.deepEqual(tensors.get("long")?.values, values);
});

test("writing a tensor whose shape or name is wrong is a bug that stops", async () => {
  const values = Float32Array.of(1, 2);
  const bias = { name: "b", shape: [2], values };
  await assert.rejects(written([{ ...bias, shape: [3] }]), /shape matches the values/);
  await assert.rejects(written([bias, bias]), /tensor names are unique/);
});

test("any tensors come back with the same bits", async () => {
  const float = fc.array(fc.float(), { maxLength: 40 }).map((list) => Float32Array.from(list));
  const integer = fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 9 });
  const values = fc.oneof(
    float,
    integer.map((list) => BigInt64Array.from(list)),
  );
  const tensor = fc.record({ name: fc.string({ unit: "grapheme", maxLength: 12 }), values });
  const tensors = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(tensors, async (list) => {
      fc.pre(list.every(({ name }) => name !== "__metadata__"));
      const bytes = await written(
        list.map((entry) => ({ ...entry, shape: [entry.values.length] })),
      );
      const back = await readAllTensors(inMemory(bytes), "property");
      assert.equal(back.size, list.length);
      for (const { name, values } of list) {
        const found = back.get(name)!.values;
        assert.deepEqual(new Uint8Array(found.buffer), new Uint8Array(values.buffer));
      }
    }),
    { seed: 20, numRuns: 300 },
  );
});

function manyKeys(): string {
  const fields = Array.from({ length: 262_145 }, (_, index) => `"${index}":0`);
  return `{${fields.join(",")}}`;
}

const f32 = (shape: string, offsets: string): string =>
  `{"dtype":"F32","shape":${shape},"data_offsets":${offsets}}`;

const lies: readonly [what: string, file: Buffer, message: RegExp][] = [
  ["an empty file", Buffer.alloc(0), /has 0 bytes and needs at least 8/],
  ["a header longer than the file", withHeader("{}", 0, 3n), /header of 3 bytes exceeds the file/],
  [
    "a header beyond the limit",
    withHeader("{}", 0, 2n ** 62n),
    /4611686018427387904 bytes exceeds/,
  ],
  ["a header that is no object", withHeader("[]", 0), /not a JSON object/],
  ["a header that is not JSON", withHeader('{"a":', 0), /not JSON/],
  ["a header that is not UTF-8", withHeader(Buffer.of(0x7b, 0xff, 0x7d), 0), /not UTF-8/],
  ["deep nesting", withHeader(`{"a":${"[".repeat(5000)}`, 0), /deeper than 3 levels/],
  ["too many containers", withHeader(`{"a":[${"[],".repeat(200_000)}`, 0), /more than 65536/],
  ["a tensor that is a number", withHeader('{"a":1}', 0), /"a" is not described by an object/],
  ["too many keys", withHeader(manyKeys(), 0), /more than 65536/],
  [
    "a tensor named twice",
    withHeader(`{"a":${f32("[1]", "[0,4]")},"a":${f32("[1]", "[4,8]")}}`, 8),
    /has the key "a" twice/,
  ],
  [
    "a tensor named twice in other letters",
    withHeader(`{"a":${f32("[1]", "[0,4]")},"\\u0061":${f32("[1]", "[4,8]")}}`, 8),
    /has the key "a" twice/,
  ],
  [
    "a shape given twice",
    withHeader('{"a":{"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,4]}}', 4),
    /has the key "shape" twice/,
  ],
  [
    "an unknown kind of value",
    withHeader('{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}', 2),
    /dtype "F16", and only F32 and I64/,
  ],
  ["a negative extent", withHeader(`{"a":${f32("[-1]", "[0,4]")}}`, 4), /no shape/],
  ["a broken extent", withHeader(`{"a":${f32("[0.5]", "[0,2]")}}`, 2), /no shape/],
  ["too many extents", withHeader(`{"a":${f32("[1,1,1,1,1,1,1,1,1]", "[0,4]")}}`, 4), /no shape/],
  ["no shape", withHeader('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4), /no shape/],
  ["three offsets", withHeader(`{"a":${f32("[1]", "[0,4,8]")}}`, 8), /no data_offsets/],
  ["offsets turned round", withHeader(`{"a":${f32("[1]", "[4,0]")}}`, 4), /-4 bytes for shape/],
  [
    "a shape that overflows",
    withHeader(`{"a":${f32("[9007199254740991,9007199254740991]", "[0,4]")}}`, 4),
    /which needs 3.2/,
  ],
  [
    "shape and bytes at odds",
    withHeader(`{"a":${f32("[2,3]", "[0,20]")}}`, 20),
    /20 bytes for shape \[2, 3\] of F32, which needs 24/,
  ],
  [
    "overlapping tensors",
    withHeader(`{"a":${f32("[2]", "[0,8]")},"b":${f32("[2]", "[4,12]")}}`, 12),
    /tensor "b" at byte 4 overlaps/,
  ],
  [
    "two tensors in one place",
    withHeader(`{"a":${f32("[2]", "[0,8]")},"b":${f32("[2]", "[0,8]")}}`, 8),
    /at byte 0 overlaps/,
  ],
  [
    "a hole",
    withHeader(`{"a":${f32("[1]", "[0,4]")},"b":${f32("[1]", "[8,12]")}}`, 12),
    /tensor "b" at byte 8 leaves a hole/,
  ],
  ["data cut short", withHeader(`{"a":${f32("[2]", "[0,8]")}}`, 7), /take 8 bytes but 7 follow/],
  ["data left over", withHeader(`{"a":${f32("[2]", "[0,8]")}}`, 9), /take 8 bytes but 9 follow/],
  [
    "data beyond the end",
    withHeader(`{"a":${f32("[250000000000]", "[0,1000000000000]")}}`, 8),
    /take 1000000000000 bytes but 8 follow/,
  ],
  [
    "an offset that is no exact number",
    withHeader(`{"a":${f32("[1]", "[9007199254740992,9007199254740996]")}}`, 4),
    /no data_offsets/,
  ],
  ["no kind of value", withHeader('{"a":{"shape":[1],"data_offsets":[0,4]}}', 4), /"undefined"/],
  ["metadata of numbers", withHeader('{"__metadata__":{"a":1}}', 0), /__metadata__ is not/],
];

for (const [what, file, message] of lies) {
  test(`a file is refused for ${what}`, async () => {
    const source = inMemory(file);
    await assert.rejects(readAllTensors(source, "lie.safetensors"), (thrown) => {
      assert.ok(isCheckpointError(thrown), String(thrown));
      assert.match(thrown.message, message);
      assert.match(thrown.message, /^lie\.safetensors is corrupt: .*; choose another checkpoint/);
      return true;
    });
    assert.ok(source.asked <= file.length, "asked for more than the file holds");
  });
}

test("a header of the longest length but one byte more is refused unread", async () => {
  const source = { ...inMemory(new Uint8Array(8)), bytes: 1e12 };
  source.read = async (into) => {
    assert.equal(into.byteLength, 8, "only the length is read");
    new DataView(into.buffer, into.byteOffset).setBigUint64(0, BigInt(headerBytesMax + 1), true);
  };
  await assert.rejects(readAllTensors(source, "long"), isCheckpointError);
});

test("hostile headers never ask for more memory than the file has", async () => {
  const number = fc.oneof(fc.integer({ min: -2, max: 20 }), fc.double(), fc.maxSafeInteger());
  const list = fc.array(number, { maxLength: 4 });
  const entry = fc.oneof(
    fc.record({
      dtype: fc.constantFrom("F32", "I64", "F64", "", 3),
      shape: fc.oneof(list, fc.constant("x")),
      data_offsets: fc.oneof(fc.tuple(fc.nat(40), fc.nat(40)), list),
    }),
    fc.jsonValue({ maxDepth: 2 }),
  );
  const names = fc.constantFrom("a", "b", "__metadata__", "__proto__", "0", "\u0000");
  const header = fc.oneof(
    fc.array(fc.tuple(names, entry), { maxLength: 4 }).map((fields) => {
      const texts = fields.map(
        ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`,
      );
      return Buffer.from(`{${texts.join(",")}}`);
    }),
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc.string({ maxLength: 60 }).map((text) => Buffer.from(`{${text}}`)),
  );
  const skew = fc.oneof(fc.constant(0n), fc.bigInt({ min: -8n, max: 2n ** 63n }));
  let read = 0;
  await fc.assert(
    fc.asyncProperty(header, fc.nat(40), skew, async (text, dataBytes, by) => {
      const claimed = BigInt(text.length) + by;
      const file = withHeader(text, dataBytes, claimed < 0n ? 0n : claimed);
      const source = inMemory(file);
      try {
        const tensors = await readAllTensors(source, "hostile");
        let bytes = 0;
        for (const { values } of tensors.values()) bytes += values.byteLength;
        assert.ok(bytes <= file.length);
        read += 1;
      } catch (thrown) {
        if (!isCheckpointError(thrown)) throw thrown;
      }
      assert.ok(source.asked <= file.length);
    }),
    { seed: 7, numRuns: 3000 },
  );
  assert.ok(read > 0, "some of them are sound");
});
