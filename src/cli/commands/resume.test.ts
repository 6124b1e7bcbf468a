/** Runs that go on, go back, or can't be saved, in one process. */
import assert from "node:assert/strict";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { writeSampleMnist } from "../../data/testing/sample-files.js";
import { PacelineError } from "../../errors.js";
import type { OptionKey } from "../../options/options.js";
import { resolve } from "../../options/resolve.js";
import { prepareRun } from "../../runtime/run-preparation.js";
import { aroundFiles, diskFiles } from "../../store/files.js";
import { lockFolder } from "../../store/runs/folder-lock.js";
import { runProgram } from "../program.js";
import { findResumedRun } from "../resumed-run.js";

let folder = "";
let runs: string[] = [];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-resume-"));
  await writeSampleMnist(join(folder, "data"), { train: 400, test: 100, seed: 5 });
  runs = ["--run-dir", join(folder, "runs")];
});
after(() => rm(folder, { recursive: true, force: true }));

/** Of 10 steps an epoch. */
const trained = ["--model", "logistic", "--data", "mnist-parity", "-b", "40", "-e", "1"];
const cadence = ["--checkpoint-every", "4it", "--keep", "10", "--eval-every", "none"];

async function call(words: readonly string[], onText: (text: string) => void = () => {}) {
  const texts = { out: "", err: "" };
  const exitCode = await runProgram(words, {
    stdout: { write: (text) => (texts.out += text) },
    stderr: {
      write: (text) => {
        texts.err += text;
        onText(text);
      },
    },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...texts };
}

function begin(name: string, ...more: string[]) {
  const place = ["--data-dir", join(folder, "data"), ...runs, "--name", name];
  return ["baseline", ...trained, ...cadence, ...place, ...more];
}

const stepsOf = (name: string, inside = "") =>
  readdir(join(folder, "runs", name, "checkpoints", inside));

test("a run goes on with what its folder says, and each difference is told", async () => {
  assert.equal((await call(begin("whole"))).exitCode, 0);
  const result = join(folder, "runs", "whole", "result.json");
  const written = await readFile(result, "utf8");
  for (const words of [
    ["resume", "whole", "--keep", "2"],
    ["baseline", "--resume", "whole"],
  ]) {
    const { exitCode, err } = await call([...words, ...runs]);
    assert.equal(exitCode, 0, err);
    assert.match(
      err,
      /^run whole is done at step 10, epoch 1 of 1; to train further raise --epochs/m,
    );
    assert.equal(await readFile(result, "utf8"), written);
  }
  const asJson = await call(["resume", "whole", "--json", ...runs]);
  assert.equal(asJson.exitCode, 0, asJson.err);
  assert.deepEqual(JSON.parse(asJson.out), JSON.parse(written));
  const { exitCode, err } = await call(["resume", "whole", ...runs, "--epochs", "2"]);
  assert.equal(exitCode, 0, err);
  assert.match(err, /^--epochs is 2 \(flag --epochs\); the run had 1$/m);
  assert.match(err, /^continues from .*step-10 \(step 10, 400 examples trained\)$/m);
  assert.deepEqual(
    await stepsOf("whole"),
    ["step-10", "step-12", "step-16", "step-20", "step-4"].concat("step-8"),
  );
  assert.equal((await call(["resume", "nothing", ...runs])).exitCode, 6);
});

test("an option that the run's command does not take is refused, not passed over", async () => {
  assert.equal((await call(begin("alone"))).exitCode, 0);
  for (const [words, flag] of [
    [["--workers", "2", "--epochs", "2"], "--workers"],
    [["--inject", "kill:worker=0,at=12", "--epochs", "2"], "--inject"],
    [["--transport", "grpc"], "--transport"],
  ] as const) {
    const { exitCode, err } = await call(["resume", "alone", ...words, ...runs]);
    assert.equal(exitCode, 2, err);
    const reason = "paceline baseline began it and has no such option; leave it out";
    assert.match(err, new RegExp(`${flag} does not apply to run alone: ${reason}\n$`));
  }
  assert.deepEqual(await stepsOf("alone"), ["step-10", "step-4", "step-8"]);
});

test("a small run of fewer examples than --fast takes is resumed", async () => {
  assert.equal((await call(begin("small", "--fast"))).exitCode, 0);
  const { exitCode, err } = await call(["resume", "small", "-e", "2", ...runs]);
  assert.equal(exitCode, 0, err);
  assert.ok((await stepsOf("small")).includes("step-20"));
});

test("an end that the checkpoint is past is refused", async () => {
  assert.equal((await call(begin("past", "-e", "3", "--max-steps", "25"))).exitCode, 0);
  const from = join(folder, "runs", "past", "checkpoints", "step-24");
  for (const [words, sentence] of [
    [["--max-steps", "23"], "--max-steps 23 ends before the checkpoint, which is at step 24"],
    [["--epochs", "2"], "--epochs 2 ends before the checkpoint, which is in epoch 3"],
  ] as const) {
    const { exitCode, err } = await call(["resume", from, ...words, ...runs]);
    assert.equal(exitCode, 2, err);
    assert.match(err, new RegExp(`${sentence}; write (24|3) or more$`, "m"));
  }
  assert.ok((await stepsOf("past")).includes("step-25"), "what came later is where it was");
});

test("a limit on steps is refused where steps before were of another kind", async () => {
  assert.equal((await call(begin("kinds", "--max-steps", "5"))).exitCode, 0);
  const from = join(folder, "runs", "kinds", "checkpoints", "step-4");
  const data = ["--data-dir", join(folder, "data"), ...runs];
  const words = ["--mode", "asp", "--max-steps", "9", "--port", "0", "--start-timeout", "1s"];
  const { exitCode, err } = await call(["coordinator", "--resume", from, ...words, ...data]);
  assert.equal(exitCode, 2, err);
  assert.match(err, /--max-steps 9 can't count steps of bsp, .* and then of asp; say by --epochs/);
});

test("another run's name is refused, and the run's own goes on in its folder", async () => {
  assert.equal((await call(begin("origin"))).exitCode, 0);
  assert.equal((await call(begin("other", "-e", "3"))).exitCode, 0);
  const before = await stepsOf("other");
  const config = () => readFile(join(folder, "runs", "other", "config.yaml"), "utf8");
  const written = await config();
  for (const trial of [["--dry-run"], []]) {
    const words = ["resume", "origin", "--name", "other", "-e", "2", ...trial, ...runs];
    const { exitCode, err } = await call(words);
    assert.equal(exitCode, 2, err);
    assert.match(err, /--name other: there is a run of that name in .*; choose another name or/);
  }
  assert.deepEqual(await stepsOf("other"), before);
  assert.equal(await config(), written);

  const own = ["resume", "origin", "--name", "origin", ...runs];
  const done = await call(own);
  assert.equal(done.exitCode, 0, done.err);
  assert.match(done.err, /^run origin is done at step 10/m);
  const from = join(folder, "runs", "origin", "checkpoints", "step-4");
  const back = await call(["resume", from, "--name", "origin", ...runs]);
  assert.equal(back.exitCode, 0, back.err);
  assert.deepEqual(await stepsOf("origin", "retired"), ["step-10", "step-8"]);
});

test("a dry run tells of a folder that is in use, and of one that can't be made", async () => {
  assert.equal((await call(begin("held"))).exitCode, 0);
  const lock = await lockFolder(join(folder, "runs", "held"));
  const trial = await call(["resume", "held", "-e", "2", "--dry-run", ...runs]);
  await lock.release();
  assert.equal(trial.exitCode, 2, trial.err);
  assert.match(trial.err, /process \d+ on .* has been writing into .*held since .*: wait/);
  const file = join(folder, "a-file");
  writeFileSync(file, "");
  const into = join(file, "runs");
  const placed = await call([...begin("new"), "--run-dir", into, "--dry-run"]);
  assert.equal(placed.exitCode, 1, placed.err);
  assert.match(placed.err, /can't make the folder .*a-file\/runs: a part of the path is a file/);
});

test("going back moves what came later aside, and --keep keeps what is written", async () => {
  assert.equal((await call(begin("back"))).exitCode, 0);
  const from = join(folder, "runs", "back", "checkpoints", "step-4");
  const { exitCode, err } = await call(["resume", from, "--keep", "1", ...runs]);
  assert.equal(exitCode, 0, err);
  assert.match(err, /^warning: later checkpoints \(step 8, 10\) are moved to .*retired$/m);
  assert.deepEqual(await stepsOf("back"), ["retired", "step-10"]);
  assert.deepEqual(await stepsOf("back", "retired"), ["step-10", "step-8"]);
});

test("a mode or a plan said anew takes the place of the run's plan", async () => {
  assert.equal((await call(begin("paced"))).exitCode, 0);
  const base =
    "model: logistic\ndata: mnist-parity\nbatch-size: 40\nworkers: 1\nservers: 1\n" +
    `data-dir: ${join(folder, "data")}\n`;
  const plan = 'plan: "bsp:50%,asp"\nhparams: "lr=0.1;lr=0.05"\nckpt-frequency: "5it,5it"\n';
  const order = 'switch-order: "10"\ntrain-steps: "12"\n';
  const planAgain = ["--hparams", "lr=0.3;lr=0.2"];
  const cases = [
    [plan, [], "bsp-asp"],
    [plan, ["--mode", "bsp"], "bsp-asp"],
    [plan, ["--mode", "asp"], "asp"],
    [plan, ["--plan", "none"], "bsp"],
    [plan, ["--plan", "bsp:25%,ssp"], "bsp-ssp"],
    [plan, planAgain, "bsp-asp"],
    [plan, ["--switch-order", "01", "--train-steps", "20"], "asp-bsp"],
    [order, ["--mode", "asp"], "asp"],
    [order, ["--switch-order", "none"], "bsp"],
    [order, ["--switch-order", "01"], "asp-bsp"],
    [order, ["--plan", "bsp:25%,ssp"], "bsp-ssp"],
    [plan.replace("plan:", "mode: asp\nplan:"), ["--plan", "none"], "asp"],
  ] as const;
  for (const [pace, words, expected] of cases) {
    writeFileSync(join(folder, "runs", "paced", "config.yaml"), `${base}${pace}`);
    const { exitCode, out, err } = await call([
      "resume",
      "paced",
      "-e",
      "4",
      "--dry-run",
      ...words,
      ...runs,
    ]);
    assert.equal(exitCode, 0, `${words.join(" ")}: ${err}`);
    assert.match(out, new RegExp(`^pace +${expected}$`, "m"), words.join(" "));
  }
});

test("local steps are refused beside a checkpoint without them, with a way out", async () => {
  assert.equal((await call(begin("steps"))).exitCode, 0);
  const { exitCode, err } = await call([
    ...["coordinator", "--resume", "steps", "-e", "2", "--mode", "local", "--port", "0"],
    ...["--start-timeout", "1s", "--data-dir", join(folder, "data"), ...runs],
  ]);
  assert.equal(exitCode, 6, err);
  const sentence =
    "written with --mode bsp, without local steps, and this run has --mode local, 20 local steps";
  assert.ok(err.includes(`${sentence}: keep its mode, or start over without --resume`), err);
});

test("what came later is moved by the files that the run is written with", async () => {
  assert.equal((await call(begin("led"))).exitCode, 0);
  const from = join(folder, "runs", "led", "checkpoints", "step-4");
  const text = new Map<OptionKey, string>([
    ...(await findResumedRun({ ...resolve("baseline", {}).options, resume: from }))!.values,
    ...([
      ["resume", from],
      ["runDir", join(folder, "runs")],
    ] as const),
  ]);
  const { options } = resolve("baseline", { flags: text });
  const lost = new PacelineError("storage", "another coordinator leads");
  const files = aroundFiles(diskFiles, (verb, path, action) => {
    const isRetired = /^rename/.test(verb) && path.includes("retired");
    return isRetired ? Promise.reject(lost) : action();
  });
  const begun = prepareRun(options, "", undefined, undefined, false, files);
  await assert.rejects(begun, (thrown) => thrown === lost);
  assert.ok((await stepsOf("led")).includes("step-10"), "who does not lead moves nothing");
});

test("a broken latest checkpoint is passed over, and by its path refused", async () => {
  assert.equal((await call(begin("torn"))).exitCode, 0);
  const broken = join(folder, "runs", "torn", "checkpoints", "step-10");
  await truncate(join(broken, "model.safetensors"), 100);
  const refused = await call(["resume", broken, ...runs]);
  assert.equal(refused.exitCode, 6);
  assert.match(refused.err, /is corrupt.*; step 8 of the same run is sound: --resume .*step-8$/m);
  const { exitCode, err } = await call(["resume", "torn", ...runs, "-e", "2"]);
  assert.equal(exitCode, 0, err);
  assert.match(err, /^warning: .*step-10 is skipped: .*is corrupt/m);
  assert.match(err, /^continues from .*step-8 /m);
});

test("a file in the place of a checkpoint is passed over as a broken one", async () => {
  assert.equal((await call(begin("odd"))).exitCode, 0);
  writeFileSync(join(folder, "runs", "odd", "checkpoints", "step-99"), "");
  const { exitCode, err } = await call(["resume", "odd", ...runs, "-e", "2"]);
  assert.equal(exitCode, 0, err);
  assert.match(
    err,
    /^warning: .*step-99 is skipped: .*manifest\.json is missing, as its folder is a/m,
  );
  assert.match(err, /^continues from .*step-10 /m);
});

test("a config.yaml that is cut off is told with what to write instead", async () => {
  assert.equal((await call(begin("cut"))).exitCode, 0);
  const path = join(folder, "runs", "cut", "config.yaml");
  await truncate(path, 40);
  const words = ["resume", "cut", "-e", "2", ...runs];
  const refused = await call(words);
  assert.equal(refused.exitCode, 6, refused.err);
  const sentence = `${path} is cut off: it says neither model nor data; write --model logistic`;
  assert.ok(refused.err.includes(`${sentence} --data mnist-parity beside --resume`), refused.err);
});

/** Puts a file where checkpoints go, once training has begun. */
function obstruct(name: string, onPlea: () => void) {
  const place = join(folder, "runs", name, "checkpoints");
  return (text: string) => {
    if (/^Epoch 1/.test(text)) {
      renameSync(place, `${place}-before`);
      writeFileSync(place, "");
    }
    if (/last checkpoint could not be written/.test(text)) onPlea();
  };
}

test("a last checkpoint that can't be written is no good end", async () => {
  const patience = ["--save-patience", "0s"];
  const { exitCode, err } = await call(
    begin("full", ...patience),
    obstruct("full", () => {}),
  );
  assert.equal(exitCode, 8, err);
  const path = join(folder, "runs", "full", "result.json");
  const { paceline } = JSON.parse(await readFile(path, "utf8"));
  assert.deepEqual([paceline.outcome, paceline.exitCode], ["failed", 8]);
  assert.match(paceline.reason, /not saved: can't/);
});

test("a last checkpoint is written as soon as there is room for it", async () => {
  const makeRoom = () => rmSync(join(folder, "runs", "room", "checkpoints"));
  const { exitCode, err } = await call(begin("room"), obstruct("room", makeRoom));
  assert.equal(exitCode, 0, err);
  assert.match(err, /stay in memory for 10 minutes and the write is retried every 3 s/);
  assert.deepEqual(await stepsOf("room"), ["step-10"]);
});
