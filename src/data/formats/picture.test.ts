import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { deflateSync } from "node:zlib";
import jpeg from "jpeg-js";
import { PNG } from "pngjs";
import { asShape, readPicture, readPictureAs, readPictureShape } from "./picture.js";

let folder = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-picture-"));
});

after(() => rm(folder, { recursive: true, force: true }));

async function kept(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

/** Red, green and blue of pixel i are 40 i, 40 i + 1, 40 i + 2. Width 3, height 2. */
function colours(opacity: number): number[] {
  return Array.from({ length: 6 }, (_, i) => [40 * i, 40 * i + 1, 40 * i + 2, opacity]).flat();
}

function png(colorType: 0 | 2 | 4 | 6, bitDepth: 8 | 16 = 8): Buffer {
  const image = new PNG({ width: 3, height: 2 });
  const values = colours(colorType > 2 ? 9 : 255);
  const deep = Uint16Array.from(values, (value) => 257 * value);
  image.data = bitDepth === 8 ? Buffer.from(values) : Buffer.from(deep.buffer);
  return PNG.sync.write(image, { colorType, bitDepth });
}

const planes = [0, 1, 2].flatMap((channel) => [0, 40, 80, 120, 160, 200].map((v) => v + channel));

test("a picture comes through a pipe, and a device that never ends is refused", async () => {
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const [piped] = await Promise.all([readPicture(path), writeFile(path, png(2))]);
  assert.deepEqual([...piped.pixels], planes);
  await assert.rejects(readPicture("/dev/zero"), {
    code: "data",
    message: "/dev/zero is larger than 67108864 bytes; make the picture smaller",
  });
});

test("a colour PNG gives its channels as planes and leaves opacity out", async () => {
  for (const type of [2, 6] as const) {
    const { pixels, shape } = await readPicture(await kept(`${type}.png`, png(type)));
    assert.deepEqual(shape, [3, 2, 3]);
    assert.deepEqual([...pixels], planes, `colour type ${type}`);
  }
});

test("a grey PNG gives one channel, whatever its opacity", async () => {
  for (const type of [0, 4] as const) {
    const { pixels, shape } = await readPicture(await kept(`grey-${type}.png`, png(type)));
    assert.deepEqual(shape, [1, 2, 3], `colour type ${type}`);
    assert.equal(pixels.length, 6);
    for (let i = 1; i < 6; i++) assert.ok(pixels[i]! > pixels[i - 1]!, "brighter and brighter");
  }
});

test("values of 16 bits are brought to 8", async () => {
  const { pixels } = await readPicture(await kept("deep.png", png(2, 16)));
  assert.deepEqual([...pixels], planes);
});

/** 3 x 2 pixels of middle grey: all coefficients zero, each table with one code of one bit. */
const greyJpeg = Buffer.concat([
  Buffer.from("ffd8ffdb004300", "hex"),
  Buffer.alloc(64, 1),
  Buffer.from("ffc0000b080002000301011100", "hex"),
  Buffer.from(`ffc4001400${"01".padEnd(32, "0")}00`, "hex"),
  Buffer.from(`ffc4001410${"01".padEnd(32, "0")}00`, "hex"),
  Buffer.from("ffda0008010100003f003fffd9", "hex"),
]);

test("a JPEG is read by its content, not by its name, grey and in colour", async () => {
  const image = { width: 8, height: 16, data: Buffer.alloc(8 * 16 * 4, 200) };
  const path = await kept("named.png", jpeg.encode(image, 100).data);
  const coloured = await readPicture(path);
  assert.deepEqual(coloured.shape, [3, 16, 8]);
  assert.ok(coloured.pixels.every((value) => Math.abs(value - 200) <= 2));
  const grey = await readPicture(await kept("grey.jpg", greyJpeg));
  assert.deepEqual(grey.shape, [1, 2, 3]);
  assert.deepEqual([...grey.pixels], Array(6).fill(128));
});

test("grey becomes colour by repetition and colour becomes grey by its brightness", () => {
  const grey = { pixels: Uint8Array.of(0, 7, 255), shape: [1, 1, 3] } as const;
  assert.deepEqual([...asShape(grey, [3, 1, 3], "p").pixels], [0, 7, 255, 0, 7, 255, 0, 7, 255]);
  assert.equal(asShape(grey, [1, 1, 3], "p"), grey);
  const back = asShape(asShape(grey, [3, 1, 3], "p"), [1, 1, 3], "p");
  assert.deepEqual([...back.pixels], [0, 7, 255]);
  const hues = {
    pixels: Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255),
    shape: [3, 1, 3],
  } as const;
  assert.deepEqual([...asShape(hues, [1, 1, 3], "p").pixels], [76, 150, 29]);
});

