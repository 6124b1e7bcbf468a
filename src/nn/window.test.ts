import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Extents, slide } from "./window.js";

describe("a window's output extents", () => {
  const cases: [
    kernel: Extents,
    stride: Extents,
    padding: Extents,
    input: [number, number],
    output: [number, number],
  ][] = [
    [3, 1, 1, [32, 32], [32, 32]],
    [2, 2, 0, [7, 7], [3, 3]],
    [3, 2, 1, [32, 31], [16, 16]],
    [1, 2, 0, [32, 5], [16, 3]],
    [
      [3, 2],
      [2, 1],
      [1, 0],
      [9, 7],
      [5, 6],
    ],
    [[4, 3], 1, 0, [4, 3], [1, 1]],
    [2, 5, 1, [3, 3], [1, 1]],
  ];
  for (const [kernel, stride, padding, input, output] of cases) {
    const words = `${kernel} by ${stride}, padding ${padding}, over ${input.join(" x ")}`;
    test(`${words}: ${output.join(" x ")}, as counted by moving it`, () => {
      const sliding = slide({ kernel, stride, padding }, [2, ...input], 1);
      assert.deepEqual(sliding.output, output);
      for (const axis of [0, 1] as const) {
        let count = 0;
        const end = input[axis] + sliding.padding[axis];
        const from = (position: number) => position * sliding.stride[axis] - sliding.padding[axis];
        while (from(count) + sliding.kernel[axis] <= end) count++;
        assert.equal(count, output[axis]);
      }
    });
  }

  test("follow the given default where a layer names no stride", () => {
    assert.deepEqual(slide({ kernel: 2 }, [1, 6, 6], 2).output, [3, 3]);
    assert.deepEqual(slide({ kernel: 2 }, [1, 6, 6], 1).output, [5, 5]);
  });
});
