/** What a server holds does not grow with the steps. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type ArenaUsage, slotAlignmentValues } from "../kernels/arena.js";
import { type CompressionSpec, uncompressed } from "../protocol/compression.js";
import { type Layout, layOut } from "../protocol/layout.js";
import type { Protocol, RunSpec } from "../protocol/run-spec.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { namedTransports } from "../transport/testing/named-transports.js";
import type { Transport } from "../transport/transport.js";
import { runInMemory } from "./testing/memory-cluster.js";
import { ToyCompute, type ToyGradients } from "./testing/toy-compute.js";

const tensors = [
  { name: "w", shape: [40, 10], group: "weight" },
  { name: "b", shape: [10], group: "plain" },
] as const;
const layout: Layout = layOut(tensors, 100);
const workers = 3;

/** Small, and different in each step. */
const waves: ToyGradients = ({ step }, gradients) => {
  for (let index = 0; index < gradients.length; index++) {
    gradients[index] = Math.sin(index + step) / 100;
  }
};

function specOf(compression: Partial<CompressionSpec>, protocol: Protocol): RunSpec {
  const examples = workers * 300;
  return {
    ...{ ...sampleSpec, run: "toy", name: "toy", model: "toy", data: "toy", protocol },
    ...{ trainExamples: examples, testExamples: 4, workersMax: workers, batchSize: 1 },
    schedule: { ...sampleSpec.schedule, lr: 0.01, totalExamples: examples },
    updateRule: { ...sampleSpec.updateRule, name: "momentum", momentum: 0.9 },
    ...{ chunkValues: 100, checkpointEvery: { unit: "step", count: 30 } },
    compression: { ...uncompressed, ...compression },
  };
}

/** What the server's arena holds at each checkpoint, once all that was sent has gone out. */
async function usages(
  spec: RunSpec,
  settled: (now: ArenaUsage, before: ArenaUsage | undefined) => boolean,
  transportOf?: (name: string) => Transport,
): Promise<ArenaUsage[]> {
  const seen: ArenaUsage[] = [];
  const { values } = layout;
  const { result } = await runInMemory({
    spec,
    layoutOf: () => layout,
    fresh: { weights: new Float32Array(values).fill(1), state: [new Float32Array(values)] },
    compute: () => new ToyCompute(() => layout, waves),
    ...(transportOf && { transportOf }),
    async quiet(_step, [server]) {
      const endMs = performance.now() + 5000;
      let now = server!.memory()!;
      while (!settled(now, seen[0]) && performance.now() < endMs) {
        await turn();
        now = server!.memory()!;
      }
      seen.push(now);
    },
  });
  assert.equal(result.outcome, "done", result.reason);
  // Without barriers a fast machine passes several of them before it is asked to rest.
  const least = spec.protocol.mode === "bsp" ? 10 : 1;
  assert.ok(seen.length >= least, `${seen.length} checkpoints`);
  return seen;
}

const aligned = (values: number) => Math.ceil(values / slotAlignmentValues) * slotAlignmentValues;
const lengths = layout.chunks.map(({ length }) => aligned(length));
const all = lengths.reduce((sum, length) => sum + length, 0);
const asp: Protocol = {
  mode: "asp",
  staleness: { rule: "none", scale: 0.1, floor: 0.1, max: 5 },
};

for (const protocol of [{ mode: "bsp" }, { mode: "ssp", staleness: 1 }, asp] as Protocol[]) {
  for (const way of ["memory", "unix", "tcp", "grpc"] as const) {
    if (protocol.mode !== "bsp" && way !== "memory") continue;
    const what = "a server holds weights, velocity and a copy for each worker";
    test(`${protocol.mode} over ${way}: ${what}`, async (context) => {
      const folder = mkdtempSync(join(tmpdir(), "paceline-flat-"));
      context.after(() => rmSync(folder, { recursive: true }));
      const atRest = { slots: 2 * lengths.length, used: 2 * all };
      const seen = await usages(
        specOf({}, protocol),
        ({ slots, used }) => slots === atRest.slots && used === atRest.used,
        way === "memory" ? undefined : namedTransports(way, folder),
      );
      for (const { slots, used } of seen) assert.deepEqual({ slots, used }, atRest);
      const { usedMax } = seen.at(-1)!;
      // A checkpoint that is sent while training goes on may hold as much again.
      const most = (2 + 2 + workers) * all + Math.max(...lengths);
      assert.ok(usedMax <= most, `at most ${most} values, and there were ${usedMax}`);
    });
  }
}

const whole = { share: 1 } as const;
const compressions: readonly Partial<CompressionSpec>[] = [
  { push: { codec: "fp16", ...whole }, pull: { codec: "bf16", ...whole } },
  { push: { codec: "int8", ...whole }, pull: { codec: "topk", share: 0.1 } },
  { push: { codec: "topk", share: 0.1 }, pull: { codec: "onebit", ...whole } },
  { push: { codec: "onebit", ...whole } },
];

for (const compression of compressions) {
  const { push, pull = uncompressed.pull } = compression;
  const what = `${push?.codec} pushed, ${pull.codec} pulled`;
  test(`${what}: as much is held after 300 steps as after 60`, async () => {
    // In the first steps weights still go whole, which makes other copies than differences do.
    let stable = 0;
    let last = "";
    const seen = await usages(specOf(compression, { mode: "bsp" }), ({ slots, used }) => {
      const text = `${slots} ${used}`;
      stable = text === last ? stable + 1 : 0;
      last = text;
      return stable >= 50;
    });
    const [, second, ...later] = seen.map(({ slots, used }) => ({ slots, used }));
    for (const usage of later) assert.deepEqual(usage, second);
  });
}
