/**
 * Adding a way to keep pace is one object and one call: two that exist only here train whole
 * clusters of machines, and nothing else knows of them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { positionsUsed } from "../testing/model-values.js";
import { asp } from "./asp.js";
import { bspPace } from "./bsp.js";
import { addMode, paceOf, protocolProblem } from "./modes.js";
import { granted, type Mode } from "./pace.js";
import { countOf, problemOfCount, unknownParameter } from "./parameters.js";

/** BSP that seals a step once so many workers have contributed; who comes later is dropped. */
const majority: Mode = {
  name: "majority",
  aliases: [],
  summary: "with the first who come",
  settings: [],
  protocolOf: () => ({ mode: "majority", count: 2 }),
  problem: (protocol) => unknownParameter(protocol, ["count"]) ?? problemOfCount(protocol, "count"),
  paceOf: (protocol) => ({
    ...bspPace,
    maySeal: (view, progress) => {
      const here = view.workers.filter((worker) => progress.holds(worker)).length;
      const wanted = Math.min(countOf(protocol, "count"), view.workers.length);
      if (here >= wanted && progress.holdsAny) return granted;
      return { allowed: false, reason: `${here} of ${wanted} have contributed` };
    },
  }),
};

/** ASP that applies each worker's pushes of even steps only. */
const alternate: Mode = {
  ...asp,
  name: "alternate",
  aliases: [],
  problem: (protocol) => unknownParameter(protocol, []),
  paceOf: () => ({
    ...asp.paceOf({ mode: "asp", staleness: { rule: "none", scale: 0, floor: 0, max: 0 } }),
    onPush: (_view, _progress, { step }) =>
      step % 2 === 0
        ? { kind: "apply", scale: 1, reason: "" }
        : { kind: "drop", reason: `step ${step} is odd` },
  }),
};

addMode(majority);
addMode(alternate);

function trained(protocol: Protocol, feed: "static" | "leased" = "static"): ModelCluster {
  const spec = specOf({
    protocol,
    feed,
    workersMax: 4,
    trainExamples: 96,
    batchSize: 4,
    epochs: 2,
  });
  const slow = { rank: 3, factor: 6 };
  const cluster = new ModelCluster({ seed: 5, spec, chunks: 3, slow }).start().run();
  assert.equal(cluster.result.outcome, "done", cluster.result.reason);
  assert.deepEqual(cluster.refusals, []);
  return cluster;
}

test("two of four workers make a step, and what no chunk applied is not counted as used", () => {
  const cluster = trained({ mode: "majority", count: 2 });
  // 48 batches of 4 workers are 12 steps, each an update of every chunk.
  assert.equal(cluster.result.globalSteps, 12);
  const pushes = Object.values(cluster.result.servers).map((server) => server.pushes);
  assert.deepEqual(pushes, [24, 24], "the first two of each step are applied");
  cluster.result.epochs.forEach(({ epoch, examples, skipped }) => {
    assert.equal(examples, usedSomewhere(cluster, epoch));
    assert.equal(examples + skipped, 96);
    assert.ok(skipped > 0);
  });
});

test("a batch that every chunk went on without is dealt again", () => {
  const cluster = trained({ mode: "majority", count: 2 }, "leased");
  cluster.result.epochs.forEach(({ epoch, skipped }) => {
    assert.equal(usedSomewhere(cluster, epoch), 96);
    assert.equal(skipped, 0);
  });
});

/** Positions of an epoch that some chunk has applied. */
function usedSomewhere(cluster: ModelCluster, epoch: number): number {
  const byChunk = cluster.values().map((value) => positionsUsed(value, 96).get(epoch));
  return Array.from({ length: 96 }, (_, position) => position).filter((position) =>
    byChunk.some((counts) => (counts?.[position] ?? 0) > 0),
  ).length;
}

