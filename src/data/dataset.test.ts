import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { PacelineError } from "../errors.js";
import { datasetNames, inspectDataset, loadDataset } from "./dataset.js";
import { classNames } from "./formats/class-names.js";
import type { Split } from "./split.js";
import { encodeIdx, writeSampleCifar, writeSampleMnist } from "./testing/sample-files.js";

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

/** All pixels and labels of a split. */
function everything(split: Split, valueCount = 784) {
  const pixels = new Uint8Array(split.count * valueCount);
  const labels = new Int32Array(split.count);
  const order = Uint32Array.from({ length: split.count }, (_, index) => index);
  split.read(order, 0, split.count, pixels, labels);
  return { pixels, labels };
}

test("mnist-parity has the same pixels as mnist and labels digit mod 2", async () => {
  const digits = everything((await loadDataset("mnist", { dataDir })).train);
  const parity = everything((await loadDataset("mnist-parity", { dataDir })).train);
  assert.deepEqual(parity.pixels, digits.pixels);
  assert.deepEqual(
    parity.labels,
    digits.labels.map((digit) => digit % 2),
  );
  assert.equal(new Set(digits.labels).size, 10);
  const facts = await inspectDataset("mnist-parity", { dataDir });
  assert.deepEqual([facts.classes, facts.shape], [2, [1, 28, 28]]);
});

test("limits take the front of each split, and sizes agree without loading", async () => {
  const options = { dataDir, trainLimit: 30, testLimit: 1000 };
  const whole = everything((await loadDataset("mnist", { dataDir })).train);
  const { train, test: tests } = await loadDataset("mnist", options);
  assert.deepEqual([train.count, tests.count], [30, 100]);
  const front = everything(train);
  assert.deepEqual(front.labels, whole.labels.slice(0, 30));
  assert.deepEqual(front.pixels, whole.pixels.slice(0, 30 * 784));
  const { train: trained, test: tested } = await inspectDataset("mnist", options);
  assert.deepEqual([trained, tested], [30, 100]);
});

test("sizes are the official ones where there are no files", async () => {
  const empty = join(folder, "nothing");
  await mkdir(empty);
  const sizes = await inspectDataset("mnist-parity", { dataDir: empty, testLimit: 1152 });
  assert.deepEqual([sizes.train, sizes.test], [60_000, 1152]);
});

test("an unknown name and a limit of 0 are usage errors that say what is allowed", async () => {
  const names = ["mnist", "mnist-parity", "fashion-mnist", "cifar10", "cifar100"];
  assert.deepEqual(datasetNames, [...names, "cifar100-coarse"]);
  const unknown = {
    code: "usage",
    message: /"mnits" is unknown \(did.*\); .* mnist, mnist-parity, fa/,
  };
  await assert.rejects(inspectDataset("mnits", { dataDir }), unknown);
  await assert.rejects(inspectDataset("constructor", { dataDir }), { code: "usage" });
  await assert.rejects(loadDataset("mnits", { dataDir }), unknown);
  const limit = { code: "usage", message: /--train-limit 0 is out of range/ };
  await assert.rejects(loadDataset("mnist", { dataDir, trainLimit: 0 }), limit);
  await assert.rejects(inspectDataset("mnist", { dataDir, testLimit: 1.5 }), { code: "usage" });
});

test("gzipped files give the same data set as plain ones", async () => {
  const packed = join(folder, "packed");
  await writeSampleMnist(packed, { train: 400, test: 100, seed: 5, packed: true });
  const [left, right] = [
    await loadDataset("mnist", { dataDir }),
    await loadDataset("mnist", { dataDir: packed }),
  ];
  assert.deepEqual(everything(left.train), everything(right.train));
  assert.deepEqual(everything(left.test), everything(right.test));
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
  const loaded = await loadDataset("mnist", { dataDir });
  const [train, tests] = [everything(loaded.train), everything(loaded.test)];
  const again = join(folder, "again");
  await writeSampleMnist(again, { train: 400, test: 100, seed: 5 });
  const same = await loadDataset("mnist", { dataDir: again });
  assert.deepEqual(everything(same.train), train);
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
  for (let example = 0; example < tests.labels.length; example++) {
    const image = tests.pixels.subarray(example * 784, (example + 1) * 784);
    const distances = means.map((mean) =>
      mean.reduce((sum, value, index) => sum + (value - image[index]!) ** 2, 0),
    );
    if (distances.indexOf(Math.min(...distances)) === tests.labels[example]) right++;
  }
  assert.ok(right >= 95, `${right} of 100 right`);
});

test("every data set has a name for each class", async () => {
  for (const name of datasetNames) {
    const { classes } = await inspectDataset(name, {});
    assert.equal(new Set(classNames(name)).size, classes, name);
  }
  assert.deepEqual([classNames("cifar10")[3], classNames("cifar100")[99]], ["cat", "worm"]);
  assert.equal(classNames("cifar100-coarse")[0], "aquatic_mammals");
  assert.throws(() => classNames("mnits"), { code: "usage", message: /choose one of mnist, / });
});

test("CIFAR-100 is one archive with two kinds of labels", async () => {
  const place = join(folder, "cifar");
  await writeSampleCifar(place, { kind: "cifar100", train: 30, test: 20, seed: 1 });
  const options = { dataDir: place, trainLimit: 25 };
  const [fine, coarse] = await Promise.all(
    ["cifar100", "cifar100-coarse"].map(async (name) => {
      const { classes, shape, train } = await inspectDataset(name, options);
      assert.deepEqual([shape, train], [[3, 32, 32], 25]);
      const { labels, pixels } = everything((await loadDataset(name, options)).train, 3072);
      assert.ok(labels.every((label) => label < classes));
      return { classes, labels: [...labels], pixels };
    }),
  );
  assert.deepEqual([fine?.classes, coarse?.classes], [100, 20]);
  assert.deepEqual(fine?.pixels, coarse?.pixels);
  assert.deepEqual(
    coarse?.labels,
    fine?.labels.map((label) => Math.floor(label / 5)),
  );
});
