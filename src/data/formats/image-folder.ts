/**
 * A folder of pictures as a data set: `train/<class>/` and `test/<class>/` (or `val/`), each class
 * a folder of its pictures. Labels follow the sorted names of the folders. All pictures have one
 * size; where some are grey and some are not, all get three channels.
 *
 * The pictures of a split come in a fixed order that mixes the classes, so that the first so many
 * of them are a fair sample.
 */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { Random } from "../../random.js";
import { dataError, sha256OfFile, stateOfFile, unreadable } from "../../store/file-content.js";
import { entriesOf, type FilePath, type FolderEntry } from "../../store/file-names.js";
import { asShape, type PictureShape, readPicture, readPictureShape } from "./picture.js";

/** More has to be packed, and is then read slice by slice. */
const loadedBytesMax = 2 ** 31;
/** Folders with more pictures say how far they are. */
const quietCount = 5000;
const headsAtOnce = 16;
const extensions = [".png", ".jpg", ".jpeg"];
const testFolders = ["test", "val"];
const clutter = ["thumbs.db", "desktop.ini", "icon\r", "__macosx"];

/** What was measured of a folder's training pictures, and of which. */
const measured = new Map<string, Normalisation & { readonly of: string }>();

/** One picture and its label. */
export interface PictureFile {
  readonly path: FilePath;
  readonly label: number;
}

/** What a folder of pictures holds; nothing of it but names and heads has been read. */
export interface PictureFolder {
  readonly folder: string;
  readonly classNames: readonly string[];
  /** (C, H, W) of every example. */
  readonly shape: PictureShape;
  readonly train: readonly PictureFile[];
  readonly test: readonly PictureFile[];
}

/** Brings values of 0 to 1 to mean 0 and deviation 1, one of each a channel. */
export interface Normalisation {
  readonly mean: number[];
  readonly std: number[];
}

/** An example as it is stored. */
export interface LabelledPixels {
  readonly label: number;
  /** Shape (C, H, W), one byte each. */
  readonly pixels: Uint8Array;
}

/**
 * Lists a folder of pictures and reads the head of each.
 * @throws PacelineError `data` with the path and the remedy for whatever is not as it should be.
 */
export async function scanPictures(folder: string): Promise<PictureFolder> {
  const listed = await listPictureFolder(folder);
  return { ...listed, shape: await sharedShape([...listed.train, ...listed.test]) };
}

/** Lists a folder of pictures by names alone. Throws likewise. */
export async function listPictureFolder(folder: string): Promise<Omit<PictureFolder, "shape">> {
  const trained = await listClasses(join(folder, "train"));
  const classNames = [...trained.keys()];
  if (classNames.length < 2) {
    const found = `has ${classNames.length} class${classNames.length === 1 ? "" : "es"}`;
    const remedy = "put the pictures of each class in a folder of the class's name there";
    throw dataError(join(folder, "train"), `${found} where 2 or more are needed; ${remedy}`);
  }
  const testFolder = await findTestFolder(folder);
  const tested = await listClasses(testFolder);
  if (tested.size === 0) {
    throw dataError(testFolder, "has no class; put pictures of each class in a folder there");
  }
  for (const name of tested.keys()) {
    if (trained.has(name)) continue;
    const finding = `is a class that ${join(folder, "train")} lacks`;
    throw dataError(join(testFolder, name), `${finding}; add it there or remove it here`);
  }
  const label = new Map(classNames.map((name, index) => [name, index]));
  const mixed = (classes: Classes, split: string) => {
    const files = [...classes].flatMap(([name, paths]) =>
      paths.map((path) => ({ path, label: label.get(name) as number })),
    );
    const order = Uint32Array.from(files.keys());
    return [...new Random("pictures", split).shuffle(order)].map((at) => files[at] as PictureFile);
  };
  const [train, test] = [mixed(trained, "train"), mixed(tested, "test")];
  return { folder, classNames, train, test };
}

/** The first `count` pictures of a list, decoded one after the other. */
export async function* decodePictures(
  files: readonly PictureFile[],
  shape: PictureShape,
  progress: (done: number) => void,
): AsyncGenerator<LabelledPixels> {
  for (const [index, { path, label }] of files.entries()) {
    const { pixels } = asShape(await readPicture(path), shape, path);
    yield { label, pixels };
    progress(index + 1);
  }
}

