/**
 * Brings a sharded data set from a URL into the cache folder: `dataset.json` first, then each shard
 * that is not here yet, in a folder aside that takes the set's name when every sum is right. A stop
 * at any moment leaves no half set, and the next fetch goes on with what there is.
 */
import { rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { dataError, storageError } from "../../store/file-content.js";
import { fetchRemoteFiles } from "../download/fetch-files.js";
import { Scratch } from "../download/scratch.js";
import type { ShardEntry, ShardIndex } from "./shard-form.js";
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

/** Reads `dataset.json` alone, and leaves nothing behind. Throws "data" where there is none. */
export async function fetchShardIndex(set: RemoteShards): Promise<ShardIndex> {
  const { place, name, folder, log } = set;
  const scratch = await Scratch.open(dirname(folder));
  try {
    await fetchRemoteFiles(place, [indexOf(set)], { folder: scratch.path, log });
    return await readIndex(join(scratch.path, name));
  } finally {
    await scratch.close();
  }
}

/** Fetches a whole set, unless it is here. Throws "data" where it can't be had whole and right. */
export async function fetchShards(set: RemoteShards): Promise<void> {
  const isHere = () => isThere(join(set.folder, indexName));
  try {
    if (!(await isHere())) await fetchWhole(set);
  } catch (thrown) {
    // Of several processes that fetch the same set, one gives it its name.
    if (!(await isHere())) throw thrown;
  }
  const aside = asideOf(set);
  await rm(join(aside, set.name), { recursive: true, force: true }).catch(() => {});
  // Others that are still fetching have folders of their own there, which they clear themselves.
  await rmdir(aside).catch(() => {});
}

async function fetchWhole(set: RemoteShards): Promise<void> {
  const { place, name, folder, log } = set;
  const aside = asideOf(set);
  const here = join(aside, name);
  try {
    await fetchRemoteFiles(place, [indexOf(set)], { folder: aside, log });
  } catch (thrown) {
    await rmdir(aside).catch(() => {});
    throw thrown;
  }
  const index = await readIndex(here);
  const shards = splitNames.flatMap((split) => index[split].shards);
  const fetched = await fetchMissing(set, shards);
  let faulty = await removeFaulty(here);
  // What was here before says nothing of the place: its files may be those of an earlier set.
  if (faulty.length > 0 && !faulty.some((file) => fetched.has(file))) {
    log(`${faulty.join(", ")} of an earlier fetch are not what ${indexName} says: fetching again`);
    await fetchMissing(set, shards);
    faulty = await removeFaulty(here);
  }
  if (faulty.length > 0) {
    const finding = `has a ${name}/${faulty[0]} that is not what its ${indexName} says`;
    throw dataError(place, `${finding}; pack the set again there`);
  }
  try {
    await rename(here, folder);
  } catch (cause) {
    throw storageError("write", folder, cause);
  }
}

/** Fetches what is not here in its length; returns the names of these files. */
async function fetchMissing(
  set: RemoteShards,
  shards: readonly ShardEntry[],
): Promise<ReadonlySet<string>> {
  const { place, name, log } = set;
  const aside = asideOf(set);
  const missing = [];
  for (const shard of shards) {
    const found = await stat(join(aside, name, shard.file)).catch(() => null);
    if (found?.size !== shard.bytes) missing.push(shard);
  }
  const wanted = missing.map(({ file, bytes }) => {
    return { name: `${name}/${file}`, bytes, bytesMax: bytes };
  });
  if (wanted.length > 0) await fetchRemoteFiles(place, wanted, { folder: aside, log });
  return new Set(missing.map(({ file }) => file));
}

/** Removes all files that are not what the index says, so that they are fetched; their names. */
async function removeFaulty(here: string): Promise<string[]> {
  const faulty = (await verifyShards(here)).filter(({ problem }) => problem !== null);
  for (const { path } of faulty) await rm(path, { force: true });
  return faulty.map(({ file }) => file);
}

function indexOf({ name }: RemoteShards) {
  return { name: `${name}/${indexName}`, bytesMax: indexBytesMax };
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

function asideOf({ folder, name }: RemoteShards): string {
  return join(dirname(folder), `.incoming-${name}`);
}
