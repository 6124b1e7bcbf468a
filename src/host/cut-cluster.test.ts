/**
 * Checkpoints for which nobody stops, in whole clusters of the real hosts: a worker that stays in
 * the middle of its pushes delays the checkpoint, and no other worker.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { uncompressed } from "../protocol/compression.js";
import type { Protocol } from "../protocol/run-spec.js";
import { layoutOf, specOf } from "./testing/compressed-toys.js";
import { runInMemory, type Toy } from "./testing/memory-cluster.js";
import { asp, attraction } from "./testing/struck-toys.js";
import { ToyCompute } from "./testing/toy-compute.js";

const ssp: Protocol = { mode: "ssp", staleness: 1_000_000 };

/** Resolves once this holds; fails where it does not within some seconds. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 10_000, what);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

for (const protocol of [asp, ssp]) {
  test(`in ${protocol.mode} a worker amid its pushes delays no other by a checkpoint`, async () => {
    const spec = specOf(60, uncompressed, {
      ...{ protocol, servers: 3, evaluateEvery: null, workersMax: 2, workersMin: 2 },
      checkpointEvery: { unit: "step", count: 40 },
    });
    /** Steps of the worker that is not held up. */
    let steps = 0;
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    /** How many it had begun when the checkpoint was seen to wait. */
    let stepsBefore = 0;
    const watch = async ({ coordinator, events }: Toy) => {
      const waits = () => /pushes that belong to it/.test(coordinator.snapshot().activity);
      await until(waits, "a checkpoint waits for the push");
      stepsBefore = steps;
      await until(() => steps >= stepsBefore + 100, "the other worker goes on");
      assert.ok(waits(), "and the checkpoint waits all the time");
      assert.ok(!events.some(({ kind }) => kind === "checkpoint"));
    };
    let watched: Promise<void> = Promise.resolve();
    const { values } = layoutOf(spec);
    const { result, checkpoints } = await runInMemory({
      ...{ spec, layoutOf },
      fresh: {
        weights: new Float32Array(values).fill(3),
        state: [0, 1].map(() => new Float32Array(values)),
      },
      compute: (_transport, rank) => {
        const halfway = rank === 0 ? held : null;
        const count: typeof attraction = (...about) => {
          if (rank === 1) steps++;
          attraction(...about);
        };
        return new ToyCompute(layoutOf, count, null, halfway);
      },
      during: (toy) => {
        watched = watch(toy).finally(release);
      },
    });
    await watched;
    assert.equal(result.outcome, "done", result.reason);
    const [first] = checkpoints;
    assert.ok(first !== undefined);
    const { snapshot, state } = first;
    const marksOf = (rank: number) =>
      state.marks.map(({ applied }) => applied.find((mark) => mark.rank === rank)?.step);
    assert.deepEqual(new Set(marksOf(0)), new Set([0]), "its step is in it on all chunks");
    assert.equal(new Set(marksOf(1)).size, 1);
    assert.ok(marksOf(1)[0]! < stepsBefore, "what came later is not");
    assert.deepEqual(snapshot.epochs, [], "of the first epoch it has a part left");
    const sumOf = (field: "examples" | "lossSum" | "lostExamples") =>
      snapshot.openEpochs.reduce((sum, open) => sum + open[field], 0);
    for (const { examples } of state.marks) assert.equal(examples, sumOf("examples"));
    assert.equal(sumOf("lossSum"), sumOf("examples"), "each example costs 1");
    assert.equal(sumOf("lostExamples"), 0, "and the loss of all is known");
  });
}
