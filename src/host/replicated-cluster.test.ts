/** Clusters whose chunks have copies: servers end in mid-run, and nothing else changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Compression } from "../protocol/compression.js";
import type { Protocol, RunSpec } from "../protocol/run-spec.js";
import { layoutOf, specOf as specOfEpochs } from "./testing/compressed-toys.js";
import { type Outcome, runInMemory, type Toy } from "./testing/memory-cluster.js";
import { ToyCompute, type ToyGradients } from "./testing/toy-compute.js";

/** Pulls each parameter towards a number of its own, a little differently for each example. */
const attraction: ToyGradients = ({ range }, gradients, parameters) => {
  const noise = ((range.start % 5) - 2) / 50;
  for (let index = 0; index < gradients.length; index++) {
    gradients[index] = parameters[index]! - Math.sin(index) * 2 + noise;
  }
};

const asp: Protocol = {
  mode: "asp",
  staleness: { rule: "none", scale: 0.1, floor: 0.1, max: 5 },
};

const specOf = (changes: Partial<RunSpec>, push: Compression = { codec: "none", share: 1 }) =>
  specOfEpochs(300, { push }, { servers: 3, replicas: 2, ...changes });

function run(spec: RunSpec, during: (toy: Toy) => void = () => {}): Promise<Outcome> {
  const { values } = layoutOf(spec);
  const state = [0, 1].map(() => new Float32Array(values));
  const fresh = { weights: new Float32Array(values).fill(3), state };
  const compute = () => new ToyCompute(layoutOf, attraction);
  return runInMemory({ spec, layoutOf, fresh, compute, during });
}

/** Waits until an event's text tells of something, from a place in the events on. */
function heard({ events }: Toy, what: RegExp, from: number): Promise<number> {
  return new Promise((resolve) => {
    const look = () => {
      const at = events.findIndex(({ text }, index) => index >= from && what.test(text));
      if (at >= 0) resolve(at + 1);
      else setTimeout(look, 1);
    };
    look();
  });
}

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
    const undisturbed = await run({ ...spec, replicas: 1 });
    const { result, weights, events } = await run(spec, killing([1, 0, 2, 1]));
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
  const undisturbed = await run({ ...spec, replicas: 1 });
  const { result, weights, events } = await run(spec, (toy) => {
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
  const { result, saved } = await run(spec, killing([0, 2]));
  assert.equal(result.outcome, "done", result.reason);
  const pushes = Object.values(result.workers).reduce((sum, { steps }) => sum + steps, 0);
  for (const { version } of saved.state.marks) assert.equal(version, pushes);
});

test("a server that is lost before its chunks have copies ends the run", async () => {
  const { result } = await run(specOf({ replicas: 1 }), (toy) => {
    void heard(toy, /^training starts/, 0).then(() => toy.kill(1));
  });
  assert.deepEqual([result.outcome, result.code], ["failed", "member_lost"]);
  assert.match(result.reason, /^server-1 .* its chunks had no other replica/);
});

test("more replicas than servers are said, and met when servers come", async () => {
  const spec = specOf({ servers: 2, replicas: 3 });
  const { result, events } = await run(spec);
  assert.equal(result.outcome, "done", result.reason);
  const text = "redundant: every chunk is on 2 servers; --replicas 3 needs 1 more server";
  assert.ok(events.some((event) => event.text === text));
});
