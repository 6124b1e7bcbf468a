import assert from "node:assert/strict";
import { mock, test } from "node:test";
import jpeg from "jpeg-js";
import { libjpegPixels, sampleJpegs } from "../testing/sample-jpegs.js";
import { decodeJpeg, jpegColours, jpegHead, pixelCountMax } from "./jpeg.js";

/** The inverse transforms of both may differ by one, which colours multiply by up to 1.8. */
const tolerance = 3;
const [width, height] = [11, 9];

const bytesOf = (lines: readonly string[]) => Buffer.from(lines.join(""), "base64");
const file = (name: keyof typeof sampleJpegs) => bytesOf(sampleJpegs[name]);

/** Checks the pixels; all channels at once, as planes. */
async function assertPixels(bytes: Buffer, expected: keyof typeof libjpegPixels) {
  const head = jpegHead(bytes);
  assert.ok(head !== null);
  assert.deepEqual([head.width, head.height], [width, height]);
  const planes = await decodeJpeg(bytes, head);
  const pixels = bytesOf(libjpegPixels[expected]);
  assert.equal(planes.length, pixels.length);
  const channels = planes.length / (width * height);
  for (const [at, value] of planes.entries()) {
    const [channel, place] = [Math.floor(at / (width * height)), at % (width * height)];
    const wanted = pixels[channels * place + channel]!;
    const found = `channel ${channel} of pixel ${place} is ${value}, not ${wanted}`;
    assert.ok(Math.abs(value - wanted) <= tolerance, found);
  }
}

for (const name of Object.keys(sampleJpegs) as (keyof typeof sampleJpegs)[]) {
  test(`a JPEG of kind ${name} has the pixels that libjpeg gives`, () =>
    assertPixels(file(name), name));
}

const app0 = 0xe0;

/** The file without its segments of this kind. */
function without(bytes: Buffer, kind: number): Buffer {
  const parts = [bytes.subarray(0, 2)];
  let at = 2;
  while (bytes[at + 1] !== 0xda) {
    const end = at + 2 + bytes.readUInt16BE(at + 2);
    if (bytes[at + 1] !== kind) parts.push(bytes.subarray(at, end));
    at = end;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}

/** The file with a segment in front of all others. */
function marked(bytes: Buffer, segment: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, 2), segment, bytes.subarray(2)]);
}

/** The file with other names for its three components, in the frame and in its one scan. */
function renamed(bytes: Buffer, ids: readonly number[]): Buffer {
  const copy = Buffer.from(bytes);
  const frame = copy.indexOf(Buffer.from("ffc0", "hex"));
  const scan = copy.indexOf(Buffer.from("ffda", "hex"));
  for (const [index, id] of ids.entries()) {
    copy[frame + 10 + 3 * index] = id;
    copy[scan + 5 + 2 * index] = id;
  }
  return copy;
}

const adobe = (transform: number) =>
  Buffer.concat([Buffer.from("ffee000e41646f6265006400000000", "hex"), Buffer.of(transform)]);
const rgb = [...Buffer.from("RGB")];
const whole = file("444");
const bare = without(whole, app0);

const models: [string, Buffer, "ycc" | "rgb"][] = [
  ["JFIF's marker", whole, "ycc"],
  ["JFIF's marker, whatever the components are called", renamed(whole, rgb), "ycc"],
  ["JFIF's marker, whatever Adobe's says", marked(whole, adobe(0)), "ycc"],
  ["Adobe's marker with transform 0", marked(bare, adobe(0)), "rgb"],
  ["Adobe's marker with transform 1", marked(bare, adobe(1)), "ycc"],
  ["Adobe's transform 1 for components R, G, B", marked(renamed(bare, rgb), adobe(1)), "ycc"],
  ["Adobe's marker with a transform that is unknown", marked(bare, adobe(7)), "ycc"],
  ["an Adobe marker that is cut short", marked(bare, adobeOf(11)), "ycc"],
  ["no marker and components 1, 2, 3", bare, "ycc"],
  ["no marker and components 0, 1, 2", renamed(bare, [0, 1, 2]), "ycc"],
  ["no marker and components R, G, B", renamed(bare, rgb), "rgb"],
];

/** The segment with so many bytes of body, whose last byte would say RGB. */
function adobeOf(bodyBytes: number): Buffer {
  const segment = adobe(0).subarray(0, 4 + bodyBytes);
  segment.writeUInt16BE(2 + bodyBytes, 2);
  return segment;
}

for (const [what, bytes, model] of models) {
  test(`three components are ${model} by ${what}`, async () => {
    assert.equal(jpegColours(jpegHead(bytes)!), model);
    await assertPixels(bytes, model === "ycc" ? "444" : "444 as rgb");
  });
}

test("four components are CMYK without Adobe's marker or by transform 0, else YCCK", async () => {
  const cmyk = file("cmyk");
  await assertPixels(cmyk, "cmyk");
  await assertPixels(marked(cmyk, adobe(0)), "cmyk");
  await assertPixels(marked(cmyk, adobe(2)), "ycck");
  await assertPixels(marked(cmyk, adobe(1)), "ycck");
});

test("an orientation in Exif turns nothing, and bytes behind the end mean nothing", async () => {
  const turned = Buffer.from(
    "ffe1002245786966000049492a00080000000100120103000100000006000000" + "00000000",
    "hex",
  );
  await assertPixels(marked(whole, turned), "444");
  await assertPixels(Buffer.concat([whole, Buffer.from("trailing bytes")]), "444");
});

test("what is of no known model, or of other samples, is refused", async () => {
  const deep = Buffer.from(whole);
  deep[deep.indexOf(Buffer.from("ffc0", "hex")) + 4] = 12;
  await assert.rejects(decodeJpeg(deep, jpegHead(deep)!), /samples have 12 bits where 8 are read/);
  const head = { ...jpegHead(whole)!, components: jpegHead(whole)!.components.slice(0, 2) };
  assert.equal(jpegColours(head), null);
  await assert.rejects(decodeJpeg(whole, head), /it has 2 components/);
  assert.equal(jpegHead(whole.subarray(0, 60)), null);
});

test("the decoder may take what the largest picture needs, whatever its components", async () => {
  const decode = mock.method(jpeg, "decode");
  await assertPixels(file("444"), "444");
  const { maxResolutionInMP = 100, maxMemoryUsageInMB = 512 } = decode.mock.calls[0]!.arguments[1]!;
  decode.mock.restore();
  assert.ok(maxResolutionInMP * 1e6 >= pixelCountMax);
  // Coefficients of 4 bytes and samples of 1 for each of four components, and twice the result.
  assert.ok(maxMemoryUsageInMB * 2 ** 20 >= pixelCountMax * (4 * 5 + 2 * 4));
});
