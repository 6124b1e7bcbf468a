/** Every codec through a whole cluster over the memory transport. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Compression, CompressionSpec } from "../protocol/compression.js";
import type { Protocol, RunSpec } from "../protocol/run-spec.js";
import { interruptAt, layoutOf, specOf as specOfEpochs } from "./testing/compressed-toys.js";
import { type Outcome, runInMemory, type SavedRun, type Toy } from "./testing/memory-cluster.js";
import { ToyCompute, type ToyGradients } from "./testing/toy-compute.js";

const targetOf = (index: number) => Math.sin(index) * 2;

/** Pulls each parameter towards a number of its own, a little differently for each example. */
const attraction: ToyGradients = ({ range }, gradients, parameters) => {
  const noise = ((range.start % 5) - 2) / 50;
  for (let index = 0; index < gradients.length; index++) {
    gradients[index] = parameters[index]! - targetOf(index) + noise;
  }
};

/** A loss that no two models share; a whole number, so that sums of it are exact. */
function hashOf(parameters: Float32Array): number {
  const words = new Uint32Array(parameters.buffer, parameters.byteOffset, parameters.length);
  return words.reduce((hash, word) => Math.imul(hash ^ word, 0x01000193) >>> 8, 7);
}

const specOf = (compression: Partial<CompressionSpec>, changes: Partial<RunSpec> = {}) =>
  specOfEpochs(40, compression, changes);

function run(
  spec: RunSpec,
  during: (toy: Toy) => void = () => {},
  from: SavedRun | null = null,
  log: (text: string) => void = () => {},
): Promise<Outcome> {
  const fresh = { weights: new Float32Array(layoutOf(spec).values).fill(3), state: [] };
  return runInMemory({
    spec,
    layoutOf,
    fresh,
    compute: () => new ToyCompute(layoutOf, attraction, hashOf),
    during,
    from,
    log,
  });
}

function furthest({ weights }: Outcome): number {
  return Math.max(...weights.map((value, index) => Math.abs(value - targetOf(index))));
}

const whole = { share: 1 } as const;
const pushes: readonly Compression[] = [
  { codec: "fp16", ...whole },
  { codec: "bf16", ...whole },
  { codec: "int8", ...whole },
  { codec: "topk", share: 0.1 },
  { codec: "randomk", share: 0.2 },
  { codec: "onebit", ...whole },
  { codec: "topk2bit", share: 0.1 },
];
const pulls: readonly Compression[] = [
  { codec: "fp16", ...whole },
  { codec: "bf16", ...whole },
  { codec: "topk", share: 0.2 },
  { codec: "onebit", ...whole },
  { codec: "topk2bit", share: 0.2 },
];
const ways: readonly (readonly [name: string, Partial<CompressionSpec>])[] = [
  ...pushes.map((push) => [`pushes as ${push.codec}`, { push }] as const),
  ...pulls.map((pull) => [`pulls as ${pull.codec}`, { pull }] as const),
  ["both ways by topk", { push: pushes[3]!, pull: pulls[2]! }],
  ["both ways by onebit", { push: pushes[5]!, pull: pulls[3]! }],
];

for (const [name, compression] of ways) {
  test(`${name}: training comes near, in the same bits with any servers and cuts`, async () => {
    const first = await run(specOf(compression));
    assert.equal(first.result.outcome, "done", first.result.reason);
    assert.ok(furthest(first) < 0.25, `${furthest(first)} from where it should be`);
    assert.notDeepEqual(first.weights, (await plain()).weights, "it was compressed at all");
    for (const servers of [1, 3]) {
      const other = await run(specOf(compression, { servers }));
      assert.deepEqual(other.weights, first.weights, `${servers} servers`);
    }
    const cut = await run(specOf(compression), ({ network, coordinator }) => {
      const timer = setInterval(() => {
        if (coordinator.snapshot().epoch < 3) return;
        clearInterval(timer);
        network.cut("worker-1", "server-0");
        network.cut("worker-2", "server-1");
        setTimeout(() => network.restore("worker-1", "server-0"), 150);
        setTimeout(() => network.restore("worker-2", "server-1"), 250);
      }, 1);
    });
    assert.equal(cut.result.outcome, "done", cut.result.reason);
    assert.deepEqual(cut.weights, first.weights, "links were cut");
  });
}

