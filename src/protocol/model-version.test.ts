import assert from "node:assert/strict";
import { test } from "node:test";
import { modelVersion, updatesOfAll } from "./model-version.js";

test("a model is named by its least version and by all of them in their order", () => {
  assert.equal(modelVersion([]), "0-811c9dc5");
  assert.equal(modelVersion([0]), "0-9be17165");
  assert.match(modelVersion([313, 314]), /^313-[0-9a-f]{8}$/);
  assert.equal(modelVersion([313, 314]), modelVersion([313, 314]));
  const others = [[314, 313], [313, 315], [313], [313, 314, 314], [313, 314 + 2 ** 32]];
  const names = new Set([[313, 314], ...others].map(modelVersion));
  assert.equal(names.size, 6, [...names].join(" "));
});

test("a model has had as many updates as its least updated chunk", () => {
  assert.equal(updatesOfAll([7, 5, 9]), 5);
  assert.equal(updatesOfAll(Array(300_000).fill(4)), 4);
  assert.equal(updatesOfAll([]), 0);
});
