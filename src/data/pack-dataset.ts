/**
 * Any data set in its sharded form: the examples in their own order, the same facts. Of pictures
 * one is in memory at a time, of shards a few pages; the built-in sets are read whole.
 */
import { PacelineError } from "../errors.js";
import {
  classNamesOf,
  type DatasetOptions,
  datasetNames,
  inspectDataset,
  isBuiltIn,
  loadDataset,
} from "./dataset.js";
import {
  decodePictures,
  type LabelledPixels,
  PixelSums,
  progressOf,
  scanPictures,
} from "./formats/image-folder.js";
import { findOwn } from "./own-dataset.js";
import type { ShardIndex } from "./shards/shard-form.js";
import type { SplitName } from "./shards/shard-index.js";
import { type Normalisation, type ShardedFacts, ShardWriter } from "./shards/shard-writer.js";
import type { Dataset } from "./split.js";

const batchExamples = 64;

/** What to pack and where to. */
export interface PackOptions extends DatasetOptions {
  /** The folder that the set will be; nothing may be there. */
  readonly out: string;
  /** Examples of each shard; as many as 64 MiB hold where null. */
  readonly shardExamples: number | null;
  /** Ends packing, and takes away what was written. */
  readonly signal?: AbortSignal;
}

/** A data set as something to be written. */
interface Source {
  readonly facts: Omit<ShardedFacts, "shardExamples">;
  examples(split: SplitName): AsyncIterable<LabelledPixels>;
  /** Known when all examples have been given. */
  normalisation(): Normalisation;
}

/**
 * Writes a data set in its sharded form.
 * @throws PacelineError `usage` for an unknown set or a target that exists, `data` for a broken
 * set, `storage` where nothing can be written; nothing is left behind.
 */
export async function packDataset(name: string, options: PackOptions): Promise<ShardIndex> {
  const { out, shardExamples, signal } = options;
  const source = await sourceOf(name, options);
  const writer = await ShardWriter.begin(out, { ...source.facts, shardExamples });
  try {
    for (const split of ["train", "test"] as const) {
      for await (const { label, pixels } of source.examples(split)) {
        if (signal?.aborted) throw new PacelineError("storage", `${out} was not finished: stopped`);
        await writer.add(split, label, pixels);
      }
    }
    return await writer.finish(source.normalisation());
  } catch (thrown) {
    await writer.abandon();
    throw thrown;
  }
}

async function sourceOf(name: string, options: PackOptions): Promise<Source> {
  if (!isBuiltIn(name)) {
    const own = await findOwn(name, options, datasetNames);
    if (own.kind === "pictures") return pictureSource(own.folder, options);
  }
  const dataset = await loadDataset(name, options);
  const { mean, std } = await inspectDataset(name, options);
  const classNames = (await classNamesOf(name, options)) ?? [];
  return {
    facts: { classNames, shape: dataset.shape },
    examples: (split) => readExamples(dataset, split),
    normalisation: () => ({ mean: [...mean], std: [...std] }),
  };
}

async function pictureSource(folder: string, options: PackOptions): Promise<Source> {
  const { trainLimit, testLimit, log = () => {} } = options;
  const { classNames, shape, train, test } = await scanPictures(folder);
  const files = {
    train: train.slice(0, trainLimit ?? undefined),
    test: test.slice(0, testLimit ?? undefined),
  };
  const sums = new PixelSums(shape);
  return {
    facts: { classNames, shape },
    async *examples(split) {
      const progress = progressOf(folder, files[split].length, log);
      for await (const example of decodePictures(files[split], shape, progress)) {
        if (split === "train") sums.add(example.pixels);
        yield example;
      }
    },
    normalisation: () => sums.normalisation(),
  };
}

/** The examples of a split in its own order; each is valid until the next. */
async function* readExamples(
  { shape, ...splits }: Dataset,
  name: SplitName,
): AsyncGenerator<LabelledPixels> {
  const split = splits[name];
  const valueCount = shape[0] * shape[1] * shape[2];
  const pixels = new Uint8Array(batchExamples * valueCount);
  const labels = new Int32Array(batchExamples);
  for (let first = 0; first < split.count; first += batchExamples) {
    const count = Math.min(batchExamples, split.count - first);
    const indices = Uint32Array.from({ length: count }, (_, at) => first + at);
    split.read(indices, 0, count, pixels, labels);
    for (let at = 0; at < count; at++) {
      const image = pixels.subarray(at * valueCount, (at + 1) * valueCount);
      yield { label: labels[at] as number, pixels: image };
    }
  }
}
