import assert from "node:assert/strict";
import { test } from "node:test";
import { isFlat } from "./plan.js";
import { parsePlan, planText } from "./plan-text.js";

const modeOf = (word: string) => (["bsp", "ssp", "asp"].includes(word) ? word : null);

test("a plan is read and written back as it was", () => {
  const plans = [
    "bsp:6.25%,asp",
    "bsp:50%,asp:50%",
    "bsp:2e,ssp:25%,asp",
    "bsp:plateau(3,0.01),asp",
    "bsp:plateau(3,5e-7),asp",
    "bsp:1e-7%,asp",
    "asp:1%,bsp:1%,asp:1%,bsp",
  ];
  for (const text of plans) {
    const read = parsePlan(text, modeOf);
    assert.ok("value" in read, text);
    assert.equal(planText(read.value), text);
  }
});

test("a plan that does not hold together is refused with the reason", () => {
  const cases: readonly [text: string, reason: RegExp][] = [
    ["bsp", /one phase/],
    ["bsp:50%", /one phase/],
    ["bsp:50%,bsp", /from bsp to itself/],
    ["bsp,asp", /does not say when bsp ends/],
    ["bsp:60%,asp:60%", /adds up to 120 % of the work/],
    ["bsp:60%,asp:30%", /adds up to 90 % of the work; leave the last length out/],
    ["bsp:100%,asp", /leaves no work to its last phase/],
    ["bsp:101%,asp", /not above 0 and at most 100 %/],
    ["bsp:0%,asp", /not above 0/],
    ["bsp:0e,asp", /has no epoch/],
    ["bsp:2e,asp:2e", /gives its last phase a length/],
    ["bsp:5%:6%,asp", /two lengths/],
    ["bsp:five,asp", /no length such as 6.25%/],
    ["bsp:plateau(0,1),asp", /window/],
    ["bsp:plateau(3),asp", /no length/],
    ["bps:5%,asp", /names no mode in "bps:5%"/],
    ["", /names no mode/],
    ["bsp:5%,,asp", /names no mode in ""/],
  ];
  for (const [text, reason] of cases) {
    const read = parsePlan(text, modeOf);
    assert.ok("problem" in read, text);
    assert.match(read.problem, reason, text);
  }
});

test("a loss is flat when the mean of a window falls by less than delta", () => {
  const plateau = { window: 2, delta: 0.1 };
  assert.equal(isFlat(plateau, [9, 9, 9]), false, "two windows are not full");
  assert.equal(isFlat(plateau, [2, 1, 1, 1]), false, "1.5 to 1");
  assert.equal(isFlat(plateau, [2, 1.05, 1.05, 1, 1]), true, "1.05 to 1");
  assert.equal(isFlat(plateau, [1, 1, 5, 5]), true, "one that rises is not falling");
});
