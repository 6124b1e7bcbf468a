import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../random.js";
import type { Batch, EngineMemory, StepSeed } from "../engine.js";
import { initialParameters } from "../initialise.js";
import { valuesIn } from "../layer-kind.js";
import type { ModelGraph } from "../model.js";
import { buildModel } from "../models.js";
import { bindStandalone } from "../standalone.js";
import type { Dnnl } from "./dnnl.js";
import { createOneDnnEngine, OneDnnEngine } from "./engine.js";
import { openDnnl } from "./library.js";

const opened = openDnnl();
const skip = opened.dnnl === null && opened.reason;

function engineOf(threads = 1): OneDnnEngine {
  const { engine } = createOneDnnEngine({ dtype: "f32", threads });
  assert.ok(engine !== null);
  return engine;
}

/** Convolutions, normalisation, pools, dropout; small. */
const graph = buildModel("cnn6", { inputShape: [3, 8, 8] });

function batchOf(n: number, seed = 1): Batch {
  const random = new Random(seed, "batch");
  const x = Float32Array.from({ length: n * valuesIn(graph.inputShape) }, () => random.normal());
  return { x, y: Int32Array.from({ length: n }, () => random.below(10)), n };
}

/** A model in memory that threads share, as the compute thread has it. */
function bind(engine = engineOf(), own: ModelGraph = graph, batchMax = 6) {
  const sizes = bindStandalone(engine, own, 1, 1);
  const values = sizes.parameters.length;
  const shared = () => new Float32Array(new SharedArrayBuffer(4 * values));
  const memory: EngineMemory = { ...sizes, parameters: shared(), gradients: shared(), batchMax };
  memory.parameters.set(initialParameters(own, 3, memory.placement, values));
  const executor = engine.bind(own, memory);
  const tensor = (vector: Float32Array, name: string) => {
    const { offset, length } = memory.placement(name);
    return vector.subarray(offset, offset + length);
  };
  return { ...memory, executor, tensor };
}

/** Gradients of a step, after whatever the memory held before. */
function gradientsOf(
  { executor, gradients }: ReturnType<typeof bind>,
  batch: Batch,
  seed: StepSeed = ["seed"],
): Float32Array {
  gradients.fill(Number.NaN);
  executor.step(batch, seed, () => {});
  return gradients.slice();
}

function ignore(): void {}

