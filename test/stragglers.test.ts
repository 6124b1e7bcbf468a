/** Workers that straggle: on purpose, found out, and set aside; and norms of each step. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { readAllTensors } from "../dist/store/checkpoint/safetensors.js";
import { longTest, makePlace, type Place, until } from "./run-paceline.js";

const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8"],
  ...["--lr", "0.05", "--eval-every", "none", "--chunk-values", "200"],
];

test("stragglers change no bit of BSP, and straggle in their steps alone", async (context) => {
  const place = await makePlace(context, { train: 240 });
  const steps = [...work, "--epochs", "2"];
  const oracle = await place.run(["baseline", ...steps, "--as-workers", "3", "--name", "oracle"]);
  assert.equal(oracle.exitCode, 0, oracle.err);
  const late = "straggler:worker=1,delay=15ms,from=3,to=6";
  const narrow = "straggler:worker=0,bandwidth=2mbit,from=4,for=5";
  const slow = "straggler:worker=2,slow=3x,from=18";
  for (const transport of ["auto", "grpc"]) {
    const faults = ["--inject", late, "--inject", `${narrow};${slow}`];
    const words = [...steps, "-w", "3", "-s", "2", "--transport", transport, ...faults];
    const command = place.start(["train", ...words, "--name", transport]);
    const { exitCode, err } = await command.end();
    assert.equal(exitCode, 0, command.told());
    assert.equal(await place.weights(transport), await place.weights("oracle"), transport);
    assert.match(err, new RegExp(`worker-1 \\(pid \\d+\\) suffers ${late} at step 3\n`));
    assert.match(err, new RegExp(`worker-1 is prompt again from step 7 on: ${late}\n`));
    assert.match(err, /worker-0 \(pid \d+\) suffers straggler:\S+,from=4,to=8 at step 4\n/);
    assert.match(err, /worker-0 is prompt again from step 9 on: /);
    assert.match(err, new RegExp(`worker-2 \\(pid \\d+\\) suffers ${slow} at step 18\n`));
    assert.doesNotMatch(err, /worker-2 is prompt again|did not happen/);
    const told = await place.logs(transport);
    assert.match(told, /worker-1 is prompt again from step 7 on, after 4 steps/);
    assert.match(told, /worker-0 is prompt again from step 9 on, after 5 steps/);
  }
});

test("a straggler that is not there, or whose links can't be slow, is refused", async (context) => {
  const place = await makePlace(context);
  const train = ["train", ...work, "-w", "2"];
  for (const [words, reason] of [
    [["--inject", "straggler:worker=2,slow=2x"], /names no worker; there are 2, from 0 to 1/],
    [
      ["--inject", "straggler:worker=1,delay=5ms", "--transport", "unix"],
      /are of a network link, and --transport unix has none; write --transport auto or tcp/,
    ],
    [["--straggler-policy", "greedy"], /leaves the synchronous part of a plan/],
    [
      ["--straggler-policy", "elastic", "--mode", "asp"],
      /--straggler-policy elastic with --mode asp: nobody waits for a straggler there/,
    ],
  ] as const) {
    const { exitCode, err } = await place.call([...train, ...words]);
    assert.equal(exitCode, 2, err);
    assert.match(err, reason);
  }
  const worker = ["worker", "--coordinator", "127.0.0.1:1", "--inject", "kill:worker=0,at=1"];
  const { exitCode, err } = await place.call(worker);
  assert.equal(exitCode, 2, err);
  assert.match(err, /kill:worker=0,at=1 is performed by the supervisor of all members; give it to/);
  assert.deepEqual(await place.files(), []);
});

test("elastic sets a straggler aside, which stays a member; the run goes on", async (context) => {
  const place = await makePlace(context);
  const words = [...work, "--epochs", "1000000", "-w", "4", "--straggler-policy", "elastic"];
  const fault = ["--inject", "straggler:worker=2,delay=40ms,from=10"];
  const command = place.start(["train", ...words, ...fault, "--name", "run"]);
  await command.waitFor(/suffers straggler:worker=2/);
  const event = (pattern: RegExp, times = 1) =>
    until(`${times} times ${pattern}`, async () => {
      const found = (await place.events("run")).filter(({ text }) => pattern.test(text));
      return found.length >= times && found.map(({ text }) => text);
    });
  const [reason] = await event(/^elastic sets worker-\d/);
  assert.match(reason!, /^elastic sets worker-2 aside: worker-2 straggles: [\d.]+ examples\/s /);
  await event(/^worker-2 stands aside as a straggler at step \d+, going on with 3 workers$/);
  await event(/^Worker 2 registered/, 2);
  const aside = await until("the worker to be prepared again", async () => {
    const snapshot = await place.snapshot("run");
    const found = snapshot?.members.find(
      ({ role, rank, activity }) => role === "worker" && rank === 2 && /aside/.test(activity),
    );
    return found ?? null;
  });
  assert.equal(aside.inView, false);
  assert.match(aside.activity, /^stands aside: elastic sets worker-2 aside: /);
  const { globalSteps } = (await place.snapshot("run"))!;
  await place.step("run", globalSteps + 20);
  command.kill("SIGINT");
  assert.equal((await command.end()).exitCode, 130, command.told());
  const lost = (await place.events("run")).filter(({ kind }) => kind === "lost");
  assert.deepEqual(lost, []);
});

longTest("greedy leaves the synchronous part for as long as one straggles", async (context) => {
  const place = await makePlace(context);
  const plan = ["--plan", "bsp:50%,asp", "--straggler-policy", "greedy"];
  const fault = ["--inject", "straggler:worker=2,delay=40ms,from=10,for=400"];
  const words = [...work, ...plan, ...fault, "--epochs", "1000000", "-w", "4", "--name", "run"];
  const command = place.start(["train", ...words]);
  await command.waitFor(/suffers straggler:worker=2/);
  const told = [
    /: greedy leaves the synchronous part: worker-2 straggles: /,
    /: greedy returns to the synchronous part, of which a share is left: none straggles/,
  ];
  const found: number[] = [];
  for (const pattern of told) {
    const line = await until(`${pattern}`, async () => {
      const at = (await place.events("run")).findIndex(({ text }) => pattern.test(text));
      return at < 0 ? null : [at];
    });
    found.push(...line);
  }
  assert.deepEqual(
    found,
    [...found].sort((left, right) => left - right),
  );
  const { globalSteps } = (await place.snapshot("run"))!;
  await place.step("run", globalSteps + 20);
  command.kill("SIGINT");
  assert.equal((await command.end()).exitCode, 130, command.told());
  const { phases, skippedExamples, tornSteps } = (await place.result("run")).paceline;
  assert.deepEqual(
    phases.map(({ mode }) => mode),
    ["bsp", "asp", "bsp"],
  );
  assert.deepEqual([skippedExamples, tornSteps], [0, 0]);
});

longTest("dssp has its bounds beside a worker that is three times as slow", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const slow = ["--inject", "straggler:worker=1,slow=3x,from=2"];
  const words = [...work, ...slow, "--epochs", "3", "-w", "3", "-s", "2", "--mode", "dssp:1-4"];
  const { exitCode, err } = await place.run(["train", ...words, "--name", "run"]);
  assert.equal(exitCode, 0, err);
  const { epochs, spec, staleness } = (await place.result("run")).paceline;
  assert.deepEqual(spec.protocol, { mode: "dssp", stalenessMin: 1, staleness: 4 });
  assert.deepEqual(
    epochs.map(({ examples, skipped }) => [examples, skipped]),
    [1, 2, 3].map(() => [480, 0]),
  );
  // Of the two others each is at most four steps ahead of the slowest, and five with the open one.
  assert.ok(staleness.max <= 2 * 5, `${staleness.max}`);
});

/** All weights of a run's last checkpoint, one after the other. */
async function weightsOf(place: Place, run: string): Promise<number[]> {
  const last = (await place.checkpoints(run)).at(-1)!;
  const path = place.path("runs", run, "checkpoints", last, "model.safetensors");
  const content = await readFile(path);
  const read = async (into: Uint8Array, at: number) => void content.copy(into, 0, at);
  const tensors = await readAllTensors(
    { bytes: content.length, read, close: async () => {} },
    path,
  );
  return [...tensors.values()].flatMap(({ values }) => [...(values as Float32Array)]);
}

