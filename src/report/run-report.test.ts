import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PacelineError } from "../errors.js";
import type { RunResult } from "../protocol/run-events.js";
import type { ExperimentFile } from "../store/runs/experiment-file.js";
import { resultLines } from "../store/runs/result-lines.js";
import type { PacelineResult } from "../store/runs/run-result.js";
import {
  type Changes,
  done,
  epoch,
  evaluation,
  lost,
  member,
  picture,
  type RecordedReport,
  recordReport,
  registered,
  steps,
} from "./testing/recorded-report.js";

const rule = "=".repeat(60);
const statistics = [
  rule,
  "PARAMETER SERVER FINAL STATISTICS",
  rule,
  "Mode:                    sync",
  "Total workers:           2",
  "Total training time:     4.00 s",
  "Global steps completed:  20",
  "Total parameter updates: 20",
  "Gradients processed:     40",
  "Average update time:     2.000 ms",
  "Updates per second:      5.00",
  "Learning rate:           0.1",
  rule,
];
const metricsLines = [
  'METRICS_JSON: {"type":"SERVER_FINAL_METRICS","mode":"sync","total_workers":2,' +
    '"total_training_time_seconds":4,"global_steps_completed":20,"total_parameter_updates":20,' +
    '"gradients_processed":40,"average_update_time_seconds":0.002,"updates_per_second":5,' +
    '"learning_rate":0.1,"run":"trial-1"}',
  'METRICS_JSON: {"type":"WORKER_FINAL_METRICS","worker_id":0,"total_workers":2,' +
    '"total_training_time_seconds":4,"average_epoch_time_seconds":2,"epoch_times_seconds":[2,2],' +
    '"final_test_accuracy_percent":96,"all_accuracies_percent":[95,96],' +
    '"local_steps_completed":20,"batch_size":10,"learning_rate":0.1,"num_epochs":2,' +
    '"run":"trial-1"}',
  'METRICS_JSON: {"type":"WORKER_FINAL_METRICS","worker_id":1,"total_workers":2,' +
    '"total_training_time_seconds":4,"average_epoch_time_seconds":1.5,' +
    '"epoch_times_seconds":[1.5,1.5],"final_test_accuracy_percent":96,' +
    '"all_accuracies_percent":[95,96],"local_steps_completed":20,"batch_size":10,' +
    '"learning_rate":0.1,"num_epochs":2,"run":"trial-1"}',
];
const summary = [
  "Experiment            Mode    Workers    Time(s)   Epoch(s)  Accuracy(%)",
  "--------------------  ------  -------  ---------  ---------  -----------",
  "trial                 sync          2        4.0       1.75        96.00",
];

/** A run without trouble, as the coordinator tells it. */
function tellAll({ report, clock }: RecordedReport): void {
  for (const rank of [0, 1]) report.onEvent(registered(rank));
  report.onEvent({ kind: "view", number: 1, workers: [0, 1], servers: [0], text: "view 1: all" });
  report.onEvent({ kind: "started", text: "training starts with 2 workers and 1 server" });
  report.onSnapshot(picture([member("server", 0), member("worker", 0), member("worker", 1)]));
  clock.ms = 2000;
  report.onEvent(epoch(0));
  report.onEvent(evaluation(0));
  clock.ms = 4000;
  report.onEvent(epoch(1));
  report.onEvent(evaluation(1));
  report.onEvent({ kind: "ended", outcome: "done", text: "run done: training is done" });
}

const told = [
  "Worker 0 registered with ID 0 (pid 10 on box)",
  "Worker 1 registered with ID 1 (pid 11 on box)",
  "training starts with 2 workers and 1 server",
  "Epoch 1/2 completed: 2.00 s, loss 0.3123, train accuracy 88.00%, accuracy 95.00%, " +
    "100 examples/s, 2 workers",
  "Epoch 2/2 completed: 2.00 s, loss 0.3123, train accuracy 88.00%, accuracy 96.00%, " +
    "100 examples/s, 2 workers",
  "Worker 0 completed training!",
  "Worker 1 completed training!",
  "result in runs/trial/result.json",
];

