import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import { chunkKinds, chunkParts, emptyHeader, pushOutcomes } from "../../protocol/messages.js";
import { Random } from "../../random.js";
import { headers } from "../testing/chunk-headers.js";
import { decodeChunk, encodeChunk } from "./chunk-codec.js";
import {
  ChunkKindSchema,
  ChunkPartSchema,
  ChunkSchema,
  PushOutcomeSchema,
} from "./generated-parameter-server.js";
import { chunkMessageBytesMax, detailBytesMax, payloadBytesMax, runBytesMax } from "./limits.js";

const payloads = fc.uint8Array({ maxLength: 300 });

test("a chunk message decodes to what was encoded", () => {
  fc.assert(
    fc.property(headers, payloads, (header, payload) => {
      const decoded = decodeChunk(encodeChunk(header, payload));
      assert.deepEqual(decoded.header, header);
      assert.deepEqual(new Uint8Array(decoded.payload), payload);
    }),
    { seed: 1, numRuns: 500 },
  );
});

function toGenerated(all: ChunkHeader, payload: Uint8Array): Uint8Array {
  const { scale, ...header } = all;
  return toBinary(
    ChunkSchema,
    create(ChunkSchema, {
      ...header,
      kind: chunkKinds.indexOf(header.kind),
      part: chunkParts.indexOf(header.part),
      outcome: pushOutcomes.indexOf(header.outcome),
      incarnation: BigInt(header.incarnation),
      step: BigInt(header.step),
      version: BigInt(header.version),
      fence: BigInt(header.fence),
      examples: BigInt(header.examples),
      staleness: BigInt(header.staleness),
      ...(scale === null ? {} : { scale }),
      payload,
    }),
  );
}

test("hand-written and generated codec write the same bytes and read each other's", () => {
  fc.assert(
    fc.property(headers, payloads, (header, payload) => {
      const generated = toGenerated(header, payload);
      const written = encodeChunk(header, payload);
      assert.deepEqual(new Uint8Array(written), new Uint8Array(generated));
      const decoded = decodeChunk(Buffer.from(generated));
      assert.deepEqual(decoded.header, header);
      const { $typeName, ...read } = fromBinary(ChunkSchema, written);
      assert.equal($typeName, "paceline.v1.Chunk");
      assert.deepEqual(new Uint8Array(read.payload), payload);
      assert.equal(Number(read.step), header.step);
      assert.equal(read.rank, header.rank);
      assert.equal(read.detail, header.detail);
      assert.equal(chunkKinds[read.kind], header.kind);
      assert.equal(read.wantsReply, header.wantsReply);
      assert.deepEqual([read.scale ?? null, read.leads], [header.scale, header.leads]);
      assert.equal(Number(read.examples), header.examples);
    }),
    { seed: 6, numRuns: 500 },
  );
});

test("fields in any order decode alike, and of a repeated one the last counts", () => {
  const first = encodeChunk({ ...emptyHeader, step: 3, kind: "push" }, new Uint8Array([1]));
  const second = encodeChunk({ ...emptyHeader, step: 5, kind: "push" }, new Uint8Array([2, 3]));
  const { header, payload } = decodeChunk(Buffer.concat([first, second]));
  assert.equal(header.step, 5);
  assert.deepEqual([...payload], [2, 3]);
});

test("the words of core and of the public contract stand in the same order", () => {
  const named = (names: readonly string[], prefix: string): string[] =>
    names.map((name) => `${prefix}_${name.toUpperCase()}`);
  const declared = (schema: { values: readonly { name: string; number: number }[] }): string[] =>
    schema.values.map(({ name }) => name);
  assert.deepEqual(declared(ChunkKindSchema), named(chunkKinds, "CHUNK_KIND"));
  assert.deepEqual(declared(ChunkPartSchema), named(chunkParts, "CHUNK_PART"));
  assert.deepEqual(declared(PushOutcomeSchema), named(pushOutcomes, "PUSH_OUTCOME"));
});

test("the largest payload and strings fit the named limit of a message", () => {
  const header = {
    ...emptyHeader,
    run: "r".repeat(runBytesMax),
    detail: "d".repeat(detailBytesMax),
    step: 4503599627370495,
    version: Number.MAX_SAFE_INTEGER,
  };
  const bytes = encodeChunk(header, new Uint8Array(payloadBytesMax));
  assert.ok(bytes.length <= chunkMessageBytesMax);
  assert.equal(decodeChunk(bytes).payload.length, payloadBytesMax);
});

