import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import { emptyHeader } from "../../protocol/messages.js";
import { Random } from "../../random.js";
import { headers } from "../testing/chunk-headers.js";
import { decodeChunk, encodeChunk } from "./chunk-codec.js";
import {
  completeHeader,
  decodeFrameHead,
  encodeFrame,
  encodeGreeting,
  encodeSignal,
  frameHeadBytes,
  frameSignals,
  frameVersion,
  greetedVersion,
} from "./frame-codec.js";
import { detailBytesMax, payloadBytesMax, runBytesMax } from "./limits.js";

function decode(bytes: Buffer, runBefore: string): ChunkHeader {
  return completeHeader(decodeFrameHead(bytes), bytes.subarray(frameHeadBytes), runBefore);
}

test("a header decodes to what was encoded, whatever run the frame before had", () => {
  fc.assert(
    fc.property(headers, fc.boolean(), fc.nat(payloadBytesMax), (header, same, payloadBytes) => {
      const runBefore = same ? header.run : "another";
      const bytes = encodeFrame(header, new Uint8Array(payloadBytes), runBefore);
      const head = decodeFrameHead(bytes);
      assert.equal(head.signal, null);
      assert.equal(head.payloadBytes, payloadBytes);
      assert.equal(bytes.length, frameHeadBytes + head.runBytes + head.detailBytes);
      assert.deepEqual(decode(bytes, runBefore), header);
    }),
    { seed: 4, numRuns: 300 },
  );
});

test("frames and the public contract's bytes carry the same headers", () => {
  fc.assert(
    fc.property(headers, (header) => {
      const { header: read } = decodeChunk(encodeChunk(header, null));
      assert.deepEqual(decode(encodeFrame(header, null, ""), ""), read);
    }),
    { seed: 5, numRuns: 300 },
  );
});

test("a run is said once: the frame after it is as long as its head", () => {
  const header: ChunkHeader = { ...emptyHeader, kind: "push", run: "a-run-of-22-characters" };
  assert.equal(encodeFrame(header, null, "").length, frameHeadBytes + 22);
  assert.equal(encodeFrame(header, null, header.run).length, frameHeadBytes);
  assert.equal(encodeFrame({ ...header, run: "" }, null, "").length, frameHeadBytes);
});

test("signals decode to what was encoded", () => {
  for (const signal of frameSignals) {
    const bytes = encodeSignal(signal, "refused", "come again: later");
    const head = decodeFrameHead(bytes);
    const { run, detail } = completeHeader(head, bytes.subarray(frameHeadBytes), "");
    const told = { signal: head.signal, code: run, sentence: detail };
    assert.deepEqual(told, { signal, code: "refused", sentence: "come again: later" });
  }
});

test("a greeting names its version; what is no greeting names none", () => {
  const greeting = encodeGreeting();
  assert.equal(greetedVersion(greeting), frameVersion);
  for (let index = 0; index < greeting.length; index++) {
    const other = Buffer.from(greeting);
    other[index]! ^= 0x40;
    const version = index === 4 || index === 5 ? other.readUInt16LE(4) : null;
    assert.equal(greetedVersion(other), version, `byte ${index}`);
  }
});

const hostile: readonly (readonly [what: string, spoil: (bytes: Buffer) => void, says: RegExp])[] =
  [
    ["an unknown kind", (bytes) => bytes.writeUInt8(99, 0), /kind .* unknown value 99/],
    ["an unknown part", (bytes) => bytes.writeUInt8(3, 1), /part .* unknown value 3/],
    ["an unknown outcome", (bytes) => bytes.writeUInt8(7, 2), /outcome .* unknown value 7/],
    ["an unknown flag", (bytes) => bytes.writeUInt8(16, 3), /bits that must be zero/],
    ["a scale without its flag", (bytes) => bytes.writeUInt8(1, 88), /bits that must be zero/],
    ["a spare byte set", (bytes) => bytes.writeUInt8(1, 7), /bits that must be zero/],
    ["a term past 2^21", (bytes) => bytes.writeUInt32LE(2097152, 36), /term .* at most 2097151/],
    [
      "a run that is said and repeated",
      (bytes) => {
        bytes.writeUInt8(2, 3);
        bytes.writeUInt16LE(1, 4);
      },
      /bits that must be zero/,
    ],
    [
      "a payload that claims 4 GiB",
      (bytes) => bytes.writeUInt32LE(4294967295, 8),
      /carries 4294967295 bytes, at most 1048576/,
    ],
    [
      "a detail past its limit",
      (bytes) => bytes.writeUInt32LE(detailBytesMax + 1, 12),
      /detail .* at most 262144/,
    ],
    [
      "a run past its limit",
      (bytes) => bytes.writeUInt16LE(runBytesMax + 1, 4),
      /run .* at most 256/,
    ],
    ["a lowest rank", (bytes) => bytes.writeInt32LE(-2147483648, 20), /rank .* -2147483648/],
    ["a version of 2^53", (bytes) => bytes.writeUInt32LE(0x200000, 60), /version .* at most/],
    ["a step of -2^63", (bytes) => bytes.writeInt32LE(-2147483648, 52), /step .* at most/],
    [
      "a ping with a payload",
      (bytes) => {
        bytes.writeUInt8(253, 0);
        bytes.writeUInt32LE(5, 8);
      },
      /a ping frame carries 5 bytes, not 0/,
    ],
  ];
for (const [what, spoil, says] of hostile) {
  test(`${what} is a protocol error that says so`, () => {
    const bytes = encodeFrame({ ...emptyHeader, kind: "push" }, null, "");
    spoil(bytes);
    assert.throws(() => decodeFrameHead(bytes), { code: "protocol", message: says });
  });
}

test("a text that is not UTF-8 is a protocol error", () => {
  const bytes = encodeFrame({ ...emptyHeader, run: "abc" }, null, "");
  bytes[frameHeadBytes] = 0xff;
  assert.throws(() => decode(bytes, ""), { code: "protocol", message: /run .* UTF-8/ });
});

test("garbage throws nothing but protocol errors", () => {
  const random = new Random(6, "frame garbage");
  let refused = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = encodeFrame({ ...emptyHeader, kind: "push", step: round }, null, "");
    const spoilt = round % 2 === 0 ? 1 : frameHeadBytes;
    for (let count = 0; count < spoilt; count++) {
      bytes[random.below(frameHeadBytes)] = random.below(256);
    }
    try {
      decodeFrameHead(bytes);
    } catch (thrown) {
      assert.ok(thrown instanceof PacelineError && thrown.code === "protocol", String(thrown));
      refused++;
    }
  }
  assert.ok(refused > 10_000, `${refused} refused`);
});
