import assert from "node:assert/strict";
import { test } from "node:test";
import type { PacelineError } from "../errors.js";
import { createEngine } from "./engines.js";
import { openDnnl } from "./onednn/library.js";

const isHere = openDnnl().dnnl !== null;

test("reference gives the reference engine", () => {
  assert.equal(createEngine("reference").engine.name, "reference");
});

test("auto takes oneDNN where the library is, else the reference engine, and says why", () => {
  const { engine, reason } = createEngine("auto");
  assert.equal(engine.name, isHere ? "onednn" : "reference");
  assert.match(reason, isHere ? /engine onednn: oneDNN \d+\.\d+\.\d+ .* 1 thread$/ : /slower than/);
});

test("onednn gives the library, or a usage error that says how to install it", () => {
  const create = () => createEngine("onednn", { threads: 2 });
  if (isHere) {
    assert.equal(create().engine.name, "onednn");
    assert.match(create().reason, /f32, 2 threads$/);
    return;
  }
  assert.throws(create, {
    code: "usage",
    message: /engine onednn is unavailable: .*install .* --engine reference/,
  });
});

test("an unknown engine is refused as a usage error with the remedy", () => {
  assert.throws(
    () => createEngine("gpu"),
    (error: PacelineError) =>
      error.code === "usage" && /"gpu"; choose one of auto, onednn, ref/.test(error.message),
  );
});
