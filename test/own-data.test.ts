import assert from "node:assert/strict";
import { readdir, rename, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { writeSamplePictures } from "../dist/data/testing/sample-files.js";
import { makePlace, type Place } from "./run-paceline.js";

const mlp = ["--model", "mlp", "--batch-size", "10", "--epochs", "2", "--lr", "0.05"];

async function withPictures(place: Place, name = "bars"): Promise<string> {
  await writeSamplePictures(place.path("data"), name, { train: 120, test: 30, seed: 1 });
  return place.path("data", name);
}

async function accuracyOf(place: Place, name: string): Promise<number> {
  const { worker_metrics_aggregated: metrics } = await place.result(name);
  return metrics.final_test_accuracy_percent!;
}

test("a folder of pictures trains with two workers, and its packed form too", async (context) => {
  const place = await makePlace(context);
  await withPictures(place);
  const out = place.path("data", "bars-packed");
  const packed = await place.run(["data", "pack", "bars", "--out", out, "--shard-examples", "16"]);
  assert.equal(packed.exitCode, 0, packed.err);
  assert.equal((await readdir(out)).filter((name) => name.startsWith("train-")).length, 8);
  for (const data of ["bars", "bars-packed"]) {
    const words = ["train", ...mlp, "--data", data, "-w", "2", "--name", data];
    const command = place.start(words);
    assert.equal((await command.end()).exitCode, 0, command.told());
    assert.ok((await accuracyOf(place, data)) > 90, command.told());
    const { paceline } = await place.result(data);
    assert.deepEqual(
      paceline.epochs.map(({ examples }) => examples),
      [120, 120],
    );
  }
  assert.notEqual(await place.weights("bars"), await place.weights("bars-packed"));
  const oracle = ["baseline", ...mlp, "--data", "bars-packed", "--as-workers", "2"];
  const baseline = await place.run([...oracle, "--name", "baseline"]);
  assert.equal(baseline.exitCode, 0, baseline.err);
  assert.equal(await place.weights("baseline"), await place.weights("bars-packed"));
});

test("a run of shards reads none of the shards that its examples leave out", async (context) => {
  const place = await makePlace(context);
  await withPictures(place);
  const out = place.path("data", "few");
  await place.call(["data", "pack", "bars", "--out", out, "--shard-examples", "30"]);
  // Right length, wrong labels: its reader fails.
  await writeFile(join(out, "train-00003.bin"), Buffer.alloc(30 * 146, 255));
  const words = [...mlp, "--data", "few"];
  const limited = await place.run(["train", ...words, "-w", "2", "--train-limit", "90"]);
  assert.equal(limited.exitCode, 0, limited.err);
  const { exitCode, err } = await place.run(["baseline", ...words]);
  assert.equal(exitCode, 7, err);
  assert.match(err, /train-00003\.bin has label 65535 in record \d+ where 0 to 2 are allowed/);
});

test("broken data of one's own ends with 7 and its path, before a run is made", async (context) => {
  const place = await makePlace(context);
  const folder = await withPictures(place);
  const out = place.path("data", "shards");
  await place.call(["data", "pack", "bars", "--out", out]);
  const train = (data: string) => place.call(["train", ...mlp, "--data", data, "-w", "2"]);

  await truncate(join(out, "train-00000.bin"), 1000);
  const short = await train("shards");
  assert.equal(short.exitCode, 7);
  assert.match(
    short.err,
    /train-00000\.bin has 1000 bytes where dataset\.json says 17520; copy it/,
  );

  await truncate(join(folder, "train", "top", "0002.png"), 60);
  const broken = await train("bars");
  assert.equal(broken.exitCode, 7);
  assert.match(broken.err, /train\/top\/0002\.png is a broken PNG .*replace or remove it/);

  await rename(join(folder, "train", "top"), join(folder, "train", "high"));
  const unmatched = await train("bars");
  assert.equal(unmatched.exitCode, 7);
  assert.match(unmatched.err, /test\/top is a class that .*train lacks; add it there or remove/);
  assert.deepEqual(await place.files(), []);
});

test("words that pack can't follow are refused", async (context) => {
  const place = await makePlace(context);
  const out = place.path("packed");
  const table: readonly [string, RegExp][] = [
    ["pack mnist", /pack takes one name and --out; write pack NAME --out FOLDER/],
    [`pack --out ${out}`, /pack takes one name and --out/],
    [`pack mnist bars --out ${out}`, /pack takes one name and --out/],
    [`pack mnits --out ${out}`, /"mnits" is unknown \(did you mean mnist\?\)/],
    [`pack mnist --out ${out} --shard-examples 0`, /--shard-examples 0 is out of range; write 1/],
    [`ls --out ${out}`, /--out applies to pack only/],
    ["verify --shard-examples 3", /--shard-examples applies to pack only/],
  ];
  for (const [words, pattern] of table) {
    const { exitCode, err, out: told } = await place.call(["data", ...words.split(" ")]);
    assert.deepEqual([exitCode, told], [2, ""], words);
    assert.match(err, pattern);
  }
  assert.deepEqual((await readdir(place.folder)).sort(), ["data"]);
});

test("packing that is stopped leaves nothing and ends with the signal's code", async (context) => {
  const place = await makePlace(context);
  await writeSamplePictures(place.path("data"), "bars", { train: 6000, test: 30, seed: 1 });
  const out = place.path("packed", "bars");
  const command = place.start(["data", "pack", "bars", "--out", out]);
  await command.waitFor(/5000 of 6000 pictures read/);
  command.kill("SIGTERM");
  const { exitCode, err } = await command.end();
  assert.equal(exitCode, 143, err);
  assert.match(err, /packed\/bars was not finished: stopped/);
  assert.deepEqual(await readdir(place.path("packed")), []);
});