test("pushes of odd steps are dropped and their workers go on", () => {
  const cluster = trained({ mode: "alternate" });
  // Each of 4 workers takes 12 steps, half of them even.
  assert.equal(cluster.result.globalSteps, 24);
  assert.equal(trained({ mode: "asp", staleness: asp0 }).result.globalSteps, 48);
});

const asp0 = { rule: "none", scale: 0, floor: 0, max: 0 } as const;

const nesterov = { optimizer: "nesterov", lr: 0.7, momentum: 0.9 } as const;
const localProtocol = { mode: "local", localSteps: 4, outer: nesterov } as const;

function withOuter(change: Readonly<Record<string, number | string>>): Protocol {
  return { ...localProtocol, outer: { ...nesterov, ...change } };
}

test("a protocol that came from elsewhere is judged by its mode", () => {
  const table: [Protocol, RegExp | null][] = [
    [{ mode: "bsp" }, null],
    [{ mode: "bsp", staleness: 2 }, /^mode bsp: it has no parameter staleness$/],
    [{ mode: "ssp", staleness: 2 }, null],
    [{ mode: "ssp" }, /^mode ssp: staleness is undefined, not a whole number/],
    [{ mode: "ssp", staleness: -1 }, /staleness is -1/],
    [{ mode: "ssp", staleness: 0.5 }, /staleness is 0.5/],
    [{ mode: "asp", staleness: asp0 }, null],
    [{ mode: "asp", staleness: 3 }, /^mode asp: staleness is no rule/],
    [{ mode: "asp", staleness: { ...asp0, rule: "half" } }, /rule is half: none, scale, reject/],
    [
      { mode: "asp", staleness: { ...asp0, max: "5" } },
      /staleness.max is 5, a whole number is needed/,
    ],
    [{ mode: "asp", staleness: { ...asp0, floor: 1.5 } }, /staleness.floor is 1.5, it is above 1/],
    [{ mode: "asp", staleness: { ...asp0, scale: 1e-50 } }, /it is 0 as a 32-bit float/],
    [{ mode: "ringmaster", delayBound: 4 }, null],
    [{ mode: "k-of-n", backupWorkers: 1 }, null],
    [{ mode: "k-of-n" }, /^mode k-of-n: backupWorkers is undefined, not a whole number/],
    [{ mode: "k-of-n", backupWorkers: 1, staleness: 2 }, /it has no parameter staleness$/],
    [{ mode: "ringmaster", delayBound: 0 }, /delayBound is 0, it must be at least 1/],
    [
      { mode: "bps" },
      /^mode "bps" is not known: .*asp, ringmaster, k-of-n, quorum, .*, majority, alternate are$/,
    ],
    [localProtocol, null],
    [{ ...localProtocol, mode: "local-async", staleness: asp0 }, null],
    [{ ...localProtocol, mode: "local-async" }, /^mode local-async: staleness is no rule/],
    [{ ...localProtocol, localSteps: 0 }, /^mode local: localSteps is 0, it must be from 1/],
    [{ ...localProtocol, staleness: 1 }, /^mode local: it has no parameter staleness/],
    [{ mode: "local", localSteps: 4 }, /^mode local: outer is no optimizer/],
    [withOuter({ optimizer: "mean" }), /outer.optimizer has the unknown value mean; .* average/],
    [withOuter({ lr: 0 }), /outer.lr is 0, it is not above 0/],
    [withOuter({ momentum: 1 }), /outer.momentum is 1/],
    [withOuter({ decay: 1 }), /outer has no member decay/],
    [withOuter({ optimizer: "average" }), /average has the rate 1 and no momentum, not 0.7 and/],
  ];
  for (const [protocol, problem] of table) {
    const found = protocolProblem(protocol);
    if (problem === null) assert.equal(found, null);
    else assert.match(found ?? "nothing", problem);
    if (problem !== null) assert.throws(() => paceOf(protocol), { message: problem });
  }
});

test("a mode has a name of its own", () => {
  assert.throws(() => addMode(majority), /a name of its own/);
});
