/**
 * Brings a sharded data set from a URL into the cache folder: `dataset.json` first, then each shard
 * that is not here yet, in a folder aside that takes the set's name when every sum is right. A stop
 * at any moment leaves no half set, and the next fetch goes on with what there is.
 */
import { rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { dataError, storageError } from "../../store/file-content.js";
import { fetchRemoteFiles } from "../download/fetch-files.js";
import type { ShardIndex } from "./shard-form.js";
import { indexBytesMax, indexName, readIndex, splitNames, verifyShards } from "./shard-index.js";

/** Where a set is, and where it goes to. */
export interface RemoteShards {
  /** The `https://`, `http://` or `s3://` URL below which the set's folder lies. */
  readonly place: string;
  readonly name: string;
  /** The folder that the set will be. */
  readonly folder: string;
  readonly log: (line: string) => void;
}

/** Fetches `dataset.json` alone. Throws "data" where there is none, or a broken one. */
export async function fetchShardIndex(set: RemoteShards): Promise<ShardIndex> {
  const { place, name, log } = set;
  const aside = asideOf(set);
  const file = { name: `${name}/${indexName}`, bytesMax: indexBytesMax };
  try {
    await fetchRemoteFiles(place, [file], { folder: aside, log });
  } catch (thrown) {
    const hasParts = await isThere(join(aside, name));
    if (!hasParts) await rm(aside, { recursive: true, force: true });
    throw thrown;
  }
  return readIndex(join(aside, name));
}

/** Fetches a whole set. Throws "data" where it can't be had whole and right. */
export async function fetchShards(set: RemoteShards): Promise<void> {
  try {
    await fetchWhole(set);
  } catch (thrown) {
    // Of several processes that fetch the same set, one gives it its name.
    if (!(await isThere(join(set.folder, indexName)))) throw thrown;
  }
  // One that is still fetching puts files there; it clears them when it ends.
  await rm(asideOf(set), { recursive: true, force: true }).catch(() => {});
}

async function fetchWhole(set: RemoteShards): Promise<void> {
  const { place, name, folder, log } = set;
  const index = await fetchShardIndex(set);
  const here = join(asideOf(set), name);
  const missing = [];
  for (const { file, bytes } of splitNames.flatMap((split) => index[split].shards)) {
    const found = await stat(join(here, file)).catch(() => null);
    if (found?.size !== bytes) missing.push({ name: `${name}/${file}`, bytes, bytesMax: bytes });
  }
  if (missing.length > 0) await fetchRemoteFiles(place, missing, { folder: asideOf(set), log });
  for (const { path, file, problem } of await verifyShards(here)) {
    if (problem === null) continue;
    await rm(path, { force: true });
    const finding = `has a ${name}/${file} that is not what its ${indexName} says`;
    throw dataError(place, `${finding}; pack the set again there`);
  }
  try {
    await rename(here, folder);
  } catch (cause) {
    throw storageError("write", folder, cause);
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

function asideOf({ folder, name }: RemoteShards): string {
  return join(dirname(folder), `.incoming-${name}`);
}