test("a picture of another size is refused with both sizes", () => {
  const picture = { pixels: new Uint8Array(6), shape: [1, 2, 3] } as const;
  const message = "cat.png has 3 x 2 pixels (width x height) where 28 x 28 are expected";
  assert.throws(() => asShape(picture, [1, 28, 28], "cat.png"), {
    code: "data",
    message: `${message}; resize it first`,
  });
});

test("the head alone tells the shape, also behind a large preview", async () => {
  const photo = { width: 8, height: 16, data: Buffer.alloc(512, 200) };
  const bytes = jpeg.encode(photo, 90).data;
  const parts = Array.from({ length: 2 }, () => {
    const part = Buffer.alloc(2 + 65_535);
    part.writeUInt32BE(0xffe1ffff);
    return part;
  });
  const behind = Buffer.concat([bytes.subarray(0, 2), ...parts, bytes.subarray(2)]);
  const files = { "a.png": png(0), "b.png": png(6), "c.jpg": greyJpeg, "d.jpg": behind };
  const shapes = [];
  for (const [name, content] of Object.entries(files)) {
    const path = await kept(name, content);
    shapes.push(await readPictureShape(path));
    assert.deepEqual(shapes.at(-1), (await readPicture(path)).shape);
  }
  assert.deepEqual(shapes, [
    [1, 2, 3],
    [3, 2, 3],
    [1, 2, 3],
    [3, 16, 8],
  ]);
  const text = readPictureShape(await kept("e.png", Buffer.alloc(70_000, 65)));
  await assert.rejects(text, { code: "data", message: /e\.png is not a PNG or JPEG/ });
});

test("a picture of another size is refused before its pixels are looked at", async () => {
  const cut = await kept("cut.png", png(2).subarray(0, 40));
  const message = /cut\.png has 3 x 2 pixels \(width x height\) where 5 x 4 are expected; resize/;
  await assert.rejects(readPictureAs([1, 4, 5], cut), { code: "data", message });
  const { shape } = await readPictureAs([1, 2, 3], await kept("fits.png", png(2)));
  assert.deepEqual(shape, [1, 2, 3]);
});

const whole = png(2);
const photo = jpeg.encode({ width: 16, height: 16, data: Buffer.alloc(1024, 90) }, 90).data;
const wide = Buffer.from(whole);
wide.writeUInt32BE(1_000_000, 16);
wide.writeUInt32BE(1_000_000, 20);
const flipped = Buffer.from(whole);
flipped[flipped.length - 20]! ^= 0xff;

const refusals: readonly [string, Uint8Array, RegExp][] = [
  ["empty.png", Buffer.alloc(0), /empty\.png is empty; convert it/],
  ["text.png", Buffer.from("hello"), /text\.png is not a PNG or JPEG \(it begins with 68656c6c\)/],
  ["head.png", whole.subarray(0, 20), /head\.png is a broken PNG \(its header is cut off\)/],
  ["half.png", whole.subarray(0, whole.length - 30), /half\.png is a broken PNG/],
  ["end.png", whole.subarray(0, whole.length - 12), /end\.png is a broken PNG/],
  ["flipped.png", flipped, /flipped\.png is a broken PNG/],
  ["huge.png", wide, /huge\.png has 1000000 x 1000000 pixels where 1 to 67108864 are allowed/],
  ["head.jpg", photo.subarray(0, 40), /head\.jpg is a broken JPEG \(its header is cut off\)/],
  ["half.jpg", photo.subarray(0, photo.length - 20), /half\.jpg is a broken JPEG/],
];