describe("without a terminal", () => {
  test("standard error has a line an epoch, standard output the results", async () => {
    const recorded = recordReport();
    tellAll(recorded);
    assert.equal(await recorded.report.finish(done), 0);
    assert.deepEqual(recorded.err(), told);
    const accuracy = "Final test accuracy: 96.00%";
    assert.equal(recorded.results.length, 1);
    const whole = resultLines(recorded.results[0] as ExperimentFile);
    const results = [accuracy, ...statistics, ...metricsLines, ...whole, ...summary];
    assert.deepEqual(recorded.out(), results);
  });

  test("with --json standard output has one object, the result, and nothing besides", async () => {
    const recorded = recordReport({ options: { json: true } });
    tellAll(recorded);
    await recorded.report.finish(done);
    assert.deepEqual(JSON.parse(recorded.out().join("\n")), recorded.results[0]);
    const asked = recordReport({ options: { json: true, metricsJson: true, quiet: true } });
    tellAll(asked);
    await asked.report.finish(done);
    assert.deepEqual(JSON.parse(asked.out().join("\n")), asked.results[0]);
    assert.ok(recorded.err().includes("PARAMETER SERVER FINAL STATISTICS"));
    assert.ok(recorded.err().includes("Final test accuracy: 96.00%"));
  });

  test("told to be quiet it says what went wrong, and the results", async () => {
    const recorded = recordReport({ options: { quiet: true }, io: { isTerminal: true } });
    tellAll(recorded);
    recorded.report.onEvent({ kind: "warning", text: "the link is slow" });
    recorded.report.onEvent(lost);
    await recorded.report.finish(done);
    assert.deepEqual(recorded.err(), ["warning: the link is slow", lost.text]);
    assert.equal(recorded.out()[0], "Final test accuracy: 96.00%");
  });

  test("told to be verbose it tells of views and of every evaluation", async () => {
    const recorded = recordReport({ options: { verbose: true } });
    tellAll(recorded);
    const said = recorded.err();
    assert.ok(said.includes("view 1: all"));
    assert.ok(said.includes("test accuracy 95.00% and loss 0.2500 at step 10"));
    assert.ok(said.includes("run done: training is done"));
  });

  test("trouble is yellow where colours are welcome", () => {
    const recorded = recordReport({ io: { color: true } });
    recorded.report.onEvent({ ...lost, text: "worker-1 \u001b[2J is lost" });
    assert.deepEqual(recorded.err(), ["\u001b[33mworker-1  [2J is lost\u001b[39m"]);
  });
});

