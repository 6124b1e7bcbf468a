import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { writeSampleMnist } from "../../data/testing/sample-files.js";
import { readCheckpoint } from "../../store/checkpoint/checkpoint.js";
import { runProgram } from "../program.js";

let folder = "";
let place: string[] = [];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-baseline-command-"));
  const dataDir = join(folder, "data");
  await writeSampleMnist(dataDir, { train: 400, test: 100, seed: 5 });
  place = ["--data-dir", dataDir, "--run-dir", join(folder, "runs")];
});
after(() => rm(folder, { recursive: true, force: true }));

const mlp = ["baseline", "--model", "mlp", "--data", "mnist"];

async function call(...words: string[]) {
  const texts = { out: "", err: "" };
  const exitCode = await runProgram(words, {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...texts };
}

/** The folder of a run and its result. */
async function runOf(name: string) {
  const path = join(folder, "runs", name);
  return { path, result: JSON.parse(await readFile(join(path, "result.json"), "utf8")) };
}

test("baseline learns, tells each epoch, and leaves a result and a checkpoint", async () => {
  const words = [...mlp, ...place, "--as-workers", "2", "-b", "20", "-e", "2", "--lr", "0.2"];
  const { exitCode, out, err } = await call(...words);
  assert.equal(exitCode, 0);
  assert.match(err, /engine (reference|onednn)/);
  for (const epoch of [1, 2]) {
    const numbers = "loss [\\d.]+, train accuracy [\\d.]+%, accuracy [\\d.]+%";
    const sentence = `Epoch ${epoch}/2 completed: [\\d.]+ s, ${numbers}`;
    assert.match(err, new RegExp(sentence));
  }
  const [, accuracy] = /Final test accuracy: ([\d.]+)%/.exec(out)!;
  assert.ok(Number(accuracy) >= 90, `${accuracy} %`);
  const { path, result } = await runOf("mlp-baseline-2w-001");
  assert.equal(result.server_metrics.global_steps_completed, 20);
  assert.equal(result.server_metrics.gradients_processed, 40);
  assert.equal(result.worker_metrics_aggregated.final_test_accuracy_percent, Number(accuracy));
  assert.equal(result.worker_metrics_aggregated.total_local_steps, 40);
  assert.equal(result.paceline.epochs.length, 2);
  const kept = await readCheckpoint(join(path, "checkpoints", "step-20"));
  assert.equal(kept.manifest.examples, 800);
  assert.equal(kept.weights.length, 101_770);
});

test("baseline --json ends with result.json's content and honours limits", async () => {
  const logistic = ["baseline", "--model", "logistic", "--data", "mnist-parity"];
  const limits = ["--train-limit", "90", "--test-limit", "40", "-e", "1", "-b", "10"];
  const cadence = ["--max-steps", "7", "--eval-every", "3it"];
  const { exitCode, out } = await call(...logistic, ...place, ...limits, ...cadence, "--json");
  assert.equal(exitCode, 0);
  const { result } = await runOf("logistic-baseline-1w-001");
  assert.deepEqual(JSON.parse(out), result);
  const { evaluations, globalSteps, spec } = result.paceline;
  assert.deepEqual(
    evaluations.map(({ step }: { step: number }) => step),
    [0, 3, 6, 7],
  );
  assert.deepEqual([globalSteps, spec.trainExamples, spec.testExamples], [7, 90, 40]);
});

test("a baseline that diverges ends with exit code 5 and names the step", async () => {
  const tooFar = ["--name", "far", "--lr", "1000", "--weight-decay", "1000", "-b", "20"];
  const { exitCode, err } = await call(...mlp, ...place, ...tooFar);
  assert.equal(exitCode, 5);
  const [, step] = /loss is NaN at step (\d+) on worker 0: lower --lr/.exec(err)!;
  const { path, result } = await runOf("far");
  assert.equal(result.paceline.globalSteps, Number(step));
  assert.equal(result.paceline.exitCode, 5);
  assert.deepEqual((await readdir(path)).includes("checkpoints"), false);
});

test("a baseline whose data is broken ends with exit code 7 and leaves no run folder", async () => {
  const broken = join(folder, "broken");
  await writeSampleMnist(broken, { train: 400, test: 100, seed: 5 });
  await truncate(join(broken, "mnist", "train-images-idx3-ubyte"), 1000);
  const runs = join(folder, "none");
  const { exitCode, err } = await call(...mlp, "--data-dir", broken, "--run-dir", runs);
  assert.equal(exitCode, 7);
  assert.match(err, /train-images-idx3-ubyte/);
  await assert.rejects(readdir(runs), { code: "ENOENT" });
});

test("a baseline that is interrupted keeps a checkpoint of where it stands", async () => {
  const program = fileURLToPath(new URL("../main.js", import.meta.url));
  const words = [...mlp, ...place, "-e", "100000", "-b", "20", "--name", "stopped"];
  const child = spawn(process.execPath, [program, ...words], {
    stdio: ["ignore", "ignore", "pipe"],
    timeout: 60_000,
  });
  let err = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    err += text;
    if (/Epoch 1\//.test(text)) child.kill("SIGINT");
  });
  const [exitCode] = await once(child, "close");
  assert.equal(exitCode, 130);
  const [, step] = /checkpoint of step (\d+) in/.exec(err)!;
  const path = join(folder, "runs", "stopped", "checkpoints", `step-${step}`);
  const { manifest } = await readCheckpoint(path);
  assert.equal(manifest.chunks[0]!.version, Number(step));
  assert.match(err, /resume with: paceline resume .*stopped$/m);
});

