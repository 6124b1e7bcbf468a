import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Engine } from "./engine.js";
import { createEngine } from "./engines.js";
import type { ModelGraph } from "./model.js";
import { buildModel } from "./models.js";
import { openDnnl } from "./onednn/library.js";
import type { StandaloneModel } from "./standalone.js";
import { hashedStep, readGolden } from "./testing/golden-start.js";

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

function graphOf({ stem, side, classes }: StepCase): ModelGraph {
  return buildModel("resnet18", { stem, classes, inputShape: [3, side, side] });
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
];

for (const golden of readGolden<StepCase>("resnet18-step.json")) {
  describe(`a step of resnet18 with the ${golden.stem} stem agrees with PyTorch's`, () => {
    for (const [title, skip, choose, tolerance] of engines) {
      test(`by ${title}`, { skip }, () => {
        const { model, meanLoss } = hashedStep(choose(), graphOf(golden), golden.n);
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
