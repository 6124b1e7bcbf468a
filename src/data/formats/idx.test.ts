import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeIdx } from "../testing/sample-files.js";
import { parseIdx, parseImages, parseLabels } from "./idx.js";

const path = "d/train-images-idx3-ubyte";
const images = encodeIdx(
  [2, 2, 3],
  Uint8Array.from({ length: 12 }, (_, index) => index),
);
const labels = encodeIdx([4], Uint8Array.of(0, 9, 3, 1));

const faults: { name: string; parse: () => unknown; says: RegExp }[] = [
  {
    name: "an empty file",
    parse: () => parseIdx(new Uint8Array(0), path, 1),
    says: /has 0 bytes, less than an IDX header of 8/,
  },
  {
    name: "a header cut short",
    parse: () => parseIdx(images.subarray(0, 15), path, 3),
    says: /has 15 bytes/,
  },
  {
    name: "labels in place of images",
    parse: () => parseImages(encodeIdx([99], new Uint8Array(99)), path, 2, 3),
    says: /begins with 0x00000801 where .* 0x00000803/,
  },
  {
    name: "values of another type",
    parse: () => parseIdx(Uint8Array.from([0, 0, 13, 1, 0, 0, 0, 0]), path, 1),
    says: /begins with 0x00000d01/,
  },
  {
    name: "a truncated file",
    parse: () => parseImages(images.subarray(0, images.length - 5), path, 2, 3),
    says: /lacks 5 of the 12 bytes of 2 x 2 x 3 values/,
  },
  {
    name: "bytes after the end",
    parse: () => parseLabels(Buffer.concat([labels, Uint8Array.of(1)]), path, 10),
    says: /has 1 more than the 4 bytes/,
  },
  {
    name: "dimensions whose product is enormous",
    parse: () => parseIdx(Buffer.from("00000803ffffffffffffffffffffffff", "hex"), path, 3),
    says: /lacks 7\.9\d*e\+28/,
  },
  {
    name: "images of another size",
    parse: () => parseImages(images, path, 28, 28),
    says: /images of 2 x 3 where 28 x 28 are expected/,
  },
  {
    name: "no images",
    parse: () => parseImages(encodeIdx([0, 2, 3], new Uint8Array(0)), path, 2, 3),
    says: /holds no images/,
  },
  {
    name: "a label out of range",
    parse: () => parseLabels(labels, path, 9),
    says: /has label 9 at position 1 where 0 to 8 are allowed/,
  },
];

for (const { name, parse, says } of faults) {
  test(`${name} is refused with the path and the value`, () => {
    assert.throws(parse, (error: { code?: string; message: string }) => {
      assert.equal(error.code, "data");
      assert.match(error.message, /^d\/train-images-idx3-ubyte /);
      assert.match(error.message, says);
      assert.match(error.message, /^[^\n]+$/);
      return true;
    });
  });
}

test("valid files give their values in order", () => {
  const { count, pixels } = parseImages(images, path, 2, 3);
  assert.equal(count, 2);
  assert.deepEqual([...pixels], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual([...parseLabels(labels, path, 10)], [0, 9, 3, 1]);
});
