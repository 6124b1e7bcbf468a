/** Weights that are rounded for several workers at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Arena } from "../kernels/arena.js";
import { scalarConversions } from "../kernels/scalar-conversions.js";
import { layOut } from "../protocol/layout.js";
import { emptyHeader } from "../protocol/messages.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { ReplyEncoder } from "./reply-encoder.js";
import { RunCodecs } from "./run-codecs.js";

test("behind a roll-back a version that is still being sent is encoded anew", () => {
  const layout = layOut([{ name: "w", shape: [2], group: "weight" }], 10);
  const compression = { ...sampleSpec.compression, pull: { codec: "fp16", share: 1 } as const };
  const codecs = new RunCodecs({ ...sampleSpec, compression }, layout, scalarConversions);
  const weights = new Float32Array([1, 2]);
  const parts = { lengthOf: () => 2, weightsOf: () => weights };
  const encoder = new ReplyEncoder({ arena: new Arena(4096), codecs, ...parts });
  const bytesAt = (generation: number) => {
    const reply = encoder.encode({ ...emptyHeader, chunk: 0, version: 7, generation }, null);
    return Buffer.from(reply!.bytes).toString("hex");
  };
  const first = bytesAt(0);
  assert.equal(bytesAt(0), first);
  weights.set([3, 4]);
  assert.equal(bytesAt(0), first, "of one version there is one reply");
  assert.notEqual(bytesAt(1), first);
});
