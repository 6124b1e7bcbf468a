import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { PacelineError } from "../errors.js";
import {
  done,
  epoch,
  evaluation,
  member,
  picture,
  recordReport,
  steps,
} from "../report/testing/recorded-report.js";
import { readStudyResult, readStudyResults } from "./read-results.js";

const root = mkdtempSync(join(tmpdir(), "paceline-results-"));
after(() => rmSync(root, { recursive: true }));

let folders = 0;

function folder(files: Readonly<Record<string, unknown>>): string {
  folders += 1;
  const path = join(root, `folder-${folders}`);
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(path, name, ".."), { recursive: true });
    writeFileSync(
      join(path, name),
      typeof content === "string" ? content : JSON.stringify(content),
    );
  }
  return path;
}

function file(content: unknown, name = "one.json"): string {
  return join(folder({ [name]: content }), name);
}

function worker(id: number, changes: object = {}) {
  return {
    type: "WORKER_FINAL_METRICS",
    worker_id: id,
    total_workers: 2,
    total_training_time_seconds: 600 + id,
    average_epoch_time_seconds: 290,
    epoch_times_seconds: [280, 300 + id],
    final_test_accuracy_percent: 18.5,
    all_accuracies_percent: [11, 18.5],
    local_steps_completed: 780,
    batch_size: 128,
    learning_rate: 0.1,
    num_epochs: 2,
    ...changes,
  };
}

const server = {
  type: "SERVER_FINAL_METRICS",
  mode: "async",
  total_workers: 2,
  total_training_time_seconds: 700,
  global_steps_completed: 1560,
  learning_rate: 0.1,
};

function original(changes: object = {}) {
  return {
    experiment_name: "async_2workers",
    timestamp: "2025-05-05T10:00:00",
    server_metrics: server as object | null,
    raw_worker_metrics: [worker(0), worker(1)] as object[],
    ...changes,
  };
}

async function refusal(content: unknown, name?: string): Promise<string> {
  const path = file(content, name);
  try {
    await readStudyResult(path);
  } catch (thrown) {
    assert.ok(thrown instanceof PacelineError, String(thrown));
    assert.equal(thrown.code, "usage");
    assert.ok(thrown.message.startsWith(path), thrown.message);
    return thrown.message.slice(path.length + 1);
  }
  return assert.fail("it was read");
}

describe("a file of the original form", () => {
  test("tells the longest time, means over workers, and nothing it does not hold", async () => {
    const path = file(original());
    const { identity, ...told } = await readStudyResult(path);
    assert.match(identity ?? "", /^[0-9a-f]{64}$/);
    assert.deepEqual(told, {
      name: "async_2workers",
      path,
      mode: "async",
      workers: 2,
      servers: null,
      model: null,
      data: null,
      seed: null,
      outcome: null,
      settings: { batchSize: 128, "schedule.lr": 0.1, epochs: 2 },
      inOneProcess: null,
      simulated: false,
      crowded: null,
      seconds: 601,
      epochSeconds: 290,
      accuracyPercent: 18.5,
      epochs: [
        {
          epoch: 1,
          longestSeconds: 280,
          meanSeconds: 280,
          testAccuracyPercent: 11,
          trainAccuracyPercent: null,
          trainLoss: null,
          testLoss: null,
        },
        {
          epoch: 2,
          longestSeconds: 301,
          meanSeconds: 300.5,
          testAccuracyPercent: 18.5,
          trainAccuracyPercent: null,
          trainLoss: null,
          testLoss: null,
        },
      ],
      evaluations: [],
      stalenessCounts: null,
      stepTimes: null,
      bytesIn: null,
      bytesOut: null,
    });
  });

  for (const [what, content] of [
    ["null", original({ server_metrics: null })],
    ["absent", original({ server_metrics: undefined })],
  ] as const) {
    test(`whose server metrics are ${what} has mode and workers of its name`, async () => {
      const { mode, workers, seconds } = await readStudyResult(file(content));
      assert.deepEqual({ mode, workers, seconds }, { mode: "async", workers: 2, seconds: 601 });
    });
  }

  test("without a telling name has the number of workers that its workers tell", async () => {
    const content = original({ experiment_name: "friday", server_metrics: { mode: "sync" } });
    const { mode, workers } = await readStudyResult(file(content));
    assert.deepEqual({ mode, workers }, { mode: "sync", workers: 2 });
  });

  test("is named by its file's name where its own tells nothing", async () => {
    const content = original({ experiment_name: "friday", server_metrics: null });
    const { name, mode } = await readStudyResult(file(content, "async_2workers.json"));
    assert.deepEqual({ name, mode }, { name: "friday", mode: "async" });
  });

  test("whose workers lack fields gives what the rest tell", async () => {
    const bare = { worker_id: 1, total_training_time_seconds: 650 };
    const result = await readStudyResult(
      file(original({ raw_worker_metrics: [worker(0), bare], server_metrics: null })),
    );
    assert.equal(result.seconds, 650);
    assert.equal(result.epochSeconds, 290);
    assert.equal(result.accuracyPercent, 18.5);
    assert.deepEqual(result.settings, {});
  });

  test("with an aggregate alone is read by it", async () => {
    const result = await readStudyResult(
      file({
        experiment_name: "sync_8workers",
        worker_metrics_aggregated: {
          num_workers: 8,
          total_training_time_seconds: 960,
          average_epoch_time_seconds: 300,
          final_test_accuracy_percent: 18,
          epoch_times_by_epoch: [{ epoch: 1, max_time: 310, avg_time: 300, min_time: 290 }],
          accuracy_by_epoch: [{ epoch: 1, avg_accuracy: 18, max_accuracy: 19, min_accuracy: 17 }],
        },
      }),
    );
    const { mode, workers, seconds, epochSeconds, accuracyPercent } = result;
    assert.deepEqual(
      [mode, workers, seconds, epochSeconds, accuracyPercent],
      ["sync", 8, 960, 300, 18],
    );
    assert.equal(result.epochs.length, 1);
    assert.deepEqual(
      [result.epochs[0]!.longestSeconds, result.epochs[0]!.testAccuracyPercent],
      [310, 18],
    );
  });
});

