/** What pushes have dropped, across the end of a run and its going on, by real processes. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { makePlace, type Place } from "./run-paceline.js";

const work = ["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "3"];
const train = ["train", ...work, "-w", "2", "-s", "1", "--compress", "topk:0.01"];

/** Changes the last byte of a file. */
async function spoil(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
}

/** Stops a run amid its work; answers with its checkpoint's folder. */
async function stopped(place: Place): Promise<string> {
  const command = place.start([...train, "--name", "stopped"]);
  await place.step("stopped", 8);
  command.kill("SIGINT");
  assert.equal((await command.end()).exitCode, 130, command.told());
  const [kept] = await place.checkpoints("stopped");
  assert.ok(Number(kept!.replace("step-", "")) < 48, kept);
  return place.path("runs", "stopped", "checkpoints", kept!);
}

test("after Ctrl-C a run of topk goes on to the same bits, or not at all", async (context) => {
  const place = await makePlace(context, { train: 256, test: 32 });
  const whole = await place.run([...train, "--name", "whole"]);
  assert.equal(whole.exitCode, 0, whole.err);
  const path = await stopped(place);
  const file = `${path}/residuals-1.safetensors`;

  await spoil(file);
  const refused = await place.run([...train, "--resume", "stopped"]);
  assert.equal(refused.exitCode, 6, refused.err);
  assert.match(refused.err, /residuals-1\.safetensors is corrupt: its SHA-256 is/);
  await spoil(file);

  const resumed = await place.run([...train, "--resume", "stopped"]);
  assert.equal(resumed.exitCode, 0, resumed.err);
  assert.equal(await place.weights("stopped"), await place.weights("whole"));
  const heirs = /topk:0\.01 .*: residuals of \d+ chunks? \(101632 values\) .* are restored/g;
  assert.equal((await place.logs("stopped")).match(heirs)?.length, 2);
});
