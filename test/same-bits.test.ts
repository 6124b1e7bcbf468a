import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { shownId } from "../dist/protocol/ids.js";
import { readCoordinatorState } from "../dist/store/coordinator-state.js";
import { longTest, makePlace, type Place } from "./run-paceline.js";

const work = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "2"],
  ...["--optimizer", "momentum", "--lr", "0.05", "--lr-schedule", "cosine"],
  ...["--eval-every", "none"],
];
const train = ["train", "--chunk-values", "20000"];

/** Trains with these words and answers with the hash of the weights. */
async function bitsOf(
  place: Place,
  name: string,
  words: readonly string[],
  others: readonly string[] = [],
): Promise<string> {
  const command = place.start([...words, ...work, ...others, "--name", name]);
  const { exitCode } = await command.end();
  assert.equal(exitCode, 0, command.told());
  return place.weights(name);
}

test("BSP has the bits of the baseline, whatever servers, kernels and ways", async (context) => {
  const place = await makePlace(context, { train: 240 });
  const baseline = ["baseline", "--as-workers", "3", "--kernels"];
  const oracle = await bitsOf(place, "oracle", [...baseline, "wasm"]);
  assert.equal(await bitsOf(place, "plain", [...baseline, "scalar"]), oracle, "plain kernels");
  // Three workers: the sum of two has the same bits in either order.
  for (const { name, servers, kernels, way, says, prefix } of [
    {
      ...{ name: "one-server", servers: "1", kernels: "wasm", way: "auto", prefix: "/" },
      says: /server 0: a Unix socket, on this computer/,
    },
    {
      ...{ name: "grpc-scalar", servers: "2", kernels: "scalar", way: "grpc", prefix: "" },
      says: /server 1: gRPC \(127\.0\.0\.1:\d+\)/,
    },
    {
      ...{ name: "three-servers-tcp", servers: "3", kernels: "wasm", way: "tcp", prefix: "" },
      says: /server 1: frames over TCP, as asked for \(tcp:127\.0\.0\.1:\d+\)/,
    },
  ]) {
    const words = [...train, "-w", "3", "-s", servers, "--kernels", kernels, "--transport", way];
    const running = bitsOf(place, name, words);
    const { address, frames } = await place.member(name, "server", Number(servers) > 1 ? 1 : 0);
    assert.equal(await running, oracle, name);
    assert.match(await place.logs(name), says);
    assert.equal(frames?.tcp, way === "grpc" ? undefined : address);
    assert.equal(frames?.unix.slice(0, 1) ?? "", prefix);
  }
});

longTest(
  "codecs have the same bits with either kernels, on workers and servers",
  async (context) => {
    const place = await makePlace(context, { train: 160 });
    const words = [
      ...train,
      "-w",
      "2",
      "-s",
      "2",
      "--compress",
      "int8",
      "--compress-pull",
      "onebit",
    ];
    const [simd, plain] = [
      await bitsOf(place, "simd", [...words, "--kernels", "wasm"]),
      await bitsOf(place, "plain", [...words, "--kernels", "scalar"]),
    ];
    assert.equal(plain, simd);
    const told = await place.logs("plain");
    assert.match(told, /^paceline worker .*kernels=scalar/m);
    assert.match(told, /^paceline server .*kernels=scalar/m);
  },
);

/** Changes the last byte of a file. */
async function spoil(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
}

test("after Ctrl-C, --resume auto ends in the same bits or not at all", async (context) => {
  const place = await makePlace(context, { train: 480 });
  // With what pushes dropped to be kept and given back, beside all that a plain run has.
  const epochs = 12;
  const words = [...train, "-w", "3", "-s", "2", "--compress", "topk:0.01"];
  const length = ["--epochs", `${epochs}`];
  const whole = await bitsOf(place, "whole", words, length);
  const command = place.start([...words, ...work, ...length, "--name", "stopped"]);
  await place.step("stopped", 8);
  command.kill("SIGINT");
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 130, command.told());
  assert.match(err, /resume with: paceline resume runs\/stopped/);
  const [kept] = await place.checkpoints("stopped");
  const step = Number(kept!.replace("step-", ""));
  assert.ok(step >= 8 && step < (epochs * 480) / 3 / 8, kept);
  assert.deepEqual(await place.leftovers(), []);
  const folder = place.path("runs", "stopped");
  const before = await readCoordinatorState(folder);

  const file = join(folder, "checkpoints", kept!, "residuals-1.safetensors");
  await spoil(file);
  const refused = await place.call([...words, ...work, ...length, "--resume", "stopped"]);
  assert.equal(refused.exitCode, 6, refused.err);
  assert.match(refused.err, /residuals-1\.safetensors is corrupt: its SHA-256 is/);
  await spoil(file);

  const resumed = place.start([...words, ...work, ...length, "--resume", "auto"]);
  assert.equal((await resumed.end()).exitCode, 0, resumed.told());
  const after = await readCoordinatorState(folder);
  const shown = [before, after].map((state) => [state?.term, shownId(state?.view?.number ?? 0)]);
  assert.deepEqual(shown, [
    [1, "1.1"],
    [2, "2.1"],
  ]);
  assert.equal(await place.weights("stopped"), whole);
  const heirs = /topk:0\.01 .*: residuals of \d+ chunks? \(101632 values\) .* are restored/g;
  assert.equal((await place.logs("stopped")).match(heirs)?.length, 3);
  const { paceline } = await place.result("stopped");
  assert.deepEqual(
    paceline.epochs.map(({ examples }) => examples),
    Array(epochs).fill(480),
  );
});
