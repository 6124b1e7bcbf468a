import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { intervalOf, type Range, rangeProblem, rangeSchema, rangeText } from "./interval.js";

const judged: readonly (readonly [Range, number, string | null])[] = [
  ["[0, 1]", 0, null],
  ["[0, 1]", 1, null],
  ["[0, 1)", 0, null],
  ["[0, 1)", 1, "is not below 1"],
  ["[0, 1)", 0.9999999, null],
  ["[0, 1)", 0.99999999, "is 1 as a 32-bit float, which is not below 1"],
  ["(0, 1]", 0, "is not above 0"],
  ["(0, 1]", 1e-45, null],
  ["(0, 1]", 1e-50, "is 0 as a 32-bit float"],
  ["[0, 1]", 1e-50, "is 0 as a 32-bit float"],
  ["[0, 1]", -0.1, "is below 0"],
  ["[0, 1]", -1e-50, "is below 0"],
  ["(0, inf)", 1e39, "is too large for a 32-bit float"],
  ["(0, inf)", 3.4028234663852886e38, null],
  ["(-inf, inf)", -5, null],
  ["(-inf, inf)", -1e39, "is too large for a 32-bit float"],
];

describe("a range", () => {
  for (const [range, value, problem] of judged) {
    test(`${range}: ${value} ${problem ?? "is within"}`, () => {
      assert.equal(rangeProblem(value, intervalOf(range)), problem);
    });
  }
  test("is told in words and as a schema", () => {
    const texts: readonly (readonly [Range, string])[] = [
      ["[0, 1]", "a number from 0 to 1"],
      ["[0, 1)", "a number of at least 0 and below 1"],
      ["(0, 1]", "a number above 0 and at most 1"],
      ["[1, inf)", "a number from 1"],
      ["(0, inf)", "a number above 0"],
      ["(-inf, inf)", "a finite number"],
    ];
    for (const [range, text] of texts) assert.equal(rangeText(intervalOf(range)), text);
    assert.deepEqual(rangeSchema(intervalOf("[0, 1)")), { minimum: 0, exclusiveMaximum: 1 });
    assert.deepEqual(rangeSchema(intervalOf("(0, inf)")), { exclusiveMinimum: 0 });
  });
  test("has its ends in order", () => {
    assert.throws(() => intervalOf("[1, 0]"), /lower end first/);
  });
});