describe("an epoch's line", () => {
  const lines = (recorded: RecordedReport) =>
    recorded
      .err()
      .map((line) => line.replace(/: .*?((?<!train )accuracy [\d.]+%|examples).*/, " $1"));

  test("waits for its accuracy, and not for one that is not to come", () => {
    const recorded = recordReport({
      spec: { epochs: 4, evaluateEvery: { unit: "epoch", count: 2 } },
    });
    recorded.report.onEvent(epoch(0));
    assert.deepEqual(lines(recorded), ["Epoch 1/4 completed examples"]);
    recorded.report.onEvent(epoch(1));
    assert.equal(lines(recorded).length, 1);
    recorded.report.onEvent(evaluation(1, { final: false }));
    assert.deepEqual(lines(recorded).slice(1), ["Epoch 2/4 completed accuracy 96.00%"]);
  });

  test("keeps its place when a later epoch ends or is evaluated first", async () => {
    const recorded = recordReport({ spec: { epochs: 5 } });
    for (const number of [0, 1, 2]) recorded.report.onEvent(epoch(number));
    assert.deepEqual(lines(recorded), []);
    recorded.report.onEvent(evaluation(1, { final: false }));
    const both = ["Epoch 1/5 completed examples", "Epoch 2/5 completed accuracy 96.00%"];
    assert.deepEqual(lines(recorded), both);
    await recorded.report.finish({ ...done, outcome: "interrupted" });
    assert.deepEqual(lines(recorded).slice(0, 3), [...both, "Epoch 3/5 completed examples"]);
  });

  test("of the last epoch waits for the final evaluation", () => {
    const recorded = recordReport({ spec: { evaluateEvery: { unit: "step", count: 5 } } });
    recorded.report.onEvent(epoch(0));
    recorded.report.onEvent(epoch(1));
    const early = evaluation(1, { final: false, step: 15 });
    recorded.report.onEvent(early);
    assert.deepEqual(recorded.err().slice(1), [early.text]);
    recorded.report.onEvent(evaluation(1));
    assert.deepEqual(lines(recorded).slice(2), ["Epoch 2/2 completed accuracy 96.00%"]);
  });

  test("names the examples that were skipped", () => {
    const recorded = recordReport({ spec: { evaluateEvery: null, epochs: 3 } });
    recorded.report.onEvent(epoch(0, { skipped: 37, workerSeconds: { 0: 1 } }));
    assert.match(recorded.err()[0] ?? "", /, 1 worker, 37 examples skipped$/);
  });
});

describe("on a terminal", () => {
  const visible = (text: string) => text.replaceAll("\u001b", "ESC");

  test("epochs are rows of a table above the live region", async () => {
    const recorded = recordReport({ io: { isTerminal: true } });
    const { report, clock } = recorded;
    report.onSnapshot(picture([member("worker", 0)], { activity: "epoch 1 of 2" }));
    const first = "[------------------------]   0%  epoch 1/2  step 0\nworker-0   computing";
    assert.equal(recorded.errText(), first);
    clock.ms = 1000;
    report.onEvent(epoch(0, { skipped: 5 }));
    report.onEvent(evaluation(0));
    const rest = recorded.errText().slice(first.length);
    assert.deepEqual(visible(rest).split("\n"), [
      "\rESC[1AESC[JEpoch        Time(s)       Loss  Train(%)  Accuracy(%)  Examples/s  Workers",
      "[------------------------]   0%  epoch 1/2  step 0",
      "worker-0   computing\rESC[1AESC[J" +
        "---------  ---------  ---------  --------  -----------  ----------  -------",
      "1/2             2.00     0.3123     88.00        95.00         100        2",
      "epoch 1: 5 examples skipped",
      "",
    ]);
  });

  test("the region tells how far the run is, and is gone at the end", async () => {
    const recorded = recordReport({ io: { isTerminal: true } });
    const { report, clock } = recorded;
    report.onSnapshot(picture([member("worker", 0)]));
    clock.ms = 1000;
    const before = recorded.errText().length;
    const ten = member("worker", 0, { worker: steps(10) });
    report.onSnapshot(picture([ten], { globalSteps: 10 }));
    assert.equal(
      visible(recorded.errText().slice(before)),
      "\rESC[1AESC[J[###-----------]  25%  epoch 1/2  step 10  loss 2.000  " +
        "100 examples/s  ETA 0:03\nworker-0   computing (waits 29% of its time)",
    );
    const drawn = recorded.errText().length;
    await report.finish({ ...done, evaluations: [] });
    assert.ok(
      visible(recorded.errText().slice(drawn)).startsWith("\rESC[1AESC[JWorker 0 completed"),
    );
  });

  test("METRICS_JSON is in the log, and on the screen only where it is asked for", async () => {
    const printed = async (options: NonNullable<Changes["options"]>) => {
      const recorded = recordReport({ options, screen: true });
      tellAll(recorded);
      await recorded.report.finish(done);
      const whole = resultLines(recorded.results[0] as ExperimentFile);
      const log = [["coordinator-0", metricsLines[0], ...whole]];
      assert.deepEqual(recorded.logged, log, "workers with processes have their own logs");
      return recorded.out().filter((line) => line.startsWith("METRICS_JSON"));
    };
    for (const options of [{}, { quiet: true }, { json: true }]) {
      assert.deepEqual(await printed(options), []);
    }
    assert.deepEqual(await printed({ metricsJson: true }), metricsLines);
  });

  test("there is no region with --no-progress", () => {
    const recorded = recordReport({ io: { isTerminal: true }, options: { progress: false } });
    recorded.report.onSnapshot(picture([member("worker", 0)]));
    assert.equal(recorded.errText(), "");
    recorded.report.onEvent(epoch(0));
    recorded.report.onEvent(evaluation(0));
    assert.match(recorded.errText(), /^Epoch 1\/2 completed: .*\n$/);
  });
});

