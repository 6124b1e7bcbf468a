/**
 * The data sets by name. A data set is an archive of files, what an input value and a label are
 * made of, and the limits that the user set; several data sets may share an archive.
 */
import { type ArchiveOptions, ensureArchive, locateArchive } from "../archive/archive.js";
import { PacelineError } from "../errors.js";
import { countIdxSplit, type IdxArchive, mnistArchive, readIdxSplit } from "./mnist.js";
import { MemorySplit, type Normalisation } from "./split.js";

/** Training and test examples with what a model must know of them. */
export interface Dataset {
  readonly name: string;
  /** Labels are 0 to classes - 1. */
  readonly classes: number;
  /** (C, H, W) of one example. */
  readonly inputShape: readonly [number, number, number];
  readonly train: MemorySplit;
  readonly test: MemorySplit;
}

/** How many examples to take from the front of each split; all when left out. */
export interface SplitLimits {
  readonly trainLimit?: number | null | undefined;
  readonly testLimit?: number | null | undefined;
}

/** Where the files are, and how much of them to take. */
export interface DatasetOptions extends ArchiveOptions, SplitLimits {}

interface Definition {
  readonly archive: IdxArchive;
  readonly classes: number;
  readonly inputShape: readonly [number, number, number];
  readonly normalisation: Normalisation;
  /** The label of an example, from the label in the file. */
  readonly labelOf: (stored: number) => number;
}

/**
 * Pixels / 255, neither centred nor scaled: a background that stays zero costs the engine nothing.
 */
const plainPixels: Normalisation = { mean: [0], std: [1] };

const definitions: Readonly<Record<string, Definition>> = {
  mnist: {
    archive: mnistArchive,
    classes: 10,
    inputShape: [1, 28, 28],
    normalisation: plainPixels,
    labelOf: (stored) => stored,
  },
  // Even or odd.
  "mnist-parity": {
    archive: mnistArchive,
    classes: 2,
    inputShape: [1, 28, 28],
    normalisation: plainPixels,
    labelOf: (stored) => stored % 2,
  },
};

/** The names that `loadDataset` knows. */
export const datasetNames: readonly string[] = Object.keys(definitions);

/** Facts of a data set that need no files. Throws "usage" for an unknown name. */
export function describeDataset(name: string): Pick<Dataset, "name" | "classes" | "inputShape"> {
  const { classes, inputShape } = definitionOf(name);
  return { name, classes, inputShape };
}

/** Sees to it that the files are on this machine, so that members need not fetch them each. */
export async function prepareDataset(name: string, options: ArchiveOptions): Promise<void> {
  await ensureArchive(definitionOf(name).archive, options);
}

/** Whether the files are in one of the folders, so that nothing has to be fetched. */
export async function datasetIsHere(name: string, options: ArchiveOptions): Promise<boolean> {
  return (await locateArchive(definitionOf(name).archive, options)) !== null;
}

/**
 * Loads a data set, fetching it first when it is in neither folder. Throws "usage" for an unknown
 * name or a limit below 1, "data" for missing or broken files, "storage" for a cache folder that
 * fails.
 */
export async function loadDataset(name: string, options: DatasetOptions): Promise<Dataset> {
  const definition = definitionOf(name);
  checkLimits(options);
  const { archive, classes, inputShape } = definition;
  const paths = await ensureArchive(archive, options);
  const load = async (split: "train" | "test", limit: number | null | undefined) => {
    const stored = await readIdxSplit(archive, paths, archive[split]);
    const count = limited(stored.labels.length, limit);
    const valueCount = inputShape[0] * inputShape[1] * inputShape[2];
    const pixels = stored.pixels.subarray(0, count * valueCount);
    const labels = stored.labels.slice(0, count).map(definition.labelOf);
    return new MemorySplit(pixels, labels, inputShape, definition.normalisation);
  };
  const train = await load("train", options.trainLimit);
  const test = await load("test", options.testLimit);
  return { name, classes, inputShape, train, test };
}

/**
 * How many examples `loadDataset` would give, without reading pixels or fetching: from the files
 * that are there, else the official counts.
 */
export async function splitSizes(
  name: string,
  options: DatasetOptions,
): Promise<{ train: number; test: number }> {
  const { archive } = definitionOf(name);
  checkLimits(options);
  const paths = await locateArchive(archive, options);
  return {
    train: limited(await countIdxSplit(archive, paths, archive.train), options.trainLimit),
    test: limited(await countIdxSplit(archive, paths, archive.test), options.testLimit),
  };
}

function definitionOf(name: string): Definition {
  const definition = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
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