test("what is no picture, broken or huge is refused with its path and the remedy", async () => {
  for (const [name, bytes, message] of refusals) {
    await assert.rejects(readPicture(await kept(name, bytes)), { code: "data", message }, name);
  }
  const absent = readPicture(join(folder, "absent.png"));
  await assert.rejects(absent, {
    code: "data",
    message: /absent\.png can't be read \(there is no such file/,
  });
});

test("bytes behind the end of a PNG or JPEG mean nothing", async () => {
  const behind = Buffer.from("\0\0\0\u0004more, as cameras and editors leave it", "latin1");
  const path = await kept("longer.png", Buffer.concat([png(2), behind]));
  assert.deepEqual([...(await readPicture(path)).pixels], planes);
  const longer = await kept("longer.jpg", Buffer.concat([greyJpeg, behind]));
  assert.deepEqual([...(await readPicture(longer)).pixels], Array(6).fill(128));
});

/** A PNG of these chunks; zlib's and the chunks' sums are right. */
function pngOf(ihdr: string, chunks: readonly [string, Buffer][]): Buffer {
  const all: [string, Buffer][] = [["IHDR", Buffer.from(ihdr, "hex")], ...chunks];
  const parts = [...all, ["IEND", Buffer.alloc(0)] as const].map(([kind, body]) => {
    const chunk = Buffer.concat([Buffer.alloc(4), Buffer.from(kind), body, Buffer.alloc(4)]);
    chunk.writeUInt32BE(body.length, 0);
    chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4);
    return chunk;
  });
  return Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), ...parts]);
}

function crc32(bytes: Buffer): number {
  let word = -1;
  for (const byte of bytes) {
    word ^= byte;
    for (let bit = 0; bit < 8; bit++) word = word & 1 ? (word >>> 1) ^ 0xedb88320 : word >>> 1;
  }
  return ~word >>> 0;
}

const rows = (hex: string): [string, Buffer] => ["IDAT", deflateSync(Buffer.from(hex, "hex"))];
const kinds: [string, Buffer, number, number[]][] = [
  [
    "a palette with opacity gives its colours",
    pngOf("00000002000000010403000000", [
      ["PLTE", Buffer.from("0a0b0c141516", "hex")],
      ["tRNS", Buffer.from("0080", "hex")],
      rows("0010"),
    ]),
    3,
    [20, 10, 21, 11, 22, 12],
  ],
  [
    "grey of one bit is black and white",
    pngOf("00000002000000010100000000", [rows("0040")]),
    1,
    [0, 255],
  ],
  [
    "grey of two bits is spread to 255",
    pngOf("00000004000000010200000000", [rows("001b")]),
    1,
    [0, 85, 170, 255],
  ],
  [
    "grey of 16 bits goes to the nearest",
    pngOf("00000003000000011000000000", [rows("00" + "007f" + "0081" + "ff80")]),
    1,
    [0, 1, 255],
  ],
  [
    "grey with a transparent value keeps it",
    pngOf("00000002000000010800000000", [["tRNS", Buffer.from("0007", "hex")], rows("000709")]),
    1,
    [7, 9],
  ],
  [
    "rows that come interlaced are put in order",
    pngOf("00000002000000020800000001", [rows("0001" + "0002" + "000304")]),
    1,
    [1, 2, 3, 4],
  ],
];
for (const [what, bytes, channels, values] of kinds) {
  test(`in a PNG ${what}`, async () => {
    const { pixels, shape } = await readPicture(await kept("kind.png", bytes));
    assert.equal(shape[0], channels);
    assert.deepEqual([...pixels], values);
  });
}
