import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import jpeg from "jpeg-js";
import { PNG } from "pngjs";
import {
  decodePictures,
  loadPictures,
  measurePictures,
  picturesSums,
  scanPictures,
} from "./image-folder.js";

let parent = "";
let copies = 0;

before(async () => {
  parent = await mkdtemp(join(tmpdir(), "paceline-pictures-"));
  for (const [split, count] of [
    ["train", 6],
    ["test", 2],
  ] as const) {
    for (const [label, name] of ["ant", "bee", "Cat"].entries()) {
      for (let index = 0; index < count; index++) {
        await put(join(parent, "set", split, name, `${index}.png`), grey(4, 3, 10 * label + index));
      }
    }
  }
});

after(() => rm(parent, { recursive: true, force: true }));

/** A PNG of one grey. */
function grey(width: number, height: number, value: number): Buffer {
  const image = new PNG({ width, height });
  for (let at = 0; at < image.data.length; at++) image.data[at] = at % 4 === 3 ? 255 : value;
  return PNG.sync.write(image, { colorType: 0 });
}

function coloured(width: number, height: number, colour: readonly number[]): Buffer {
  const image = new PNG({ width, height });
  for (let at = 0; at < image.data.length; at++) image.data[at] = [...colour, 255][at % 4]!;
  return PNG.sync.write(image, { colorType: 2 });
}

async function put(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}

async function copy(): Promise<string> {
  const folder = join(parent, `copy-${copies++}`);
  await cp(join(parent, "set"), folder, { recursive: true });
  return folder;
}

test("classes are the sorted names of the folders, and every picture has its label", async () => {
  const set = await scanPictures(join(parent, "set"));
  assert.deepEqual(set.classNames, ["Cat", "ant", "bee"]);
  assert.deepEqual(set.shape, [1, 3, 4]);
  assert.deepEqual([set.train.length, set.test.length], [18, 6]);
  for (const { path, label } of [...set.train, ...set.test]) {
    assert.ok(String(path).includes(`/${set.classNames[label]}/`), String(path));
  }
});

test("the order is fixed and mixes the classes", async () => {
  const { train } = await scanPictures(join(parent, "set"));
  const again = await scanPictures(join(parent, "set"));
  assert.deepEqual(again.train, train);
  const front = new Set(train.slice(0, 6).map(({ label }) => label));
  assert.ok(front.size > 1, [...front].join());
  assert.equal(new Set(train.map(({ path }) => path)).size, 18);
});

test("pictures become pixels and labels in that order, as far as they are wanted", async () => {
  const set = await scanPictures(join(parent, "set"));
  const { pixels, labels } = await loadPictures(set, "train", 5, () => {});
  assert.deepEqual([pixels.length, labels.length], [60, 5]);
  const first = { Cat: 20, ant: 0, bee: 10 } as Record<string, number>;
  for (let at = 0; at < 5; at++) {
    const { path, label } = set.train[at]!;
    const value = first[set.classNames[label]!]! + Number(/(\d+)\.png$/.exec(String(path))![1]);
    assert.equal(labels[at], label);
    assert.deepEqual([...pixels.subarray(12 * at, 12 * at + 12)], Array(12).fill(value));
  }
});

test("mean and deviation are those of the training pictures, to four places", async () => {
  const set = await scanPictures(join(parent, "set"));
  const values = [0, 10, 20].flatMap((first) => [0, 1, 2, 3, 4, 5].map((index) => first + index));
  const mean = values.reduce((sum, value) => sum + value, 0) / 18;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 18;
  const rounded = (value: number) => Number((value / 255).toFixed(4));
  const wanted = { mean: [rounded(mean)], std: [rounded(Math.sqrt(variance))] };
  assert.deepEqual(await measurePictures(set, set.train), wanted);
});

test("what was measured is measured again once a picture changes", async () => {
  const folder = await copy();
  const set = await scanPictures(folder);
  await loadPictures(set, "train", 18, () => {});
  const before = await measurePictures(set, set.train);
  const { path } = set.train[0]!;
  await writeFile(path, grey(4, 3, 255));
  await utimes(path, 1, 1);
  const after = await measurePictures(set, set.train);
  assert.ok(after.mean[0]! > before.mean[0]!);
  const one = [set.train[0]!];
  assert.deepEqual(await measurePictures(set, one), { mean: [1], std: [1] });
});

