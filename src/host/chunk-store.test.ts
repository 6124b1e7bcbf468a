import assert from "node:assert/strict";
import { test } from "node:test";
import { heldVerdict } from "../core/server/entry.js";
import { Arena } from "../kernels/arena.js";
import { createKernels } from "../kernels/choice.js";
import { layOut } from "../protocol/layout.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { ChunkStore } from "./chunk-store.js";

test("an update leaves the bytes alone that a write has not finished with", () => {
  const arena = new Arena(10_000);
  const kernels = createKernels(arena, { choice: "scalar", log: () => {} });
  const layout = layOut([{ name: "w", shape: [4], group: "weight" }], 4);
  const store = new ChunkStore({ arena, kernels, layout, rule: sampleSpec.updateRule });
  const weights = store.allocate(0);
  store.install(0, "weights", weights.slot);
  const reply = store.lend(0, "weights");
  const sent = reply.bytes.slice();
  const gradient = store.allocate(0);
  store.valuesOf(gradient.slot, 0).fill(1);
  const mark = { rank: 0, incarnation: 1, step: 0, verdict: heldVerdict };
  const entry = { chunk: 0, seq: 1, marks: [mark], sealedStep: 0, gradient: gradient.slot };
  const numbers = { pushes: 1, examples: 4, lr: 0.5, scale: 1, version: 1 };
  store.apply({ ...entry, ...numbers }, "weight");
  store.free(gradient.slot);
  assert.deepEqual(reply.bytes.slice(), sent, "what is on its way stays");
  assert.ok(
    store.weightsOf(0).every((value) => value < 0),
    "the chunk moved",
  );
  reply.done();
});
