import assert from "node:assert/strict";
import { test } from "node:test";
import { scalarConversions } from "../kernels/scalar-conversions.js";
import { layOut } from "../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { AutoCompression } from "./auto-compression.js";
import { chooseCompression } from "./choose-compression.js";
import { RunCodecs } from "./run-codecs.js";

const none = { codec: "none", share: 1 } as const;
const fp16 = { codec: "fp16", share: 1 } as const;
const topk = { codec: "topk", share: 0.01 } as const;
const megabyte = 1e6;

test("the cheapest push is chosen where it saves a tenth of the step and 2 ms", () => {
  const raw = { compression: none, bytes: 44 * megabyte, codecSeconds: 0 };
  const others = [
    { compression: fp16, bytes: 22 * megabyte, codecSeconds: 0.02 },
    { compression: topk, bytes: 0.9 * megabyte, codecSeconds: 0.08 },
  ];
  const cases = [
    [12.5, 4, "topk", /44\.0 MB costs 3520 ms as none, 1780 ms as fp16, 152 ms as topk:0\.01/],
    [400, 0.2, "fp16", /a step takes 200 ms, the link carries 400 MB\/s/],
    [1000, 0.5, "none", /no codec saves the 50 ms that make it worth it, pushes stay uncompressed/],
    [Number.POSITIVE_INFINITY, 0.001, "none", /the link is as fast as memory/],
  ] as const;
  for (const [megabytesPerSecond, stepSeconds, codec, reason] of cases) {
    const bytesPerSecond = megabytesPerSecond * megabyte;
    const link = { bytesPerSecond, stepSeconds, isLocal: false };
    const choice = chooseCompression(link, raw, others);
    assert.equal(choice.compression.codec, codec, choice.reason);
    assert.match(choice.reason, reason);
  }
});

test("a small model keeps its bits though a codec would save a share of its short step", () => {
  const raw = { compression: none, bytes: 30_000, codecSeconds: 0 };
  const others = [{ compression: topk, bytes: 700, codecSeconds: 0.0001 }];
  const choice = chooseCompression(
    { bytesPerSecond: 2e7, stepSeconds: 0.003, isLocal: false },
    raw,
    others,
  );
  assert.equal(choice.compression.codec, "none", choice.reason);
});

test("within one computer only what is as slow as a small network counts as a link", () => {
  const raw = { compression: none, bytes: 400_000, codecSeconds: 0 };
  const others = [{ compression: topk, bytes: 8000, codecSeconds: 0.0005 }];
  const busy = { bytesPerSecond: 44e6, stepSeconds: 0.037 };
  assert.equal(chooseCompression({ ...busy, isLocal: false }, raw, others).compression, topk);
  const local = chooseCompression({ ...busy, isLocal: true }, raw, others);
  assert.equal(local.compression, none);
  assert.match(local.reason, /the servers are on this computer, where bytes wait for processors/);
  const shaped = { ...busy, bytesPerSecond: 12.5e6, isLocal: true };
  assert.equal(chooseCompression(shaped, raw, others).compression, topk);
});

const layout = layOut(
  [
    { name: "w", shape: [50_000], group: "weight" },
    { name: "b", shape: [10], group: "plain" },
  ],
  20_000,
);

/** Steps of 40 ms over a link of so many bytes a second, with time walked by hand. */
function measured(
  bytesPerSecond: number,
  address: string,
): { chosen: string[]; said: string[]; pulls: number } {
  const gradients = Float32Array.from({ length: layout.values }, (_, index) => Math.cos(index));
  const compression = { ...sampleSpec.compression, push: { codec: "auto", share: 1 } as const };
  const outcome = { chosen: [] as string[], said: [] as string[], pulls: 0 };
  let nowMs = 0;
  let asked: ChunkHeader | null = null;
  const auto = new AutoCompression({
    layout,
    codecs: new RunCodecs({ ...sampleSpec, compression }, layout, scalarConversions),
    gradients,
    nowMs: () => nowMs,
    addressOf: () => address,
    pull: (header) => {
      asked = header;
      outcome.pulls++;
    },
    choose: ({ codec }) => void outcome.chosen.push(codec),
    log: (text) => void outcome.said.push(text),
  });
  for (let step = 0; step < 30; step++) {
    auto.stepBegins();
    const beganMs = nowMs;
    while (asked !== null) {
      const { chunk, kind, run, step: of }: ChunkHeader = asked;
      assert.deepEqual([kind, run, of], ["pull", "r", -1], "of no step");
      asked = null;
      nowMs += 0.5 + (layout.chunks[chunk]!.length * 4000) / bytesPerSecond;
      auto.answered({ ...emptyHeader, kind: "reply", chunk, step: 12 });
      auto.answered({ ...emptyHeader, kind: "reply", chunk, step: -1 });
    }
    nowMs = Math.max(nowMs, beganMs + 40);
    for (const { index } of layout.chunks) {
      auto.pushed({ ...emptyHeader, kind: "push", run: "r", chunk: index, step, examples: 8 });
    }
  }
  return outcome;
}

test("a worker measures its link without latency and chooses once", () => {
  const slow = measured(1e6, "10.0.0.2:8000");
  assert.deepEqual(slow.chosen, ["topk"]);
  assert.equal(slow.said.length, 1);
  assert.match(
    slow.said[0]!,
    /the link carries 1\.00 MB\/s; pushing 0\.200 MB costs 200 ms as none/,
  );
  assert.equal(slow.pulls, 20);
  const fast = measured(1e9, "10.0.0.2:8000");
  assert.deepEqual(fast.chosen, []);
  assert.match(fast.said[0]!, /pushes stay uncompressed/);
  for (const address of ["127.0.0.1:80", "tcp:127.0.0.1:80", "unix:/tmp/a", "localhost:8"]) {
    assert.deepEqual(measured(2.5e7, address).chosen, [], address);
  }
  assert.deepEqual(measured(2.5e6, "10.127.0.1:8000").chosen, ["topk"]);
});
