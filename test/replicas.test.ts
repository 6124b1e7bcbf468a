/** Servers that are killed while a run with replicas trains: its bits are those without it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePlace, until } from "./run-paceline.js";

const work = [
  // It goes on until it is stopped: no server is killed too late.
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "100000"],
  ...["--optimizer", "adam", "--lr", "0.002", "--eval-every", "none", "--chunk-values", "10000"],
];

test("servers killed one after the other come back, and cost a run no bit", async (context) => {
  const place = await makePlace(context, { train: 960 });
  const words = ["train", ...work, "-w", "3", "-s", "3"];
  const cut = ["--inject", "cut:worker=0,at=60,for=200ms", "--inject", "cut:server=0,at=80,for=1s"];
  const faults = ["--inject", "kill:server=1,at=100", ...cut];
  const command = place.start([...words, "--replicas", "2", ...faults, "--name", "killed"]);
  const redundancies = async () => {
    const events = await place.events("killed");
    return events.filter(({ text }) => text.startsWith("redundant")).length;
  };
  const pids: number[] = [];
  for (const server of [1, 2, 1]) {
    await until("copies of all chunks", async () => (await redundancies()) > pids.length);
    const { pid } = await place.member("killed", "server", server, pids.at(-2) ?? -1);
    // The first is killed by injection.
    if (pids.length > 0) process.kill(pid, "SIGKILL");
    pids.push(pid);
    await place.member("killed", "server", server, pid);
  }
  const { globalSteps } = (await place.snapshot("killed"))!;
  await place.step("killed", globalSteps + 20);
  command.kill("SIGINT");
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 130, command.told());
  assert.match(
    err,
    /^server-1 \(pid \d+\) ended with SIGKILL, as injected, is started again: lost/m,
  );
  // Each suffers what is meant for it at the very step.
  for (const step of ["worker-0 .*60,for=200ms at step 60", "server-0 .*80,for=1s at step 80"]) {
    assert.match(err, new RegExp(`^${step}$`, "m"));
  }
  assert.match(err, /^server-1 \(pid \d+\) suffers kill:server=1,at=100 at step 100$/m);
  assert.equal([...err.matchAll(/^server-\d .*SIGKILL.*: lost at step \d+$/gm)].length, 3, err);
  const step = (await place.checkpoints("killed")).at(-1)!.replace("step-", "");
  const oracle = ["baseline", ...work, "--as-workers", "3", "--max-steps", step];
  const whole = await place.run([...oracle, "--name", "whole"]);
  assert.equal(whole.exitCode, 0, whole.err);
  assert.equal(await place.weights("killed"), await place.weights("whole"));
  const { paceline } = await place.result("killed");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [960, 0]);
  }
  assert.deepEqual(await place.leftovers(), []);
});
