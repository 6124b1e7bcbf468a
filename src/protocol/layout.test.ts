import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { layOut, type TensorSpec, valueCount } from "./layout.js";

const perceptron: TensorSpec[] = [
  { name: "fc1.weight", shape: [128, 784], group: "weight" },
  { name: "fc1.bias", shape: [128], group: "plain" },
  { name: "fc2.weight", shape: [10, 128], group: "weight" },
  { name: "fc2.bias", shape: [10], group: "plain" },
];

test("weights lie together before biases, tensors keep the model's order", () => {
  const layout = layOut(perceptron, 65536);
  assert.equal(layout.values, 101770);
  assert.deepEqual(
    layout.tensors.map(({ name, offset, length }) => [name, offset, length]),
    [
      ["fc1.weight", 0, 100352],
      ["fc1.bias", 101632, 128],
      ["fc2.weight", 100352, 1280],
      ["fc2.bias", 101760, 10],
    ],
  );
  assert.deepEqual(
    layout.chunks.map(({ index, key, offset, length, group }) => [
      index,
      key,
      offset,
      length,
      group,
    ]),
    [
      [0, "fc1.weight.0", 0, 65536, "weight"],
      [1, "fc1.weight.65536", 65536, 36096, "weight"],
      [2, "fc1.bias.0", 101632, 138, "plain"],
    ],
  );
});

test("chunks of one value carry the ring system's 785 keys", () => {
  const layout = layOut(
    [
      { name: "fc_weights", shape: [1, 784], group: "weight" },
      { name: "fc_bias", shape: [1], group: "plain" },
    ],
    1,
  );
  assert.equal(layout.chunks.length, 785);
  assert.equal(layout.chunks[0]!.key, "fc_weights.0");
  assert.equal(layout.chunks[783]!.key, "fc_weights.783");
  assert.equal(layout.chunks[784]!.key, "fc_bias");
});

test("a scalar has one value and a tensor with an empty extent has none", () => {
  assert.equal(valueCount([]), 1);
  assert.equal(valueCount([3, 0, 5]), 0);
  const layout = layOut(
    [
      { name: "empty", shape: [0], group: "weight" },
      { name: "last", shape: [], group: "weight" },
    ],
    4,
  );
  assert.deepEqual(
    layout.chunks.map(({ key, length }) => [key, length]),
    [["last", 1]],
  );
});

test("the fingerprint tells apart names, shapes, groups and chunk sizes", () => {
  const prints = [
    layOut(perceptron, 1000),
    layOut(perceptron, 1001),
    layOut([{ ...perceptron[0]!, name: "other" }, ...perceptron.slice(1)], 1000),
    layOut([{ ...perceptron[0]!, shape: [784, 128] }, ...perceptron.slice(1)], 1000),
    layOut([{ ...perceptron[0]!, group: "plain" as const }, ...perceptron.slice(1)], 1000),
  ].map(({ fingerprint }) => fingerprint);
  assert.equal(new Set(prints).size, prints.length);
  assert.equal(layOut(perceptron, 1000).fingerprint, prints[0]);
});

test("two tensors of one name and a chunk size out of range are refused", () => {
  assert.throws(() => layOut([perceptron[0]!, perceptron[0]!], 10), /unique/);
  assert.throws(() => layOut(perceptron, 0), /chunk size/);
  assert.throws(() => layOut(perceptron, 262145), /chunk size/);
});

test("chunks tile the vector without gap, overlap or mixing of groups, under unique keys", () => {
  const tensors = fc.array(
    fc.record({
      shape: fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 3 }),
      group: fc.constantFrom("weight" as const, "plain" as const, "buffer" as const),
    }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(tensors, fc.integer({ min: 1, max: 40 }), (specs, chunkValues) => {
      const layout = layOut(
        specs.map((spec, index) => ({ ...spec, name: `t${index}` })),
        chunkValues,
      );
      let end = 0;
      layout.chunks.forEach((chunk, index) => {
        assert.equal(chunk.index, index);
        assert.equal(chunk.offset, end);
        assert.ok(chunk.length >= 1 && chunk.length <= chunkValues);
        end += chunk.length;
      });
      assert.equal(end, layout.values);
      assert.equal(new Set(layout.chunks.map(({ key }) => key)).size, layout.chunks.length);
      for (const tensor of layout.tensors) {
        for (const chunk of layout.chunks) {
          const overlaps =
            chunk.offset < tensor.offset + tensor.length &&
            tensor.offset < chunk.offset + chunk.length;
          if (overlaps) assert.equal(chunk.group, tensor.group);
        }
      }
    }),
    { seed: 2, numRuns: 300 },
  );
});
