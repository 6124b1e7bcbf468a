/**
 * The data sets by name. A data set is an archive of files, what an input value and a label are
 * made of, and the limits that the user set; several data sets may share an archive.
 */

import { PacelineError } from "../errors.js";
import { sumOfContent } from "../store/file-content.js";
import {
  type ArchiveOptions,
  ensureArchive,
  type FileArchive,
  type FilePaths,
  locateArchive,
  type OfficialFile,
} from "./download/archive.js";
import {
  type CifarArchive,
  cifar10Archive,
  cifar100Archive,
  cifarShape,
  countCifar,
  readCifar,
} from "./formats/cifar.js";
import { classNames } from "./formats/class-names.js";
import { fashionMnistArchive } from "./formats/fashion.js";
import { countIdxSplit, type IdxArchive, mnistArchive, readIdxSplit } from "./formats/mnist.js";
import { type DataIdentity, fingerprintOf } from "./identity.js";
import {
  ensureOwn,
  findOwn,
  identifyOwn,
  inspectOwn,
  loadOwn,
  type OwnPlace,
  ownClassNames,
} from "./own-dataset.js";
import { type Dataset, MemorySplit } from "./split.js";

/** What every process of a run must know of its data set, whether it has the files or not. */
export interface DatasetFacts {
  /** Labels are 0 to classes - 1. */
  readonly classes: number;
  /** (C, H, W) of one example. */
  readonly shape: readonly [number, number, number];
  /** An input value is (byte / 255 - mean) / std, one of each a channel. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Examples that lie together and are shuffled as a block; 0 where all are shuffled as one. */
  readonly blockExamples: number;
}

/** How many examples to take from the front of each split; all when left out. */
export interface SplitLimits {
  readonly trainLimit?: number | null | undefined;
  readonly testLimit?: number | null | undefined;
}

/** Where the files are, and how much of them to take. */
export interface DatasetOptions extends ArchiveOptions, SplitLimits {
  /** Whether `loadDataset` is to say the set's identity, which takes a look at every byte. */
  readonly identify?: boolean;
}

/** Examples as they are stored: pixels of shape (count, C, H, W), and labels as the model's. */
export interface StoredExamples {
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
}

type SplitName = "train" | "test";

interface Definition extends DatasetFacts {
  readonly archive: FileArchive;
  /** The files of a split, in the order of their examples. */
  filesOf(split: SplitName): readonly string[];
  read(paths: FilePaths, split: SplitName): Promise<StoredExamples>;
  /** Examples of a split without reading pixels; the official count where there are no files. */
  count(paths: FilePaths | null, split: SplitName): Promise<number>;
}

/** @param labelOf the label of an example, from the label in the file. */
function idx(
  archive: IdxArchive,
  classes: number,
  labelOf: (stored: number) => number = (stored) => stored,
): Definition {
  return {
    archive,
    classes,
    shape: [1, archive.height, archive.width],
    // Neither centred nor scaled: a background that stays zero costs the engine nothing.
    mean: [0],
    std: [1],
    blockExamples: 0,
    filesOf: (split) => [archive[split].images, archive[split].labels],
    async read(paths, split) {
      const { pixels, labels } = await readIdxSplit(archive, paths, archive[split]);
      return { pixels, labels: labels.map(labelOf) };
    },
    count: (paths, split) => countIdxSplit(archive, paths, archive[split]),
  };
}

/** @param label which of the label bytes of a record. */
function cifar(
  archive: CifarArchive,
  label: number,
  normalised: Pick<DatasetFacts, "mean" | "std">,
): Definition {
  return {
    archive,
    classes: archive.labels[label]?.classes as number,
    shape: cifarShape,
    ...normalised,
    blockExamples: 0,
    filesOf: (split) => archive[split],
    read: (paths, split) => readCifar(archive, paths, archive[split], label),
    count: (paths, split) => countCifar(archive, paths, archive[split]),
  };
}

const cifar10Colours = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const cifar100Colours = { mean: [0.5071, 0.4867, 0.4408], std: [0.2675, 0.2565, 0.2761] };

const definitions: Readonly<Record<string, Definition>> = {
  mnist: idx(mnistArchive, 10),
  // Even or odd.
  "mnist-parity": idx(mnistArchive, 2, (stored) => stored % 2),
  "fashion-mnist": idx(fashionMnistArchive, 10),
  cifar10: cifar(cifar10Archive, 0, cifar10Colours),
  // The fine labels.
  cifar100: cifar(cifar100Archive, 1, cifar100Colours),
  "cifar100-coarse": cifar(cifar100Archive, 0, cifar100Colours),
};

/** The names of the built-in data sets; any other is that of a folder of one's own. */
export const datasetNames: readonly string[] = Object.keys(definitions);

/**
 * Facts of a data set and how many examples `loadDataset` would give, without reading pixels or
 * fetching: from the files that are there, else the official numbers. Throws as `loadDataset` does.
 */
