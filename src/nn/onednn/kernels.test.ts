import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../random.js";
import type { Batch, Engine } from "../engine.js";
import type { Shape } from "../layer-kind.js";
import { valuesIn } from "../layer-kind.js";
import type { Layer } from "../layers.js";
import { GraphBuilder, inputId, type ModelGraph } from "../model.js";
import { referenceEngine } from "../reference/reference.js";
import { bindStandalone } from "../standalone.js";
import { createOneDnnEngine } from "./engine.js";
import { openDnnl } from "./library.js";

const opened = openDnnl();
const skip = opened.dnnl === null && opened.reason;

function engineOf(dtype: "f32" | "bf16"): Engine {
  const { engine } = createOneDnnEngine({ dtype, threads: 2 });
  assert.ok(engine !== null);
  return engine;
}

type Chain = readonly (readonly [name: string, layer: Layer])[];

/** A chain that ends in flat values, so that each is a logit and its gradient is a loss's. */
function chain(shape: Shape, layers: Chain): ModelGraph {
  const builder = new GraphBuilder("chain", shape);
  let output = builder.chain(inputId, layers);
  const [, last] = layers.at(-1) as Chain[number];
  if (last.kind !== "linear" && last.kind !== "global-avg-pool") {
    output = builder.add("flat", { kind: "flatten" }, [output]);
  }
  return builder.finish(output, "cross-entropy");
}

function batchOf(graph: ModelGraph, n: number, random: Random): Batch {
  const x = Float32Array.from({ length: n * valuesIn(graph.inputShape) }, () => random.normal());
  const y = Int32Array.from({ length: n }, () => random.below(graph.classes));
  return { x, y, n };
}

