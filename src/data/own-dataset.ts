/**
 * Data sets of one's own: a folder of the set's name in the data folder, or in the cache folder,
 * that is sharded (it has `dataset.json`) or holds pictures by class (it has `train/`). Of a data
 * folder that is a URL, sharded sets are fetched into the cache folder. What every process must
 * know of a set follows from the folder alone.
 */
import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { PacelineError, toPacelineError } from "../errors.js";
import { dataError, unreadable } from "../store/file-content.js";
import { type FilePath, shownPath } from "../store/file-names.js";
import { isRemote } from "../store/remote/remote-store.js";
import { didYouMean } from "../suggest.js";
import { errnoOf } from "../system-reason.js";
import { demandDataFolder } from "./data-folder.js";
import type { DatasetFacts, SplitLimits } from "./dataset.js";
import { isAbsence } from "./download/fetch-files.js";
import {
  listPictureFolder,
  loadPictures,
  measurePictures,
  picturesSums,
  scanPictures,
} from "./formats/image-folder.js";
import { readPicture } from "./formats/picture.js";
import { type DataIdentity, fingerprintOf } from "./identity.js";
import { fetchShardIndex, fetchShards } from "./shards/fetch-shards.js";
import type { ShardIndex } from "./shards/shard-form.js";
import { indexName, readShardIndex, verifyShards } from "./shards/shard-index.js";
import { openShards } from "./shards/sliced-split.js";
import { type Dataset, MemorySplit } from "./split.js";

/** A set of one's own that was found. */
export interface OwnDataset {
  readonly name: string;
  readonly kind: "shards" | "pictures" | "remote";
  /** Where it is; of a remote one, where it will be. */
  readonly folder: string;
  /** The URL below which a remote one lies, or one lies of the name that is here already. */
  readonly place?: string;
}

/** The folders to look in; the first may be a URL. */
export interface OwnPlace {
  readonly dataDir?: string | null | undefined;
  readonly cacheDir?: string | null | undefined;
}

/** Facts and counts, as `inspectDataset` tells them. */
export type OwnFacts = DatasetFacts & { readonly train: number; readonly test: number };

/** What a data set's name looks like; it is the name of a folder. */
export const ownName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Finds the set of this name.
 * @param builtIn the names that need no folder.
 * @throws PacelineError `usage` where there is no such set, `data` where its folder is none or the
 *   URL can't be asked.
 */
export async function findOwn(
  name: string,
  place: OwnPlace,
  builtIn: readonly string[],
): Promise<OwnDataset> {
  const roots = rootsOf(place);
  const { dataDir, cacheDir } = place;
  const afar = dataDir && isRemote(dataDir) ? { place: dataDir } : {};
  await demandDataFolder(dataDir);
  for (const root of ownName.test(name) ? roots : []) {
    const folder = join(root, name);
    const kind = await kindOf(folder);
    if (kind !== null) return { name, kind, folder, ...afar };
    if (await isFolder(folder)) {
      const missing = `holds neither ${indexName} nor a folder train`;
      throw dataError(folder, `${missing}; put pictures there as train/CLASS/ and test/CLASS/`);
    }
  }
  let reason = "";
  if (ownName.test(name) && cacheDir && dataDir && isRemote(dataDir)) {
    const remote: OwnDataset = {
      name,
      kind: "remote",
      folder: join(cacheDir, name),
      place: dataDir,
    };
    try {
      await fetchShardIndex(incoming(remote, () => {}));
      return remote;
    } catch (thrown) {
      // Another process may have brought it meanwhile.
      if ((await kindOf(remote.folder)) === "shards") return broughtHere(remote);
      if (!isAbsence(thrown)) throw thrown;
      reason = `; ${toPacelineError(thrown).message}`;
    }
  }
  const own = (await listOwn(place, builtIn)).map((set) => set.name);
  const hint = didYouMean(name, [...builtIn, ...own]);
  const places = roots.map((root) => join(root, ownName.test(name) ? name : "NAME"));
  const where = places.length > 0 ? places.join(" or ") : "<data-dir>/NAME and give --data-dir";
  const remedy = `choose one of ${[...builtIn, ...own].join(", ")}, or put your own in ${where}`;
  throw new PacelineError("usage", `data set "${name}" is unknown${hint}; ${remedy}${reason}`);
}