test("one picture in colour gives all of them three channels", async () => {
  const folder = await copy();
  await put(join(folder, "test", "bee", "9.png"), coloured(4, 3, [1, 2, 3]));
  const data = Buffer.alloc(48, 77);
  const photo = jpeg.encode({ width: 4, height: 3, data }, 100).data;
  await put(join(folder, "train", "ant", "9.JPEG"), photo);
  const set = await scanPictures(folder);
  assert.deepEqual(set.shape, [3, 3, 4]);
  for await (const { pixels } of decodePictures(set.train, set.shape, () => {})) {
    assert.equal(pixels.length, 36);
  }
});

test("hidden files and what systems leave behind are left out, links are followed", async () => {
  const folder = await copy();
  for (const name of [".DS_Store", "Thumbs.db", "desktop.ini"]) {
    await put(join(folder, "train", name), Buffer.from("x"));
    await put(join(folder, "train", "ant", name), Buffer.from("x"));
  }
  await mkdir(join(folder, "train", ".cache"));
  await rename(join(folder, "train", "bee"), join(folder, "hive"));
  await symlink(join(folder, "hive"), join(folder, "train", "bee"));
  await rename(join(folder, "test"), join(folder, "val"));
  const set = await scanPictures(folder);
  assert.deepEqual([set.train.length, set.test.length], [18, 6]);
  assert.deepEqual(set.classNames, ["Cat", "ant", "bee"]);
});

test("large folders say how far they are", async () => {
  const folder = join(parent, "large");
  await put(join(folder, "train", "a", "0.png"), grey(1, 1, 1));
  await put(join(folder, "train", "b", "0.png"), grey(1, 1, 2));
  await put(join(folder, "test", "a", "0.png"), grey(1, 1, 1));
  const set = await scanPictures(folder);
  const many = { ...set, train: Array.from({ length: 5001 }, () => set.train[0]!) };
  const lines: string[] = [];
  await loadPictures(many, "train", 5001, (line) => lines.push(line));
  assert.deepEqual(lines, [
    `${folder}: 5000 of 5001 pictures read`,
    `${folder}: 5001 of 5001 pictures read`,
  ]);
});

test("more pictures than memory is given to are sent to the sharded form", async () => {
  const set = await scanPictures(join(parent, "set"));
  const huge = { ...set, shape: [3, 65_536, 65_536] as const };
  const message = /needs \d+ bytes of memory, more than 2147483648; paceline data pack NAME --out/;
  await assert.rejects(
    loadPictures(huge, "train", 18, () => {}),
    { code: "data", message },
  );
});

