/** A whole cluster in one process over the memory transport, with a model that is a vector. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Layout, layOut } from "../protocol/layout.js";
import type { Reduce } from "../protocol/reduction.js";
import type { Protocol, RunSpec } from "../protocol/run-spec.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { namedTransports } from "../transport/testing/named-transports.js";
import { type Outcome, runInMemory, type Toy, type ToyPlan } from "./testing/memory-cluster.js";
import { ToyCompute, type ToyGradients } from "./testing/toy-compute.js";

const tensors = [
  { name: "w", shape: [5, 2], group: "weight" },
  { name: "b", shape: [3], group: "plain" },
] as const;

function layoutOf(spec: RunSpec): Layout {
  return layOut(tensors, spec.chunkValues);
}

/** Pulls the parameters towards a number that each example has. */
const pull: ToyGradients = ({ epoch, range }, gradients, parameters) => {
  let target = 0;
  for (let index = range.start; index < range.end; index++) target += ((index + epoch) % 7) / 7;
  target /= range.end - range.start;
  for (let index = 0; index < gradients.length; index++) {
    gradients[index] = parameters[index]! - target * (1 + index / 10);
  }
};

function specOf(protocol: Protocol, changes: Partial<RunSpec> = {}): RunSpec {
  return {
    ...sampleSpec,
    run: "toy",
    name: "toy",
    seed: 1,
    model: "toy",
    data: "toy",
    trainExamples: 103,
    testExamples: 20,
    workersMax: 3,
    servers: 2,
    protocol,
    updateRule: { ...sampleSpec.updateRule, name: "momentum", momentum: 0.9 },
    schedule: { ...sampleSpec.schedule, totalExamples: 309 },
    epochs: 3,
    batchSize: 8,
    chunkValues: 4,
    loadBound: null,
    evaluateEvery: { unit: "epoch", count: 1 },
    ...changes,
  };
}

function runToy(
  spec: RunSpec,
  during: (toy: Toy) => void = () => {},
  from: Outcome["saved"] | null = null,
  more: Partial<Pick<ToyPlan, "transportOf" | "compute">> = {},
): Promise<Outcome> {
  const { values } = layoutOf(spec);
  const fresh = { weights: new Float32Array(values).fill(3), state: [new Float32Array(values)] };
  const compute = () => new ToyCompute(layoutOf, pull);
  return runInMemory({ spec, layoutOf, fresh, compute, during, from, ...more });
}

const asp: Protocol = {
  mode: "asp",
  staleness: { rule: "none", scale: 0.1, floor: 0.1, max: 5 },
};

test("a cluster over the memory transport trains to the end in every mode", async () => {
  for (const protocol of [{ mode: "bsp" }, { mode: "ssp", staleness: 1 }, asp] as Protocol[]) {
    const { result } = await runToy(specOf(protocol));
    assert.equal(result.outcome, "done", result.reason);
    assert.equal(result.epochs.length, 3);
    assert.equal(
      result.epochs.reduce((sum, epoch) => sum + epoch.examples, 0),
      309,
    );
    assert.equal(result.evaluations.at(-1)?.accuracyPercent, 100);
    assert.equal(result.evaluations.at(-1)?.final, true);
  }
});

test("one worker with arbitrary gradients ruins a mean and no median", async () => {
  const hostile: ToyGradients = ({ step }, gradients) => {
    gradients.fill(step % 2 === 0 ? -1e4 : 3e4);
  };
  const farthest = async (reduce: Reduce, isHostile: boolean) => {
    const spec = specOf({ mode: "bsp" }, { reduce, workersMax: 4, epochs: 20 });
    const compute = (_: unknown, rank: number) =>
      new ToyCompute(layoutOf, isHostile && rank === 2 ? hostile : pull);
    const { result, weights } = await runToy(spec, () => {}, null, { compute });
    assert.equal(result.outcome, "done", result.reason);
    return Math.max(...weights.map(Math.abs));
  };
  // The parameters go towards the mean of the targets, from below 1 to 2.3.
  assert.ok((await farthest("mean", false)) < 3);
  assert.ok((await farthest("mean", true)) > 1000);
  assert.ok((await farthest("median", true)) < 3);
  assert.ok((await farthest("trimmed:0.25", true)) < 3);
});

test("BSP ends in the same bits with one, two and three servers", async () => {
  const runs: (readonly number[])[] = [];
  for (const servers of [1, 2, 3]) {
    runs.push((await runToy(specOf({ mode: "bsp" }, { servers }))).weights);
  }
  assert.deepEqual(runs[1], runs[0]);
  assert.deepEqual(runs[2], runs[0]);
});

test("BSP ends in the same bits over memory, gRPC, TCP and Unix sockets", async (context) => {
  const spec = specOf({ mode: "bsp" }, { workersMax: 4 });
  const oracle = await runToy(spec);
  for (const way of ["grpc", "tcp", "unix"] as const) {
    const folder = mkdtempSync(join(tmpdir(), "paceline-toy-"));
    context.after(() => rmSync(folder, { recursive: true }));
    const transportOf = namedTransports(way, folder);
    const { result, weights } = await runToy(spec, () => {}, null, { transportOf });
    assert.equal(result.outcome, "done", result.reason);
    assert.deepEqual(weights, oracle.weights, way);
  }
});

test("a run that is interrupted and resumed ends in the bits of one that was not", async () => {
  const spec = specOf({ mode: "bsp" }, { epochs: 40 });
  const whole = await runToy(spec);
  const first = await runToy(spec, ({ coordinator }) => {
    const timer = setInterval(() => {
      if (coordinator.snapshot().epoch < 5) return;
      clearInterval(timer);
      coordinator.tell({ type: "interrupt", reason: "SIGINT" });
    }, 1);
  });
  assert.equal(first.result.outcome, "interrupted");
  assert.ok(first.result.epochs.length < 40);
  const second = await runToy({ ...spec, run: "toy-again" }, () => {}, first.saved);
  assert.equal(second.result.outcome, "done");
  assert.deepEqual(second.weights, whole.weights);
  assert.equal(second.result.epochs.length, 40);
});

test("links cut for less than the lease cost time and no update", async () => {
  const spec = specOf({ mode: "bsp" }, { epochs: 60 });
  const whole = await runToy(spec);
  const cut = await runToy(spec, ({ network, coordinator }) => {
    const pairs = [
      ["worker-1", "server-0"],
      ["worker-2", "coordinator"],
      ["server-1", "coordinator"],
      ["worker-0", "server-1"],
    ] as const;
    const timer = setInterval(() => {
      if (coordinator.snapshot().epoch < 3) return;
      clearInterval(timer);
      pairs.forEach(([left, right], index) => {
        setTimeout(() => network.cut(left, right), 60 * index);
        setTimeout(() => network.restore(left, right), 60 * index + 200);
      });
    }, 1);
  });
  assert.equal(cut.result.outcome, "done", cut.result.reason);
  assert.deepEqual(cut.weights, whole.weights);
});