let plainRun: ReturnType<typeof run> | null = null;
/** Begun when it is first asked for: tests of other files may hold the process up before. */
const plain = () => (plainRun ??= run(specOf({})));

test("biases are exact: what they become does not depend on how weights travel", async () => {
  const compressed = await run(specOf({ push: pushes[3]!, pull: pulls[3]! }));
  assert.deepEqual(compressed.weights.slice(-3), (await plain()).weights.slice(-3));
});

test("a resumed run has the bits of one that was not where nothing is dropped", async () => {
  const compression = { push: pushes[2]!, pull: pulls[0]! };
  const spec = specOf(compression, { epochs: 60 });
  const uncut = await run(spec);
  const first = await run(spec, interruptAt(5));
  assert.equal(first.result.outcome, "interrupted");
  const second = await run({ ...spec, run: "toy-again" }, () => {}, first.saved);
  assert.deepEqual(second.weights, uncut.weights);
});

for (const pull of [...pulls, { codec: "none", ...whole } as const]) {
  test(`pulls as ${pull.codec}: what is evaluated is saved, and leaves no trace`, async () => {
    const often = { evaluateEvery: { unit: "step", count: 3 } } as const;
    const asp: Protocol = {
      mode: "asp",
      staleness: { rule: "scale", scale: 0.1, floor: 0.1, max: 5 },
    };
    const evaluated = await run(specOf({ pull }, often));
    const lr = { ...specOf({}).schedule, lr: 0.05 };
    const free = await run(specOf({ pull }, { ...often, protocol: asp, schedule: lr }));
    for (const { result, weights } of [evaluated, free]) {
      assert.equal(result.outcome, "done", result.reason);
      assert.equal(result.evaluations.at(-1)!.loss, hashOf(Float32Array.from(weights)));
    }
    // Steps that pass while an evaluation runs start none of their own, and ASP does not wait.
    assert.ok(evaluated.result.evaluations.length > 5, "at rest every third step has its own");
    assert.ok(free.result.evaluations.length >= 2, "one on the way and the last");
    const without = await run(specOf({ pull }));
    assert.deepEqual(evaluated.weights, without.weights, "workers train on what they had");
  });
}

test("every mode trains with both ways compressed", async () => {
  const asp: Protocol = {
    mode: "asp",
    staleness: { rule: "scale", scale: 0.1, floor: 0.1, max: 5 },
  };
  for (const protocol of [{ mode: "ssp", staleness: 2 }, asp] as Protocol[]) {
    for (const [push, pull] of [
      [pushes[2]!, pulls[0]!],
      [pushes[3]!, pulls[2]!],
      [pushes[5]!, pulls[3]!],
    ] as const) {
      const spec = specOf({ push, pull }, { protocol, epochs: 60 });
      const outcome = await run({ ...spec, schedule: { ...spec.schedule, lr: 0.05 } });
      assert.equal(outcome.result.outcome, "done", outcome.result.reason);
      const off = furthest(outcome);
      assert.ok(off < 0.4, `${protocol.mode} ${push.codec} ${pull.codec}: ${off}`);
    }
  }
});

test("auto measures, and within a process leaves values as they are", async () => {
  const said: string[] = [];
  const spec = specOf({ push: { codec: "auto", ...whole } });
  const outcome = await run(spec, undefined, null, (text) => said.push(text));
  assert.deepEqual(outcome.weights, (await plain()).weights);
  const choices = said.filter((text) => text.startsWith("--compress auto: a step takes"));
  assert.equal(choices.length, 3, said.join("\n"));
  for (const choice of choices) assert.match(choice, /pushes stay uncompressed/);
});