function largestOf(values: Float32Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

/** What both engines make of one batch, twice over, so that stale memory would show. */
function results(engine: Engine, graph: ModelGraph, batch: Batch) {
  const model = bindStandalone(engine, graph, 3, batch.n);
  for (const { name, group } of graph.tensors) {
    const random = new Random(11, name);
    const values = model.tensor(model.parameters, name);
    const isDrawn = group === "plain" || group === "buffer";
    if (isDrawn) values.set(values.map(() => 0.5 + random.float()));
  }
  const order: string[] = [];
  model.executor.step(batch, ["seed"], () => {});
  model.gradients.fill(Number.NaN);
  const { lossSum } = model.executor.step(batch, ["seed"], (name) => order.push(name));
  const logits = new Float32Array(batch.n * graph.classes);
  const evaluated = model.executor.evaluate(batch, logits);
  model.executor.close();
  const tensors = Object.fromEntries(
    graph.tensors.map(({ name }) => [name, model.tensor(model.gradients, name)]),
  );
  return { lossSum, order, logits, evaluated, tensors };
}

/** How far `found` is from `wanted`, as a part of `scale`. */
type Distance = (found: Float32Array, wanted: Float32Array, scale: number) => number;

const byLargest: Distance = (found, wanted, scale) =>
  largestOf(wanted.map((value, at) => value - (found[at] as number))) / scale;

/** Rounding to bf16 turns some ReLUs the other way, so single values may be far off. */
const byMeanSquare: Distance = (found, wanted, scale) => {
  const sum = wanted.reduce((total, value, at) => total + (value - (found[at] as number)) ** 2, 0);
  return Math.sqrt(sum / wanted.length) / scale;
};

/** Compares with the reference engine, each tensor relative to the largest of its values. */
function compare(
  graph: ModelGraph,
  n: number,
  { dtype, distance, tolerance }: { dtype: "f32" | "bf16"; distance: Distance; tolerance: number },
): void {
  const batch = batchOf(graph, n, new Random(5, graph.nodes.length, n));
  const expected = results(referenceEngine, graph, batch);
  const actual = results(engineOf(dtype), graph, batch);
  const demandClose = (what: string, found: Float32Array, wanted: Float32Array, scale: number) => {
    const apart = distance(found, wanted, scale);
    assert.ok(apart <= tolerance, `${what} is ${apart} apart, ${[found[0], wanted[0]]}`);
  };
  assert.deepEqual(actual.order, expected.order);
  const losses = [actual.lossSum, expected.lossSum].map((sum) => Float32Array.of(sum));
  demandClose("loss", losses[0]!, losses[1]!, expected.lossSum);
  demandClose("logits", actual.logits, expected.logits, largestOf(expected.logits));
  for (const [name, wanted] of Object.entries(expected.tensors)) {
    // A bias below a normalisation has gradient zero, the rest of sums of its weight's size.
    const weight = expected.tensors[name.replace(/bias$/, "weight")] as Float32Array;
    const scale = Math.max(largestOf(wanted), largestOf(weight));
    demandClose(name, actual.tensors[name] as Float32Array, wanted, scale);
  }
}

const set = opened.dnnl?.instructionSet;
const f32 = { dtype: "f32", distance: byLargest, tolerance: 1e-4 } as const;
const bf16 = { dtype: "bf16", distance: byMeanSquare, tolerance: 0.05 } as const;

const before: Chain[number] = ["before", { kind: "conv2d", outputs: 8, kernel: 1 }];

function before1x1(outputs: number): Chain[number] {
  return ["before", { kind: "conv2d", outputs, kernel: 1 }];
}

function randomConvolutions(count: number): [title: string, shape: Shape, Chain, n: number][] {
  const random = new Random(19, "convolutions");
  const between = (low: number, high: number) => low + random.below(high - low + 1);
  return Array.from({ length: count }, () => {
    const groups = random.below(3) === 0 ? between(2, 4) : 1;
    const channels = groups * between(1, 11);
    const outputs = groups * between(1, 11);
    const kernel = [between(1, 5), between(1, 5)] as const;
    const padding = [between(0, 2), between(0, 2)] as const;
    const stride = [between(1, 3), between(1, 3)] as const;
    const shape = [between(1, 4), between(5, 17), between(5, 17)];
    const bias = random.below(2) === 0;
    const n = between(1, 4);
    const layer = { kind: "conv2d", outputs, kernel, padding, stride, groups, bias } as const;
    const title =
      `${n} x ${channels} x [${shape.slice(1)}] to ${outputs}, kernel ${kernel}, ` +
      `stride ${stride}, padding ${padding}, groups ${groups}${bias ? ", bias" : ""}`;
    return [title, shape, [before1x1(channels), ["conv", layer]], n];
  });
}

/** Pools, normalisations and linear layers of random extents, with and without ReLU behind. */
function randomLayers(count: number): [title: string, shape: Shape, Chain, n: number][] {
  const random = new Random(29, "layers");
  const between = (low: number, high: number) => low + random.below(high - low + 1);
  const relu: Chain[number] = ["relu", { kind: "relu" }];
  return Array.from({ length: count }, (_, index) => {
    const channels = between(1, 37);
    // Of one channel only, a normalisation takes the weight's gradient away.
    const shape = [between(2, 4), between(4, 15), between(4, 15)];
    const n = index % 4 === 0 ? 1 : between(2, 5);
    const kernel = [between(1, 4), between(1, 4)] as const;
    const padding = kernel.map((extent) => between(0, Math.floor(extent / 2)));
    const stride = [between(1, 3), between(1, 3)] as const;
    const window = { kernel, stride, padding: [padding[0]!, padding[1]!] } as const;
    const picked: readonly Chain[number][] = [
      ["max", { kind: "max-pool", ...window }],
      ["mean", { kind: "avg-pool", ...window }],
      ["bn", { kind: "batch-norm" }],
      ["fc", { kind: "linear", outputs: between(2, 41) }],
    ];
    const layer = picked[index % picked.length]!;
    const tail = random.below(2) === 0 ? [layer, relu] : [layer];
    const flat: Chain = layer[0] === "fc" ? [["flat1", { kind: "flatten" }]] : [];
    const told = layer[0] === "max" || layer[0] === "mean" ? JSON.stringify(window) : "";
    const title = `${n} x ${channels} x [${shape.slice(1)}], ${tail.map(([name]) => name)} ${told}`;
    return [title, shape, [before1x1(channels), ...flat, ...tail], n];
  });
}

/** As resnet18 begins for large pictures. */
const largeStem: Chain = [
  ["conv1", { kind: "conv2d", outputs: 24, kernel: 7, stride: 2, padding: 3, bias: false }],
  ["bn1", { kind: "batch-norm" }],
  ["relu", { kind: "relu" }],
  ["maxpool", { kind: "max-pool", kernel: 3, stride: 2, padding: 1 }],
];

const winograd: readonly (readonly [channels: number, outputs: number, size: number, n: number])[] =
  [
    [32, 32, 17, 2],
    [64, 32, 23, 1],
    [32, 48, 13, 3],
    [64, 64, 7, 9],
    [128, 64, 22, 1],
  ];
const hasWinograd = opened.dnnl?.abi === 2 && opened.dnnl.hasAvx512;

/** One 3x3 convolution as residual networks are made of, and what is chosen for it. */
function winogradChain(
  [channels, outputs, size, n]: (typeof winograd)[number],
  dtype: "f32" | "bf16",
): { graph: ModelGraph; chosen: string } {
  const layer = { kind: "conv2d", outputs, kernel: 3, padding: 1 } as const;
  const graph = chain([3, size, size], [before1x1(channels), ["conv", layer]]);
  const { executor } = bindStandalone(engineOf(dtype), graph, 3, n);
  const lines = executor.prepare(n).filter((line) => line.includes("kernel 3x3"));
  executor.close();
  return { graph, chosen: lines.join() };
}

const others: readonly (readonly [title: string, shape: Shape, Chain, n: number])[] = [
  ["linear", [37], [["fc", { kind: "linear", outputs: 5 }]], 3],
  [
    "linear layers with ReLU between, without bias",
    [20],
    [
      ["fc1", { kind: "linear", outputs: 33, bias: false }],
      ["relu", { kind: "relu" }],
      ["fc2", { kind: "linear", outputs: 4 }],
    ],
    1,
  ],
  ["ReLU on pictures", [3, 7, 5], [before, ["relu", { kind: "relu" }]], 2],
  ["batch normalisation of the input", [3, 7, 5], [["bn", { kind: "batch-norm" }]], 2],
  ["batch normalisation", [2, 6, 9], [before, ["bn", { kind: "batch-norm" }]], 4],
  [
    "batch normalisation with ReLU and another epsilon",
    [3, 5, 7],
    [before, ["bn", { kind: "batch-norm", epsilon: 0.01 }], ["relu", { kind: "relu" }]],
    3,
  ],
  [
    "batch normalisation with ReLU on 20 channels, one example",
    [3, 4, 4],
    [before1x1(20), ["bn", { kind: "batch-norm" }], ["relu", { kind: "relu" }]],
    1,
  ],
  ["max pool", [3, 9, 8], [before, ["pool", { kind: "max-pool", kernel: 2 }]], 2],
  [
    "max pool with overlap and padding",
    [3, 9, 8],
    [before1x1(19), ["pool", { kind: "max-pool", kernel: 3, stride: 2, padding: 1 }]],
    2,
  ],
  [
    "max pool of the input, below a convolution",
    [3, 9, 8],
    [["pool", { kind: "max-pool", kernel: [2, 3] }], before],
    1,
  ],
  [
    "mean pool with padding",
    [3, 9, 8],
    [before, ["pool", { kind: "avg-pool", kernel: [3, 2], stride: [2, 3], padding: 1 }]],
    2,
  ],
  ["the imagenet stem", [3, 35, 27], largeStem, 3],
  ["the imagenet stem on one small picture", [3, 8, 9], largeStem, 1],
  ["mean of planes", [3, 9, 7], [before1x1(21), ["pool", { kind: "global-avg-pool" }]], 3],
  [
    "dropout on flat values and on pictures",
    [3, 5, 5],
    [
      before1x1(18),
      ["drop1", { kind: "dropout", rate: 0.3 }],
      ["conv", { kind: "conv2d", outputs: 4, kernel: 3 }],
      ["flat1", { kind: "flatten" }],
      ["drop2", { kind: "dropout", rate: 0.5 }],
      ["fc", { kind: "linear", outputs: 6 }],
    ],
    2,
  ],
];

/** A block as in residual networks, its shortcut straight or through a convolution. */
function residual(channels: number, outputs: number, stride: number): ModelGraph {
  const builder = new GraphBuilder("residual", [3, 8, 6]);
  const convolution = (kernel: number, step: number, count: number): Layer => ({
    kind: "conv2d",
    outputs: count,
    kernel,
    stride: step,
    padding: (kernel - 1) / 2,
    bias: false,
  });
  const from = builder.chain(inputId, [
    ["stem", convolution(3, 1, channels)],
    ["stem-bn", { kind: "batch-norm" }],
    ["stem-relu", { kind: "relu" }],
  ]);
  const branch = builder.chain(from, [
    ["conv1", convolution(3, stride, outputs)],
    ["bn1", { kind: "batch-norm" }],
    ["relu1", { kind: "relu" }],
    ["conv2", convolution(3, 1, outputs)],
    ["bn2", { kind: "batch-norm" }],
  ]);
  const straight = channels === outputs && stride === 1;
  const shortcut = straight ? from : builder.add("down", convolution(1, stride, outputs), [from]);
  const sum = builder.add("add", { kind: "add" }, [branch, shortcut]);
  const relu = builder.add("relu", { kind: "relu" }, [sum]);
  const twice = builder.add("twice", { kind: "add" }, [relu, relu]);
  return builder.finish(builder.add("flat", { kind: "flatten" }, [twice]), "cross-entropy");
}

describe(`oneDNN with ${set} agrees with the reference engine in f32 within 1e-4`, { skip }, () => {
  for (const [title, shape, layers, n] of randomConvolutions(24)) {
    test(`convolution of ${title}`, () => compare(chain(shape, layers), n, f32));
  }
  for (const shape of winograd) {
    const [channels, outputs, size, n] = shape;
    const way = hasWinograd ? "Winograd" : "direct";
    test(`${way} convolution of ${n} x ${channels} x ${size} x ${size} to ${outputs}`, () => {
      const { graph, chosen } = winogradChain(shape, "f32");
      assert.equal(/wino/.test(chosen), hasWinograd, chosen);
      compare(graph, n, f32);
    });
  }
  for (const [title, shape, layers, n] of [...others, ...randomLayers(24)]) {
    test(title, () => compare(chain(shape, layers), n, f32));
  }
  for (const [channels, outputs, stride] of [
    [16, 16, 1],
    [7, 7, 1],
    [16, 32, 2],
  ] as const) {
    test(`a residual block from ${channels} to ${outputs} channels, stride ${stride}`, () => {
      compare(residual(channels, outputs, stride), 3, f32);
    });
  }
});

const lacksBf16 = !opened.dnnl?.hasBf16 && "the processor has no bf16 instructions";
const bf16Tests = { skip: skip || lacksBf16 };

describe(`oneDNN with ${set} agrees with the reference engine within bf16`, bf16Tests, () => {
  for (const [title, shape, layers, n] of randomConvolutions(8)) {
    test(`convolution of ${title}`, () => compare(chain(shape, layers), n, bf16));
  }
  for (const [title, shape, layers, n] of [...others, ...randomLayers(12)]) {
    test(title, () => compare(chain(shape, layers), n, bf16));
  }
  test("a residual block", () => compare(residual(16, 32, 2), 3, bf16));
  test("a convolution that Winograd computes in f32 between values in bf16", () => {
    const shape = [64, 64, 33, 2] as const;
    const { graph, chosen } = winogradChain(shape, "bf16");
    assert.equal(/wino/.test(chosen), hasWinograd && opened.dnnl?.hasAmx !== true, chosen);
    compare(graph, 2, bf16);
  });
});
