/** How a worker without files gets its examples when the link to the coordinator fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../../errors.js";
import type { ExamplesBlock } from "../../protocol/examples.js";
import { sampleInput, sampleSpec } from "../../protocol/testing/sample-run.js";
import { type AskForExamples, ExamplesRefused, SentExamples } from "./sent-examples.js";

const place = { split: "train", epoch: 1, start: 4, end: 6 } as const;
const spec = { ...sampleSpec, input: { ...sampleInput, shape: [1, 1, 2] } } as const;
const broken = new PacelineError("unavailable", "the connection broke");

function block(labels: readonly number[], values: readonly number[]): ExamplesBlock {
  const arrays = { labels: Int32Array.from(labels), values: Uint8Array.from(values) };
  return { count: 2, shape: [1, 1, 2], dtype: "u8", ...arrays };
}

/** Answers with each of these in turn: an error after some blocks, or blocks alone. */
function answering(...answers: { blocks: ExamplesBlock[]; error?: PacelineError }[]) {
  const asked: unknown[] = [];
  const ask: AskForExamples = async (request, onBlock) => {
    asked.push(request);
    const answer = answers[Math.min(asked.length, answers.length) - 1]!;
    for (const one of answer.blocks) onBlock(one);
    if (answer.error !== undefined) throw answer.error;
  };
  return { ask, asked };
}

const whole = [block([3], [1, 2, 3]), block([9], [4])];

test("blocks are put together in their order", async () => {
  const { ask, asked } = answering({ blocks: whole });
  const batch = await new SentExamples(spec, { ask, ioTimeoutMs: 1000 }).fetch(place);
  assert.deepEqual(
    [[...batch.labels], [...batch.pixels]],
    [
      [3, 9],
      [1, 2, 3, 4],
    ],
  );
  assert.deepEqual(asked, [{ run: "r", ...place }]);
});

test("after a broken link the same is asked for again, from its beginning", async () => {
  const half = { blocks: [block([7], [8])], error: broken };
  const { ask, asked } = answering({ blocks: [], error: broken }, half, { blocks: whole });
  const batch = await new SentExamples(spec, { ask, ioTimeoutMs: 5000 }).fetch(place);
  assert.deepEqual([...batch.pixels], [1, 2, 3, 4]);
  assert.equal(asked.length, 3);
  assert.deepEqual(asked[2], asked[0]);
});

test("patience ends with the time-out, and when nobody wants the examples any more", async () => {
  for (const [ioTimeoutMs, close] of [
    [150, false],
    [60_000, true],
  ] as const) {
    const { ask, asked } = answering({ blocks: [], error: broken });
    const examples = new SentExamples(spec, { ask, ioTimeoutMs });
    const batch = examples.fetch(place);
    if (close) examples.close();
    await assert.rejects(batch, { code: "unavailable" });
    assert.ok(close ? asked.length === 1 : asked.length > 1, `${asked.length} times`);
  }
});

test("what the coordinator refuses, and what is not the run's, is asked for once", async () => {
  const refusal = new PacelineError("refused", "run r is not on here");
  const refused = answering({ blocks: [], error: refusal });
  const source = { ask: refused.ask, ioTimeoutMs: 1000 };
  await assert.rejects(new SentExamples(spec, source).fetch(place), refusal);
  assert.equal(refused.asked.length, 1);
  for (const [blocks, reason] of [
    [[block([3, 10], [1, 2, 3, 4])], /^label 10 is not one of 0 to 9$/],
    [[block([3, -1], [1, 2, 3, 4])], /^label -1 is not one of 0 to 9$/],
    [[block([3, 4, 5], [1, 2, 3, 4])], /^more labels arrived for 2 examples of 4 bytes in all$/],
    [[block([3], [1, 2, 3, 4])], /^only 1 labels arrived for 2 examples/],
    [[block([3, 4], [1, 2, 3])], /^only 3 bytes arrived for 2 examples/],
    [[], /^only 0 labels arrived/],
  ] as const) {
    const lying = answering({ blocks: [...blocks] });
    const fetched = new SentExamples(spec, { ask: lying.ask, ioTimeoutMs: 1000 }).fetch(place);
    await assert.rejects(fetched, (thrown) => {
      assert.ok(thrown instanceof ExamplesRefused);
      assert.match(thrown.message, reason);
      return true;
    });
    assert.equal(lying.asked.length, 1);
  }
});
