import assert from "node:assert/strict";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { PacelineError } from "../errors.js";
import { datasetNames, describeDataset, loadDataset, splitSizes } from "./dataset.js";
import { encodeIdx, writeSampleMnist } from "./sample-files.js";

let folder = "";
let dataDir = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-dataset-"));
  dataDir = join(folder, "data");
  await writeSampleMnist(dataDir, { train: 400, test: 100, seed: 5 });
});
after(() => rm(folder, { recursive: true, force: true }));

async function withChanged(name: string, change: (path: string) => Promise<unknown>) {
  const changed = await mkdtemp(join(folder, "changed-"));
  await cp(dataDir, changed, { recursive: true });
  await change(join(changed, "mnist", name));
  return loadDataset("mnist", { dataDir: changed }).then(
    () => assert.fail("loaded broken files"),
    (error: PacelineError) => error,
  );
}

test("mnist inputs are pixel / 255 in f32 and labels the digits", async () => {
  const { train, inputShape, classes } = await loadDataset("mnist", { dataDir });
  assert.deepEqual([inputShape, classes, train.count], [[1, 28, 28], 10, 400]);
  const x = new Float32Array(2 * 784 + 1).fill(-9);
  const y = new Int32Array(3).fill(-9);
  train.fill([5, 17, 3, 399], 1, 3, x, y);
  assert.deepEqual([...y], [train.labels[17], train.labels[3], -9]);
  assert.equal(x[2 * 784], -9);
  for (const [row, example] of [17, 3].entries()) {
    for (let index = 0; index < 784; index++) {
      const pixel = train.pixels[example * 784 + index] as number;
      assert.equal(x[row * 784 + index], Math.fround(pixel / 255));
    }
  }
});

test("mnist-parity has the same inputs and labels digit mod 2", async () => {
  const digits = await loadDataset("mnist", { dataDir });
  const { train, test: tests, classes } = await loadDataset("mnist-parity", { dataDir });
  assert.equal(classes, 2);
  const expected = digits.train.labels.map((digit) => digit % 2);
  assert.deepEqual(train.labels, expected);
  const x = new Float32Array(784);
  tests.fill([7], 0, 1, x, new Int32Array(1));
  const source = tests.pixels.subarray(7 * 784, 8 * 784);
  assert.deepEqual(
    x,
    Float32Array.from(source, (pixel) => pixel / 255),
  );
});

test("limits take the front of each split, and sizes agree without loading", async () => {
  const options = { dataDir, trainLimit: 30, testLimit: 1000 };
  const whole = await loadDataset("mnist", { dataDir });
  const { train, test: tests } = await loadDataset("mnist", options);
  assert.deepEqual([train.count, tests.count], [30, 100]);
  assert.deepEqual(train.labels, whole.train.labels.slice(0, 30));
  assert.deepEqual(train.pixels, whole.train.pixels.subarray(0, 30 * 784));
  assert.deepEqual(await splitSizes("mnist", options), { train: 30, test: 100 });
});

test("sizes are the official ones where there are no files", async () => {
  const empty = join(folder, "nothing");
  const sizes = await splitSizes("mnist-parity", { dataDir: empty, testLimit: 1152 });
  assert.deepEqual(sizes, { train: 60_000, test: 1152 });
});

test("an unknown name and a limit of 0 are usage errors that say what is allowed", async () => {
  assert.deepEqual(datasetNames, ["mnist", "mnist-parity"]);
  const unknown = { code: "usage", message: /"mnits" is unknown; .* mnist, mnist-parity/ };
  assert.throws(() => describeDataset("mnits"), unknown);
  assert.throws(() => describeDataset("constructor"), { code: "usage" });
  await assert.rejects(loadDataset("mnits", { dataDir }), unknown);
  const limit = { code: "usage", message: /--train-limit 0 is out of range/ };
  await assert.rejects(loadDataset("mnist", { dataDir, trainLimit: 0 }), limit);
  await assert.rejects(splitSizes("mnist", { dataDir, testLimit: 1.5 }), { code: "usage" });
});

test("gzipped files give the same data set as plain ones", async () => {
  const packed = join(folder, "packed");
  await writeSampleMnist(packed, { train: 400, test: 100, seed: 5, packed: true });
  const [left, right] = [
    await loadDataset("mnist", { dataDir }),
    await loadDataset("mnist", { dataDir: packed }),
  ];
  assert.ok(Buffer.from(left.train.pixels).equals(Buffer.from(right.train.pixels)));
  assert.ok(Buffer.from(left.test.labels).equals(Buffer.from(right.test.labels)));
});

test("images and labels that differ in number are refused with both paths", async () => {
  const error = await withChanged("train-labels-idx1-ubyte", (path) =>
    writeFile(path, encodeIdx([399], new Uint8Array(399))),
  );
  assert.equal(error.code, "data");
  assert.match(error.message, /images-idx3-ubyte has 400 images but .*ubyte 399 labels/);
});

test("a label of 10 is refused", async () => {
  const error = await withChanged("t10k-labels-idx1-ubyte", (path) =>
    writeFile(path, encodeIdx([100], new Uint8Array(100).fill(10))),
  );
  assert.equal(error.code, "data");
  assert.match(error.message, /t10k-labels-idx1-ubyte has label 10 at position 0/);
});

test("a folder that lacks one of the files is refused, not filled up from elsewhere", async () => {
  const error = await withChanged("t10k-images-idx3-ubyte", (path) => rm(path));
  assert.equal(error.code, "data");
  assert.match(error.message, /mnist lacks t10k-images-idx3-ubyte \(plain or \.gz\)/);
});

test("sample files follow from their seed and teach a nearest-mean classifier", async () => {
  const { train, test: tests } = await loadDataset("mnist", { dataDir });
  const again = join(folder, "again");
  await writeSampleMnist(again, { train: 400, test: 100, seed: 5 });
  const same = await loadDataset("mnist", { dataDir: again });
  assert.ok(Buffer.from(same.train.pixels).equals(Buffer.from(train.pixels)));
  const means = Array.from({ length: 10 }, () => new Float64Array(784));
  const counts = new Array<number>(10).fill(0);
  train.labels.forEach((label) => {
    counts[label]!++;
  });
  train.pixels.forEach((pixel, index) => {
    const label = train.labels[Math.floor(index / 784)] as number;
    means[label]![index % 784]! += pixel / counts[label]!;
  });
  let right = 0;
  for (let example = 0; example < tests.count; example++) {
    const image = tests.pixels.subarray(example * 784, (example + 1) * 784);
    const distances = means.map((mean) =>
      mean.reduce((sum, value, index) => sum + (value - image[index]!) ** 2, 0),
    );
    if (distances.indexOf(Math.min(...distances)) === tests.labels[example]) right++;
  }
  assert.ok(right >= 95, `${right} of 100 right`);
});
