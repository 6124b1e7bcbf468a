import assert from "node:assert/strict";
import { test } from "node:test";
import type { PacelineError } from "../errors.js";
import { createEngine } from "./engines.js";

test("auto gives the reference engine and says that it is slower", () => {
  const { engine, reason } = createEngine("auto");
  assert.equal(engine.name, "reference");
  assert.match(reason, /slower/);
});

test("reference gives the reference engine", () => {
  assert.equal(createEngine("reference").engine.name, "reference");
});

for (const [choice, remedy] of [
  ["onednn", /not part of this build; use --engine reference/],
  ["gpu", /"gpu"; choose one of auto, onednn, reference/],
] as const) {
  test(`${choice} is refused as a usage error with the remedy`, () => {
    assert.throws(
      () => createEngine(choice),
      (error: PacelineError) => error.code === "usage" && remedy.test(error.message),
    );
  });
}