export async function inspectDataset(
  name: string,
  options: DatasetOptions,
): Promise<DatasetFacts & { readonly train: number; readonly test: number }> {
  checkLimits(options);
  if (!isBuiltIn(name)) return inspectOwn(await findOwn(name, options, datasetNames), options);
  const definition = definitionOf(name);
  const { archive, classes, shape, mean, std, blockExamples } = definition;
  const paths = await locateArchive(archive, options);
  return {
    classes,
    shape,
    mean,
    std,
    blockExamples,
    train: limited(await definition.count(paths, "train"), options.trainLimit),
    test: limited(await definition.count(paths, "test"), options.testLimit),
  };
}

/**
 * The identity of a data set: of the files that are here, else of the official ones, without
 * fetching. Throws as `loadDataset` does.
 */
export async function identifyDataset(
  name: string,
  options: ArchiveOptions,
): Promise<DataIdentity> {
  if (!isBuiltIn(name)) return identifyOwn(await findOwn(name, options, datasetNames));
  const definition = definitionOf(name);
  return identityOf(name, definition, await locateArchive(definition.archive, options));
}

/** The labels that are made of the files follow from the set's name, which is therefore a part. */
async function identityOf(
  name: string,
  { archive, filesOf }: Definition,
  paths: FilePaths | null,
): Promise<DataIdentity> {
  const fingerprint = async (split: SplitName) => {
    const lines = [name, split];
    for (const file of filesOf(split)) {
      const path = paths?.get(file);
      const official = archive.files.find((one) => one.name === file) as OfficialFile;
      lines.push((path === undefined ? official : await sumOfContent(path)).md5);
    }
    return fingerprintOf(lines);
  };
  return {
    classNames: classNames(name),
    trainFingerprint: await fingerprint("train"),
    testFingerprint: await fingerprint("test"),
  };
}

/** Sees to it that the files are on this machine, so that members need not fetch them each. */
export async function prepareDataset(name: string, options: ArchiveOptions): Promise<void> {
  const log = options.log ?? (() => {});
  if (!isBuiltIn(name)) await ensureOwn(await findOwn(name, options, datasetNames), log);
  else await ensureArchive(definitionOf(name).archive, options);
}

/** Whether this is the name of a built-in data set. */
export function isBuiltIn(name: string): boolean {
  return Object.hasOwn(definitions, name);
}

/** What the labels 0, 1, ... stand for; null for a set of one's own that is not here. */
export async function classNamesOf(
  name: string,
  place: OwnPlace,
): Promise<readonly string[] | null> {
  if (isBuiltIn(name)) return classNames(name);
  const own = await findOwn(name, place, datasetNames).catch(() => null);
  return own === null ? null : ownClassNames(own);
}

/** The files of a built-in data set. Throws "usage" for an unknown name. */
export function archiveOf(name: string): FileArchive {
  return definitionOf(name).archive;
}

/** Whether the files are in one of the folders, so that nothing has to be fetched. */
export async function datasetIsHere(name: string, options: ArchiveOptions): Promise<boolean> {
  if (!isBuiltIn(name)) return (await findOwn(name, options, datasetNames)).kind !== "remote";
  return (await locateArchive(definitionOf(name).archive, options)) !== null;
}

/**
 * Loads a data set, fetching it first when it is in neither folder. Throws "usage" for an unknown
 * name or a limit below 1, "data" for missing or broken files, "storage" for a cache folder that
 * fails.
 */
export async function loadDataset(name: string, options: DatasetOptions): Promise<Dataset> {
  checkLimits(options);
  if (!isBuiltIn(name)) {
    const log = options.log ?? (() => {});
    // What is read and what is identified are the same files, which are here from now on.
    const own = await ensureOwn(await findOwn(name, options, datasetNames), log);
    const set = await loadOwn(own, options, log);
    return options.identify === true ? { ...set, identity: await identifyOwn(own) } : set;
  }
  const definition = definitionOf(name);
  const { classes, shape } = definition;
  const paths = await ensureArchive(definition.archive, options);
  const valueCount = shape[0] * shape[1] * shape[2];
  const load = async (split: SplitName, limit: number | null | undefined) => {
    const stored = await definition.read(paths, split);
    const count = limited(stored.labels.length, limit);
    const pixels = stored.pixels.subarray(0, count * valueCount);
    return new MemorySplit(pixels, stored.labels.slice(0, count), valueCount);
  };
  const train = await load("train", options.trainLimit);
  const test = await load("test", options.testLimit);
  const set = { name, classes, shape, train, test };
  if (options.identify !== true) return set;
  return { ...set, identity: await identityOf(name, definition, paths) };
}

function definitionOf(name: string): Definition {
  const definition = isBuiltIn(name) ? definitions[name] : undefined;
  if (definition !== undefined) return definition;
  const message = `data set "${name}" is unknown; choose one of ${datasetNames.join(", ")}`;
  throw new PacelineError("usage", message);
}

function checkLimits({ trainLimit, testLimit }: SplitLimits): void {
  for (const [flag, limit] of Object.entries({
    "--train-limit": trainLimit,
    "--test-limit": testLimit,
  })) {
    if (limit == null || (Number.isInteger(limit) && limit >= 1)) continue;
    throw new PacelineError("usage", `${flag} ${limit} is out of range; give 1 or more`);
  }
}

function limited(count: number, limit: number | null | undefined): number {
  return limit == null ? count : Math.min(count, limit);
}
