import assert from "node:assert/strict";
import { test } from "node:test";
import { parseReduce, reduction, trimmedAtEnds } from "./reduction.js";

test("a reduction is one of its words, or what is trimmed with its share", () => {
  for (const text of ["mean", "sum", "median", "trimmed:0.1"]) {
    assert.deepEqual(parseReduce(text), { value: text });
  }
  assert.deepEqual(parseReduce("trimmed:.25"), { value: "trimmed:0.25" });
  const wrong = ["", "Mean", "trimmed", "trimmed:", "trimmed:x", "trimmed:-0.1", "trimmed:0"];
  for (const text of [...wrong, "trimmed:0.5", "trimmed:1e-60", "trimmed:0.1%"]) {
    assert.ok("problem" in parseReduce(text), text);
  }
});

test("a spec with another one is refused, with the value", () => {
  const { problem } = reduction.read("mode", "reduce") as { readonly problem: string };
  assert.match(problem, /^reduce mode is unknown; it is one of mean, sum, median, trimmed:0\.1$/);
  assert.ok("problem" in reduction.read(1, "reduce"));
  assert.deepEqual(reduction.read("trimmed:0.3", "reduce"), { value: "trimmed:0.3" });
});

test("at least the share is left out at either end, and never all", () => {
  const counts = [1, 2, 3, 4, 5, 10, 20, 21];
  const left = (reduce: "median" | "trimmed:0.1" | "trimmed:0.4") =>
    counts.map((count) => trimmedAtEnds(reduce, count));
  assert.deepEqual(left("median"), [0, 0, 1, 1, 2, 4, 9, 10]);
  assert.deepEqual(left("trimmed:0.1"), [0, 0, 1, 1, 1, 1, 2, 3]);
  assert.deepEqual(left("trimmed:0.4"), [0, 0, 1, 1, 2, 4, 8, 9]);
});

test("a share of which the product is a whole number leaves out as many, for all shares", () => {
  assert.equal(trimmedAtEnds("trimmed:0.28", 25), 7);
  for (let percent = 1; percent < 50; percent++) {
    for (let count = 3; count <= 200; count++) {
      const due = Math.min(Math.floor((count - 1) / 2), Math.ceil((percent * count) / 100));
      assert.equal(
        trimmedAtEnds(`trimmed:${percent / 100}`, count),
        due,
        `${percent}% of ${count}`,
      );
    }
  }
  assert.equal(trimmedAtEnds("trimmed:0.000001", 25), 1, "and at least one");
});
