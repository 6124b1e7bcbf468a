import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { writeSampleMnist } from "../data/testing/sample-files.js";
import { PacelineError } from "../errors.js";
import type { RunEvent } from "../protocol/run-events.js";
import type { RunEnd } from "../runtime/observer.js";
import { train } from "./train.js";
import { describeRun, type TrainSettings } from "./train-settings.js";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-library-"));
  await writeSampleMnist(join(folder, "data"), { train: 128, test: 32, seed: 1 });
});
after(() => rm(folder, { recursive: true, force: true }));

function settings(changes: Partial<TrainSettings> = {}): TrainSettings {
  const place = { dataDir: join(folder, "data"), runDir: join(folder, "runs") };
  const work = { epochs: 2, batchSize: 8, engine: "reference" } as const;
  return { model: "logistic", data: "mnist-parity", ...work, ...place, ...changes };
}

describe("train as a call", () => {
  test("trains in this process, tells its observer and keeps the run's folder", async () => {
    const kinds = new Set<RunEvent["kind"]>();
    const ends: RunEnd[] = [];
    const result = await train(settings({ workers: 2, servers: 2, name: "called" }), {
      observer: { onEvent: ({ kind }) => kinds.add(kind), onEnd: (end) => ends.push(end) },
    });
    const { outcome, globalSteps, name } = result;
    assert.deepEqual(
      { outcome, globalSteps, name },
      { outcome: "done", globalSteps: 16, name: "called" },
    );
    assert.ok(result.accuracyPercent !== null && result.accuracyPercent >= 0);
    for (const kind of ["started", "epoch", "evaluation", "checkpoint", "ended"] as const)
      assert.ok(kinds.has(kind), kind);
    const files = await readdir(result.folder);
    for (const file of ["cluster.json", "config.yaml", "events.jsonl", "metrics.jsonl"])
      assert.ok(files.includes(file), file);
    const written = JSON.parse(await readFile(join(result.folder, "result.json"), "utf8"));
    assert.deepEqual(written, JSON.parse(JSON.stringify(ends[0]!.experiment)));
    assert.deepEqual(await readdir(join(result.folder, "checkpoints")), ["step-16"]);
  });

  test("ends in the same bits whatever the number of servers", async () => {
    const weights = async (name: string, servers: number) => {
      const { folder: path } = await train(settings({ workers: 2, servers, epochs: 1, name }));
      return readFile(join(path, "checkpoints", "step-8", "model.safetensors"));
    };
    assert.deepEqual(await weights("one", 1), await weights("two", 2));
  });

  test("is stopped by a signal with a checkpoint, and resumed", async () => {
    const stop = new AbortController();
    const stopped = await train(settings({ epochs: 400, name: "stopped" }), {
      signal: stop.signal,
      observer: { onEvent: ({ kind }) => kind === "epoch" && stop.abort() },
    });
    assert.equal(stopped.outcome, "interrupted", stopped.reason);
    const [step] = await readdir(join(stopped.folder, "checkpoints"));
    assert.match(step!, /^step-\d+$/);
    const epochs = stopped.epochs.length + 1;
    const done = await train(settings({ epochs, resume: "stopped" }));
    assert.deepEqual([done.outcome, done.name], ["done", "stopped"]);
  });

  test("is not begun where its signal was given before", async () => {
    const long = settings({ epochs: 4000, name: "never" });
    const { outcome, globalSteps } = await train(long, { signal: AbortSignal.abort() });
    assert.deepEqual({ outcome, globalSteps }, { outcome: "interrupted", globalSteps: 0 });
  });

  test("a run that fails throws its code and its reason", async () => {
    await assert.rejects(
      train(settings({ lr: 1e6, weightDecay: 0.9, name: "wild" })),
      (error) => error instanceof PacelineError && error.code === "diverged",
    );
  });
});

describe("settings of a program", () => {
  const refusals: readonly [string, Record<string, unknown>, RegExp][] = [
    ["a value out of range", { batchSize: 0 }, /^batchSize 0 .*; write /],
    ["a word that is none", { mode: "bps" }, /^mode bps .*did you mean bsp/],
    ["a value of another type", { lrMilestones: 3 }, /^lrMilestones /],
    [
      "a unit that there is not",
      { evalEvery: { unit: "hour", count: 1 } },
      /^evalEvery 1 hour is not a cadence; write /,
    ],
    ["a name that is none", { batchsize: 8 }, /^batchsize is not a .*did you mean batchSize/],
    ["what has no effect", { staleness: 2 }, /^staleness has no effect with mode bsp; .*mode ssp/],
    ["no model", { model: undefined }, /^model is missing; write /],
  ];
  for (const [what, change, expected] of refusals) {
    test(`${what} is refused by the field's name with a remedy`, () => {
      const wrong = { ...settings(), ...change } as TrainSettings;
      assert.throws(() => describeRun(wrong), { code: "usage", message: expected });
    });
  }

  test("what only data tell is refused by the field's name, too", async () => {
    await assert.rejects(train(settings({ workers: 100 })), {
      code: "usage",
      message: /^batchSize 8 is larger than a worker's slice of 1 .*lower workers$/,
    });
  });

  test("plain values and a config file's words say the same", () => {
    const plain = describeRun(settings({ workers: 3, compress: { codec: "topk", share: 0.1 } }));
    const words = describeRun(settings({ workers: "3", batchSize: "8", compress: "topk:0.1" }));
    assert.deepEqual(words, plain);
    assert.match(plain.configText, /^ {2}workers: 3$/m);
  });
});
