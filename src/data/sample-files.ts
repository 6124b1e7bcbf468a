/**
 * Writes small, valid files in MNIST's format for tests and trials without the real data. Each
 * class is a few soft blobs at seeded places; an image is its class's picture moved by up to a
 * pixel, dimmed and speckled. A linear model learns both the digit and its parity from a few
 * hundred of them.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Random } from "../random.js";
import { mnistArchive } from "./mnist.js";

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
