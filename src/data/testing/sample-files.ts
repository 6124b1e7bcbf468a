/**
 * Writes small, valid files in the formats of MNIST and CIFAR for tests without the real data.
 * Of MNIST each class is a few soft blobs at seeded places; an image is its class's picture
 * moved by up to a pixel, dimmed and speckled, so that a linear model learns both the digit and its
 * parity from a few hundred. Of CIFAR each class is a hue with stripes of one direction. In a
 * folder of pictures each class is a bright bar at a height of its own.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { assert } from "../../assert.js";
import { Random } from "../../random.js";
import {
  type CifarArchive,
  type CifarLabel,
  cifar10Archive,
  cifar100Archive,
  cifarShape,
} from "../formats/cifar.js";
import { mnistArchive } from "../formats/mnist.js";

const classes = 10;
const blobsPerClass = 4;
const speckle = 24;

/** How many examples and from which seed. */
export interface SampleOptions {
  readonly train: number;
  readonly test: number;
  readonly seed: number;
  /** Writes `.gz` files; plain ones when left out. */
  readonly packed?: boolean;
}

/** Writes the four files to `<folder>/mnist/`, so that `folder` serves as a data folder. */
export async function writeSampleMnist(folder: string, options: SampleOptions): Promise<void> {
  const { train, test, seed } = options;
  const { height, width } = mnistArchive;
  const target = join(folder, mnistArchive.folder);
  await mkdir(target, { recursive: true });
  const write = async (name: string, bytes: Uint8Array) => {
    if (options.packed === true) await writeFile(join(target, `${name}.gz`), gzipSync(bytes));
    else await writeFile(join(target, name), bytes);
  };
  const pictures = classPictures(seed, height, width);
  for (const [split, count] of Object.entries({ train, test })) {
    const random = new Random(seed, "sample-mnist", split);
    const labels = new Uint8Array(count);
    const pixels = new Uint8Array(count * height * width);
    for (let index = 0; index < count; index++) {
      const label = random.below(classes);
      labels[index] = label;
      const image = pixels.subarray(index * height * width, (index + 1) * height * width);
      drawImage(image, pictures[label] as Float32Array, width, random);
    }
    const files = split === "train" ? mnistArchive.train : mnistArchive.test;
    await write(files.images, encodeIdx([count, height, width], pixels));
    await write(files.labels, encodeIdx([count], labels));
  }
}

/** Writes CIFAR's record files to `<folder>/cifar10/` or `<folder>/cifar100/`. */
export async function writeSampleCifar(
  folder: string,
  options: SampleOptions & { readonly kind: "cifar10" | "cifar100" },
): Promise<void> {
  const { kind, seed, packed } = options;
  const archive = kind === "cifar10" ? cifar10Archive : cifar100Archive;
  const target = join(folder, archive.folder);
  await mkdir(target, { recursive: true });
  for (const split of ["train", "test"] as const) {
    const random = new Random(seed, `sample-${kind}`, split);
    const names = archive[split];
    const count = options[split];
    assert(count >= names.length, "an example for each file", { count, files: names.length });
    for (const [index, name] of names.entries()) {
      const share = Math.floor((count + index) / names.length);
      const records = Array.from({ length: share }, () => cifarRecord(archive, random));
      const bytes = Buffer.concat(records);
      if (packed === true) await writeFile(join(target, `${name}.gz`), gzipSync(bytes));
      else await writeFile(join(target, name), bytes);
    }
  }
}

/** Writes a folder of grey PNG files, 12 x 12, to `<folder>/<name>/{train,test}/<class>/`. */
export async function writeSamplePictures(
  folder: string,
  name: string,
  { train, test, seed }: SampleOptions,
): Promise<void> {
  const { PNG } = await import("pngjs");
  const names = ["bottom", "middle", "top"];
  const side = 12;
  for (const [split, count] of Object.entries({ train, test })) {
    const random = new Random(seed, "sample-pictures", split);
    for (let index = 0; index < count; index++) {
      const label = index % names.length;
      const target = join(folder, name, split, names[label] as string);
      await mkdir(target, { recursive: true });
      const image = new PNG({ width: side, height: side });
      const first = 1 + 4 * (names.length - 1 - label);
      for (let at = 0; at < side * side; at++) {
        const row = Math.floor(at / side);
        const base = row >= first && row < first + 2 ? 180 : 20;
        image.data.fill(base + random.below(60), 4 * at, 4 * at + 3);
        image.data[4 * at + 3] = 255;
      }
      const bytes = PNG.sync.write(image, { colorType: 0 });
      await writeFile(join(target, `${String(index).padStart(4, "0")}.png`), bytes);
    }
  }
}

/** The bytes of an IDX file of unsigned bytes with these dimensions. */
export function encodeIdx(dimensions: readonly number[], values: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * dimensions.length));
  header.setUint32(0, 0x0800 | dimensions.length);
  dimensions.forEach((size, index) => {
    header.setUint32(4 + 4 * index, size);
  });
  return Buffer.concat([Buffer.from(header.buffer), values]);
}

/** One picture of shape (height, width) a class, values 0 to 1. */
function classPictures(seed: number, height: number, width: number): Float32Array[] {
  const random = new Random(seed, "sample-mnist", "pictures");
  return Array.from({ length: classes }, () => {
    const picture = new Float32Array(height * width);
    for (let blob = 0; blob < blobsPerClass; blob++) {
      const row = 4 + random.float() * (height - 9);
      const column = 4 + random.float() * (width - 9);
      for (let index = 0; index < picture.length; index++) {
        const down = Math.floor(index / width) - row;
        const across = (index % width) - column;
        const value = Math.exp(-(down * down + across * across) / 5);
        picture[index] = Math.max(picture[index] as number, value);
      }
    }
    return picture;
  });
}

function drawImage(image: Uint8Array, picture: Float32Array, width: number, random: Random): void {
  const shift = (random.below(3) - 1) * width + random.below(3) - 1;
  const brightness = 180 + random.below(76);
  for (let index = 0; index < image.length; index++) {
    const value = brightness * (picture[index + shift] ?? 0) + random.below(speckle);
    image[index] = Math.min(255, Math.floor(value));
  }
}

/**
 * A record of a random class: its hue in the mean of the colours, which anything learns, and its
 * stripes at a random phase, which a convolution does.
 */
function cifarRecord({ labels }: CifarArchive, random: Random): Uint8Array {
  const { classes } = labels[labels.length - 1] as CifarLabel;
  const label = random.below(classes);
  const [channels, height, width] = cifarShape;
  const record = new Uint8Array(labels.length + channels * height * width);
  // A superclass is a run of classes, which is not the official grouping.
  for (const [place, { classes: own }] of labels.entries()) {
    record[place] = Math.floor((label * own) / classes);
  }
  const phase = 2 * Math.PI * random.float();
  const angle = (Math.PI * (label % 5)) / 5;
  const frequency = label % 2 === 0 ? 0.5 : 1.1;
  for (let index = labels.length; index < record.length; index++) {
    const place = index - labels.length;
    const channel = Math.floor(place / (height * width));
    const row = Math.floor(place / width) % height;
    const column = place % width;
    const hue = Math.cos(2 * Math.PI * (label / classes + channel / channels));
    const along = Math.cos(angle) * column + Math.sin(angle) * row;
    const stripes = Math.sin(frequency * along + phase);
    record[index] = Math.floor(110 + 40 * hue + 40 * stripes + random.below(speckle));
  }
  return record;
}
