import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { endProcess, makePlace, type Place, until } from "./run-paceline.js";

type Line = Record<string, unknown>;

const linesOf = (text: string): Line[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);

async function linesIn(place: Place, run: string, name: string): Promise<Line[]> {
  return linesOf(await readFile(place.path("runs", run, name), "utf8").catch(() => ""));
}

const mlp = ["--model", "mlp", "--data", "mnist", "--batch-size", "16"];
const quick = ["--chunk-values", "30000", "-s", "1"];

test("a follower scores each checkpoint of a run once, as the run itself does", async (context) => {
  const place = await makePlace(context);
  const cadence = ["--checkpoint-every", "10it", "--eval-every", "10it", "--keep", "100"];
  // Begun before the run, so that it sees the run from its first checkpoint to its end.
  const follower = place.start(["eval", "--follow", "watched", "--wait", "--json"]);
  await follower.waitFor(/waiting for run watched/);
  const words = [...mlp, ...quick, "-w", "2", "--epochs", "4", ...cadence, "--name", "watched"];
  const training = await place.start(["train", ...words]).end();
  assert.equal(training.exitCode, 0, training.err);
  const { exitCode, out, err } = await follower.end();
  assert.equal(exitCode, 0, err);

  const told = linesOf(out);
  const scores = told.filter(({ kind }) => kind === "evaluation");
  const steps = (await place.checkpoints("watched")).map((name) => Number(name.slice(5)));
  assert.deepEqual(
    scores.map(({ step }) => step),
    steps,
  );
  assert.deepEqual(await linesIn(place, "watched", "evaluations.jsonl"), scores);
  const metrics = await linesIn(place, "watched", "metrics.jsonl");
  const own = metrics.filter(({ kind, step }) => kind === "evaluation" && step !== 0);
  // 64 steps: six evaluations at multiples of ten, and the final one.
  assert.equal(own.length, 7);
  assert.deepEqual(
    scores.map(({ step, epoch, accuracy_percent: accuracyPercent, loss, examples }) => {
      return { step, epoch, accuracyPercent, loss, examples };
    }),
    own.map(({ step, epoch, accuracyPercent, loss, examples }) => {
      return { step, epoch, accuracyPercent, loss, examples };
    }),
  );
  const best = told.at(-1)!;
  assert.equal(best.kind, "best");
  assert.equal(best.accuracy_percent, Math.max(...own.map((one) => one.accuracyPercent as number)));
  assert.deepEqual(await place.leftovers(), []);
});

test("Ctrl-C ends a follower and not its run; it goes on where it stopped", async (context) => {
  const place = await makePlace(context);
  const cadence = ["--checkpoint-every", "10it", "--keep", "100", "--epochs", "100000"];
  const words = [...mlp, ...quick, "-w", "1", ...cadence, "--eval-every", "none"];
  const training = place.start(["train", ...words, "--name", "long"]);
  const first = place.start(["eval", "--follow", "long", "--wait"]);
  // Not a checkpoint of some step: on a busy machine it may be gone before a follower is there.
  await until("two scores", async () => {
    return (await linesIn(place, "long", "evaluations.jsonl")).length >= 2;
  });
  first.kill("SIGINT");
  const stopped = await first.end();
  assert.equal(stopped.exitCode, 130, stopped.err);
  assert.match(stopped.err, /SIGINT: \d+ checkpoints scored; the same command continues where/);
  assert.equal(training.isOver, false, training.told());
  const before = await linesIn(place, "long", "evaluations.jsonl");
  assert.ok(before.length >= 2);

  const second = place.start(["eval", "--follow", "long", "--json"]);
  const coordinator = await place.member("long", "coordinator", 0);
  await until("another score", async () => {
    return (await linesIn(place, "long", "evaluations.jsonl")).length > before.length;
  });
  // Its coordinator comes back, so the run goes on and so does who follows it.
  endProcess(coordinator.pid);
  const successor = await place.member("long", "coordinator", 0, coordinator.pid);
  const scored = (await linesIn(place, "long", "evaluations.jsonl")).length;
  await until("a score after the coordinator's return", async () => {
    return (await linesIn(place, "long", "evaluations.jsonl")).length > scored + 1;
  });
  assert.equal(second.isOver, false, second.told());

  const members = await place.members("long");
  // One that is stopped starts nobody again, and one that is gone saves the run.
  training.kill("SIGSTOP");
  endProcess(successor.pid);
  for (const { pid } of members) endProcess(pid);
  training.kill("SIGKILL");
  await training.end();
  const { exitCode, err } = await second.end();
  assert.equal(exitCode, 0, err);
  assert.match(err, /the run is over: its coordinator, process \d+, died without a result/);
  const all = await linesIn(place, "long", "evaluations.jsonl");
  const steps = all.map(({ step }) => step as number);
  const ascending = [...new Set(steps)].sort((left, right) => left - right);
  assert.deepEqual(steps, ascending);
  assert.deepEqual(all.slice(0, before.length), before);
});

test("a baseline goes on from a checkpoint of servers to the bits they end in", async (context) => {
  const place = await makePlace(context);
  const rule = ["--optimizer", "momentum", "--lr", "0.1", "--epochs", "2"];
  const cadence = ["--checkpoint-every", "10it", "--keep", "100"];
  const words = [...mlp, ...quick, "-w", "2", ...rule, ...cadence, "--name", "served"];
  const served = await place.run(["train", ...words]);
  assert.equal(served.exitCode, 0, served.err);
  const start = place.path("runs", "served", "checkpoints", "step-10");
  const from = ["--resume", start, "--chunk-values", "30000"];
  const alone = ["baseline", ...mlp, ...rule, ...from, "--as-workers", "2"];
  const { exitCode, err } = await place.run([...alone, "--name", "alone"]);
  assert.equal(exitCode, 0, err);
  assert.equal(await place.weights("alone"), await place.weights("served"));
  const apart = await place.run([...alone, "--as-workers", "3", "--name", "apart"]);
  assert.equal(apart.exitCode, 6, apart.err);
  assert.match(apart.err, /within an epoch of 2 workers and this run has 3: give --as-workers 2/);
});
