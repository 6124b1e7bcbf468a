import assert from "node:assert/strict";
import { test } from "node:test";
import { alternatives, didYouMean, editDistance, nearest } from "./suggest.js";

const known = ["workers", "servers", "momentum", "mode", "model", "lr", "checkpoint-every"];

for (const [written, meant] of [
  ["wrokers", "workers"],
  ["server", "servers"],
  ["Momentun", "momentum"],
  ["l", "lr"],
  ["modle", "model"],
  ["checkpoint", "checkpoint-every"],
  ["zebra", null],
  ["", null],
] as const) {
  test(`"${written}" may mean ${meant ?? "nothing known"}`, () => {
    assert.equal(nearest(written, known), meant);
  });
}

test("a swap of neighbours is one edit, a replacement another", () => {
  assert.equal(editDistance("bps", "bsp"), 1);
  assert.equal(editDistance("bsp", "asp"), 1);
  assert.equal(editDistance("", "asp"), 3);
  assert.equal(editDistance("kitten", "sitting"), 3);
});

test("a hint stands in brackets, or not at all", () => {
  assert.equal(didYouMean("wrokers", known, "--"), " (did you mean --workers?)");
  assert.equal(didYouMean("zebra", known), "");
});

test("alternatives read as a sentence does", () => {
  assert.equal(alternatives(["bsp", "ssp", "asp"]), "bsp, ssp or asp");
  assert.equal(alternatives(["mlp"]), "mlp");
});