describe("what is worth a sentence", () => {
  const remark = (workers: readonly string[], cores: number, phase = "preparing") => {
    const recorded = recordReport({ cores });
    const members = workers.map((host, rank) => member("worker", rank, { host }));
    for (let turn = 0; turn < 2; turn++) recorded.report.onSnapshot(picture(members, { phase }));
    return recorded.err();
  };

  test("more workers than cores on this machine make nothing faster", () => {
    const box = "box";
    assert.deepEqual(remark([box, box, box, box], 2), [
      "4 workers share 2 cores here: expect no speed-up over 2 workers",
    ]);
    assert.deepEqual(remark([box, box], 1, "training"), [
      "2 workers share 1 core here: expect no speed-up over 1 worker",
    ]);
    assert.deepEqual(remark([box, box], 2), []);
    assert.deepEqual(remark([box, "other", "third"], 2), []);
    assert.deepEqual(remark([box, box, box], 2, "forming"), []);
  });

  test("a worker that was lost has not completed training", async () => {
    const recorded = recordReport();
    for (const rank of [0, 1]) recorded.report.onEvent(registered(rank));
    recorded.report.onEvent(lost);
    await recorded.report.finish(done);
    const completed = recorded.err().filter((line) => line.endsWith("completed training!"));
    assert.deepEqual(completed, ["Worker 0 completed training!"]);
  });

  test("an interrupted run says how to go on, where there is a checkpoint", async () => {
    const interrupted: RunResult = { ...done, outcome: "interrupted", reason: "SIGINT" };
    const recorded = recordReport();
    recorded.report.onEvent({ kind: "checkpoint", step: 5, text: "checkpoint of step 5 written" });
    assert.equal(await recorded.report.finish(interrupted, "SIGINT"), 130);
    assert.ok(recorded.err().includes("resume with: paceline resume runs/trial"));
    assert.ok(!recorded.err().some((line) => line.includes("completed training")));
    const without = recordReport();
    await without.report.finish(interrupted, "SIGINT");
    assert.ok(!without.err().some((line) => line.includes("--resume")));
  });
});