test("a baseline that is resumed ends in the weights of one that was not stopped", async () => {
  const choices = [...place, "--as-workers", "2", "-b", "20", "--optimizer", "momentum"];
  const train = (...words: string[]) => call(...mlp, ...choices, ...words);
  await train("--name", "whole", "-e", "3");
  await train("--name", "parts", "-e", "1");
  const { exitCode, err } = await train("--resume", "parts", "-e", "3");
  assert.equal(exitCode, 0, err);
  assert.match(err, /Epoch 2\/3 completed/);
  assert.doesNotMatch(err, /Epoch 1\/3 completed/);
  const [whole, parts] = await Promise.all(
    ["whole", "parts"].map((name) =>
      readCheckpoint(join(folder, "runs", name, "checkpoints", "step-30")),
    ),
  );
  assert.deepEqual(parts!.weights, whole!.weights);
  assert.deepEqual(parts!.state, whole!.state);
  const { result } = await runOf("parts");
  assert.equal(result.paceline.epochs.length, 3);
  assert.equal(result.paceline.globalSteps, 30);
});

test("a baseline refuses a checkpoint it can't go on from and leaves the run be", async () => {
  const choices = [...place, "--as-workers", "2", "-b", "20", "-e", "1"];
  await call(...mlp, ...choices, "--name", "kept");
  const config = await readFile(join(folder, "runs", "kept", "config.yaml"), "utf8");
  const again = await call(...mlp, ...choices, "--resume", "kept", "--seed", "2");
  assert.equal(again.exitCode, 6);
  assert.match(again.err, /written with --seed 1 and this run has 2/);
  const lost = await call(...mlp, ...choices, "--resume", "lost");
  assert.equal(lost.exitCode, 6);
  assert.match(lost.err, /--resume lost is neither a run in .*kept \(step 10\)/);
  assert.equal(await readFile(join(folder, "runs", "kept", "config.yaml"), "utf8"), config);
});

test("baseline --dry-run tells one process's plan and starts nothing", async () => {
  const runs = join(folder, "dry");
  const words = [...mlp, ...place.slice(0, 2), "--run-dir", runs, "--as-workers", "4", "-b", "20"];
  const { exitCode, out } = await call(...words, "--dry-run");
  assert.equal(exitCode, 0);
  assert.match(out, /^step {7}4 batches of 20, one process$/m);
  assert.match(out, /^training {3}3 epochs of 5 steps, 15 updates$/m);
  assert.doesNotMatch(out, /servers|workers/);
  const { out: json } = await call(...words, "--dry-run", "--json");
  assert.equal(JSON.parse(json).spec.workersMax, 4);
  await assert.rejects(readdir(runs), { code: "ENOENT" });
});

test("a baseline keeps the latest of its checkpoints, and each can be resumed", async () => {
  const choices = [...mlp, ...place, "-b", "20", "-e", "2", "--eval-every", "none"];
  const cadence = ["--checkpoint-every", "8it", "--keep", "3"];
  const { exitCode, err } = await call(...choices, ...cadence, "--name", "often");
  assert.equal(exitCode, 0, err);
  const checkpoints = join(folder, "runs", "often", "checkpoints");
  // 40 steps; that of step 8 and of step 16 have gone.
  assert.deepEqual((await readdir(checkpoints)).sort(), ["step-24", "step-32", "step-40"]);
  assert.equal(err.match(/checkpoint of step \d+ in/g)?.length, 5);
  const resume = ["--resume", join(checkpoints, "step-24"), "--name", "from-24"];
  assert.equal((await call(...choices, ...resume)).exitCode, 0);
  const [whole, rest] = await Promise.all(
    ["often", "from-24"].map((name) =>
      readCheckpoint(join(folder, "runs", name, "checkpoints", "step-40")),
    ),
  );
  assert.deepEqual(rest!.weights, whole!.weights);
});