const normOf = (values: readonly number[]) =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

longTest("norms that are watched are those of the checkpoints around a step", async (context) => {
  const place = await makePlace(context);
  const rule = ["--optimizer", "sgd", "--weight-decay", "0.1", "--lr-schedule", "constant"];
  const base = ["train", ...work, ...rule, "-w", "2", "-s", "2", "--epochs", "1"];
  for (const steps of [5, 6]) {
    const watch = steps === 6 ? ["--watch", "norms"] : [];
    const words = [...base, "--max-steps", `${steps}`, ...watch, "--name", `to-${steps}`];
    const { exitCode, err } = await place.run(words);
    assert.equal(exitCode, 0, err);
  }
  const rows = async (run: string) => {
    const text = await readFile(place.path("runs", run, "metrics.jsonl"), "utf8");
    const all = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    return all.filter(({ kind }) => kind === "norms");
  };
  assert.deepEqual(await rows("to-5"), [], "nothing is measured where nobody asks");
  const watched = await rows("to-6");
  assert.deepEqual(
    watched.map(({ step }) => step),
    [1, 2, 3, 4, 5, 6],
  );
  const [before, after] = [await weightsOf(place, "to-5"), await weightsOf(place, "to-6")];
  const { weightNorm, gradientNorm, decayNorm } = watched[5];
  const near = (found: number, wanted: number, share: number) =>
    assert.ok(Math.abs(found / wanted - 1) < share, `${found} for ${wanted}`);
  near(weightNorm, normOf(before), 1e-9);
  near(decayNorm, 0.1 * normOf(before), 1e-6);
  const gradient = before.map((weight, index) => (weight - after[index]!) / 0.05 - 0.1 * weight);
  near(gradientNorm, normOf(gradient), 1e-3);
});