/** The sets of one's own in both folders, by name. */
export async function listOwn(
  place: OwnPlace,
  builtIn: readonly string[],
): Promise<readonly OwnDataset[]> {
  const sets = new Map<string, OwnDataset>();
  await demandDataFolder(place.dataDir);
  for (const root of rootsOf(place)) {
    for (const name of await readdir(root).catch(() => [])) {
      if (sets.has(name) || builtIn.includes(name) || !ownName.test(name)) continue;
      const folder = join(root, name);
      // What can't be looked at is told where it is asked for.
      const kind = await kindOf(folder).catch(() => null);
      if (kind !== null) sets.set(name, { name, kind, folder });
    }
  }
  return [...sets.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** Facts of a set and how many examples `loadOwn` would give. */
export async function inspectOwn(own: OwnDataset, limits: SplitLimits): Promise<OwnFacts> {
  if (own.kind !== "pictures") {
    const { classes, shape, mean, std, train, test } = await indexOf(own);
    const blockExamples = train.shardExamples;
    const counts = limitedCounts(train.examples, test.examples, limits);
    return { classes, shape, mean, std, blockExamples, ...counts };
  }
  const pictures = await scanPictures(own.folder);
  const { classNames, shape } = pictures;
  const counts = limitedCounts(pictures.train.length, pictures.test.length, limits);
  const used = pictures.train.slice(0, counts.train);
  const normalisation = await measurePictures(pictures, used);
  return { classes: classNames.length, shape, ...normalisation, blockExamples: 0, ...counts };
}

/** Opens a sharded set that is here, or reads the pictures into memory. */
export async function loadOwn(
  own: OwnDataset,
  limits: SplitLimits,
  log: (line: string) => void,
): Promise<Dataset> {
  const { name, folder } = own;
  if (own.kind !== "pictures") {
    const index = await readShardIndex(folder);
    const { train, test, files } = openShards(folder, index);
    return {
      name,
      classes: index.classes,
      shape: index.shape,
      train: train.limitedTo(limits.trainLimit ?? train.count),
      test: test.limitedTo(limits.testLimit ?? test.count),
      close: () => files.close(),
    };
  }
  const pictures = await scanPictures(folder);
  const { classNames, shape } = pictures;
  const counts = limitedCounts(pictures.train.length, pictures.test.length, limits);
  const load = async (split: "train" | "test") => {
    const { pixels, labels } = await loadPictures(pictures, split, counts[split], log);
    return new MemorySplit(pixels, labels, shape[0] * shape[1] * shape[2]);
  };
  const [train, test] = [await load("train"), await load("test")];
  return { name, classes: classNames.length, shape, train, test };
}

/**
 * The identity of a set: of pictures each file's SHA-256, of shards the sums that their index has.
 */
export async function identifyOwn(own: OwnDataset): Promise<DataIdentity> {
  if (own.kind !== "pictures") return identityOfShards(await indexOf(own));
  const { classNames, ...splits } = await listPictureFolder(own.folder);
  const fingerprint = async (split: "train" | "test") =>
    fingerprintOf(["pictures", ...(await picturesSums(splits[split]))]);
  return {
    classNames,
    trainFingerprint: await fingerprint("train"),
    testFingerprint: await fingerprint("test"),
  };
}

function identityOfShards({ classNames, shape, ...splits }: ShardIndex): DataIdentity {
  const fingerprint = (split: "train" | "test") => {
    const { shardExamples, shards } = splits[split];
    const sums = shards.map(({ sha256 }) => sha256);
    return fingerprintOf(["shards", shape.join(" x "), `${shardExamples}`, ...sums]);
  };
  const [trainFingerprint, testFingerprint] = [fingerprint("train"), fingerprint("test")];
  return { classNames, trainFingerprint, testFingerprint };
}

/** What the labels 0, 1, ... of a set stand for. */
export async function ownClassNames(own: OwnDataset): Promise<readonly string[]> {
  const isPictures = own.kind === "pictures";
  return (isPictures ? await scanPictures(own.folder) : await indexOf(own)).classNames;
}

/**
 * Sees to it that a set is on this machine, and says where. One that is here already must be what
 * the URL has; where that can't be asked, or has none, it is taken and that is said.
 * @throws PacelineError `data` where the two differ, or the set can't be had.
 */
export async function ensureOwn(own: OwnDataset, log: (line: string) => void): Promise<OwnDataset> {
  if (own.kind === "remote") await fetchShards(incoming(own, log));
  else if (own.place !== undefined) await demandSame(own, log);
  return own.kind === "remote" ? broughtHere(own) : own;
}

async function demandSame(own: OwnDataset, log: (line: string) => void): Promise<void> {
  const { name, folder } = own;
  let index: ShardIndex;
  try {
    index = await fetchShardIndex(incoming(own, () => {}));
  } catch (thrown) {
    log(`${name}: takes what is in ${folder}, as ${toPacelineError(thrown).message}`);
    return;
  }
  const [here, there] = [await identifyOwn(own), identityOfShards(index)];
  for (const split of ["train", "test"] as const) {
    const [ours, theirs] = [here[`${split}Fingerprint`], there[`${split}Fingerprint`]];
    if (ours === theirs) continue;
    const finding = `has ${split} examples with fingerprint ${ours}, those at --data-dir`;
    const remedy = "remove that folder, or give another --cache-dir";
    throw dataError(folder, `${finding} have ${theirs}; ${remedy}`);
  }
}

function broughtHere({ name, folder }: OwnDataset): OwnDataset {
  return { name, kind: "shards", folder };
}

/** What names and heads tell of a set, without looking at its pixels. */
export interface OwnDescription extends OwnDataset {
  readonly classes: number;
  readonly shape: readonly [number, number, number];
  readonly train: number;
  readonly test: number;
  /** Size of its files. */
  readonly bytes: number;
}

/** Describes a set; throws "data" where it is broken. */
export async function describeOwn(own: OwnDataset): Promise<OwnDescription> {
  if (own.kind !== "pictures") {
    const { classes, shape, train, test } = await indexOf(own);
    const bytes = [...train.shards, ...test.shards].reduce((sum, shard) => sum + shard.bytes, 0);
    return { ...own, classes, shape, train: train.examples, test: test.examples, bytes };
  }
  const { classNames, shape, train, test } = await scanPictures(own.folder);
  const bytes = await bytesOf([...train, ...test].map(({ path }) => path));
  const counts = { train: train.length, test: test.length };
  return { ...own, classes: classNames.length, shape, ...counts, bytes };
}

/** What `verifyOwn` found. */
export interface OwnVerification extends OwnDataset {
  readonly bytes: number;
  readonly files: readonly OwnFile[];
  /** What is wrong with the set as a whole; null when nothing is. */
  readonly problem: string | null;
}

/** One of its files; `problem` has the path and the remedy, or is null. */
export interface OwnFile {
  /** Below the set's folder. */
  readonly name: string;
  readonly path: string;
  readonly problem: string | null;
}

/** Checks every byte of a set: the sums of shards, each picture by decoding it. */
export async function verifyOwn(own: OwnDataset): Promise<OwnVerification> {
  try {
    const isPictures = own.kind === "pictures";
    const files = isPictures ? await verifiedPictures(own) : await verifiedShards(own);
    return { ...own, bytes: await bytesOf(files.map(({ path }) => path)), files, problem: null };
  } catch (thrown) {
    return { ...own, bytes: 0, files: [], problem: toPacelineError(thrown).message };
  }
}

async function verifiedShards({ folder }: OwnDataset): Promise<OwnFile[]> {
  const verdicts = await verifyShards(folder);
  return verdicts.map(({ file, path, problem }) => ({ name: file, path, problem }));
}

async function verifiedPictures({ folder }: OwnDataset): Promise<OwnFile[]> {
  const { train, test } = await scanPictures(folder);
  const files: OwnFile[] = [];
  for (const { path } of [...train, ...test]) {
    const problem = await readPicture(path).then(
      () => null,
      (thrown) => toPacelineError(thrown).message,
    );
    const shown = shownPath(path);
    files.push({ name: relative(folder, shown), path: shown, problem });
  }
  return files.sort((left, right) => (left.name < right.name ? -1 : 1));
}

async function bytesOf(paths: readonly FilePath[]): Promise<number> {
  let bytes = 0;
  for (const path of paths) bytes += (await stat(path).catch(() => null))?.size ?? 0;
  return bytes;
}

async function indexOf(own: OwnDataset): Promise<ShardIndex> {
  const isAfar = own.kind === "remote" && (await kindOf(own.folder)) !== "shards";
  return isAfar ? fetchShardIndex(incoming(own, () => {})) : readShardIndex(own.folder);
}

function incoming({ name, folder, place = "" }: OwnDataset, log: (line: string) => void) {
  return { name, folder, place, log };
}

function limitedCounts(train: number, test: number, limits: SplitLimits) {
  return {
    train: Math.min(train, limits.trainLimit ?? train),
    test: Math.min(test, limits.testLimit ?? test),
  };
}

function rootsOf({ dataDir, cacheDir }: OwnPlace): string[] {
  return [dataDir, cacheDir].filter(
    (root) => root != null && root !== "" && !isRemote(root),
  ) as string[];
}

async function kindOf(folder: string): Promise<OwnDataset["kind"] | null> {
  if ((await found(join(folder, indexName))) !== null) return "shards";
  return (await isFolder(join(folder, "train"))) ? "pictures" : null;
}

async function isFolder(path: string): Promise<boolean> {
  return (await found(path))?.isDirectory() ?? false;
}

/** Null where nothing of the name is there, not where it may not be looked at. */
async function found(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(cause))) return null;
    throw unreadable(path, cause);
  }
}