/**
 * The first `count` pictures of a split in memory; what is measured of training pictures is kept.
 * @throws PacelineError `data` where a picture is broken, or they are too many to be kept.
 */
export async function loadPictures(
  pictures: PictureFolder,
  split: "train" | "test",
  count: number,
  log: (line: string) => void,
): Promise<{ pixels: Uint8Array; labels: Uint16Array }> {
  const { folder, shape } = pictures;
  const valueCount = shape[0] * shape[1] * shape[2];
  if (count * valueCount > loadedBytesMax) {
    const finding = `needs ${count * valueCount} bytes of memory, more than ${loadedBytesMax}`;
    const remedy = "paceline data pack NAME --out FOLDER makes a set of it that is read in slices";
    throw dataError(folder, `${finding}; ${remedy}`);
  }
  const files = pictures[split].slice(0, count);
  const pixels = new Uint8Array(count * valueCount);
  const labels = new Uint16Array(count);
  let at = 0;
  for await (const one of decodePictures(files, shape, progressOf(folder, count, log))) {
    pixels.set(one.pixels, at * valueCount);
    labels[at++] = one.label;
  }
  if (split === "train") {
    const sums = new PixelSums(shape);
    sums.add(pixels);
    measured.set(folder, { of: await identityOf(files), ...sums.normalisation() });
  }
  return { pixels, labels };
}

/** Mean and deviation of each channel over these pictures, which `loadPictures` may have found. */
export async function measurePictures(
  { folder, shape }: PictureFolder,
  used: readonly PictureFile[],
): Promise<Normalisation> {
  const of = await identityOf(used);
  const known = measured.get(folder);
  if (known?.of === of) return { mean: known.mean, std: known.std };
  const sums = new PixelSums(shape);
  for await (const { pixels } of decodePictures(used, shape, () => {})) sums.add(pixels);
  const normalisation = sums.normalisation();
  measured.set(folder, { of, ...normalisation });
  return normalisation;
}

/** Label and SHA-256 of each picture file, in the pictures' order. */
export async function picturesSums(files: readonly PictureFile[]): Promise<string[]> {
  const sums: string[] = [];
  for (let at = 0; at < files.length; at += headsAtOnce) {
    const some = files.slice(at, at + headsAtOnce).map(async ({ path, label }) => {
      return `${label} ${await sha256OfFile(path)}`;
    });
    sums.push(...(await Promise.all(some)));
  }
  return sums;
}

/** Says now and then how many of many pictures are read. */
export function progressOf(folder: string, count: number, log: (line: string) => void) {
  return (done: number) => {
    if (count <= quietCount || (done % quietCount !== 0 && done !== count)) return;
    log(`${folder}: ${done} of ${count} pictures read`);
  };
}

/**
 * Counts how often each byte occurs in each channel; mean and deviation follow exactly, whatever
 * the order in which the pictures came.
 */
export class PixelSums {
  readonly #channels: number;
  readonly #planeValues: number;
  readonly #counts: Float64Array;

  /** @param shape (C, H, W) of each picture. */
  constructor([channels, height, width]: readonly [number, number, number]) {
    this.#channels = channels;
    this.#planeValues = height * width;
    this.#counts = new Float64Array(channels * 256);
  }

  /** @param pixels of whole pictures, shape (n, C, H, W). */
  add(pixels: Uint8Array): void {
    for (let start = 0, channel = 0; start < pixels.length; start += this.#planeValues) {
      const end = start + this.#planeValues;
      const first = 256 * channel;
      for (let at = start; at < end; at++) this.#counts[first + (pixels[at] as number)]!++;
      channel = (channel + 1) % this.#channels;
    }
  }

  /** For values of 0 to 1, to four places; the deviation of a channel that never changes is 1. */
  normalisation(): Normalisation {
    const mean: number[] = [];
    const std: number[] = [];
    for (let channel = 0; channel < this.#channels; channel++) {
      let [count, sum, squares] = [0, 0, 0];
      for (let byte = 0; byte < 256; byte++) {
        const times = this.#counts[256 * channel + byte] as number;
        count += times;
        sum += times * byte;
        squares += times * byte * byte;
      }
      const centre = sum / count;
      mean.push(inPlaces(centre / 255));
      std.push(inPlaces(Math.sqrt(Math.max(0, squares / count - centre * centre)) / 255) || 1);
    }
    return { mean, std };
  }
}

