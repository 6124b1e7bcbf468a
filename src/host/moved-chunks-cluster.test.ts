/** Clusters whose servers come and go in mid-run: chunks move, and nothing else changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { casesOf } from "../core/testing/seeds.js";
import { type CompressionSpec, uncompressed } from "../protocol/compression.js";
import { movesBetween, placeChunks } from "../protocol/placement/placement.js";
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
for (const [title, replicas, push, pull] of casesOf([
  ["one replica", 1, none, none],
  ["two replicas", 2, none, none],
  ["compressed pushes and pulls", 1, { codec: "topk", share: 0.1 }, { codec: "fp16", share: 1 }],
] as const)) {
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
  for (const replicas of casesOf([2, 1])) {
    const { result, saved, events } = await runStruck(specOf({ protocol: asp, replicas }), growing);
    assert.equal(result.outcome, "done", result.reason);
    assert.ok(events.some(({ text }) => /^server-1 drained/.test(text)));
    const pushes = Object.values(result.workers).reduce((sum, { steps }) => sum + steps, 0);
    for (const { version } of saved.state.marks) assert.equal(version, pushes);
  }
});

test("a worker that is drained completes its step, and nothing is torn", async () => {
  for (const protocol of [{ mode: "bsp" }, asp]) {
    const spec = specOf({ protocol, feed: "leased" });
    const { result, events } = await runStruck(spec, (toy) => {
      const change = async () => {
        const at = await heard(toy, /^Epoch 3\//);
        const said = await toy.coordinator.drain({ role: "worker", rank: 2 });
        assert.equal(said, "worker-2 leaves when its present step is complete");
        await heard(toy, /^worker-2 drained/, at);
      };
      void change();
    });
    assert.equal(result.outcome, "done", result.reason);
    const left = events.filter(({ kind }) => ["left", "lost"].includes(kind));
    assert.match(
      left.map(({ text }) => text).join(),
      /^worker-2 drained at step \d+, going on with 2/,
    );
    assert.equal(result.tornSteps, 0);
    const used = result.epochs.reduce((sum, { examples }) => sum + examples, 0);
    assert.equal(used, spec.trainExamples * spec.epochs);
  }
});

test("nobody is drained who is not there, or without whom too few are left", async () => {
  const refusals: string[] = [];
  const { result } = await runStruck(specOf({ workersMin: 3, epochs: 20 }), (toy) => {
    const ask = async () => {
      await heard(toy, /^Epoch 3\//);
      for (const [role, rank] of [
        ["server", 2],
        ["worker", 3],
        ["server", 1],
        ["worker", 0],
      ] as const) {
        await toy.coordinator.drain({ role, rank }).catch(({ code, message }) => {
          refusals.push(`${code}: ${message}`);
        });
      }
    };
    void ask();
  });
  assert.equal(result.outcome, "done", result.reason);
  const members = "members are server-0, server-1, worker-0, worker-1, worker-2";
  const few = "and at least";
  assert.deepEqual(refusals, [
    `refused: there is no server-2; ${members}`,
    `refused: there is no worker-3; ${members}`,
    `refused: server-1 can't be drained: 2 servers take part ${few} 2 must be left; ` +
      "start another first, within the maximum of --servers",
    `refused: worker-0 can't be drained: 3 workers take part ${few} 3 must be left`,
  ]);
});

test("servers that are lost in the middle of moves cost a run with copies no bit", async () => {
  const spec = specOf({ replicas: 2, servers: 3 });
  const undisturbed = await runStruck({ ...spec, replicas: 1 });
  for (const lost of casesOf([0, 3])) {
    const { result, weights, events } = await runStruck(spec, (toy) => {
      const strike = async () => {
        let at = await heard(toy, /^redundant/);
        await toy.restart(3);
        at = await heard(toy, /^chunk moves: \d+ of/, at);
        await toy.kill(lost);
        at = await heard(toy, moved, at);
        await toy.restart(lost);
        await heard(toy, moved, at);
      };
      void strike();
    });
    assert.equal(result.outcome, "done", result.reason);
    assert.equal(events.filter(({ text }) => /^server-\d .*: lost/.test(text)).length, 1);
    assert.deepEqual(weights, undisturbed.weights);
  }
});

test("a server that is lost with the only copy of a moved chunk has the run go back", async () => {
  const spec = specOf({ checkpointEvery: { unit: "step", count: 30 } });
  const undisturbed = await runStruck(spec);
  const { result, weights, events } = await runStruck(
    spec,
    (toy) => {
      const strike = async () => {
        let at = await heard(toy, /^checkpoint of step 30 /);
        await toy.restart(2);
        at = await heard(toy, moved, at);
        await toy.kill(2);
        at = await heard(toy, /^the run goes back/, at);
        at = await heard(toy, /^training starts/, at);
        await toy.restart(3);
        await heard(toy, moved, at);
      };
      void strike();
    },
    100,
  );
  assert.equal(result.outcome, "done", result.reason);
  assert.ok(events.some(({ text }) => /^waiting up to 0.1 s for server-2 to come/.test(text)));
  assert.deepEqual(weights, undisturbed.weights);
});

/** A server says that its process is to end. */
function askToLeave({ coordinator }: Toy, server: number): void {
  const { members } = coordinator.snapshot();
  const member = members.find(({ role, rank }) => role === "server" && rank === server)!;
  const message = { type: "leaving", reason: "SIGTERM" } as const;
  coordinator.tell({ type: "message", member, message });
}

test("a server that asks to leave stays while it is needed, and goes later", async () => {
  const { result, events } = await runStruck(specOf(), (toy) => {
    const change = async () => {
      const at = await heard(toy, /^training starts/);
      for (const _ of [0, 1]) askToLeave(toy, 1);
      await heard(toy, /^server-1 asks to leave \(SIGTERM\): server-1 can't be drained/, at);
      await toy.restart(2);
      await heard(toy, moved, at);
      askToLeave(toy, 1);
      await heard(toy, /^server-1 drained: \d+ chunks moved/, at);
    };
    void change();
  });
  assert.equal(result.outcome, "done", result.reason);
  const asked = events.filter(({ text }) => /^server-1 asks to leave/.test(text));
  assert.match(asked.at(-1)!.text, /server-1 is drained: \d+ chunks to be moved$/);
  assert.equal(asked.length, 2, "a refusal is said once");
  assert.equal(events.filter(({ kind }) => kind === "left").length, 1);
});

test("a server that asks to leave goes at once where others have copies", async () => {
  const spec = specOf({ replicas: 2, serversMax: null });
  const undisturbed = await runStruck({ ...spec, replicas: 1, servers: 1 });
  const { result, events, weights } = await runStruck(spec, (toy) => {
    const change = async () => {
      const at = await heard(toy, /^redundant: every chunk is on 2 servers/);
      askToLeave(toy, 1);
      await heard(toy, /^server-1 drained$/, at);
    };
    void change();
  });
  assert.equal(result.outcome, "done", result.reason);
  const asked = events.find(({ text }) => /^server-1 asks to leave/.test(text));
  assert.match(asked!.text, /it leaves, as others have copies of all its chunks$/);
  assert.deepEqual(
    events.filter(({ kind }) => kind === "lost"),
    [],
  );
  assert.deepEqual(weights, undisturbed.weights);
});
