/** Clusters whose servers come and go in mid-run: chunks move, and nothing else changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CompressionSpec, uncompressed } from "../protocol/compression.js";
import { movesBetween, placeChunks } from "../protocol/placement.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { layoutOf, specOf as specOfEpochs } from "./testing/compressed-toys.js";
import type { Outcome, Toy } from "./testing/memory-cluster.js";
import { asp, heard, runStruck } from "./testing/struck-toys.js";

const range = { servers: 2, serversMax: 4, chunkValues: 8 };

const specOf = (changes: Partial<RunSpec> = {}, codecs: Partial<CompressionSpec> = {}) =>
  specOfEpochs(300, codecs, { ...range, ...changes });

const moved = /^chunk moves: \d+ done/;

/** Two servers more, and then one less. */
function growing(toy: Toy): void {
  const change = async () => {
    let at = await heard(toy, /^training starts/);
    for (const server of [2, 3]) {
      await toy.restart(server);
      at = await heard(toy, moved, at);
    }
    assert.match(
      await toy.coordinator.drain({ role: "server", rank: 1 }),
      /^server-1 is drained: \d+ chunks to be moved$/,
    );
    await assert.rejects(
      toy.coordinator.drain({ role: "server", rank: 1 }),
      /server-1 is being drained already/,
    );
    await heard(toy, /^server-1 drained/, at);
  };
  void change();
}

/** What moved in each of the moves that were told. */
function movesIn({ events }: Outcome): number[] {
  return events.flatMap(({ text }) => {
    const [, total] = /^chunk moves: \d+ of (\d+) left$/.exec(text) ?? [];
    return total === undefined ? [] : [Number(total)];
  });
}

function primariesOn(servers: readonly number[], spec: RunSpec): readonly number[] {
  const { chunks } = layoutOf(spec);
  return placeChunks({ ...spec, chunks, servers }).primaries;
}

const none = { codec: "none", share: 1 } as const;
for (const [title, replicas, push, pull] of [
  ["one replica", 1, none, none],
  ["two replicas", 2, none, none],
  ["compressed pushes and pulls", 1, { codec: "topk", share: 0.1 }, { codec: "fp16", share: 1 }],
] as const) {
  test(`with ${title} a run that grows from 2 to 4 and 3 servers has the same bits`, async () => {
    const codecs = { ...uncompressed, push, pull };
    const spec = specOf({ replicas, checkpointEvery: { unit: "step", count: 100 } }, codecs);
    const undisturbed = await runStruck({ ...spec, replicas: 1, servers: 1, serversMax: null });
    const outcome = await runStruck(spec, growing);
    const { result, weights, events } = outcome;
    assert.equal(result.outcome, "done", result.reason);
    const left = events.filter(({ kind }) => kind === "left");
    assert.match(left.map(({ text }) => text).join(), /^server-1 drained: \d+ chunks moved in \d/);
    assert.deepEqual(
      events.filter(({ kind }) => ["lost", "warning"].includes(kind)),
      [],
    );
    assert.deepEqual(weights, undisturbed.weights);
    const used = result.epochs.reduce((sum, { examples }) => sum + examples, 0);
    assert.equal(used, spec.trainExamples * spec.epochs);
    assert.equal(result.globalSteps, undisturbed.result.globalSteps);
    if (replicas > 1) return;
    const places = [
      [0, 1],
      [0, 1, 2],
      [0, 1, 2, 3],
      [0, 2, 3],
    ].map((servers) => primariesOn(servers, spec));
    const ring = places.slice(1).map((after, index) => movesBetween(places[index]!, after).length);
    assert.deepEqual(movesIn(outcome), ring, "what the ring says moves, and nothing else");
  });
}

test("asynchronous pushes that were answered are in the versions after chunks moved", async () => {
  for (const replicas of [1, 2]) {
    const { result, saved, events } = await runStruck(specOf({ protocol: asp, replicas }), growing);
    assert.equal(result.outcome, "done", result.reason);
    assert.ok(events.some(({ text }) => /^server-1 drained/.test(text)));
    const pushes = Object.values(result.workers).reduce((sum, { steps }) => sum + steps, 0);
    for (const { version } of saved.state.marks) assert.equal(version, pushes);
  }
});
