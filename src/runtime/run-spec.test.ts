import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { resolve } from "../options/resolve.js";
import type { ResolvedOptions } from "../options/resolved-options.js";
import { sampleInput } from "../protocol/testing/sample-run.js";
import { type RunFacts, runSpecFrom } from "./run-spec.js";

const { options: defaults } = resolve("train", {});
const options: ResolvedOptions = {
  ...defaults,
  servers: { min: 2, max: 2 },
  chunkValues: 4096,
  model: "mlp",
  data: "mnist",
  weightDecay: 0.01,
};
const facts: RunFacts = {
  run: "r1",
  name: "first",
  trainExamples: 60_000,
  testExamples: 10_000,
  input: sampleInput,
  cores: 10,
};
const specWith = (changes: Partial<ResolvedOptions>, other: Partial<RunFacts> = {}) =>
  runSpecFrom({ ...options, ...changes }, { ...facts, ...other });

describe("a run spec", () => {
  test("keeps what was chosen", () => {
    const spec = specWith({});
    assert.deepEqual(spec.protocol, { mode: "bsp" });
    assert.equal(spec.run, "r1");
    assert.equal(spec.workersMax, 4);
    assert.equal(spec.threads, 2);
    assert.equal(spec.schedule.totalExamples, 180_000);
    assert.deepEqual(spec.schedule.milestones, []);
  });
  test("gives plain sgd no momentum and the plain group the same decay unless told", () => {
    assert.equal(specWith({}).updateRule.momentum, 0);
    assert.equal(specWith({ optimizer: "nesterov" }).updateRule.momentum, 0.9);
    assert.equal(specWith({}).updateRule.weightDecayPlain, 0.01);
    assert.equal(specWith({ weightDecayPlain: 0 }).updateRule.weightDecayPlain, 0);
  });
  test("carries the staleness of its protocol", () => {
    assert.deepEqual(specWith({ mode: "ssp" }).protocol, { mode: "ssp", staleness: 3 });
    const staleness = { rule: "reject", scale: 0.1, floor: 0.1, max: 5 };
    assert.deepEqual(specWith({ mode: "asp", stalenessRule: "reject" }).protocol, {
      mode: "asp",
      staleness,
    });
  });
  test("counts the work of --max-steps by the pace", () => {
    const maxSteps = 100;
    assert.equal(specWith({ maxSteps }).schedule.totalExamples, 100 * 4 * 64);
    assert.equal(specWith({ maxSteps, mode: "asp" }).schedule.totalExamples, 100 * 64);
    assert.equal(specWith({ maxSteps: 1_000_000 }).schedule.totalExamples, 180_000);
  });
  test("writes no checkpoint by the clock where one shapes what workers see", () => {
    const topk = { codec: "topk", share: 0.01 } as const;
    const byClock = { unit: "second", count: 600 } as const;
    assert.deepEqual(specWith({}).checkpointEvery, byClock);
    assert.deepEqual(specWith({ compress: topk }).checkpointEvery, byClock);
    assert.deepEqual(specWith({ compressPull: topk }).checkpointEvery, { unit: "epoch", count: 1 });
    const minute = { unit: "second", count: 60 } as const;
    assert.deepEqual(specWith({ checkpointEvery: minute }).checkpointEvery, minute);
    assert.throws(() => specWith({ checkpointEvery: minute, compressPull: topk }), {
      code: "usage",
      message: /--checkpoint-every 60s with --compress-pull topk .* write steps or epochs/,
    });
  });
  test("has a stem where the model has a choice of them", () => {
    assert.equal(specWith({ stem: "imagenet" }).stem, null);
    assert.equal(specWith({ model: "resnet32" }).stem, null);
    assert.equal(specWith({ model: "resnet18" }).stem, "cifar");
    assert.equal(specWith({ model: "resnet50", stem: "imagenet" }).stem, "imagenet");
  });
  test("has at least one thread however many workers share the cores", () => {
    assert.equal(specWith({ workers: { min: 1, max: 16 } }).threads, 1);
    assert.equal(specWith({ workers: { min: 1, max: 16 }, threads: 3 }).threads, 3);
  });

  const refused: readonly (readonly [Partial<ResolvedOptions>, Partial<RunFacts>, string])[] = [
    [{ model: null }, {}, "a run needs --model, such as --model mlp"],
    [{ data: null }, {}, "a run needs --data, such as --data mnist"],
    [
      { batchSize: 65 },
      { trainExamples: 256 },
      "--batch-size 65 is larger than a worker's slice of 64 " +
        "(256 training examples over 4 workers); write 64 or less, or lower --workers",
    ],
    [
      {},
      { trainExamples: 3 },
      "3 training examples are too few for 4 workers; lower --workers or raise --train-limit",
    ],
    [
      { inject: [{ kind: "kill", role: "server", rank: 2, at: 5, forMs: null }] },
      {},
      "--inject kill:server=2,at=5 names no server; there are 2, from 0 to 1",
    ],
    [
      { inject: [{ kind: "pause", role: "worker", rank: 4, at: 5, forMs: 1500 }] },
      {},
      "--inject pause:worker=4,at=5,for=1500ms names no worker; there are 4, from 0 to 3",
    ],
    [
      { reduce: "median", mode: "asp" },
      {},
      "--reduce median with --mode asp: its pushes are applied one by one, so that none is left " +
        "out; write --mode bsp, or --reduce mean",
    ],
    [
      { reduce: "trimmed:0.1", compress: { codec: "topk", share: 0.01 } },
      {},
      "--reduce trimmed:0.1 with --compress topk:0.01, which may send most values as 0, or only " +
        "their signs; write --compress none, fp16, bf16 or int8",
    ],
    [
      { mode: "k-of-n", backupWorkers: 4 },
      {},
      "--backup-workers 4 with 4 workers leaves none that a step of mode k-of-n needs; write " +
        "3 or less, or raise --workers",
    ],
    [
      { mode: "quorum", quorumSize: 5 },
      {},
      "--quorum 5 with 4 workers: a step of mode quorum would never have as many; write 4 or " +
        "less, or raise --workers",
    ],
    [
      { mode: "dssp", stalenessMin: 4, staleness: 3 },
      {},
      "--staleness-min 4 is above --staleness 3; write 3 or less, or raise --staleness",
    ],
    [
      { feed: "central", mode: "local", localSteps: 5 },
      {},
      "--feed central with --mode local --local-steps 5: workers without files are sent one " +
        "batch a step; write --feed leased or static, or another --mode",
    ],
    [
      { lrSchedule: "step", lrMilestones: [0.75, 0.5] },
      {},
      "--lr-milestones 0.75,0.5 do not ascend; sort them",
    ],
  ];
  for (const [changes, other, message] of refused) {
    test(message, () => {
      assert.throws(() => specWith(changes, other), { code: "usage", message });
    });
  }
  test("takes a batch as large as a slice", () => {
    assert.equal(specWith({ batchSize: 64 }, { trainExamples: 256 }).batchSize, 64);
  });
});
