import assert from "node:assert/strict";
import { test } from "node:test";
import { recordedChoices } from "./run-checkpoints.js";

test("a run that goes on takes the recorded choices, and of other lines nothing", () => {
  const choice =
    "choice conv f32 64x16x32x32 to 16 kernel 3x3 stride 1x1 padding 1x1: in f32, " +
    "forward winograd, backward-data direct, backward-weights direct (measured: x)";
  const library = "library resnet20 (88f878bf) f32 batch 64 threads 2: oneDNN 2.6.3 (measured: x)";
  const kernel = "conv f32 64x3x32x32 to 16 kernel 3x3 stride 1x1 padding 1x1: jit:avx2";
  const machine = { cpu: "a", algorithms: [choice, kernel, library, 7] };
  assert.deepEqual(recordedChoices(machine), [choice, library]);
  assert.deepEqual(recordedChoices({ algorithms: "choice" }), []);
  assert.deepEqual(recordedChoices(), []);
});
