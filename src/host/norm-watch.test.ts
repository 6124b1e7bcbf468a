import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../core/server/entry.js";
import { localSpec } from "../protocol/testing/local-run.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import type { View } from "../protocol/view.js";
import { NormWatch, normWatchOf } from "./norm-watch.js";

const rule = { ...sampleSpec.updateRule, weightDecay: 0.5, weightDecayPlain: 0 };
/** Chunk c has weights whose squares add up to 10 + c, and a gradient with c + 1. */
const store = {
  squaresOf: ({ chunk }: { readonly chunk: number }) => ({
    weights: 10 + chunk,
    gradient: chunk + 1,
  }),
};
/** Server 0 leads chunks 0 to 2, and has a copy of chunk 3. */
const replicas = [[0], [0], [0], [1, 0]];
const viewOf = (generation: number) => ({ generation, replicas }) as unknown as View;
const entry = (chunk: number, version: number, scale = 1) =>
  ({ chunk, version, scale }) as unknown as Entry;

test("of the chunks that a server leads sums are told once, by version", () => {
  const watch = new NormWatch(0, store, rule);
  watch.note(entry(0, 1), "weight", viewOf(0));
  watch.note(entry(1, 1), "plain", viewOf(0));
  watch.note(entry(2, 1), "buffer", viewOf(0));
  watch.note(entry(3, 1), "weight", viewOf(0));
  watch.note(entry(0, 2, 0.5), "weight", viewOf(0));
  assert.deepEqual(watch.take(), [
    {
      generation: 0,
      shares: [
        { version: 1, chunks: 2, weights: 21, gradient: 3, decay: 2.5 },
        { version: 2, chunks: 1, weights: 10, gradient: 0.25, decay: 2.5 },
      ],
    },
  ]);
  assert.deepEqual(watch.take(), []);
});

test("what was measured before a roll-back is not told", () => {
  const watch = new NormWatch(0, store, rule);
  watch.note(entry(0, 9), "weight", viewOf(0));
  watch.note(entry(0, 5), "weight", viewOf(1));
  const [report] = watch.take();
  assert.equal(report?.generation, 1);
  assert.deepEqual(
    report?.shares.map(({ version }) => version),
    [5],
  );
});

test("nothing is measured where the run does not ask", () => {
  const whole = store as unknown as Parameters<typeof normWatchOf>[2];
  assert.equal(normWatchOf(sampleSpec, 0, whole), null);
  assert.ok(normWatchOf({ ...sampleSpec, watch: ["norms"] }, 0, whole) instanceof NormWatch);
});

test("under local steps no weight decay is told of, as servers apply none", () => {
  const whole = store as unknown as Parameters<typeof normWatchOf>[2];
  for (const [spec, decay] of [
    [sampleSpec, 2.5],
    [localSpec(), 0],
  ] as const) {
    const watch = normWatchOf({ ...spec, updateRule: rule, watch: ["norms"] }, 0, whole);
    watch?.note(entry(0, 1), "weight", viewOf(0));
    assert.equal(watch?.take()[0]?.shares[0]?.decay, decay, spec.protocol.mode);
  }
});
