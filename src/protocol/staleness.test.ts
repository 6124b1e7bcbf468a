import assert from "node:assert/strict";
import { test } from "node:test";
import type { StalenessRule } from "./run-spec.js";
import { judgeStaleness } from "./staleness.js";

const rule: StalenessRule = { rule: "scale+reject", scale: 0.1, floor: 0.1, max: 5 };

test("the ECS system's rule scales by 1 / (1 + 0.1 t) and rejects above 5", () => {
  const scales = [1, 1 / 1.1, 1 / 1.2, 1 / 1.3, 1 / 1.4, 1 / 1.5];
  scales.forEach((scale, staleness) => {
    const judgement = judgeStaleness(rule, staleness);
    assert.equal(judgement.accept, true);
    assert.equal(judgement.scale, Math.fround(scale), `staleness ${staleness}`);
  });
  assert.deepEqual(judgeStaleness(rule, 6), {
    accept: false,
    scale: 0,
    reason: "staleness 6 is above the bound 5: rejected",
  });
});

test("each rule does its own part only", () => {
  const table: [StalenessRule["rule"], staleness: number, accept: boolean, scale: number][] = [
    ["none", 1000, true, 1],
    ["scale", 0, true, 1],
    ["scale", 10, true, 0.5],
    ["scale", 1000, true, Math.fround(0.1)],
    ["reject", 5, true, 1],
    ["reject", 6, false, 0],
    ["scale+reject", 5, true, Math.fround(1 / 1.5)],
    ["scale+reject", 6, false, 0],
  ];
  for (const [name, staleness, accept, scale] of table) {
    const judgement = judgeStaleness({ ...rule, rule: name }, staleness);
    assert.deepEqual([judgement.accept, judgement.scale], [accept, scale], `${name} ${staleness}`);
    assert.match(judgement.reason, new RegExp(`staleness ${staleness}\\b`));
  }
});

test("the sentence names the factor that was applied", () => {
  assert.equal(judgeStaleness(rule, 1).reason, "staleness 1: scaled by 0.909091");
  assert.equal(judgeStaleness({ ...rule, rule: "none" }, 3).reason, "staleness 3: applied in full");
});

test("a scale is an f32 number and never grows with staleness", () => {
  let last = 1;
  for (let staleness = 0; staleness < 200; staleness++) {
    const { scale } = judgeStaleness({ ...rule, rule: "scale" }, staleness);
    assert.equal(scale, Math.fround(scale));
    assert.ok(scale <= last && scale >= Math.fround(0.1));
    last = scale;
  }
});

test("staleness that is no count is a bug", () => {
  assert.throws(() => judgeStaleness(rule, -1), /count/);
  assert.throws(() => judgeStaleness(rule, 0.5), /count/);
});
