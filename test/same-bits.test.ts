import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { shownId } from "../dist/protocol/ids.js";
import { readCoordinatorState } from "../dist/store/coordinator-state.js";
import { makePlace, type Place } from "./run-paceline.js";

const work = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "2"],
  ...["--optimizer", "momentum", "--lr", "0.05", "--lr-schedule", "cosine"],
  ...["--eval-every", "none"],
];
const train = ["train", "--chunk-values", "20000"];

/** Trains with these words and answers with the hash of the weights. */
async function bitsOf(place: Place, name: string, words: readonly string[]): Promise<string> {
  const command = place.start([...words, ...work, "--name", name]);
  const { exitCode } = await command.end();
  assert.equal(exitCode, 0, command.told());
  return place.weights(name);
}

test("BSP has the same bits again, with 1, 2, 3 servers, as the baseline", async (context) => {
  const place = await makePlace(context, { train: 160 });
  const oracle = await bitsOf(place, "baseline", ["baseline", "--as-workers", "4"]);
  for (const [name, servers] of [
    ["one", "1"],
    ["two", "2"],
    ["again", "2"],
    ["three", "3"],
  ] as const) {
    const bits = await bitsOf(place, name, [...train, "-w", "4", "-s", servers]);
    assert.equal(bits, oracle, `${name}: ${servers} servers`);
  }
});

test("plain kernels have the bits of SIMD ones, alone and on servers", async (context) => {
  const place = await makePlace(context, { train: 160 });
  const baseline = ["baseline", "--as-workers", "2"];
  const simd = await bitsOf(place, "simd", [...baseline, "--kernels", "wasm"]);
  const plain = await bitsOf(place, "plain", [...baseline, "--kernels", "scalar"]);
  assert.equal(plain, simd);
  for (const kernels of ["wasm", "scalar"]) {
    const words = [...train, "-w", "2", "-s", "2", "--kernels", kernels];
    assert.equal(await bitsOf(place, `servers-${kernels}`, words), simd, kernels);
  }
});

test("codecs have the same bits with either kernels, on workers and servers", async (context) => {
  const place = await makePlace(context, { train: 160 });
  const words = [...train, "-w", "2", "-s", "2", "--compress", "int8", "--compress-pull", "onebit"];
  const [simd, plain] = [
    await bitsOf(place, "simd", [...words, "--kernels", "wasm"]),
    await bitsOf(place, "plain", [...words, "--kernels", "scalar"]),
  ];
  assert.equal(plain, simd);
  const told = await place.logs("plain");
  assert.match(told, /^paceline worker .*kernels=scalar/m);
  assert.match(told, /^paceline server .*kernels=scalar/m);
});

test("BSP has the same bits over gRPC, TCP and Unix; logs say which it was", async (context) => {
  const place = await makePlace(context, { train: 160 });
  const oracle = await bitsOf(place, "baseline", ["baseline", "--as-workers", "2"]);
  for (const [way, says, prefix] of [
    ["grpc", /server 1: gRPC \(127\.0\.0\.1:\d+\)/, ""],
    ["tcp", /server 1: frames over TCP, as asked for \(tcp:127\.0\.0\.1:\d+\)/, ""],
    ["unix", /server 1: a Unix socket, on this computer \(unix:\/\S+\.sock\)/, "/"],
  ] as const) {
    const words = [...train, "-w", "2", "-s", "2", "--transport", way];
    const running = bitsOf(place, way, words);
    const { address, frames } = await place.member(way, "server", 1);
    assert.equal(await running, oracle, way);
    assert.match(await place.logs(way), says);
    assert.equal(frames?.tcp, way === "grpc" ? undefined : address);
    assert.equal(frames?.unix.slice(0, 1) ?? "", prefix);
  }
});

test("Ctrl-C ends with 130, and --resume auto ends in the same bits", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const words = [...train, "-w", "3", "-s", "2"];
  const whole = await bitsOf(place, "whole", words);
  const command = place.start([...words, ...work, "--name", "stopped"]);
  await place.step("stopped", 8);
  command.kill("SIGINT");
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 130, command.told());
  assert.match(err, /resume with: paceline resume runs\/stopped/);
  const [kept] = await place.checkpoints("stopped");
  const step = Number(kept!.replace("step-", ""));
  assert.ok(step >= 8 && step < (2 * 480) / 3 / 8, kept);
  assert.deepEqual(await place.leftovers(), []);
  const folder = join(place.folder, "runs", "stopped");
  const before = await readCoordinatorState(folder);
  const resumed = place.start([...words, ...work, "--resume", "auto"]);
  assert.equal((await resumed.end()).exitCode, 0, resumed.told());
  const after = await readCoordinatorState(folder);
  const shown = [before, after].map((state) => [state?.term, shownId(state?.view?.number ?? 0)]);
  assert.deepEqual(shown, [
    [1, "1.1"],
    [2, "2.1"],
  ]);
  assert.equal(await place.weights("stopped"), whole);
  const { paceline } = await place.result("stopped");
  assert.deepEqual(
    paceline.epochs.map(({ examples }) => examples),
    [480, 480],
  );
});
