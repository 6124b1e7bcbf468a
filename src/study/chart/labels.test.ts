import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { textWidth } from "./font-metrics.js";
import { keepApart, listed, shorten, wrap } from "./labels.js";

describe("labels are kept apart", () => {
  const cases: readonly (readonly [string, number[], number[]])[] = [
    ["those that have room stay", [10, 50, 90], [10, 50, 90]],
    ["two positions for one place share the way", [50, 50], [42.5, 57.5]],
    ["order follows the positions", [60, 58], [66.5, 51.5]],
    ["nothing leaves the range", [0, 1, 99, 100], [0, 15, 85, 100]],
    ["one label", [30], [30]],
    ["none", [], []],
  ];
  for (const [name, positions, wanted] of cases) {
    test(name, () => assert.deepEqual(keepApart(positions, 15, [0, 100]), wanted));
  }
  test("whatever the positions, neighbours are a gap apart and inside, if there is room", () => {
    const positions = fc.array(fc.double({ min: -50, max: 400, noNaN: true }), { maxLength: 20 });
    fc.assert(
      fc.property(positions, (places) => {
        const sorted = [...keepApart(places, 15, [0, 300])].sort((a, b) => a - b);
        sorted.forEach((place, index) => {
          assert.ok(place >= -1e-9 && place <= 300 + 1e-9, String(place));
          if (index > 0) assert.ok(place - sorted[index - 1]! >= 15 - 1e-9, sorted.join());
        });
      }),
    );
  });
});

describe("words", () => {
  test("wrap at spaces, and no line is wider than allowed", () => {
    const lines = wrap("one two three four a-word-that-is-much-wider-than-the-line", 90, 12);
    assert.equal(lines.slice(0, 2).join("|"), "one two three|four");
    for (const line of lines) assert.ok(textWidth(line, 12) <= 90, line);
  });
  test("that are too long lose their middle", () => {
    const text = "sync_4workers_with_a_long_tail_seed_1234";
    const short = shorten(text, 120, 12);
    assert.match(short, /^sync.*….*1234$/);
    assert.ok(textWidth(short, 12) <= 120);
    assert.equal(shorten("short", 120, 12), "short");
  });
  test("make a list", () => {
    assert.deepEqual(
      [listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])],
      ["", "a", "a and b", "a, b and c"],
    );
  });
});