describe("a file that is wrong is refused with what is wrong", () => {
  const refused: readonly (readonly [string, unknown, RegExp])[] = [
    [
      "its mode told twice",
      original({ experiment_name: "sync_2workers" }),
      /contradicts itself about its mode: server_metrics.mode says async and the name sync_2w/,
    ],
    [
      "its workers told twice",
      original({ experiment_name: "async_4workers", server_metrics: null }),
      /number of workers: total_workers of worker 0 says 2 and the name async_4workers 4; correct/,
    ],
    [
      "workers that disagree",
      original({
        raw_worker_metrics: [worker(0), worker(1, { total_workers: 3 })],
        server_metrics: null,
      }),
      /total_workers of worker 0 says 2 and total_workers of worker 1 3/,
    ],
    [
      "a mode nowhere",
      original({ experiment_name: "friday", server_metrics: null }),
      /does not state its mode: .* friday is not like sync_4workers/,
    ],
    [
      "a text for a number",
      original({ raw_worker_metrics: [worker(0, { batch_size: "128" })] }),
      /is not an experiment file: raw_worker_metrics\.0\.batch_size: .*number.*string/,
    ],
    [
      "a time below nothing",
      original({ raw_worker_metrics: [worker(0, { epoch_times_seconds: [-1] })] }),
      /raw_worker_metrics\.0\.epoch_times_seconds\.0: /,
    ],
    [
      "more than all right",
      original({ raw_worker_metrics: [worker(0, { final_test_accuracy_percent: 101 })] }),
      /final_test_accuracy_percent: /,
    ],
    ["no name", original({ experiment_name: undefined }), /experiment_name: /],
    [
      "no metrics at all",
      { experiment_name: "sync_2workers" },
      /it holds no metrics of servers or workers/,
    ],
    ["another JSON file", [1, 2], /is not an experiment file: .*array/],
    [
      "NaN",
      JSON.stringify(original()).replace("18.5", "NaN"),
      /holds NaN, which JSON can't express/,
    ],
    ["a cut end", JSON.stringify(original()).slice(0, 200), /is not JSON, or is cut off/],
    ["nothing in it", "", /is empty: give/],
    [
      "a spec of a hundred thousand levels",
      JSON.stringify(original({ paceline: { spec: { deep: "here" } } })).replace(
        '"here"',
        `${"[".repeat(100_000)}${"]".repeat(100_000)}`,
      ),
      /is nested deeper than 100 levels: give/,
    ],
    [
      "a worker twice",
      original({
        raw_worker_metrics: [
          worker(0),
          worker(1, { final_test_accuracy_percent: 70 }),
          worker(1, { final_test_accuracy_percent: 10 }),
        ],
      }),
      /lists worker 1 twice in raw_worker_metrics, with .*_percent":70,.* and .*_percent":10,/,
    ],
    [
      "a worker twice in the aggregate",
      original({
        raw_worker_metrics: undefined,
        worker_metrics_aggregated: { per_worker_metrics: [worker(0), worker(0)] },
      }),
      /lists worker 0 twice in per_worker_metrics, with .*; remove one of the two/,
    ],
    [
      "an epoch twice",
      original({
        worker_metrics_aggregated: {
          accuracy_by_epoch: [
            { epoch: 1, avg_accuracy: 70 },
            { epoch: 1, avg_accuracy: 10 },
          ],
        },
      }),
      /lists epoch 1 twice in accuracy_by_epoch, with .*:70} and .*:10}; remove/,
    ],
    [
      "a key twice",
      JSON.stringify(original()).replace('"mode":"async"', '"mode":"async","mode":"sync"'),
      /says server_metrics\.mode twice, "async" and "sync"; remove one of the two/,
    ],
  ];
  for (const [what, content, message] of refused) {
    test(what, async () => assert.match(await refusal(content), message));
  }
});

