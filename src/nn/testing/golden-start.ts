/** What tests against golden files share: the files, starts by a hash, graphs from their nodes. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Batch, Engine } from "../engine.js";
import { type Shape, valuesIn } from "../layer-kind.js";
import type { Layer } from "../layers.js";
import { GraphBuilder, inputId, type ModelGraph } from "../model.js";
import { bindStandalone } from "../standalone.js";

/** A node as golden files have it. */
export interface GoldenNode {
  readonly name: string;
  readonly from: readonly string[];
  readonly layer: Layer;
}

/** The cases of a file of test/golden. */
export function readGolden<Case>(file: string): readonly Case[] {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return JSON.parse(readFileSync(join(folder, "test/golden", file), "utf8")).cases;
}

/** Values in [-1, 1) by their index and a stream, as test/python/hashed.py has them. */
export function spread(count: number, stream: number): Float64Array {
  return Float64Array.from({ length: count }, (_, index) => {
    let h = (Math.imul(index, 0x9e3779b9) + Math.imul(stream, 0x85ebca6b)) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    return (h >>> 8) / 2 ** 23 - 1;
  });
}

/** A parameter's start. */
export function startOf(name: string, shape: Shape, stream: number): Float32Array {
  const drawn = spread(valuesIn(shape), stream);
  const inputs = valuesIn(shape.slice(1));
  if (shape.length === 4) return Float32Array.from(drawn, (one) => one * Math.sqrt(6 / inputs));
  if (shape.length === 2) return Float32Array.from(drawn, (one) => one * Math.sqrt(1 / inputs));
  const isScale = name.endsWith("weight");
  return Float32Array.from(drawn, (one) => (isScale ? 1 + 0.3 * one : 0.3 * one));
}

/** The graph of a list of nodes whose last one gives the logits. */
export function graphOfNodes(name: string, shape: Shape, nodes: readonly GoldenNode[]): ModelGraph {
  const builder = new GraphBuilder(name, shape);
  const ids = new Map([["input", inputId]]);
  for (const { name: node, from, layer } of nodes) {
    const inputs = from.map((one) => ids.get(one) as number);
    ids.set(node, builder.add(node, layer, inputs));
  }
  return builder.finish(ids.size - 1, "cross-entropy");
}

/** One step from the start by the hash on n pictures; what it came to, and the gradients. */
export function hashedStep(engine: Engine, graph: ModelGraph, n: number) {
  const model = bindStandalone(engine, graph, 0, n);
  const trained = graph.tensors.filter(({ group }) => group === "weight" || group === "plain");
  trained.forEach(({ name, shape }, index) => {
    model.tensor(model.parameters, name).set(startOf(name, shape, index + 1));
  });
  const x = Float32Array.from(spread(n * valuesIn(graph.inputShape), 0), (one) => 1.5 * one);
  const y = Int32Array.from({ length: n }, (_, index) => (3 * index) % graph.classes);
  const batch: Batch = { x, y, n };
  const { lossSum } = model.executor.step(batch, [], () => {});
  model.executor.close();
  return { model, meanLoss: lossSum / n };
}
