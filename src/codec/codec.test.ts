import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PacelineError } from "../errors.js";
import { codecNames, codecOfId, codecOfName, codecs } from "./codec.js";

test("ids, names and the table agree", () => {
  assert.equal(codecs.length, codecNames.length);
  codecNames.forEach((name, id) => {
    assert.equal(codecOfId(id), codecOfName(name));
    assert.equal(codecOfId(id).name, name);
  });
  assert.equal(codecOfName("raw").id, 0);
});

test("an id that a peer made up is answered with the known ones", () => {
  for (const id of [-1, 0.5, codecs.length, 4294967295]) {
    assert.throws(
      () => codecOfId(id),
      (error: unknown) => {
        assert.ok(error instanceof PacelineError && error.code === "protocol");
        assert.match(error.message, /is unknown here; known are 0 \(raw\)/);
        return true;
      },
    );
  }
});

test("raw brings every bit pattern back, and writes values little-endian", () => {
  const raw = codecOfName("raw");
  const bytes = new Uint8Array(8);
  assert.equal(raw.encode(Float32Array.of(1, -2), bytes), 8);
  assert.deepEqual([...bytes], [0, 0, 128, 63, 0, 0, 0, 192]);
  fc.assert(
    fc.property(fc.uint32Array({ maxLength: 200 }), (patterns) => {
      const words = Uint32Array.from(patterns);
      const encoded = new Uint8Array(raw.bytesMax(words.length) + 3).fill(9);
      const used = raw.encode(new Float32Array(words.buffer), encoded);
      assert.equal(used, words.length * 4);
      assert.deepEqual([...encoded.subarray(used)], [9, 9, 9]);
      const decoded = new Float32Array(words.length);
      raw.decode(encoded.subarray(0, used), decoded);
      assert.deepEqual(new Uint32Array(decoded.buffer), words);
    }),
    { seed: 10, numRuns: 200 },
  );
});

test("raw refuses bytes that can't be that many values", () => {
  for (const length of [0, 7, 9, 12]) {
    assert.throws(
      () => codecOfName("raw").decode(new Uint8Array(length), new Float32Array(2)),
      (error: unknown) => error instanceof PacelineError && error.code === "protocol",
    );
  }
});