async function recordedResult(changes: Parameters<typeof recordReport>[0] = {}) {
  const recorded = recordReport(changes);
  const all = [
    member("worker", 0, { worker: steps(20) }),
    member("worker", 1, { worker: steps(20) }),
  ];
  recorded.report.onSnapshot(picture(all, { globalSteps: 20 }));
  recorded.report.onEvent(epoch(0));
  recorded.report.onEvent(evaluation(0));
  assert.equal(await recorded.report.finish(done), 0);
  return recorded.results[0] as { paceline: Record<string, unknown> };
}

describe("a result of Paceline's own", () => {
  test("as the report of a run writes it tells everything it holds", async () => {
    const path = folder({ "result.json": await recordedResult() });
    const result = await readStudyResult(path);
    assert.equal(result.path, join(path, "result.json"));
    const { name, mode, workers, servers, model, data, seed, outcome } = result;
    assert.deepEqual(
      { name, mode, workers, servers, model, data, seed, outcome },
      {
        name: "trial",
        mode: "sync",
        workers: 2,
        servers: 1,
        model: "mlp",
        data: "mnist",
        seed: 1,
        outcome: "done",
      },
    );
    assert.deepEqual(
      result.evaluations.map(({ step, seconds, accuracyPercent }) => [
        step,
        seconds,
        accuracyPercent,
      ]),
      [
        [10, 2, 95],
        [20, 4, 96],
      ],
    );
    assert.deepEqual(
      result.epochs.map((row) => [
        row.epoch,
        row.longestSeconds,
        row.meanSeconds,
        row.testAccuracyPercent,
      ]),
      [
        [1, 2, 1.75, 95],
        [2, 2, 1.75, 96],
      ],
    );
    assert.equal(result.epochs[0]!.trainLoss, 0.3123);
    assert.equal(result.accuracyPercent, 96);
    assert.equal(result.seconds, 4);
    const { batchSize, epochs, reduce, evaluateEvery } = result.settings;
    assert.deepEqual([batchSize, epochs, reduce, evaluateEvery], [10, 2, "mean", "1 epoch"]);
    assert.equal(result.settings["schedule.lr"], 0.1);
    assert.ok(!("seed" in result.settings) && !("name" in result.settings));
  });

  test("reads the fields of later versions where they are, and does without", async () => {
    const content = await recordedResult();
    const { paceline } = content;
    paceline.staleness = { average: 1, max: 2, rejected: 0, counts: [5, 3, 1] };
    paceline.stepTimes = { inputSeconds: 0.1, computeSeconds: 0.2, waitSeconds: 0.3 };
    Object.assign(paceline, { crowded: true, simulated: true, bytesIn: 10, bytesOut: 20 });
    const evaluations = paceline.evaluations as { examples?: number }[];
    evaluations[0]!.examples = 150;
    delete evaluations[1]!.examples;
    const result = await readStudyResult(file(content));
    assert.deepEqual(result.stalenessCounts, [5, 3, 1]);
    assert.deepEqual(result.stepTimes, {
      inputSeconds: 0.1,
      computeSeconds: 0.2,
      waitSeconds: 0.3,
    });
    assert.deepEqual([result.crowded, result.simulated], [true, true]);
    assert.deepEqual([result.bytesIn, result.bytesOut], [10, 20]);
    // The second stands at the end of epoch 2, of 200 examples an epoch.
    assert.deepEqual(
      result.evaluations.map(({ examples }) => examples),
      [150, 400],
    );
    for (const field of ["staleness", "stepTimes", "crowded", "simulated", "spec", "epochs"])
      delete paceline[field];
    const bare = await readStudyResult(file(content));
    assert.deepEqual(
      [bare.stalenessCounts, bare.stepTimes, bare.crowded, bare.simulated],
      [null, null, null, false],
    );
    assert.equal(bare.epochs.length, 2);
  });

  test("takes no worker for one that took 0 seconds before it came", async () => {
    const content = (await recordedResult()) as unknown as {
      raw_worker_metrics: { epoch_times_seconds: number[] }[];
    };
    content.raw_worker_metrics[1]!.epoch_times_seconds = [0, 1.5];
    const { epochs } = await readStudyResult(file(content));
    assert.deepEqual(
      epochs.map(({ meanSeconds }) => meanSeconds),
      [2, 1.75],
    );
  });

  test("whose model diverged is read without the evaluations that came to nothing", async () => {
    const content = await recordedResult();
    const evaluations = content.paceline.evaluations as { loss: number | null }[];
    evaluations[1]!.loss = null;
    const { evaluations: told, epochs } = await readStudyResult(file(content));
    assert.deepEqual(
      told.map(({ step }) => step),
      [10],
    );
    assert.deepEqual([epochs[1]!.testAccuracyPercent, epochs[1]!.testLoss], [96, null]);
  });

  test("of a run that never trained has no times and no accuracy", async () => {
    const recorded = recordReport();
    const never = { outcome: "failed", code: "cluster_not_formed", reason: "nobody came" } as const;
    const nothing = { trainingSeconds: 0, globalSteps: 0, epochs: [], evaluations: [] };
    await recorded.report.finish({ ...done, ...never, ...nothing });
    const result = await readStudyResult(file(recorded.results[0]));
    const { outcome, mode, workers, seconds, epochSeconds, accuracyPercent, epochs } = result;
    assert.deepEqual(
      [outcome, mode, workers, seconds, epochSeconds, accuracyPercent, epochs],
      ["failed", "sync", 2, null, null, null, []],
    );
  });

  test("of a run whose name tells another mode has the mode that it had", async () => {
    const content = await recordedResult({ spec: { name: "async_2workers" } });
    assert.equal((await readStudyResult(file(content))).mode, "sync");
  });
});

