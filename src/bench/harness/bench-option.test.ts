import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { choice, toggle, whole } from "../../options/option-values.js";
import { describeMachine } from "../../runtime/process/machine.js";
import { type BenchResult, benchFlags, benchOf, orFound, severalOf } from "./bench-option.js";

const rounds = { name: "rounds", type: whole(1, 100), default: 7, sentence: "turns" };
const own = {
  rounds,
  colours: {
    name: "colour",
    type: severalOf(choice(["red", "green"])),
    default: ["red"],
    sentence: "colours",
  },
  batchSize: {
    name: "batch-size",
    short: "b",
    type: orFound(whole(1, 9)),
    default: null,
    defaultText: "as it fits",
    sentence: "examples",
  },
  isLoud: { name: "loud", type: toggle, default: false, sentence: "be loud" },
} as const;

const nothing: BenchResult = {
  report: { bench: "paint", machine: describeMachine(), rows: [] },
  appendix: [],
};
const seen: unknown[] = [];
const run = async (values: unknown) => {
  seen.push(values);
  return nothing;
};
const paint = benchOf({ name: "paint", sentence: "painting", options: own, run });
const wait = benchOf({ name: "wait", sentence: "waiting", options: { rounds }, run });
const task = { isJson: false, log: () => {} };

describe("the options of a benchmark", () => {
  test("what is not written has its default, the rest is read by its type", async () => {
    await paint.measure({}, task);
    assert.deepEqual(seen.pop(), { rounds: 7, colours: ["red"], batchSize: null, isLoud: false });
    const flags = { rounds: "3", colour: "green, red", batchSize: "8", loud: true, json: true };
    await paint.measure(flags, task);
    const values = { rounds: 3, colours: ["green", "red"], batchSize: 8, isLoud: true };
    assert.deepEqual(seen.pop(), values);
  });

  const refused: readonly (readonly [flags: Record<string, unknown>, message: RegExp])[] = [
    [{ rounds: "0" }, /^--rounds 0 is below 1; write a whole number from 1 to 100$/],
    [{ batchSize: "x" }, /^--batch-size x is not a whole number; write/],
    [{ colour: "gren" }, /^--colour gren is unknown \(did you mean green\?\); write red or green/],
    [{ colour: "red,gren" }, /has "gren", which is unknown \(did you mean green\?\); write red or/],
    [{ colour: "red," }, /has "", which is empty/],
    [{ colour: "" }, /^--colour "" is empty/],
  ];
  for (const [flags, message] of refused) {
    test(`${JSON.stringify(flags)} is refused with the value and the remedy`, () => {
      assert.throws(() => paint.measure(flags, task), { code: "usage", message });
    });
  }

  test("what another benchmark takes is refused, not ignored", () => {
    const message = /^--batch-size does not apply to paceline bench wait; leave it out/;
    assert.throws(() => wait.measure({ batchSize: "8" }, task), { code: "usage", message });
    assert.throws(() => wait.measure({ loud: true }, task), /^.*--loud does not apply/);
  });

  test("help has each option once, and says which benchmarks take it", () => {
    assert.deepEqual(benchFlags([paint, wait]), [
      { flags: "--rounds <count>", sentence: "turns (default: 7)" },
      { flags: "--colour <red|green,...>", sentence: "paint: colours (default: red)" },
      { flags: "-b, --batch-size <count>", sentence: "paint: examples (default: as it fits)" },
      { flags: "--loud", sentence: "paint: be loud" },
    ]);
  });
});
