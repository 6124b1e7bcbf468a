import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Engine } from "./engine.js";
import { createEngine } from "./engines.js";
import type { ModelGraph } from "./model.js";
import { openDnnl } from "./onednn/library.js";
import { referenceEngine } from "./reference/reference.js";
import type { StandaloneModel } from "./standalone.js";
import { type GoldenNode, graphOfNodes, hashedStep, readGolden } from "./testing/golden-start.js";

/** One case of test/golden/rounded-steps.json; its `format` says what the fields mean. */
interface RoundedCase {
  readonly name: string;
  readonly shape: readonly number[];
  readonly n: number;
  readonly nodes: readonly GoldenNode[];
  readonly meanLoss: number;
  readonly norms: Readonly<Record<string, number>>;
  readonly f32: Distances;
  readonly bf16: Distances;
}

/** Relative L2 distances from the gradients in f64. */
interface Distances {
  readonly all: number;
  readonly layers: Readonly<Record<string, number>>;
}

/** The most times that oneDNN may be as far from the truth as PyTorch in the same type. */
const mostInAll = 1.5;
const mostInLayer = { smooth: 1.5, kinked: 2 };

/**
 * Most relative distance in f32. Winograd rounds to ten times what direct sums do, and gradients of
 * a normalisation are sums that nearly cancel; behind a ReLU that turns, all values of a layer are
 * off by what one of them weighs.
 */
const mostInF32 = {
  smooth: { all: 3e-5, layer: 5e-4 },
  kinked: { all: 5e-3, layer: 2e-2 },
};

const { dnnl } = openDnnl();
const lacksLibrary = dnnl === null && "oneDNN is not here";
const lacksBf16 = !dnnl?.hasBf16 && "the processor has no bf16 instructions";
const inF32 = { skip: lacksLibrary };
const inBf16 = { skip: lacksLibrary || lacksBf16 };

/** The gradients of trained tensors, by layer. */
function layersOf(graph: ModelGraph, model: StandaloneModel): Map<string, Float32Array[]> {
  const layers = new Map<string, Float32Array[]>();
  for (const { name, group } of graph.tensors) {
    if (group === "buffer" || group === "counter") continue;
    const layer = name.split(".")[0] as string;
    layers.set(layer, [...(layers.get(layer) ?? []), model.tensor(model.gradients, name)]);
  }
  return layers;
}

function distance(found: readonly Float32Array[], truth: readonly Float32Array[]): number {
  let [apart, whole] = [0, 0];
  truth.forEach((values, index) => {
    values.forEach((value, at) => {
      apart += (value - ((found[index] as Float32Array)[at] as number)) ** 2;
      whole += value ** 2;
    });
  });
  return Math.sqrt(apart / whole);
}

for (const golden of readGolden<RoundedCase>("rounded-steps.json")) {
  const { name, shape, nodes, n } = golden;
  const graph = graphOfNodes(name, shape, nodes);
  const kind = nodes.some(({ layer }) => layer.kind === "relu") ? "kinked" : "smooth";
  let computed: ReturnType<typeof hashedStep> | null = null;
  const truth = () => {
    computed ??= hashedStep(referenceEngine, graph, n);
    return computed;
  };
  const distancesOf = (engine: Engine): Distances => {
    const { model, meanLoss } = hashedStep(engine, graph, n);
    assert.ok(Math.abs(meanLoss / golden.meanLoss - 1) < 1e-2, `mean loss ${meanLoss}`);
    const [found, wanted] = [model, truth().model].map((one) => layersOf(graph, one));
    const layers = [...wanted!].map(([layer, values]) => {
      return [layer, distance(found!.get(layer)!, values)] as const;
    });
    const all = distance([...found!.values()].flat(), [...wanted!.values()].flat());
    return { all, layers: Object.fromEntries(layers) };
  };

  describe(`a step of ${name} is as near to its value in f64 as PyTorch's`, () => {
    test("by the reference engine, within 1e-5", () => {
      const { model, meanLoss } = truth();
      assert.ok(Math.abs(meanLoss / golden.meanLoss - 1) < 1e-6, `mean loss ${meanLoss}`);
      for (const [tensor, norm] of Object.entries(golden.norms)) {
        const weight = golden.norms[tensor.replace(/bias$/, "weight")] as number;
        const found = Math.hypot(...model.tensor(model.gradients, tensor));
        const apart = Math.abs(found - norm) / Math.max(norm, weight);
        assert.ok(apart < 1e-5, `norm of ${tensor}: ${found}, ${norm} in f64`);
      }
    });

    test("by oneDNN in f32", inF32, () => {
      const found = distancesOf(createEngine("onednn", { threads: 2 }).engine);
      const most = mostInF32[kind];
      assert.ok(found.all <= most.all, `${found.all} apart, PyTorch ${golden.f32.all}`);
      for (const [layer, apart] of Object.entries(found.layers)) {
        assert.ok(
          apart <= most.layer,
          `${layer} ${apart} apart, PyTorch ${golden.f32.layers[layer]}`,
        );
      }
    });

    test("by oneDNN in bf16", inBf16, () => {
      const found = distancesOf(createEngine("onednn", { threads: 2, dtype: "bf16" }).engine);
      const { all, layers } = golden.bf16;
      assert.ok(found.all <= mostInAll * all, `${found.all} apart, PyTorch ${all}`);
      assert.ok(found.all >= all / 10, `${found.all} apart is not computed in bf16`);
      for (const [layer, apart] of Object.entries(found.layers)) {
        const most = mostInLayer[kind] * (layers[layer] as number);
        assert.ok(apart <= most, `${layer} ${apart} apart, PyTorch ${layers[layer]}`);
      }
    });
  });
}
