import assert from "node:assert/strict";
import { test } from "node:test";
import { buildModel } from "../../nn/models.js";
import { formatLayers, LayerSums } from "./layer-table.js";

const graph = buildModel("resnet20", { classes: 10 });

function tallied(): LayerSums {
  const sums = new LayerSums(graph);
  const wino = "jit_wino_4x3:avx512_core";
  for (const step of [1, 2]) {
    const hear = (node: string, what: string, ms: number, flops = 0, implementation = "jit:x") =>
      sums.add({ node, what, implementation, flops }, ms * step);
    hear("layer1.0.conv1", "weights to blocks", 0.5);
    hear("layer1.0.conv1", "forward", 2, 10e6, wino);
    hear("layer1.0.bn1", "forward", 1);
    hear("layer1.0.bn2", "forward", 1);
    hear("fc", "forward", 1, 4e6, "gemm:jit");
    hear("fc", "backward weights", 1, 4e6, "gemm:jit");
    hear("layer1.0.bn2", "backward", 1);
    hear("layer1.0.conv1", "backward data", 2, 10e6, wino);
    hear("layer1.0.conv1", "backward weights", 4, 10e6);
    hear("loss", "loss", 0.5);
  }
  return sums;
}

test("times of two steps are summed by layer and direction and told as those of one", () => {
  const { lines, totalMs, multiplyingMs } = tallied().table(2);
  const [convolution, linear, norm, loss] = lines;
  assert.deepEqual(convolution, {
    name: "layer1.0.conv1",
    layers: 1,
    shape: "16x32x32 to 16x32x32",
    algorithm: "winograd/winograd/direct",
    forwardMs: 3,
    dataMs: 3,
    weightsMs: 6,
    restMs: 0.75,
    flops: 30e6,
  });
  assert.deepEqual([linear?.name, linear?.shape, linear?.algorithm], ["fc", "64 to 10", "gemm"]);
  assert.deepEqual([norm?.name, norm?.layers, norm?.forwardMs], ["batch-norm", 2, 3]);
  assert.deepEqual([loss?.name, loss?.restMs], ["loss", 0.75]);
  assert.equal(multiplyingMs, 15);
  assert.equal(totalMs, 15 + 0.75 + 4.5 + 0.75);
});

test("the table shows speed and share, and the ceiling of convolutions alone", () => {
  const lines = formatLayers(tallied().table(2), 8);
  assert.match(lines[0] ?? "", /^Layer +Shape +Algorithm +Forward +Data +Weights +Rest +GFLOP\/s/);
  const numbers = "3.00  3.00     6.00  0.75        3  60.7 %";
  assert.equal(
    lines[1],
    `layer1.0.conv1        16x32x32 to 16x32x32  winograd/winograd/direct     ${numbers}`,
  );
  assert.match(lines[3] ?? "", /^batch-norm, 2 layers +3\.00 +1\.50 +0\.00 +0\.00 +21\.4 %$/);
  assert.deepEqual(lines.slice(-2), [
    "21.0 ms in all (381.0 images/s), of these 15.0 ms in convolutions and fully connected " +
      "layers alone:",
    "the ceiling is 533.3 images/s, and the step has reached 71 % of it",
  ]);
});