test("the payload is a view of the message, not a copy", () => {
  const bytes = encodeChunk(emptyHeader, new Uint8Array([1, 2, 3]));
  bytes[bytes.length - 1] = 9;
  const { payload } = decodeChunk(bytes);
  assert.equal(payload.buffer, bytes.buffer);
  assert.deepEqual([...payload], [1, 2, 9]);
});

test("unknown fields of every wire type are passed over", () => {
  const known = encodeChunk({ ...emptyHeader, kind: "push", step: 7 }, new Uint8Array([5]));
  const unknown = Buffer.from([
    ...[0xa0, 6, 0xff, 0xff, 3],
    ...[0xa1, 6, 1, 2, 3, 4, 5, 6, 7, 8],
    ...[0xa2, 6, 2, 9, 9],
    ...[0xa5, 6, 1, 2, 3, 4],
  ]);
  for (const bytes of [Buffer.concat([unknown, known]), Buffer.concat([known, unknown])]) {
    const { header, payload } = decodeChunk(bytes);
    assert.equal(header.step, 7);
    assert.deepEqual([...payload], [5]);
  }
});

const hostile: readonly { readonly what: string; readonly bytes: number[]; says: RegExp }[] = [
  { what: "an unknown kind", bytes: [0x08, 99], says: /kind .* unknown value 99/ },
  { what: "an unknown outcome", bytes: [0x70, 7], says: /outcome .* unknown value 7/ },
  { what: "an unknown part", bytes: [0x68, 3], says: /part .* unknown value 3/ },
  {
    what: "a payload that claims 4 GiB",
    bytes: [0xb2, 1, 0xff, 0xff, 0xff, 0xff, 15],
    says: /cut off: a field of 4294967295 bytes where 0 are left/,
  },
  { what: "a term past 2^21", bytes: [0x90, 1, 0x80, 0x80, 0x80, 1], says: /term .* 2097151/ },
  { what: "a run id that is not UTF-8", bytes: [0x12, 1, 0xff], says: /run .* not valid UTF-8/ },
  { what: "a chunk index past 32 bits", bytes: [0x40, 0x80, 0x80, 0x80, 0x80, 16], says: /chunk / },
  { what: "an endless integer", bytes: [0x48, ...Array(12).fill(0xff)], says: /2\^53/ },
  { what: "a group", bytes: [0xa3, 6], says: /unknown wire type 3/ },
  { what: "field number 0", bytes: [0x02, 0], says: /numbered 0/ },
  { what: "half a tag", bytes: [0x92], says: /cut off/ },
];
for (const { what, bytes, says } of hostile) {
  test(`${what} is a protocol error that says so`, () => {
    assert.throws(() => decodeChunk(Buffer.from(bytes)), { code: "protocol", message: says });
  });
}

test("a payload of more than 1 MiB is refused", () => {
  const length = payloadBytesMax + 1;
  const bytes = Buffer.alloc(length + 5);
  bytes.set([0xb2, 1, 0x81, 0x80, 0x40]);
  assert.throws(() => decodeChunk(bytes), { code: "protocol", message: /1048577 bytes/ });
});

test("garbage throws nothing but protocol errors", () => {
  const random = new Random(3, "chunk garbage");
  let refused = 0;
  for (let round = 0; round < 20000; round++) {
    const valid = encodeChunk(
      { ...emptyHeader, kind: "push", run: "run", step: random.below(1e6), detail: "x" },
      new Uint8Array(random.below(20)),
    );
    const bytes =
      round % 2 === 0 ? Buffer.alloc(random.below(40)).map(() => random.below(256)) : valid;
    if (round % 2 === 1) bytes[random.below(bytes.length)] = random.below(256);
    const cut = round % 4 === 3 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
    try {
      decodeChunk(Buffer.from(cut));
    } catch (thrown) {
      assert.ok(thrown instanceof PacelineError && thrown.code === "protocol", String(thrown));
      refused += 1;
    }
  }
  assert.ok(refused > 1000, `${refused} refused`);
});
