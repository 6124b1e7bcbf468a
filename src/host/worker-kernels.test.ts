/** Which kernels a worker's codecs are written with, where SIMD does not run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KernelsChoice } from "../kernels/choice.js";
import { uncompressed } from "../protocol/compression.js";
import { type Layout, layOut } from "../protocol/layout.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { runInMemory } from "./testing/memory-cluster.js";
import { ToyCompute } from "./testing/toy-compute.js";

const tensors = [{ name: "w", shape: [30], group: "weight" }] as const;
const layoutOf = (spec: RunSpec): Layout => layOut(tensors, spec.chunkValues);
const spec: RunSpec = {
  ...{ ...sampleSpec, run: "toy", name: "toy", model: "toy", data: "toy" },
  ...{ trainExamples: 24, testExamples: 20, workersMax: 1, servers: 1, epochs: 2, batchSize: 8 },
  ...{ chunkValues: 50, loadBound: null },
  compression: { ...uncompressed, push: { codec: "int8", share: 1 } },
};

/** Runs a worker where no module has instances; resolves to how it ended and what it said. */
async function runPlainly(kernels: KernelsChoice) {
  const said: string[] = [];
  const platform = (globalThis as unknown as { WebAssembly: { Instance: unknown } }).WebAssembly;
  const kept = platform.Instance;
  platform.Instance = class {
    constructor() {
      throw new Error("no v128 here");
    }
  };
  try {
    const { result } = await runInMemory({
      ...{ spec, layoutOf, kernels },
      fresh: { weights: new Float32Array(30).fill(3), state: [] },
      compute: () => new ToyCompute(layoutOf, (_assignment, gradients) => void gradients.fill(1)),
      log: (text) => void said.push(text),
    });
    return { result, said: said.join("\n") };
  } finally {
    platform.Instance = kept;
  }
}

test("auto falls back to scalar kernels and says so", async () => {
  const { result, said } = await runPlainly("auto");
  assert.equal(result.outcome, "done", result.reason);
  assert.match(said, /SIMD kernels don't run here \(no v128.*using the scalar kernels/);
});

test("scalar takes them without a word", async () => {
  const { result, said } = await runPlainly("scalar");
  assert.equal(result.outcome, "done", result.reason);
  assert.doesNotMatch(said, /kernels/);
});

test("wasm by name is refused, and ends the run with what to do", async () => {
  const { result } = await runPlainly("wasm");
  assert.deepEqual([result.outcome, result.code], ["failed", "usage"]);
  const reason = /^worker-0: the SIMD kernels don't run here .*use --kernels scalar or auto/;
  assert.match(result.reason, reason);
});
