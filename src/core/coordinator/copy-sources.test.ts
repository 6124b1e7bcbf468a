import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../../protocol/layout.js";
import { copySources } from "./copy-sources.js";

const layout = layOut([{ name: "w", shape: [10], group: "weight" }], 4);

test("backups give copies where there are any, and all of them alike", () => {
  const cases: readonly (readonly [readonly (readonly number[])[], readonly number[]])[] = [
    [
      [[0], [1], [0]],
      [0, 1, 0],
    ],
    [
      [[0, 1], [1], [1, 0]],
      [1, 1, 0],
    ],
    [
      [
        [0, 1, 2],
        [0, 1, 2],
        [0, 2, 1],
      ],
      [1, 2, 2],
    ],
  ];
  for (const [replicas, sources] of cases) {
    assert.deepEqual(copySources({ replicas }, layout), sources);
  }
});
