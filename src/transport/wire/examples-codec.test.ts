import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import type { Examples } from "../../protocol/examples.js";
import { blocksOf, examplesBlockBytes, examplesRequestBytes } from "./examples-codec.js";
import { ReadExamplesRequestSchema } from "./generated-coordinator.js";
import { blockLabelsMax, blockValueBytesMax } from "./limits.js";

function examplesOf(count: number, size: number): Examples {
  const values = Uint8Array.from({ length: count * size }, (_, index) => index % 251);
  const labels = Int32Array.from({ length: count }, (_, index) => index % 100);
  return { shape: [1, 1, size], dtype: "u8", labels, values };
}

describe("examples on the wire", () => {
  test("a request comes back as it was", () => {
    for (const split of ["train", "test"] as const) {
      const request = { run: "r-1", split, epoch: 3, start: 96, end: 128 };
      assert.deepEqual(examplesRequestBytes.decode(examplesRequestBytes.encode(request)), request);
    }
  });

  test("a request for no range or of no split is refused", () => {
    const rest = { run: "r", epoch: 0n };
    for (const [wrong, reason] of [
      [{ ...rest, split: 1, start: 5n, end: 4n }, /5 to 4 is not a range/],
      [{ ...rest, split: 0, start: 0n, end: 4n }, /split has the unknown value 0/],
      [{ ...rest, split: 9, start: 0n, end: 4n }, /split has the unknown value 9/],
    ] as const) {
      const init = wrong as MessageInitShape<typeof ReadExamplesRequestSchema>;
      const bytes = toBinary(ReadExamplesRequestSchema, create(ReadExamplesRequestSchema, init));
      assert.throws(() => examplesRequestBytes.decode(bytes), {
        code: "protocol",
        message: reason,
      });
    }
  });

  test("answers are cut into blocks of at most 1 MiB that make the whole again", () => {
    for (const [count, size] of [
      [0, 784],
      [1, 3072],
      [32, 3072],
      [3, blockValueBytesMax],
      [blockLabelsMax, 1],
      [blockLabelsMax + 1, 1],
      [1, 3 * blockValueBytesMax + 7],
    ] as const) {
      const examples = examplesOf(count, size);
      const encoded = [...blocksOf(examples)].map((block) => examplesBlockBytes.encode(block));
      for (const { length } of encoded) assert.ok(length <= 2 ** 20, `${length} bytes`);
      const blocks = encoded.map((bytes) => examplesBlockBytes.decode(bytes));
      assert.ok(blocks.length > 0);
      for (const block of blocks) {
        assert.deepEqual([block.count, block.shape, block.dtype], [count, [1, 1, size], "u8"]);
      }
      const labels = blocks.flatMap((block) => [...block.labels]);
      assert.deepEqual(labels, [...examples.labels]);
      assert.ok(Buffer.concat(blocks.map(({ values }) => values)).equals(examples.values));
    }
  });

  test("whatever bytes come, decoding throws nothing but protocol errors", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const codec of [examplesRequestBytes, examplesBlockBytes]) {
          try {
            codec.decode(bytes);
          } catch (thrown) {
            assert.ok(thrown instanceof PacelineError && thrown.code === "protocol", `${thrown}`);
          }
        }
      }),
      { seed: 7, numRuns: 500 },
    );
  });
});