type Fault = (folder: string) => Promise<unknown>;
const faults: readonly [string, Fault, RegExp][] = [
  [
    "an empty class folder",
    (folder) => mkdir(join(folder, "train", "dog")),
    /train\/dog has no pictures; add some, or remove the folder of this class$/,
  ],
  [
    "an empty class folder of the test pictures",
    async (folder) => {
      await rm(join(folder, "test", "bee"), { recursive: true });
      await mkdir(join(folder, "test", "bee"));
    },
    /test\/bee has no pictures/,
  ],
  [
    "a class only in test",
    (folder) => put(join(folder, "test", "dog", "0.png"), grey(4, 3, 0)),
    /test\/dog is a class that .*train lacks; add it there or remove it here$/,
  ],
  [
    "one class",
    async (folder) => {
      for (const name of ["ant", "bee"]) await rm(join(folder, "train", name), { recursive: true });
    },
    /train has 1 class where 2 or more are needed; put the pictures of each class in a folder/,
  ],
  [
    "no class",
    async (folder) => {
      await rm(join(folder, "train"), { recursive: true });
      await mkdir(join(folder, "train"));
    },
    /train has 0 classes where 2 or more are needed/,
  ],
  [
    "no test pictures",
    (folder) => rm(join(folder, "test"), { recursive: true }),
    /has neither test\/ nor val\/; put pictures that are not trained on there/,
  ],
  [
    "test without classes",
    async (folder) => {
      await rm(join(folder, "test"), { recursive: true });
      await mkdir(join(folder, "test"));
    },
    /test has no class; put pictures of each class in a folder there$/,
  ],
  [
    "a picture beside the classes",
    (folder) => put(join(folder, "train", "0.png"), grey(4, 3, 0)),
    /train\/0\.png lies beside the folders of the classes; move it into one of them/,
  ],
  [
    "a folder in a class",
    (folder) => put(join(folder, "train", "ant", "red", "0.png"), grey(4, 3, 0)),
    /train\/ant\/red is a folder; the pictures of a class lie directly in its own$/,
  ],
  [
    "another kind of file",
    (folder) => put(join(folder, "train", "ant", "list.csv"), Buffer.from("a,b")),
    /train\/ant\/list\.csv is not named as a picture \(\.png, \.jpg, \.jpeg\); convert it/,
  ],
  [
    "a file that is no picture",
    (folder) => put(join(folder, "train", "ant", "x.png"), Buffer.from("GIF89a")),
    /train\/ant\/x\.png is not a PNG or JPEG \(it begins with 47494638\)/,
  ],
  [
    "a link to nothing",
    (folder) => symlink(join(folder, "nothing"), join(folder, "test", "ant", "9.png")),
    /test\/ant\/9\.png can't be read \(there is no such file/,
  ],
  [
    "a picture of another size",
    (folder) => put(join(folder, "train", "ant", "x.png"), grey(3, 4, 0)),
    /x\.png has 3 x 4 pixels \(width x height\) where 4 x 3 are .* 24 of 25 .*; resize it first$/,
  ],
  [
    "several of other sizes",
    async (folder) => {
      await put(join(folder, "train", "ant", "x.png"), grey(3, 4, 0));
      await put(join(folder, "train", "ant", "y.png"), grey(3, 4, 0));
      await put(join(folder, "test", "ant", "z.png"), grey(5, 5, 0));
    },
    /[xy]\.png has 3 x 4 pixels .* as 24 of 27 pictures have; resize it and 2 more first$/,
  ],
];

for (const [name, fault, message] of faults) {
  test(`${name} is refused with its path and the remedy`, async () => {
    const folder = await copy();
    await fault(folder);
    await assert.rejects(scanPictures(folder), { code: "data", message });
  });
}

test("a picture whose head is right and whose body is broken is refused", async () => {
  const folder = await copy();
  const path = join(folder, "train", "bee", "0.png");
  await writeFile(path, grey(4, 3, 9).subarray(0, 50));
  const set = await scanPictures(folder);
  const message = /train\/bee\/0\.png is a broken PNG .*replace or remove it/;
  await assert.rejects(
    loadPictures(set, "train", 18, () => {}),
    { code: "data", message },
  );
  await assert.rejects(measurePictures(set, set.train), { code: "data", message });
});

test("what is no folder is refused", async () => {
  const path = join(parent, "set", "train", "ant", "0.png");
  const message =
    /train can't be read \(a part of the path is a file, not a folder\); check the path/;
  await assert.rejects(scanPictures(path), { code: "data", message });
});

test("names that are not UTF-8 are read as others are, and shown with their bytes", async () => {
  const root = await mkdtemp(join(tmpdir(), "paceline-bytes-"));
  try {
    const latin = (text: string) => Buffer.from(text, "latin1");
    const classes = [latin("caf\xe9"), latin("the")];
    for (const split of ["train", "test"]) {
      for (const [index, name] of classes.entries()) {
        const target = Buffer.concat([latin(`${root}/${split}/`), name]);
        await mkdir(target, { recursive: true });
        const bytes = grey(2, 1, 100 * index + 50);
        await writeFile(Buffer.concat([target, latin("/\xfcber \xc3\xa4.png")]), bytes);
      }
    }
    const pictures = await scanPictures(root);
    assert.deepEqual(pictures.classNames, ["caf\\xE9", "the"]);
    const { labels, pixels } = await loadPictures(pictures, "train", 2, () => {});
    const dark = labels.indexOf(0);
    assert.deepEqual([...pixels.subarray(2 * dark, 2 * dark + 2)], [50, 50]);
    assert.equal((await picturesSums(pictures.train)).length, 2);
    const broken = Buffer.concat([latin(`${root}/train/caf`), latin("\xe9/\xfcber \xc3\xa4.png")]);
    await writeFile(broken, "no picture");
    const message = /train\/caf\\xE9\/\\xFCber ä\.png is not a PNG or JPEG/;
    await assert.rejects(scanPictures(root), { code: "data", message });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
