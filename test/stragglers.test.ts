/** Workers that straggle on purpose. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePlace } from "./run-paceline.js";

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
