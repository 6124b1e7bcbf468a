import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { sha256Hex } from "./sha256.js";

const reference = (text: string) => createHash("sha256").update(text, "utf8").digest("hex");

test("the digests that FIPS 180-4 prints for its examples come out", () => {
  assert.equal(
    sha256Hex("abc"),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  assert.equal(sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

test("the ring's own examples come out", () => {
  assert.ok(sha256Hex("fc_bias").startsWith("8c82bd5717557b32"));
  assert.ok(sha256Hex("server00").startsWith("fe19f1cb5c4632b3"));
});

test("every length around the block boundaries agrees with the platform's own", () => {
  for (let length = 0; length <= 200; length++) {
    const text = "x".repeat(length);
    assert.equal(sha256Hex(text), reference(text), `length ${length}`);
  }
});

test("any text agrees with the platform's own, also beyond ASCII", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (text) => {
      assert.equal(sha256Hex(text), reference(text));
    }),
    { seed: 1, numRuns: 200 },
  );
});
