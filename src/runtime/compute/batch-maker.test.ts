import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PacelineError } from "../../errors.js";
import type { StepRange } from "../../protocol/examples.js";
import { sampleInput } from "../../protocol/testing/sample-run.js";
import { BatchMaker, type MadeBatch } from "./batch-maker.js";
import type { ExampleReader } from "./example-reader.js";

const augment = { cropPadding: 2, flip: true, standardise: false };
const spec = { seed: 5, input: { ...sampleInput, augment } };
const first: StepRange = { step: 3, epoch: 1, range: { start: 8, end: 12 } };

/** Examples whose bytes follow from their positions; those from 100 on can't be read. */
const reader = {
  read({ split, epoch, start, end }, pixels, labels) {
    if (start >= 100) throw new PacelineError("data", "block 4 has a wrong checksum");
    const from = split === "test" ? 7 : epoch;
    for (let index = 0; index < end - start; index++) {
      pixels.fill((start + index) * 3 + from, index * 784, index * 784 + 400);
      labels[index] = (start + index) % 10;
    }
  },
} as Pick<ExampleReader, "read"> as ExampleReader;

function maker(): BatchMaker {
  let nowMs = 0;
  return new BatchMaker(spec, reader, 4, () => ++nowMs);
}

function contentOf({ batch }: MadeBatch): unknown {
  const { x, y, n } = batch;
  return [[...x.subarray(0, n * 784)], [...y.subarray(0, n)]];
}

const alone = contentOf(maker().ofStep(first, 0, null));

describe("a batch made ahead", () => {
  test("has the values that it has when its step makes it", () => {
    const batches = maker();
    batches.makeAhead(first, 0);
    const made = batches.ofStep(first, 0, null);
    assert.equal(made.isAhead, true);
    assert.deepEqual(contentOf(made), alone);
    assert.equal(batches.ofStep(first, 0, null).isAhead, false);
  });

  const others: readonly [title: string, about: StepRange, rank: number][] = [
    ["another step", { ...first, step: 4 }, 0],
    ["another epoch", { ...first, epoch: 2 }, 0],
    ["other examples", { ...first, range: { start: 9, end: 13 } }, 0],
    ["fewer examples", { ...first, range: { start: 8, end: 11 } }, 0],
    ["another rank", first, 1],
  ];
  for (const [title, about, rank] of others) {
    test(`is thrown away when ${title} is computed`, () => {
      const batches = maker();
      batches.makeAhead(first, 0);
      const made = batches.ofStep(about, rank, null);
      assert.equal(made.isAhead, false);
      assert.deepEqual(contentOf(made), contentOf(maker().ofStep(about, rank, null)));
    });
  }

  test("is thrown away when its memory is needed for test examples", () => {
    const batches = maker();
    batches.makeAhead(first, 0);
    batches.ofTest(0, 4, null);
    const made = batches.ofStep(first, 0, null);
    assert.deepEqual([made.isAhead, contentOf(made)], [false, alone]);
  });

  test("says what is wrong with its examples only when its step is computed", () => {
    const batches = maker();
    const broken = { ...first, range: { start: 100, end: 104 } };
    batches.makeAhead(broken, 0);
    assert.deepEqual(contentOf(batches.ofStep(first, 0, null)), alone);
    batches.makeAhead(broken, 0);
    assert.throws(() => batches.ofStep(broken, 0, null), { code: "data", message: /checksum/ });
  });

  test("is not made where examples are sent", () => {
    const batches = new BatchMaker(spec, null, 4, () => 0);
    batches.makeAhead(first, 0);
    const sent = { pixels: new Uint8Array(4 * 784).fill(9), labels: Int32Array.of(1, 2, 3, 4) };
    assert.equal(batches.ofStep(first, 0, sent).isAhead, false);
  });
});