type Classes = ReadonlyMap<string, readonly FilePath[]>;

async function findTestFolder(folder: string): Promise<string> {
  for (const name of testFolders) {
    const path = join(folder, name);
    if ((await stat(path).catch(() => null))?.isDirectory()) return path;
  }
  const remedy = "put pictures that are not trained on there, a folder for each class";
  throw dataError(folder, `has neither test/ nor val/; ${remedy}`);
}

/** The paths of the pictures of each class, classes and pictures sorted by name. */
async function listClasses(folder: string): Promise<Classes> {
  const classes = new Map<string, FilePath[]>();
  for (const entry of await visibleEntries(folder)) {
    const { name, path } = entry;
    if (!(await isFolder(entry))) {
      const finding = "lies beside the folders of the classes";
      throw dataError(path, `${finding}; move it into one of them, or elsewhere`);
    }
    if (classes.has(name)) {
      throw dataError(path, "is displayed like another class, whose name is UTF-8; rename one");
    }
    classes.set(name, await listPictures(path));
  }
  return classes;
}

async function listPictures(folder: FilePath): Promise<FilePath[]> {
  const paths: FilePath[] = [];
  for (const entry of await visibleEntries(folder)) {
    const { name, path } = entry;
    if (await isFolder(entry)) {
      throw dataError(path, "is a folder; the pictures of a class lie directly in its own");
    }
    if (!extensions.includes(extname(name).toLowerCase())) {
      const wanted = "is not named as a picture (.png, .jpg, .jpeg)";
      throw dataError(path, `${wanted}; convert it, or move it elsewhere`);
    }
    paths.push(path);
  }
  if (paths.length > 0) return paths;
  throw dataError(folder, "has no pictures; add some, or remove the folder of this class");
}

/** Sorted, without hidden files and what systems leave behind. */
async function visibleEntries(folder: FilePath): Promise<FolderEntry[]> {
  try {
    const entries = await entriesOf(folder);
    return entries.filter(
      ({ name }) => !name.startsWith(".") && !clutter.includes(name.toLowerCase()),
    );
  } catch (cause) {
    throw unreadable(folder, cause);
  }
}

async function isFolder({ path, isLink, isFolder }: FolderEntry): Promise<boolean> {
  if (!isLink) return isFolder;
  return (await stat(path).catch(() => null))?.isDirectory() ?? false;
}

/** The shape that every picture has or is brought to; refuses pictures of another size. */
async function sharedShape(files: readonly PictureFile[]): Promise<PictureShape> {
  const sizes = new Map<string, { shape: PictureShape; count: number; first: FilePath }>();
  let channels = 1;
  for (let at = 0; at < files.length; at += headsAtOnce) {
    const some = files.slice(at, at + headsAtOnce);
    const shapes = await Promise.all(some.map(({ path }) => readPictureShape(path)));
    for (const [place, shape] of shapes.entries()) {
      channels = Math.max(channels, shape[0]);
      const size = `${shape[2]} x ${shape[1]}`;
      const same = sizes.get(size);
      if (same !== undefined) same.count++;
      else sizes.set(size, { shape, count: 1, first: (some[place] as PictureFile).path });
    }
  }
  const [most, other] = [...sizes].sort(([, left], [, right]) => right.count - left.count);
  const [wanted, { shape, count }] = most as NonNullable<typeof most>;
  if (other === undefined) return [channels, shape[1], shape[2]];
  const [found, { first }] = other;
  const finding = `has ${found} pixels (width x height) where ${wanted} are expected`;
  const others = `as ${count} of ${files.length} pictures have`;
  const unfit = files.length - count;
  const remedy = unfit === 1 ? "resize it first" : `resize it and ${unfit - 1} more first`;
  throw dataError(first, `${finding}, ${others}; ${remedy}`);
}

/** Tells pictures that were changed from those that were measured. */
async function identityOf(files: readonly PictureFile[]): Promise<string> {
  const hash = createHash("sha256");
  for (const { path } of files) {
    hash.update(`${await stateOfFile(path)}\n`);
  }
  return hash.digest("hex");
}

function inPlaces(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