describe("an executor of oneDNN", { skip }, () => {
  test("gives the same bits for whole batches, rests, and batches again", () => {
    const model = bind();
    const fresh = [6, 4, 1].map((n) => gradientsOf(bind(), batchOf(n)));
    for (const n of [6, 4, 1, 6, 1, 4, 4, 5, 3, 2, 6]) {
      const found = gradientsOf(model, batchOf(n));
      const expected = fresh[[6, 4, 1].indexOf(n)];
      if (expected !== undefined) assert.deepEqual(found, expected);
      model.executor.evaluate(batchOf(n));
    }
    model.executor.close();
  });

  test("ignores what longer arrays hold beyond the examples", () => {
    const model = bind();
    const expected = gradientsOf(model, batchOf(2));
    const { x, y } = batchOf(2);
    const longer = { x: Float32Array.of(...x, 9, 9), y: Int32Array.of(...y, 77), n: 2 };
    assert.deepEqual(gradientsOf(model, longer), expected);
  });

  test("writes zeros everywhere for a batch of none, and reports each tensor", () => {
    const model = bind();
    model.gradients.fill(Number.NaN);
    const order: string[] = [];
    const outcome = model.executor.step(batchOf(0), [], (name) => order.push(name));
    assert.deepEqual(outcome, { lossSum: 0, correct: 0, examples: 0 });
    assert.ok(model.gradients.every((value) => value === 0));
    assert.deepEqual(order, graph.tensors.map(({ name }) => name).reverse());
    assert.deepEqual(model.executor.evaluate(batchOf(0)), outcome);
  });

  test("reports a tensor when its gradient is final and its value is needed no more", () => {
    const model = bind();
    const expected = gradientsOf(model, batchOf(4));
    const seen = new Map<string, Float32Array>();
    model.executor.step(batchOf(4), ["seed"], (name) => {
      seen.set(name, model.tensor(model.gradients, name).slice());
      model.tensor(model.parameters, name).fill(Number.NaN);
      model.tensor(model.gradients, name).fill(Number.NaN);
    });
    assert.equal(seen.size, graph.tensors.length);
    for (const [name, gradient] of seen) {
      assert.deepEqual(gradient, model.tensor(expected, name), name);
    }
  });

  test("reads parameters anew in every step and evaluation", () => {
    const model = bind();
    const before = [gradientsOf(model, batchOf(4)), model.executor.evaluate(batchOf(4)).lossSum];
    const kept = model.parameters.slice();
    for (const { name } of graph.tensors) {
      const values = model.tensor(model.parameters, name);
      values.set(values.map((value) => value * 1.5));
    }
    const changed = [gradientsOf(model, batchOf(4)), model.executor.evaluate(batchOf(4)).lossSum];
    assert.notDeepEqual(changed, before);
    model.parameters.set(kept);
    const again = [gradientsOf(model, batchOf(4)), model.executor.evaluate(batchOf(4)).lossSum];
    assert.deepEqual(again, before);
  });

  test("evaluates without touching gradients, and gives the logits", () => {
    const model = bind();
    model.gradients.fill(7);
    const logits = new Float32Array(5 * 10).fill(8);
    const { lossSum } = model.executor.evaluate(batchOf(4), logits);
    assert.ok(model.gradients.every((value) => value === 7));
    assert.ok(logits.subarray(40).every((value) => value === 8));
    const { y } = batchOf(4);
    const losses = [...y].map((label, row) => {
      const of = logits.subarray(10 * row, 10 * row + 10);
      return Math.log(of.reduce((sum, value) => sum + Math.exp(value), 0)) - of[label]!;
    });
    assert.ok(Math.abs(losses.reduce((sum, loss) => sum + loss, 0) - lossSum) < 1e-5);
  });

  const broken = ["conv1.weight", "conv4.bias", "bn2.weight", "bn6.bias", "fc1.weight", "fc3.bias"];
  for (const name of broken) {
    test(`returns a loss that is not finite, without gradients, for a NaN in ${name}`, () => {
      const model = bind();
      model.tensor(model.parameters, name)[1] = Number.NaN;
      model.gradients.fill(7);
      const outcome = model.executor.step(batchOf(4), [], () => assert.fail("a gradient"));
      assert.ok(Number.isNaN(outcome.lossSum));
      assert.equal(outcome.examples, 4);
      assert.ok(model.gradients.every((value) => value === 7));
      assert.ok(Number.isNaN(model.executor.evaluate(batchOf(4)).lossSum));
    });
  }

  test("refuses a label that is no class, in step and evaluation", () => {
    const { executor } = bind();
    const batch = { ...batchOf(2), y: Int32Array.of(1, 10) };
    assert.throws(() => executor.step(batch, [], ignore), { code: "data", message: /label 10/ });
    assert.throws(() => executor.evaluate(batch), { code: "data" });
  });

  test("computes beside another one in the same thread", () => {
    const [left, right] = [bind(engineOf(1)), bind(engineOf(2))];
    const alone = [gradientsOf(left, batchOf(4)), gradientsOf(right, batchOf(6))];
    for (let round = 0; round < 3; round++) {
      const both = [gradientsOf(left, batchOf(4)), gradientsOf(right, batchOf(6))];
      assert.deepEqual(both, alone);
    }
    left.executor.close();
    assert.deepEqual(gradientsOf(right, batchOf(6)), alone[1]);
    right.executor.close();
  });

  test("says what it chose for each shape, and how many bytes it computes in", () => {
    const model = bind();
    assert.deepEqual([model.executor.describe(), model.executor.bytes], [[], 0]);
    model.executor.step(batchOf(2), [], ignore);
    const { bytes } = model.executor;
    const lines = model.executor.describe();
    assert.ok(lines.some((line) => /^conv f32 2x32x8x8 to 32 kernel 3x3 .*: \S+/.test(line)));
    assert.deepEqual(model.executor.prepare(2), lines);
    assert.deepEqual(lines, [...lines].sort());
    model.executor.step(batchOf(6), [], ignore);
    const grown = model.executor.bytes;
    assert.ok(grown > bytes);
    model.executor.step(batchOf(2), [], ignore);
    model.executor.evaluate(batchOf(6));
    assert.equal(model.executor.bytes, grown);
    model.executor.close();
    assert.equal(model.executor.bytes, 0);
  });

  test("gives up every native object when it is closed", () => {
    assert.ok(opened.dnnl !== null);
    const { dnnl, counts } = counting(opened.dnnl);
    const engine = new OneDnnEngine([dnnl], "f32", 1);
    for (let life = 0; life < 3; life++) {
      const model = bind(engine);
      const before = { ...counts };
      for (const n of [6, 4, 3, 2, 1]) model.executor.step(batchOf(n), [], ignore);
      model.executor.evaluate(batchOf(6));
      const made = (what: string) => counts[what]! - (before[what] ?? 0);
      assert.ok(made("createPrimitive") > 100 && made("createMemory") > 100);
      assert.ok(made("destroyPrimitive") > 0, "old programs are given up");
      model.executor.close();
      assert.equal(counts.destroyPrimitive, counts.createPrimitive);
      assert.equal(counts.destroyMemory, counts.createMemory);
      assert.equal(counts.destroyDescription, counts.described);
      assert.equal(counts.destroyFormat, counts.formats);
    }
  });

  test("keeps values of different layers in the same memory", () => {
    const shape = [3, 16, 16] as const;
    const deep = buildModel("resnet20", { inputShape: shape });
    const { executor } = bind(engineOf(), deep, 32);
    const x = new Float32Array(32 * valuesIn(shape)).fill(0.1);
    executor.step({ x, y: new Int32Array(32), n: 32 }, [], ignore);
    const sizes = deep.nodes.map((node) => 4 * 32 * valuesIn(node.shape));
    const results = sizes.reduce((sum, bytes) => sum + bytes, 0);
    // Without sharing, gradients and scratch memory make more than three times that.
    assert.ok(executor.bytes < 1.5 * results, `${executor.bytes} for ${results}`);
    executor.close();
  });
});

