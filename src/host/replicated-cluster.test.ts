/** Clusters whose chunks have copies: servers end in mid-run, and nothing else changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Compression } from "../protocol/compression.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { specOf as specOfEpochs } from "./testing/compressed-toys.js";
import type { Toy } from "./testing/memory-cluster.js";
import { asp, heard, runStruck } from "./testing/struck-toys.js";

const specOf = (changes: Partial<RunSpec>, push: Compression = { codec: "none", share: 1 }) =>
  specOfEpochs(300, { push }, { servers: 3, replicas: 2, ...changes });

/** Ends one server after the other, each once all chunks have their copies, and starts it again. */
function killing(servers: readonly number[]): (toy: Toy) => void {
  const strike = async (toy: Toy) => {
    let at = 0;
    for (const server of servers) {
      at = await heard(toy, /^redundant/, at);
      await toy.kill(server);
      at = await heard(toy, /: lost/, at);
      await toy.restart(server);
    }
  };
  return (toy) => void strike(toy);
}

for (const push of [
  { codec: "none", share: 1 },
  { codec: "fp16", share: 1 },
] as const) {
  test(`servers that end one after the other cost a run with ${push.codec} no bit`, async () => {
    const spec = specOf({}, push);
    const undisturbed = await runStruck({ ...spec, replicas: 1 });
    const { result, weights, events } = await runStruck(spec, killing([1, 0, 2, 1]));
    assert.equal(result.outcome, "done", result.reason);
    assert.equal(events.filter(({ text }) => /^server-. .*: lost/.test(text)).length, 4);
    assert.deepEqual(weights, undisturbed.weights);
    const used = result.epochs.reduce((sum, { examples }) => sum + examples, 0);
    assert.equal(used, spec.trainExamples * spec.epochs);
    assert.equal(result.globalSteps, undisturbed.result.globalSteps);
  });
}

test("a server that ends where nobody sees it is lost when others are refused there", async () => {
  const spec = specOf({});
  const undisturbed = await runStruck({ ...spec, replicas: 1 });
  const { result, weights, events } = await runStruck(spec, (toy) => {
    void heard(toy, /^redundant/, 0).then(() => toy.kill(1, false));
  });
  assert.equal(result.outcome, "done", result.reason);
  const lost = events.filter(({ kind }) => kind === "lost").map(({ text }) => text);
  assert.equal(lost.length, 1);
  assert.match(
    lost[0]!,
    /^server-1 connection closed 0\.\d s ago and .* is refused at its address/,
  );
  assert.deepEqual(weights, undisturbed.weights);
});

test("asynchronous pushes that were answered are in the versions after servers ended", async () => {
  const spec = specOf({ protocol: asp });
  const { result, saved } = await runStruck(spec, killing([0, 2]));
  assert.equal(result.outcome, "done", result.reason);
  const pushes = Object.values(result.workers).reduce((sum, { steps }) => sum + steps, 0);
  for (const { version } of saved.state.marks) assert.equal(version, pushes);
});

test("a server that is lost before its chunks have copies ends the run", async () => {
  const { result } = await runStruck(specOf({ replicas: 1 }), (toy) => {
    void heard(toy, /^training starts/, 0).then(() => toy.kill(1));
  });
  assert.deepEqual([result.outcome, result.code], ["failed", "member_lost"]);
  assert.match(result.reason, /^server-1 .* its chunks had no other replica/);
});

test("more replicas than servers are said, and met when servers come", async () => {
  const spec = specOf({ servers: 2, replicas: 3 });
  const { result, events } = await runStruck(spec);
  assert.equal(result.outcome, "done", result.reason);
  const text = "redundant: every chunk is on 2 servers; --replicas 3 needs 1 more server";
  assert.ok(events.some((event) => event.text === text));
});