describe("a folder of results", () => {
  test("gives those that can be read, by name, and tells what is wrong with others", async () => {
    const named = (name: string) => original({ experiment_name: name, server_metrics: null });
    const ten = [worker(0, { total_workers: 10 })];
    const path = folder({
      "async_10workers.json": { ...named("async_10workers"), raw_worker_metrics: ten },
      "async_2workers.json": named("async_2workers"),
      "broken.json": "{",
      "notes.txt": "hello",
      "own/result.json": await recordedResult(),
      "going/events.jsonl": "",
      "stray/readme.md": "hello",
      ".one.json.tmp": "{",
      "suite.json": {},
      "report.md": "",
      "charts/a.svg": "",
      "runs/own/result.json": await recordedResult(),
      "cells/a.yaml": "",
    });
    const { results, problems } = await readStudyResults(path);
    assert.deepEqual(
      results.map(({ name }) => name),
      ["async_2workers", "async_10workers", "trial"],
    );
    const told = problems.map((problem) => [
      problem.path.slice(path.length + 1),
      problem.message.slice(problem.message.indexOf(problem.path) + problem.path.length + 1),
    ]);
    assert.deepEqual(
      told.map(([name]) => name),
      ["broken.json", "going", "notes.txt", "stray"],
    );
    assert.match(told[0]![1]!, /is not JSON/);
    assert.match(told[1]![1]!, /has no result\.json yet: it is running, or was killed/);
    assert.match(told[2]![1]!, /does not end in \.json/);
    assert.match(told[3]![1]!, /is not a run folder/);
  });

  test("may be a single run, or a file", async () => {
    const run = folder({ "result.json": await recordedResult(), "events.jsonl": "" });
    assert.equal((await readStudyResults(run)).results.length, 1);
    assert.equal((await readStudyResults(file(original()))).results.length, 1);
  });

  test("that does not exist is an error with its path", async () => {
    await assert.rejects(readStudyResults(join(root, "nowhere")), /nowhere: there is no such file/);
  });
});