/** The library with counts of what was made and given up. */
function counting(library: Dnnl): { dnnl: Dnnl; counts: Record<string, number> } {
  const counts: Record<string, number> = { described: 0, formats: 0 };
  const count = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  const get = (target: Dnnl, name: string) => {
    const found: unknown = Reflect.get(target, name, target);
    if (typeof found !== "function") return found;
    return (...given: unknown[]) => {
      const result: unknown = found.apply(target, given);
      count(name);
      const isAddress = name.startsWith("create") || name === "addressOf";
      if (typeof result === "bigint" && !isAddress) count("described");
      if (typeof result === "object" && result !== null && "native" in result) count("formats");
      return result;
    };
  };
  return { dnnl: new Proxy(library, { get: get as ProxyHandler<Dnnl>["get"] & object }), counts };
}

describe("the engine's choice", { skip }, () => {
  test("names library, version, instruction set, type and threads", () => {
    const { reason } = createOneDnnEngine({ dtype: "f32", threads: 1 });
    assert.match(reason, /^oneDNN [23]\.\d+\.\d+ \(.*dnnl.*\), [a-z0-9_]+, f32, 1 thread$/);
  });

  test("becomes f32 with a warning where bf16 has no instructions", () => {
    assert.ok(opened.dnnl !== null);
    const lesser = Object.create(opened.dnnl, {
      hasBf16: { value: false },
      instructionSet: { value: "avx2" },
    });
    const chosen = createOneDnnEngine({ dtype: "bf16", threads: 1 }, { ...opened, dnnl: lesser });
    assert.ok(chosen.engine !== null);
    assert.equal(chosen.engine.type, "f32");
    assert.match(chosen.warning ?? "", /bf16 needs instructions .* \(it has avx2\); .* in f32/);
  });
});
