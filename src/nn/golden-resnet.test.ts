import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Batch, Engine } from "./engine.js";
import { createEngine } from "./engines.js";
import { type Shape, valuesIn } from "./layer-kind.js";
import type { ModelGraph } from "./model.js";
import { buildModel } from "./models.js";
import { openDnnl } from "./onednn/library.js";
import { bindStandalone, type StandaloneModel } from "./standalone.js";

/** One case of test/golden/resnet18-step.json; its `format` says what the fields mean. */
interface StepCase {
  readonly stem: "cifar" | "imagenet";
  readonly side: number;
  readonly n: number;
  readonly classes: number;
  readonly meanLoss: number;
  readonly tensors: Readonly<Record<string, Told>>;
}

/** Of one gradient or statistic. */
interface Told {
  readonly norm: number;
  readonly values: readonly number[];
}

function readCases(): readonly StepCase[] {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  const text = readFileSync(join(folder, "test/golden/resnet18-step.json"), "utf8");
  return JSON.parse(text).cases;
}

/** Values in [-1, 1) by their index and a stream, as make-resnet-step.py has them. */
function spread(count: number, stream: number): Float64Array {
  return Float64Array.from({ length: count }, (_, index) => {
    let h = (Math.imul(index, 0x9e3779b9) + Math.imul(stream, 0x85ebca6b)) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    return (h >>> 8) / 2 ** 23 - 1;
  });
}

function startOf(name: string, shape: Shape, stream: number): Float32Array {
  const drawn = spread(valuesIn(shape), stream);
  const inputs = valuesIn(shape.slice(1));
  if (shape.length === 4) return Float32Array.from(drawn, (one) => one * Math.sqrt(6 / inputs));
  if (shape.length === 2) return Float32Array.from(drawn, (one) => one * Math.sqrt(1 / inputs));
  const isScale = name.endsWith("weight");
  return Float32Array.from(drawn, (one) => (isScale ? 1 + 0.3 * one : 0.3 * one));
}

function graphOf({ stem, side, classes }: StepCase): ModelGraph {
  return buildModel("resnet18", { stem, classes, inputShape: [3, side, side] });
}

/** One step from the start; what it came to, and the model with its gradients. */
function stepOf(engine: Engine, golden: StepCase) {
  const { n, classes } = golden;
  const graph = graphOf(golden);
  const model = bindStandalone(engine, graph, 0, n);
  const trained = graph.tensors.filter(({ group }) => group === "weight" || group === "plain");
  trained.forEach(({ name, shape }, index) => {
    model.tensor(model.parameters, name).set(startOf(name, shape, index + 1));
  });
  const x = Float32Array.from(spread(n * valuesIn(graph.inputShape), 0), (one) => 1.5 * one);
  const y = Int32Array.from({ length: n }, (_, index) => (3 * index) % classes);
  const batch: Batch = { x, y, n };
  const { lossSum } = model.executor.step(batch, [], () => {});
  model.executor.close();
  return { model, meanLoss: lossSum / n };
}

/** How far a tensor may be from torch's, and how far it is, relative to its norm. */
interface Distance {
  readonly norm: number;
  /** Root of the mean square over the samples. */
  readonly values: number;
}

function distanceOf(model: StandaloneModel, name: string, { norm, values }: Told): Distance {
  const found = model.tensor(model.gradients, name);
  const ownNorm = Math.sqrt(found.reduce((sum, value) => sum + value * value, 0));
  const squares = values.reduce((sum, value, index) => {
    const at = Math.floor((index * found.length) / values.length);
    return sum + (value - (found[at] as number)) ** 2;
  }, 0);
  const rootMeanSquare = norm / Math.sqrt(found.length);
  return {
    norm: Math.abs(ownNorm - norm) / norm,
    values: Math.sqrt(squares / values.length) / rootMeanSquare,
  };
}

const isHere = openDnnl().dnnl !== null;
const hasBf16 = openDnnl().dnnl?.hasBf16 === true;
const lacksLibrary = !isHere && "oneDNN is not here";

/**
 * Rounding turns single ReLUs the other way, which shows in gradients and not in statistics. In
 * f32 every gradient is within 1e-5 from the loss down to the first ReLU that turns, and 1e-2 from
 * there on: Winograd rounds to about 1e-5 of a sum, and a sum may lie nearer to zero. With direct
 * convolutions, which round to 2e-6, none turns in these steps.
 */
interface Tolerance {
  readonly loss: number;
  readonly statistic: Distance;
  readonly gradient: Distance;
}

const engines: readonly (readonly [
  title: string,
  skip: string | false,
  choose: () => Engine,
  tolerance: Tolerance,
])[] = [
  [
    "the reference engine",
    false,
    () => createEngine("reference").engine,
    {
      loss: 1e-6,
      statistic: { norm: 1e-5, values: 1e-5 },
      gradient: { norm: 1e-5, values: 1e-5 },
    },
  ],
  [
    "oneDNN in f32",
    lacksLibrary,
    () => createEngine("onednn", { threads: 2 }).engine,
    {
      loss: 1e-5,
      statistic: { norm: 1e-5, values: 1e-4 },
      gradient: { norm: 1e-2, values: 0.05 },
    },
  ],
  [
    "oneDNN in bf16",
    lacksLibrary || (!hasBf16 && "the processor has no bf16 instructions"),
    () => createEngine("onednn", { threads: 2, dtype: "bf16" }).engine,
    {
      loss: 1e-2,
      statistic: { norm: 0.01, values: 0.05 },
      gradient: { norm: 0.2, values: 0.8 },
    },
  ],
];

for (const golden of readCases()) {
  describe(`a step of resnet18 with the ${golden.stem} stem agrees with PyTorch's`, () => {
    for (const [title, skip, choose, tolerance] of engines) {
      test(`by ${title}`, { skip }, () => {
        const { model, meanLoss } = stepOf(choose(), golden);
        const off = Math.abs(meanLoss - golden.meanLoss) / golden.meanLoss;
        assert.ok(off <= tolerance.loss, `mean loss ${meanLoss}, torch has ${golden.meanLoss}`);
        const measured = graphOf(golden).tensors.filter(({ group }) => group !== "counter");
        assert.deepEqual(
          new Set(Object.keys(golden.tensors)),
          new Set(measured.map(({ name }) => name)),
        );
        for (const [name, told] of Object.entries(golden.tensors)) {
          const distance = distanceOf(model, name, told);
          const most = tolerance[name.includes("running") ? "statistic" : "gradient"];
          for (const what of ["norm", "values"] as const) {
            assert.ok(distance[what] <= most[what], `${what} of ${name} ${distance[what]} apart`);
          }
        }
      });
    }
  });
}
