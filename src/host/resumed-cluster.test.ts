/**
 * Runs that drop much of what they send, stopped at a checkpoint and resumed, in whole clusters
 * over the memory transport: they end in the bits of runs that never stopped.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Compression, CompressionSpec } from "../protocol/compression.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { interruptAt, layoutOf, specOf as specOfEpochs } from "./testing/compressed-toys.js";
import { type Outcome, runInMemory, type SavedRun, type Toy } from "./testing/memory-cluster.js";
import { ToyCompute, type ToyGradients } from "./testing/toy-compute.js";

const weights = 120;

const attraction: ToyGradients = ({ range, step }, gradients, parameters) => {
  const noise = ((range.start % 5) - 2) / 50 + (step % 3) / 100;
  for (let index = 0; index < gradients.length; index++) {
    gradients[index] = parameters[index]! - Math.sin(index) * 2 + noise * Math.cos(index);
  }
};

const specOf = (compression: Partial<CompressionSpec>, changes: Partial<RunSpec> = {}) =>
  specOfEpochs(20, compression, changes);

interface Around {
  readonly from?: SavedRun | null;
  readonly during?: (toy: Toy) => void;
  readonly log?: (text: string) => void;
}

function run(spec: RunSpec, around: Around = {}): Promise<Outcome> {
  const fresh = { weights: new Float32Array(layoutOf(spec).values).fill(3), state: [] };
  const compute = () => new ToyCompute(layoutOf, attraction);
  return runInMemory({ spec, layoutOf, fresh, compute, ...around });
}

async function interrupted(spec: RunSpec): Promise<Outcome> {
  const outcome = await run(spec, { during: interruptAt(5) });
  assert.equal(outcome.result.outcome, "interrupted", outcome.result.reason);
  return outcome;
}

const pushes: readonly Compression[] = [
  { codec: "topk", share: 0.1 },
  { codec: "randomk", share: 0.2 },
  { codec: "onebit", share: 1 },
  { codec: "topk2bit", share: 0.1 },
];
const pulls: readonly Compression[] = [
  { codec: "topk", share: 0.2 },
  { codec: "onebit", share: 1 },
];
const again = { run: "toy-again" };

for (const push of pushes) {
  test(`pushes as ${push.codec}: interrupted and resumed, the bits are the same`, async () => {
    const spec = specOf({ push });
    const uncut = await run(spec);
    const first = await interrupted(spec);
    assert.deepEqual(
      first.saved.state.residuals.map(({ rank, values }) => [rank, values.length]),
      [0, 1, 2].map((rank) => [rank, weights]),
    );
    const said: string[] = [];
    const log = (text: string) => void said.push(text);
    const second = await run({ ...spec, ...again }, { from: first.saved, log });
    assert.equal(second.result.outcome, "done", second.result.reason);
    assert.deepEqual(second.weights, uncut.weights);
    assert.deepEqual(second.saved.state.residuals, uncut.saved.state.residuals);
    const heirs = said.filter((text) => /residuals of 3 chunks .* are restored/.test(text));
    assert.equal(heirs.length, 3, said.join("\n"));
  });

  test(`pushes as ${push.codec}: without residuals the bits are others`, async () => {
    const spec = specOf({ push });
    const uncut = await run(spec);
    const { saved } = await interrupted(spec);
    const from = { ...saved, state: { ...saved.state, residuals: [] } };
    const second = await run({ ...spec, ...again }, { from });
    assert.notDeepEqual(second.weights, uncut.weights);
  });
}

const bothWays: readonly Partial<CompressionSpec>[] = [
  { pull: pulls[0]! },
  { pull: pulls[1]! },
  { push: pushes[0]!, pull: pulls[0]! },
  { push: pushes[1]!, pull: pulls[1]! },
  { push: pushes[2]!, pull: pulls[1]! },
];
for (const compression of bothWays) {
  const [push, pull] = [compression.push?.codec ?? "none", compression.pull!.codec];
  test(`pushes as ${push}, pulls as ${pull}: resumed from any checkpoint alike`, async () => {
    const spec = specOf(compression, { checkpointEvery: { unit: "step", count: 17 } });
    const uncut = await run(spec);
    assert.equal(uncut.result.outcome, "done", uncut.result.reason);
    const last = uncut.checkpoints.length - 1;
    assert.ok(last >= 4, `${last} checkpoints`);
    for (const at of [0, last - 1]) {
      const rest = await run({ ...spec, ...again }, { from: uncut.checkpoints[at]! });
      assert.equal(rest.result.outcome, "done", rest.result.reason);
      for (const { step, state } of rest.checkpoints) {
        const same = uncut.checkpoints.find((one) => one.step === step);
        assert.deepEqual(state.weights, same?.state.weights, `step ${step} from ${at}`);
        assert.deepEqual(state.residuals, same?.state.residuals, `step ${step} from ${at}`);
      }
      assert.ok(rest.checkpoints.length >= last - at);
    }
  });
}

test("leased batches too are resumed in the same bits", async () => {
  const spec = specOf({ push: pushes[0]! }, { feed: "leased" });
  const uncut = await run(spec);
  const first = await interrupted(spec);
  const second = await run({ ...spec, ...again }, { from: first.saved });
  assert.deepEqual(second.weights, uncut.weights);
});

test("another codec goes on with residuals, and one that wants none drops them", async () => {
  const first = await interrupted(specOf({ push: pushes[0]! }));
  const cases: readonly (readonly [Partial<CompressionSpec>, RegExp, number])[] = [
    [{ push: pushes[2]! }, /as onebit with .* residuals of 3 chunks .* are restored/, 3],
    [{}, /residuals of 3 chunks \(120 values\) .* are dropped: pushes are sent as none$/, 0],
    [{ push: pushes[0]!, feedback: false }, /dropped: pushes are sent as topk:0.1 without/, 0],
  ];
  for (const [compression, sentence, kept] of cases) {
    const said: string[] = [];
    const log = (text: string) => void said.push(text);
    const spec = { ...specOf(compression), ...again };
    const second = await run(spec, { from: first.saved, log });
    assert.equal(second.result.outcome, "done", second.result.reason);
    const found = said.filter((text) => sentence.test(text));
    assert.equal(found.length, 3, said.join("\n"));
    assert.equal(second.saved.state.residuals.length, kept);
  }
});

test("a rank that the checkpoint knows nothing of starts at zero and says so", async () => {
  const first = await interrupted(specOf({ push: pushes[0]! }));
  const { saved } = first;
  const residuals = saved.state.residuals.filter(({ rank }) => rank !== 1);
  const said: string[] = [];
  const from = { ...saved, state: { ...saved.state, residuals } };
  const log = (text: string) => void said.push(text);
  await run({ ...specOf({ push: pushes[0]! }), ...again }, { from, log });
  assert.equal(said.filter((text) => /residuals start at zero/.test(text)).length, 1);
  assert.equal(said.filter((text) => /residuals of 3 chunks/.test(text)).length, 2);
});

test("links that are cut at the barrier cost time and not a bit", async () => {
  const spec = specOf(
    { push: pushes[0]!, pull: pulls[1]! },
    { checkpointEvery: { unit: "step", count: 17 } },
  );
  const uncut = await run(spec);
  const cut = await run(spec, {
    during: ({ network, coordinator }) => {
      const timer = setInterval(() => {
        if (coordinator.snapshot().epoch < 2) return;
        clearInterval(timer);
        for (const other of ["coordinator", "server-0"]) network.cut("worker-1", other);
        setTimeout(() => network.restore("worker-1", "coordinator"), 150);
        setTimeout(() => network.restore("worker-1", "server-0"), 250);
      }, 1);
    },
  });
  assert.equal(cut.result.outcome, "done", cut.result.reason);
  assert.deepEqual(cut.weights, uncut.weights);
  assert.deepEqual(cut.saved.state.residuals, uncut.saved.state.residuals);
});
