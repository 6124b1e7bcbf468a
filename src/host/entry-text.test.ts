/** Entries as they travel: every number keeps its bits, and what is none is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../core/server/entry.js";
import { PacelineError } from "../errors.js";
import { entryHeader, readEntry } from "./entry-text.js";

const about = { run: "r", generation: 2, term: 1, fence: 7 };
const entry: Entry = {
  ...{ chunk: 3, seq: 9, version: 8, sealedStep: 4, gradient: 5, pushes: 2, examples: 30 },
  ...{ staleness: null, lr: 0.1 + 0.2, momentum: 0.9 / 8, scale: Math.fround(1 / 3) },
  marks: [
    {
      ...{ rank: 0, incarnation: 2 ** 40 + 1, step: 4, examples: 10 },
      verdict: { outcome: "applied", staleness: 3, detail: 'said "so"', scale: 0.5 },
    },
    {
      ...{ rank: 1, incarnation: 12, step: 4, examples: 20 },
      verdict: { outcome: "rejected", staleness: 0, detail: "", scale: null },
    },
  ],
};

test("an entry is read as it was written", () => {
  const header = entryHeader(entry, about);
  assert.deepEqual(readEntry(header, 5), entry);
  assert.deepEqual([header.kind, header.step, header.fence, header.generation], ["entry", 9, 7, 2]);
  const bare = { ...entry, gradient: -1, pushes: 0, examples: 0, staleness: 2 };
  assert.deepEqual(readEntry(entryHeader(bare, about), -1), bare);
});

test("what is no entry is refused with what is wrong", () => {
  const header = entryHeader(entry, about);
  const whole = JSON.parse(header.detail);
  const mark = whole.marks[0];
  const cases: readonly [string, unknown, RegExp][] = [
    ["no JSON", null, /chunk 3 is no JSON: \{"marks/],
    ["marks", { ...whole, marks: {} }, /has \{\} for marks/],
    ["a momentum", { ...whole, momentum: null }, /has null for momentum/],
    ["a rate", { ...whole, lr: "0.1" }, /has "0.1" for lr/],
    ["a count", { ...whole, pushes: 1.5 }, /has 1.5 for pushes/],
    ["a step", { ...whole, sealedStep: -2 }, /has -2 for sealedStep/],
    ["a mark's life", { ...whole, marks: [{ ...mark, incarnation: -1 }] }, /for incarnation/],
    ["an outcome", { ...whole, marks: [{ ...mark, verdict: { outcome: "lost" } }] }, /"lost"/],
    ["a verdict", { ...whole, marks: [{ ...mark, verdict: 4 }] }, /has 4 for an object/],
  ];
  for (const [what, fields, problem] of cases) {
    const detail = fields === null ? header.detail.slice(0, 20) : JSON.stringify(fields);
    assert.throws(
      () => readEntry({ ...header, detail }, 5),
      (thrown) => thrown instanceof PacelineError && problem.test(thrown.message),
      what,
    );
  }
});