describe("the exit code", () => {
  const codeOf = (changes: Partial<RunResult>, signal: NodeJS.Signals | null = null) =>
    recordReport().report.finish({ ...done, ...changes }, signal);

  test("is that of the failure, of the signal, or 0", async () => {
    const failed = (code: string | null) => codeOf({ outcome: "failed", code });
    assert.equal(await codeOf({}), 0);
    assert.equal(await codeOf({}, "SIGINT"), 0);
    assert.equal(await failed("too_few_workers"), 4);
    assert.equal(await failed("diverged"), 5);
    assert.equal(await failed("cluster_not_formed"), 3);
    assert.equal(await failed("constructor"), 1);
    assert.equal(await failed(null), 1);
    assert.equal(await codeOf({ outcome: "interrupted" }, "SIGINT"), 130);
    assert.equal(await codeOf({ outcome: "interrupted" }, "SIGTERM"), 143);
  });

  test("is 1 when the result can't be written, which is said after all was printed", async () => {
    const full = async () => {
      throw new PacelineError("storage", "can't write result.json: the disk is full");
    };
    const recorded = recordReport({ writeResult: full });
    assert.equal(await recorded.report.finish(done), 1);
    assert.equal(recorded.err().at(-1), "can't write result.json: the disk is full");
    assert.ok(recorded.out().includes("PARAMETER SERVER FINAL STATISTICS"));
    const failed = recordReport({ writeResult: full });
    assert.equal(await failed.report.finish({ ...done, outcome: "failed", code: "diverged" }), 5);
  });

  test("is 5 where the final model is ruined though its numbers are finite", async () => {
    const recorded = recordReport({ options: { quiet: true } });
    recorded.report.onEvent(epoch(0, { trainLoss: 1e30 }));
    recorded.report.onEvent(evaluation(0, { step: 0, loss: 1e30, final: false }));
    recorded.report.onEvent(evaluation(0, { loss: 400, final: false }));
    const exploded = "is more than 100 times that of a guess (2.303)";
    const warned = [
      `warning: training in epoch 1: loss 1.000e+30 ${exploded}; lower --lr if this persists`,
      `warning: test at step 10: loss 400.0 ${exploded}; lower --lr if this persists`,
    ];
    assert.deepEqual(recorded.err(), warned);
    recorded.report.onEvent({ kind: "ended", outcome: "done", text: "run done" });
    const ruined = evaluation(1, { loss: 1e30, accuracyPercent: 10 });
    assert.equal(await recorded.report.finish({ ...done, evaluations: [ruined] }), 5);
    const [last] = recorded.err().slice(warned.length);
    assert.match(last!, /^at the end loss 1\.000e\+30 .* training has diverged, lower --lr/);
    const { outcome, exitCode, reason } = (recorded.results[0] as { paceline: PacelineResult })
      .paceline;
    assert.deepEqual([outcome, exitCode, reason], ["failed", 5, last]);
    const known = evaluation(1, { loss: 1e30, accuracyPercent: 60 });
    assert.equal(await recordReport().report.finish({ ...done, evaluations: [known] }), 0);
  });

  test("of a run that never began comes with its reason and without statistics", async () => {
    const reason = "after 60 s 1 of 1 servers and 0 of 2 workers have come";
    const never = { trainingSeconds: 0, globalSteps: 0, epochs: [], evaluations: [], workers: {} };
    const recorded = recordReport();
    const failed = { outcome: "failed", code: "cluster_not_formed", reason } as const;
    assert.equal(await recorded.report.finish({ ...done, ...never, ...failed }), 3);
    assert.deepEqual(recorded.out(), []);
    assert.deepEqual(recorded.err(), [reason, "result in runs/trial/result.json"]);
  });
});

describe("what workers compute with", () => {
  const here = "engine onednn: oneDNN 2.6.3 (libdnnl.so.2), avx2, f32, 1 thread";
  const less = `${here}; bf16 needs instructions that this processor lacks; computing in f32`;
  const seen = (recorded: RecordedReport, ...engines: readonly string[]) => {
    const members = engines.map((engine, rank) => member("worker", rank, { engine }));
    for (let look = 0; look < 2; look++) recorded.report.onSnapshot(picture(members));
    return recorded.err().filter((line) => line.includes("compute with"));
  };

  test("is told once, and of unlike ones that bits depend on it", () => {
    assert.deepEqual(seen(recordReport(), here, here), [`workers compute with ${here}`]);
    assert.deepEqual(seen(recordReport({ options: { quiet: true } }), here), []);
    const unlike = seen(recordReport(), here, less);
    assert.equal(unlike.length, 2);
    assert.match(unlike[1]!, /compute with .* and .*: another run may end with different bits$/);
  });

  test("is a warning where it is less than was asked for, also when told to be quiet", () => {
    for (const quiet of [false, true]) {
      const recorded = recordReport({ spec: { dtype: "bf16" }, options: { quiet } });
      assert.deepEqual(seen(recorded, less), [`not in bf16: workers compute with ${less}`]);
    }
  });
});
