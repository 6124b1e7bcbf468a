/**
 * `dataset.json` of a sharded data set: what its examples are and which files hold them. A shard is
 * a file of records of one size, each a label (u16, little-endian) and the pixels of shape
 * (C, H, W), one byte each. All shards of a split but its last hold equally many, so that the place
 * of an example follows from its number.
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { PacelineError, toPacelineError } from "../../errors.js";
import { dataError, readSha256, unreadable } from "../../store/file-content.js";
import { parseJson } from "../../store/json-text.js";
import { errnoOf, reasonOf } from "../../system-reason.js";
import type { ShardEntry, ShardIndex } from "./shard-form.js";

/** The file that makes a folder a sharded data set. */
export const indexName = "dataset.json";
/** Bytes of a record's label. */
export const labelBytes = 2;

/** No `dataset.json` is larger. */
export const indexBytesMax = 64 << 20;

const remedy = "pack the set again";

/** The splits, in the order in which they are told. */
export const splitNames = ["train", "test"] as const;
/** One of the splits. */
export type SplitName = (typeof splitNames)[number];

/** Bytes of a record with pixels of shape (C, H, W). */
export function recordBytesOf([channels, height, width]: readonly [number, number, number]) {
  return labelBytes + channels * height * width;
}

/**
 * Reads and checks `dataset.json`, and that each shard is there with the length it should have.
 * @throws PacelineError `data` with the path, what is wrong and the remedy.
 */
export async function readShardIndex(folder: string): Promise<ShardIndex> {
  const index = await readIndex(folder);
  for (const name of splitNames) {
    for (const one of index[name].shards) await checkLength(join(folder, one.file), one);
  }
  return index;
}

/** What was found of one file of a sharded set. */
export interface ShardVerdict {
  readonly file: string;
  readonly path: string;
  readonly sha256: string;
  /** What is wrong and what to do; null when nothing is. */
  readonly problem: string | null;
}

/** Checks length and SHA-256 of every shard. Throws "data" where `dataset.json` is broken. */
export async function verifyShards(folder: string): Promise<readonly ShardVerdict[]> {
  const index = await readIndex(folder);
  const verdicts: ShardVerdict[] = [];
  for (const one of splitNames.flatMap((name) => index[name].shards)) {
    const path = join(folder, one.file);
    const { file, sha256 } = one;
    const problem = await faultOf(path, one);
    verdicts.push({ file, path, sha256, problem });
  }
  return verdicts;
}

/** Reads and checks `dataset.json` alone. Throws "data" likewise. */
export async function readIndex(folder: string): Promise<ShardIndex> {
  const path = join(folder, indexName);
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > indexBytesMax) {
      throw dataError(path, `has ${size} bytes, more than ${indexBytesMax}; ${remedy}`);
    }
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw cause instanceof PacelineError ? cause : unreadable(path, cause);
  }
  let content: unknown;
  try {
    content = parseJson(text);
  } catch (cause) {
    throw dataError(path, `is not JSON (${reasonOf(cause)}); ${remedy}`, cause);
  }
  const { indexForm } = await import("./shard-form.js");
  const parsed = indexForm.safeParse(content);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const place = issue?.path.join(".") || "the whole";
    throw dataError(path, `is not that of a sharded set (${place}: ${issue?.message}); ${remedy}`);
  }
  const fault = contradictionIn(parsed.data);
  if (fault !== null) throw dataError(path, `contradicts itself: ${fault}; ${remedy}`);
  return parsed.data;
}

/** What does not fit together, or null. */
function contradictionIn(index: ShardIndex): string | null {
  const { classes, classNames, shape, mean, std, record } = index;
  if (classNames.length !== classes) return `${classes} classes, ${classNames.length} names`;
  if (mean.length !== shape[0] || std.length !== shape[0]) {
    return `${shape[0]} channels, ${mean.length} means, ${std.length} deviations`;
  }
  const recordBytes = recordBytesOf(shape);
  if (record.bytes !== recordBytes) {
    return `records of ${record.bytes} bytes, pixels of ${shape.join(" x ")} need ${recordBytes}`;
  }
  const files = splitNames.flatMap((name) => index[name].shards.map(({ file }) => file));
  const twice = files.find((file, place) => files.indexOf(file) !== place);
  if (twice !== undefined) return `${twice} is named twice`;
  for (const name of splitNames) {
    const { examples, shardExamples, shards } = index[name];
    for (const [place, one] of shards.entries()) {
      const isLast = place === shards.length - 1;
      const wanted = isLast ? examples - place * shardExamples : shardExamples;
      if (one.examples !== wanted || wanted > shardExamples) {
        return `${one.file} has ${one.examples} examples where ${wanted} are due`;
      }
      if (one.bytes !== one.examples * recordBytes) {
        return `${one.file} has ${one.bytes} bytes for ${one.examples} records of ${recordBytes}`;
      }
    }
  }
  return null;
}

async function checkLength(path: string, { bytes }: ShardEntry): Promise<void> {
  let found: number;
  try {
    found = (await stat(path)).size;
  } catch (cause) {
    if (errnoOf(cause) !== "ENOENT") throw unreadable(path, cause);
    throw dataError(path, `is missing; copy it again or ${remedy}`, cause);
  }
  if (found === bytes) return;
  const finding = `has ${found} bytes where ${indexName} says ${bytes}`;
  throw dataError(path, `${finding}; copy it again or ${remedy}`);
}

async function faultOf(path: string, shard: ShardEntry): Promise<string | null> {
  try {
    await checkLength(path, shard);
    const found = await readSha256(path);
    if (found === shard.sha256) return null;
    const finding = `${path} has SHA-256 ${found}, not ${shard.sha256}`;
    return `${finding}; copy it again or ${remedy}`;
  } catch (thrown) {
    return toPacelineError(thrown).message;
  }
}
