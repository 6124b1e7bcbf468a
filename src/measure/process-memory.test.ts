import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { judgeSoak, parseStatus } from "./process-memory.js";

test("a status tells memory in kibibytes", () => {
  const text = "Name:\tnode\nVmPeak:\t  9999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
  assert.deepEqual(parseStatus(text), { currentBytes: 1024 ** 2, peakBytes: 2 * 1024 ** 2 });
  assert.throws(() => parseStatus("Name:\tkthreadd\n"), /a status tells its memory/);
});

describe("a soak is flat when later readings stay by the second", () => {
  const cases: [name: string, megabytes: number[], isFlat: boolean][] = [
    ["equal readings", [500, 500, 500, 500], true],
    ["a first stretch that still fills caches", [200, 500, 501, 500], true],
    ["2 % more", [500, 500, 505, 510], true],
    ["more than 2 %", [500, 500, 505, 511], false],
    ["a few megabytes of a small process", [60, 60, 64, 68], true],
    ["a leak in a small process", [60, 60, 64, 69], false],
    ["a peak that is given back", [500, 500, 600, 500], false],
    ["less than at first", [500, 480, 470, 460], true],
  ];
  for (const [name, megabytes, isFlat] of cases) {
    test(`${name}: ${isFlat ? "flat" : "not flat"}`, () => {
      const verdict = judgeSoak(megabytes.map((value) => value * 1e6));
      assert.equal(verdict.isFlat, isFlat);
      assert.match(verdict.reason, isFlat ? /^flat: / : /^NOT flat: /);
    });
  }
  test("the reason has the numbers", () => {
    const { reason } = judgeSoak([400e6, 500e6, 503e6, 502e6]);
    const numbers = "500.0 MB at 20 %, at most 503.0 MB after it, 502.0 MB at the end";
    assert.equal(reason, `flat: ${numbers} (10.0 MB more would still be flat)`);
  });
});
