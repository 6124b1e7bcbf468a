/**
 * Trains on a sharded set of 1.5 GB with two workers and looks at each while it works: the most
 * memory it ever held (VmHWM), which of the set's files it has open, how many bytes it has read.
 * A worker may hold a fifth of the set at most, touches the shards of its own range and reads each
 * once. Linux, since /proc tells; `make test-long` runs it.
 */
import assert from "node:assert/strict";
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";
import { test } from "node:test";
import { epochOrder, workerRanges } from "../dist/data/partition.js";
import { ShardWriter } from "../dist/data/shards/shard-writer.js";
import { makePlace } from "./run-paceline.js";

const trainExamples = 1_500_000;
const testExamples = 4000;
const side = 32;
const recordBytes = 2 + side * side;
const setBytes = trainExamples * recordBytes;
const residentBytesMax = 300e6;
const shardBytes = 64 << 20;
const seed = 1;

/** Pictures of noise, brighter in the upper half for label 1 and in the lower for label 0. */
async function writeLargeSet(folder: string) {
  const facts = { classNames: ["lower", "upper"], shape: [1, side, side] as const };
  const writer = await ShardWriter.begin(folder, { ...facts, shardExamples: null });
  const noise = new Uint8Array(1 << 16);
  let state = 1;
  for (let at = 0; at < noise.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    noise[at] = state >>> 25;
  }
  const pixels = new Uint8Array(side * side);
  const half = pixels.length / 2;
  for (const [split, count] of [
    ["train", trainExamples],
    ["test", testExamples],
  ] as const) {
    for (let index = 0; index < count; index++) {
      const label = (index >>> 3) % 2;
      const from = (index * 769) % (noise.length - pixels.length);
      pixels.set(noise.subarray(from, from + pixels.length));
      const bright = label === 1 ? 0 : half;
      for (let at = bright; at < bright + half; at += 8) pixels[at]! += 60;
      await writer.add(split, label, pixels);
    }
  }
  return writer.finish({ mean: [0.25], std: [0.15] });
}

/** What is seen of a process from outside. */
class Watched {
  residentBytes = 0;
  readBytes = 0;
  readonly files = new Set<string>();
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** False once it is gone. */
  async look(folder: string): Promise<boolean> {
    try {
      const status = await readFile(`/proc/${this.#pid}/status`, "utf8");
      const peak = /VmHWM:\s+(\d+) kB/.exec(status);
      if (peak === null) return false;
      this.residentBytes = Number(peak[1]) * 1024;
      const io = await readFile(`/proc/${this.#pid}/io`, "utf8");
      this.readBytes = Number(/rchar: (\d+)/.exec(io)![1]);
      for (const name of await readdir(`/proc/${this.#pid}/fd`)) {
        const path = await readlink(`/proc/${this.#pid}/fd/${name}`).catch(() => "");
        if (path.startsWith(folder)) this.files.add(basename(path));
      }
      return true;
    } catch {
      return false;
    }
  }
}

test("workers train on a set five times larger than what each may hold", async (context) => {
  const place = await makePlace(context);
  const folder = place.path("data", "large");
  const index = await writeLargeSet(folder);
  const { shardExamples, shards } = index.train;
  assert.ok(setBytes > 5 * residentBytesMax);

  const command = place.start([
    ...["train", "--model", "logistic", "--data", "large", "-w", "2", "--name", "large"],
    ...["--batch-size", "1024", "--epochs", "1", "--lr", "0.05", "--seed", `${seed}`],
    ...["--eval-every", "1e", "--checkpoint-every", "none"],
  ]);
  const workers = await Promise.all(
    [0, 1].map(async (rank) => new Watched((await place.member("large", "worker", rank)).pid)),
  );
  const watching = workers.map(async (worker) => {
    while (await worker.look(folder)) await new Promise((resolve) => setTimeout(resolve, 10));
  });
  const { exitCode } = await command.end(600_000);
  assert.equal(exitCode, 0, command.told());
  await Promise.all(watching);

  const order = epochOrder({
    count: trainExamples,
    blockExamples: shardExamples,
    seed,
    epoch: 0,
  });
  const ranges = workerRanges(trainExamples, 2);
  for (const [rank, { files, residentBytes, readBytes }] of workers.entries()) {
    const { start, end } = ranges[rank]!;
    const own = new Set<string>();
    for (const example of order.indices(start, end)) {
      own.add(shards[Math.floor(example / shardExamples)]!.file);
    }
    const trained = [...files].filter((name) => name.startsWith("train-"));
    assert.deepEqual(trained.sort(), [...own].sort(), `the shards of worker ${rank}`);
    const told = `worker ${rank}: peak ${(residentBytes / 1e6).toFixed(0)} MB resident`;
    context.diagnostic(`${told}, ${(readBytes / 1e6).toFixed(0)} MB read, ${own.size} shards`);
    assert.ok(residentBytes < residentBytesMax, `${told}, ${residentBytesMax} are allowed`);
    // Its shards once, a test set, messages and the program itself.
    assert.ok(readBytes < own.size * shardBytes + 100e6, `${readBytes} bytes for ${own.size}`);
    assert.ok(own.size < shards.length);
  }
  const { worker_metrics_aggregated: metrics } = await place.result("large");
  assert.ok(metrics.final_test_accuracy_percent! > 90, `${metrics.final_test_accuracy_percent} %`);
});
