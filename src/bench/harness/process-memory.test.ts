import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { judgeFlatness, parseMappings, parseStatus } from "./process-memory.js";

test("a status tells memory in kibibytes", () => {
  const text = "Name:\tnode\nVmPeak:\t  9999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
  assert.deepEqual(parseStatus(text), { currentBytes: 1024 ** 2, peakBytes: 2 * 1024 ** 2 });
  assert.throws(() => parseStatus("Name:\tkthreadd\n"), /a status tells its memory/);
});

describe("mappings tell what memory is for", () => {
  const text = (modes: readonly (readonly [range: string, mode: string, rss: number])[]) =>
    modes
      .map(
        ([range, mode, rss]) => `${range} ${mode} 00000000 00:00 0 \nSize: 8 kB\nRss:  ${rss} kB`,
      )
      .join("\nVmFlags: rd wr\n");
  const reserved = ["20000000-80000000", "---p", 0] as const;

  test("values lie right below a large reservation", () => {
    const library = ["1000000-2000000", "r-xp", 30] as const;
    const values = ["10000000-20000000", "rw-p", 100] as const;
    const use = { valuesBytes: 100 * 1024, otherBytes: 30 * 1024 };
    assert.deepEqual(parseMappings(text([library, values, reserved])), use);
  });
  for (const [what, ...mappings] of [
    ["apart from it", ["10000000-1f000000", "rw-p", 100], reserved],
    ["that can't be written", ["10000000-20000000", "r--p", 100], reserved],
    ["below a small one", ["10000000-20000000", "rw-p", 100], ["20000000-21000000", "---p", 0]],
  ] as const) {
    test(`memory ${what} has no values`, () => {
      const use = { valuesBytes: 0, otherBytes: 100 * 1024 };
      assert.deepEqual(parseMappings(text(mappings)), use);
    });
  }
  test("text without mappings is no measurement", () => {
    assert.throws(() => parseMappings("Name: node\n"), /mappings tell what is resident/);
  });
});

describe("memory is flat when later readings stay by the second", () => {
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
      const verdict = judgeFlatness(megabytes.map((value) => value * 1e6));
      assert.equal(verdict.isFlat, isFlat);
      assert.match(verdict.reason, isFlat ? /^flat: / : /^NOT flat: /);
    });
  }
  test("the reason has the numbers", () => {
    const { reason } = judgeFlatness([400e6, 500e6, 503e6, 502e6]);
    const numbers = "500.0 MB at 20 %, at most 503.0 MB after it, 502.0 MB at the end";
    assert.equal(reason, `flat: ${numbers} (10.0 MB more would still be flat)`);
  });
});
