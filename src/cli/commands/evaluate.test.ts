import assert from "node:assert/strict";
import { cp, mkdtemp, open, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PNG } from "pngjs";
import { loadDataset } from "../../data/dataset.js";
import {
  writeSampleCifar,
  writeSampleMnist,
  writeSamplePictures,
} from "../../data/testing/sample-files.js";
import { runProgram } from "../program.js";

const testExamples = 60;
let folder = "";
let dataDir = "";
let place: string[] = [];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-evaluate-"));
  dataDir = join(folder, "data");
  await writeSampleMnist(dataDir, { train: 200, test: testExamples, seed: 5 });
  await writeSampleCifar(dataDir, { kind: "cifar10", train: 20, test: 10, seed: 5 });
  await cp(join(dataDir, "mnist"), join(dataDir, "fashion-mnist"), { recursive: true });
  place = ["--data-dir", dataDir, "--run-dir", join(folder, "runs")];
  const run = ["--model", "mlp", "--data", "mnist", "-b", "20", "--as-workers", "2"];
  const { exitCode, err } = await call("baseline", ...run, ...place, "--name", "kept", "-e", "2");
  assert.equal(exitCode, 0, err);
});
after(() => rm(folder, { recursive: true, force: true }));

async function call(...words: string[]) {
  const texts = { out: "", err: "" };
  const exitCode = await runProgram(words, {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...texts };
}

const evaluate = (...words: string[]) => call("eval", ...place, ...words);

/** The last evaluation that the run itself made. */
async function ownEvaluation() {
  const text = await readFile(join(folder, "runs", "kept", "metrics.jsonl"), "utf8");
  const lines = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const { accuracyPercent, loss, examples } = lines.findLast((one) => one.final === true);
  return { accuracy_percent: accuracyPercent, loss, examples };
}

const step = () => join(folder, "runs", "kept", "checkpoints", "step-10");

/** A copy of the checkpoint, to be broken. */
async function copyOf(name: string): Promise<string> {
  const path = join(folder, name);
  await cp(step(), path, { recursive: true });
  return path;
}

describe("paceline eval --ckpt", () => {
  test("gives the final evaluation of the run to the last digit, however it is named", async () => {
    const expected = await ownEvaluation();
    for (const wanted of ["kept", join(folder, "runs", "kept"), step(), "auto"]) {
      const { exitCode, out, err } = await evaluate("--ckpt", wanted, "--json");
      assert.equal(exitCode, 0, err);
      assert.deepEqual(JSON.parse(out), expected);
      assert.deepEqual(Object.keys(JSON.parse(out)), ["accuracy_percent", "loss", "examples"]);
    }
  });

  test("tells a person which checkpoint it was, and what on", async () => {
    const { accuracy_percent: percent, loss } = await ownEvaluation();
    const { out, err } = await evaluate("--ckpt", "kept");
    const numbers = `accuracy ${percent.toFixed(2)}%, loss ${loss.toFixed(4)}`;
    const sentence = `mlp of run kept, step 10, epoch 2 of 2: ${numbers} over 60 test examples`;
    assert.equal(out, `${sentence} of mnist\n`);
    assert.match(err, /engine (reference|onednn)/);
    assert.equal((await evaluate("--ckpt", "kept", "-q")).err, "");
  });

  test("scores fewer examples, the training set, or another set of equal sizes", async () => {
    const counts: [string[], number][] = [
      [["--test-limit", "25"], 25],
      [["--test-limit", `${testExamples}`], testExamples],
      [["--split", "train"], 200],
      [["--split", "train", "--train-limit", "150"], 150],
      [["--data", "fashion-mnist", "--other-classes"], testExamples],
    ];
    for (const [words, examples] of counts) {
      const { exitCode, out, err } = await evaluate("--ckpt", "kept", "--json", ...words);
      assert.equal(exitCode, 0, err);
      assert.equal(JSON.parse(out).examples, examples, words.join(" "));
    }
    // The same files under the other name.
    const otherClasses = ["--data", "fashion-mnist", "--other-classes"];
    const { out } = await evaluate("--ckpt", "kept", "--json", ...otherClasses);
    assert.deepEqual(JSON.parse(out), await ownEvaluation());
  });

  const refused: [string, string[], RegExp][] = [
    ["neither checkpoint nor run", [], /needs --ckpt or --follow, as in paceline eval/],
    ["both", ["--ckpt", "kept", "--follow", "kept"], /takes one of the two/],
    [
      "a set of other pictures",
      ["--ckpt", "kept", "--data", "cifar10"],
      /10 classes of 3 x 32 x 32/,
    ],
    ["a set of other classes", ["--ckpt", "kept", "--data", "mnist-parity"], /2 classes of 1 x 28/],
    ["an unknown part", ["--ckpt", "kept", "--split", "tset"], /did you mean test\?/],
    [
      "a set whose classes have other names",
      ["--ckpt", "kept", "--data", "fashion-mnist"],
      /label 0 for "T-shirt\/top", not for "0" as the .*leave --data out; --other-classes scores/,
    ],
    [
      "a limit of the other part",
      ["--ckpt", "kept", "--train-limit", "5"],
      /has no effect with --s/,
    ],
    [
      "a limit above the set",
      ["--ckpt", "kept", "--test-limit", "1000"],
      /--test-limit 1000 is more than the 60 test examples of mnist; write 60 or less/,
    ],
    ["waiting for a checkpoint", ["--ckpt", "kept", "--wait"], /--wait requires --follow/],
    ["a run that is not there", ["--follow", "kpet"], /did you mean kept\?.*--wait/],
    [
      "a run that does not come",
      ["--follow", "kpet", "--wait", "--start-timeout", "1s"],
      /no run "kpet" .* after 1 s/,
    ],
  ];
  for (const [what, words, message] of refused) {
    test(`refuses ${what}`, async () => {
      const { exitCode, out, err } = await evaluate(...words);
      assert.equal(exitCode, 2, err);
      assert.match(err, message);
      assert.equal(out, "");
    });
  }

  test("ends with exit code 6 where the checkpoint is missing, corrupt or another's", async () => {
    const flipped = await copyOf("flipped");
    const file = await open(join(flipped, "model.safetensors"), "r+");
    await file.write(new Uint8Array([1]), 0, 1, 5000);
    await file.close();
    const halved = await copyOf("halved");
    await truncate(join(halved, "manifest.json"), 900);
    const lacking = await copyOf("lacking");
    await rm(join(lacking, "model.safetensors"));
    const cases: [string, RegExp][] = [
      ["lost", /--ckpt lost is neither a run in .*kept \(step 10\)/],
      [dataDir, /holds no complete checkpoint/],
      [flipped, /model\.safetensors is corrupt: its SHA-256 is/],
      [halved, /manifest\.json is corrupt/],
      [lacking, /model\.safetensors is missing; choose another checkpoint/],
    ];
    for (const [wanted, message] of cases) {
      const { exitCode, out, err } = await evaluate("--ckpt", wanted);
      assert.equal(exitCode, 6, err);
      assert.match(err, message);
      assert.equal(out, "");
    }
  });

  test("ends with exit code 7 where the data is broken or not that of the run", async () => {
    const other = join(folder, "other");
    await writeSampleMnist(other, { train: 200, test: 40, seed: 5 });
    const fewer = await evaluate("--data-dir", other, "--ckpt", "kept");
    assert.equal(fewer.exitCode, 7);
    const remedy = /40 test examples here and the run used 60: .* write --test-limit 40/;
    assert.match(fewer.err, remedy);
    const own = ["--data-dir", other, "--ckpt", "kept", "--test-limit", "40"];
    const scored = await evaluate(...own);
    assert.equal(scored.exitCode, 0);
    const note = /mnist here has test examples of fingerprint \w{16}, not \w{16} as the checkpoint/;
    assert.match(scored.err, note);
    assert.doesNotMatch((await evaluate("--ckpt", "kept")).err, /fingerprint/);
    await truncate(join(other, "mnist", "t10k-images-idx3-ubyte"), 1000);
    const broken = await evaluate(...own);
    assert.equal(broken.exitCode, 7);
    assert.match(broken.err, /t10k-images-idx3-ubyte/);
  });
});

describe("paceline predict", () => {
  const picturePath = (index: number) => join(folder, `test-${index}.png`);
  let labels = new Int32Array(0);
  before(async () => {
    const { test: split } = await loadDataset("mnist", { dataDir });
    const indices = Array.from({ length: testExamples }, (_, index) => index);
    const pixels = new Uint8Array(784 * testExamples);
    labels = new Int32Array(testExamples);
    split.read(indices, 0, testExamples, pixels, labels);
    for (const index of indices) {
      await writePicture(picturePath(index), pixels.subarray(784 * index, 784 * (index + 1)));
    }
    await writePicture(join(folder, "large.png"), new Uint8Array(30 * 20), 30);
    await writeFile(join(folder, "words.png"), "no picture");
  });

  async function writePicture(path: string, grey: Uint8Array, width = 28) {
    const png = new PNG({ width, height: grey.length / width });
    for (const [at, value] of grey.entries()) png.data.set([value, value, value, 255], 4 * at);
    await writeFile(path, PNG.sync.write(png));
  }

  const predict = (...words: string[]) => call("predict", ...place, "--ckpt", "kept", ...words);

  test("finds in every test picture the class that evaluation counted", async () => {
    const paths = Array.from(labels, (_, index) => picturePath(index));
    const { exitCode, out, err } = await predict("--json", ...paths);
    assert.equal(exitCode, 0, err);
    const predicted = JSON.parse(out) as { path: string; classes: { label: number }[] }[];
    assert.deepEqual(
      predicted.map(({ path }) => path),
      paths,
    );
    const right = predicted.filter(({ classes }, index) => classes[0]!.label === labels[index]);
    const { accuracy_percent: percent } = await ownEvaluation();
    assert.equal((100 * right.length) / testExamples, percent);
    assert.ok(right.length > testExamples / 2, `${right.length}`);
  });

  test("shows the likeliest classes by name, five or as many as wanted", async () => {
    const { out, err } = await predict(picturePath(0), picturePath(1));
    const lines = out.trimEnd().split("\n");
    assert.deepEqual([lines[0], lines[6]], [picturePath(0), picturePath(1)]);
    assert.equal(lines.length, 12);
    for (const line of lines.slice(1, 6)) assert.match(line, /^ +\d+\.\d\d% {2}\d$/);
    assert.match(err, /mlp for mnist, step 10 of run kept/);
    const { out: json } = await predict("--json", "--top", "3", picturePath(0));
    const [{ classes }] = JSON.parse(json);
    assert.equal(classes.length, 3);
    assert.ok(classes[0].probability >= classes[1].probability);
    assert.equal(classes[0].name, String(classes[0].label));
    const { out: all } = await predict("--json", "--top", "99", picturePath(0));
    assert.equal(JSON.parse(all)[0].classes.length, 10);
  });

  test("names the classes that the model was trained on, whatever the folder has", async () => {
    await writeSamplePictures(dataDir, "bars", { train: 60, test: 30, seed: 5 });
    const run = ["--model", "mlp", "--data", "bars", "-b", "10", "-e", "4", "--name", "own"];
    assert.equal((await call("baseline", ...run, ...place)).exitCode, 0);
    const picture = join(dataDir, "bars", "test", "middle", "0001.png");
    const ask = ["predict", ...place, "--ckpt", "own", "--top", "1", "--json", picture];
    const [here] = JSON.parse((await call(...ask)).out);
    assert.deepEqual([here.classes[0].name, here.classes[0].label], ["middle", 1]);
    const elsewhere = ["--data-dir", join(folder, "elsewhere"), "--cache-dir", folder];
    const [gone] = JSON.parse((await call(...ask, ...elsewhere)).out);
    assert.deepEqual([gone.classes[0].name, gone.classes[0].label], ["middle", 1]);
    const { exitCode, err } = await evaluate("--ckpt", "own", ...elsewhere);
    assert.equal(exitCode, 7, err);
    for (const split of ["train", "test"]) {
      await rename(join(dataDir, "bars", split, "bottom"), join(dataDir, "bars", split, "zebra"));
    }
    const [renamed] = JSON.parse((await call(...ask)).out);
    assert.deepEqual([renamed.classes[0].name, renamed.classes[0].label], ["middle", 1]);
    const permuted = await evaluate("--ckpt", "own");
    assert.equal(permuted.exitCode, 7);
    assert.match(permuted.err, /bars has label 0 for "middle", not for "bottom" as the checkpoint/);
    const wrong = await evaluate("--ckpt", "own", "--other-classes", "--json");
    assert.equal(wrong.exitCode, 0, wrong.err);
    assert.ok(JSON.parse(wrong.out).accuracy_percent < 50);
    const resumed = await call("baseline", ...run, ...place, "--resume", "own", "-e", "5");
    assert.equal(resumed.exitCode, 7);
    assert.match(resumed.err, /bars here has label 0 for "middle".*start over without --resume/);
    await rename(join(dataDir, "bars/train/zebra"), join(dataDir, "bars/train/bottom"));
    await rename(join(dataDir, "bars/test/zebra"), join(dataDir, "bars/test/bottom"));
    const [one, two] = ["0000.png", "0003.png"].map((name) =>
      join(dataDir, "bars/train/bottom", name),
    );
    await cp(one!, two!);
    const others = await call("baseline", ...run, ...place, "--resume", "own", "-e", "5");
    assert.equal(others.exitCode, 7);
    assert.match(
      others.err,
      /training examples of fingerprint \w{16}, not \w{16} as the checkpoint/,
    );
  });

  const refused: [string, string[], number, RegExp][] = [
    ["no pictures", [], 2, /needs pictures, as in paceline predict/],
    ["no count", ["--top", "0", "a.png"], 2, /--top 0 is not a number of classes/],
    ["a picture of another size", ["large.png"], 7, /30 x 20 pixels .* where 28 x 28 are .*resize/],
    ["what is no picture", ["test-0.png", "words.png"], 7, /words\.png is not a PNG or JPEG/],
    ["a picture that is not there", ["lost.png"], 7, /lost\.png can't be read/],
  ];
  for (const [what, words, expected, message] of refused) {
    test(`refuses ${what}, before it prints anything`, async () => {
      const own = words.map((word) => (/\.png$/.test(word) ? join(folder, word) : word));
      const { exitCode, out, err } = await predict(...own);
      assert.equal(exitCode, expected, err);
      assert.match(err, message);
      assert.equal(out, "");
    });
  }

  test("needs a checkpoint", async () => {
    const { exitCode, err } = await call("predict", picturePath(0));
    assert.equal(exitCode, 2);
    assert.match(err, /needs --ckpt, as in paceline predict --ckpt/);
  });
});
