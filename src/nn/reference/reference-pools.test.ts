import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Layer, LayerOf } from "../layers.js";
import { type KernelContext, type KernelFactory, Workspace } from "./reference-kernel.js";
import { avgPoolKernel, globalAvgPoolKernel, maxPoolKernel } from "./reference-pools.js";

/** Runs one pool forward and backward over planes of one channel each, dy being 1, 2, 3 ... */
function run<L extends Layer>(
  factory: KernelFactory<L>,
  layer: L,
  inputShape: readonly number[],
  outputShape: readonly number[],
  x: readonly number[],
) {
  const count = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent);
  const n = x.length / count(inputShape);
  const outputs = n * count(outputShape);
  const context: KernelContext<L> = {
    layer,
    name: "pool",
    batchMax: n,
    workspace: new Workspace(),
    inputShapes: [inputShape],
    outputShape,
    inputValues: [count(inputShape)],
    outputValues: count(outputShape),
    inputs: [Float32Array.from(x)],
    output: new Float32Array(outputs).fill(Number.NaN),
    outputGradient: Float32Array.from({ length: outputs }, (_, index) => index + 1),
    inputGradients: [new Float32Array(x.length).fill(Number.NaN)],
    parameters: {},
    gradients: {},
  };
  const kernel = factory(context);
  kernel.forward(n, undefined);
  kernel.backwardInputs(n);
  return { y: [...context.output], dx: [...(context.inputGradients[0] as Float32Array)] };
}

describe("max pool", () => {
  const pool = (layer: Partial<LayerOf<"max-pool">>, output: number[], x: number[]) =>
    run(maxPoolKernel, { kind: "max-pool", kernel: 2, ...layer }, [1, 3, 3], output, x);

  test("leaves out the positions that a window doesn't fill", () => {
    const { y, dx } = pool({}, [1, 1, 1], [1, 2, 9, 4, 3, 9, 9, 9, 9]);
    assert.deepEqual([y, dx], [[4], [0, 0, 0, 1, 0, 0, 0, 0, 0]]);
  });

  test("never takes the padding, though every value is below zero", () => {
    const { y } = pool({ padding: 1 }, [1, 2, 2], [-9, -8, -7, -6, -5, -4, -3, -2, -1]);
    assert.deepEqual(y, [-9, -7, -3, -1]);
  });

  test("adds what overlapping windows pass to one value", () => {
    const { y, dx } = pool({ stride: 1 }, [1, 2, 2], [0, 0, 0, 0, 5, 0, 0, 0, 0]);
    assert.deepEqual([y, dx[4]], [[5, 5, 5, 5], 1 + 2 + 3 + 4]);
  });

  test("passes the gradient to the first among equals", () => {
    const { dx } = pool({}, [1, 1, 1], [7, 7, 0, 7, 7, 0, 0, 0, 0]);
    assert.deepEqual(dx, [1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  test("lets NaN win", () => {
    const { y } = pool({}, [1, 1, 1], [1, Number.NaN, 0, 3, 2, 0, 0, 0, 0]);
    assert.deepEqual(y, [Number.NaN]);
  });
});

describe("mean pool", () => {
  test("counts the zeros of the padding", () => {
    const layer = { kind: "avg-pool", kernel: 2, padding: 1 } as const;
    const { y, dx } = run(avgPoolKernel, layer, [1, 2, 2], [1, 2, 2], [4, 8, 12, 16]);
    assert.deepEqual(
      [y, dx],
      [
        [1, 2, 3, 4],
        [0.25, 0.5, 0.75, 1],
      ],
    );
  });

  test("adds the shares of overlapping windows, plane by plane", () => {
    const layer = { kind: "avg-pool", kernel: [1, 2], stride: 1 } as const;
    const { y, dx } = run(avgPoolKernel, layer, [1, 1, 3], [1, 1, 2], [1, 3, 5, 2, 2, 4]);
    assert.deepEqual(
      [y, dx],
      [
        [2, 4, 2, 3],
        [0.5, 1.5, 1, 1.5, 3.5, 2],
      ],
    );
  });
});

test("the global mean pool gives each value of a plane an equal share", () => {
  const x = [1, 2, 3, 4, 5, 6, 0, 0];
  const { y, dx } = run(globalAvgPoolKernel, { kind: "global-avg-pool" }, [2, 1, 2], [2], x);
  assert.deepEqual(
    [y, dx],
    [
      [1.5, 3.5, 5.5, 0],
      [0.5, 0.5, 1, 1, 1.5, 1.5, 2, 2],
    ],
  );
});
