import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import { AutoCompression } from "./auto-compression.js";
import type { RunCodecs } from "./run-codecs.js";

test("a probe is for no step: no server takes it for the beginning of one", () => {
  const pulls: ChunkHeader[] = [];
  const tensors = [8, 64].map((length, index) => {
    return { name: `w${index}`, shape: [length], group: "weight" } as const;
  });
  const layout = layOut(tensors, 64);
  const auto = new AutoCompression({
    layout,
    codecs: { sizesOf: () => ({ min: 0, max: 256 }) } as unknown as RunCodecs,
    gradients: new Float32Array(layout.values),
    nowMs: () => 0,
    addressOf: () => "",
    pull: (header) => void pulls.push(header),
    choose: () => assert.fail("nothing is chosen yet"),
    log: () => {},
  });
  auto.stepBegins();
  auto.pushed({ ...emptyHeader, kind: "push", step: 7, chunk: 0, examples: 4 });
  auto.stepBegins();
  auto.answered({ ...emptyHeader, kind: "reply", step: -1, chunk: pulls[0]!.chunk });
  assert.deepEqual(
    pulls.map(({ kind, step }) => [kind, step]),
    [
      ["pull", -1],
      ["pull", -1],
    ],
  );
});
