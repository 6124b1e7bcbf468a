/**
 * Where files of a data set come from. A source brings the wanted files one by one, unpacked, to
 * the target, which checks each and gives it its name. A source fails with one sentence, and within
 * seconds when it can't be reached.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { PacelineError } from "../../errors.js";
import { dataError, md5OfFile, streamUnpacked } from "../../store/file-content.js";
import {
  type RemoteStore,
  remoteStoreAt,
  unavailable,
  withoutSecret,
} from "../../store/remote/remote-store.js";
import { reasonOf } from "../../system-reason.js";
import { type DownloadLimits, download } from "./download.js";
import type { Scratch } from "./scratch.js";
import { readTar } from "./tar.js";

/** A packed file is never much larger than what it unpacks to. */
const packedSlackBytes = 65_536;
/** Room in an archive beside the wanted files. */
const archiveSlackBytes = 16 * 1024 * 1024;

/** A file that a source is asked for, and what is known of its unpacked content. */
export interface WantedFile {
  readonly name: string;
  readonly bytesMax: number;
  /** Exact size, null when unknown. */
  readonly bytes: number | null;
  readonly md5: string | null;
}

/** What a source works with during one fetch. */
export interface FetchTarget {
  readonly scratch: Scratch;
  readonly log: (line: string) => void;
  /** Takes a wanted file's unpacked content; throws "data" when it is not what it should be. */
  keep(name: string, content: AsyncIterable<Uint8Array>): Promise<void>;
}

/** Somewhere to get files from. */
export interface Source {
  readonly name: string;
  /** False when the source is known not to be there, which needs no mention. */
  readonly isAvailable?: () => boolean;
  fetch(wanted: readonly WantedFile[], target: FetchTarget): Promise<void>;
}

/**
 * Files `<base><name>.gz` on a web server.
 * @param packedMd5 of the packed files by name, where known.
 */
export function webSource(
  base: string,
  limits: DownloadLimits = {},
  packedMd5: Readonly<Record<string, string>> = {},
): Source {
  return {
    name: base,
    async fetch(wanted, target) {
      const store = await remoteStoreAt(base);
      for (const { name, bytesMax } of wanted) {
        const path = `${name}.gz`;
        const md5 = packedMd5[name] ?? null;
        const packed = { path, bytesMax: bytesMax + packedSlackBytes, md5 };
        await bring([packed], { store, limits, target }, (file) =>
          target.keep(name, streamUnpacked(file, path)),
        );
      }
    },
  };
}

/** Files `<place><folder>/<name>`, plain or with `.gz`, at a URL that the user named. */
export function placeSource(place: string, folder = "", limits: DownloadLimits = {}): Source {
  const base = folder === "" ? "" : `${folder}/`;
  return {
    name: withoutSecret(place),
    async fetch(wanted, target) {
      const store = await remoteStoreAt(place);
      for (const { name, bytesMax } of wanted) {
        const plain = { path: base + name, bytesMax, md5: null };
        const packed = {
          ...plain,
          path: `${plain.path}.gz`,
          bytesMax: bytesMax + packedSlackBytes,
        };
        await bring([plain, packed], { store, limits, target }, (file) =>
          target.keep(name, streamUnpacked(file, base + name)),
        );
      }
    },
  };
}

/** An archive `.tar.gz` and where in it the files stand. */
export interface PackedArchive {
  readonly path: string;
  readonly md5: string;
  readonly folder: string;
}

/** Files in a `.tar.gz` on a web server, unpacked as it is read from the disk. */
export function archiveSource(
  base: string,
  { path, md5, folder }: PackedArchive,
  limits: DownloadLimits = {},
): Source {
  return {
    name: base + path,
    async fetch(wanted, target) {
      const store = await remoteStoreAt(base);
      const bytesMax = wanted.reduce((sum, file) => sum + file.bytesMax, archiveSlackBytes);
      await bring([{ path, bytesMax, md5 }], { store, limits, target }, (file) =>
        keepFromArchive(streamUnpacked(file, path), folder, wanted, target),
      );
    },
  };
}

/** Files in a folder of this machine, plain or with `.gz`, as a distribution's package has them. */
export function folderSource(folder: string): Source {
  return {
    name: folder,
    isAvailable: () => existsSync(folder),
    async fetch(wanted, target) {
      for (const { name } of wanted) {
        const plain = join(folder, name);
        await target.keep(name, streamUnpacked(existsSync(plain) ? plain : `${plain}.gz`));
      }
    },
  };
}

/** Files in `folder` of a package installed where `from` (a file path or URL) resolves it. */
export function installedPackageSource(packageName: string, folder: string, from: string): Source {
  const resolve = (): string | null => {
    try {
      return dirname(createRequire(from).resolve(`${packageName}/package.json`));
    } catch {
      return null;
    }
  };
  return {
    name: `installed package ${packageName}`,
    isAvailable: () => resolve() !== null,
    async fetch(wanted, target) {
      const root = resolve();
      if (root === null) throw unavailable(`${packageName} is not installed`);
      for (const { name } of wanted)
        await target.keep(name, streamUnpacked(join(root, folder, name)));
    },
  };
}

/** Keeps the wanted files of `folder` in a tar archive. */
export async function keepFromArchive(
  archive: AsyncIterable<Uint8Array>,
  folder: string,
  wanted: readonly WantedFile[],
  target: FetchTarget,
): Promise<void> {
  for await (const { path, content } of readTar(archive)) {
    const file = wanted.find(({ name }) => path.replace(/^\.\//, "") === `${folder}/${name}`);
    if (file !== undefined) await target.keep(file.name, content);
  }
}

interface Candidate {
  readonly path: string;
  readonly bytesMax: number;
  readonly md5: string | null;
}

interface Carrier {
  readonly store: RemoteStore;
  readonly limits: DownloadLimits;
  readonly target: FetchTarget;
}

/** Downloads the first of the candidates that the store has and hands it to `use`. */
async function bring(
  candidates: readonly Candidate[],
  carrier: Carrier,
  use: (file: string) => Promise<void>,
): Promise<void> {
  for (const candidate of candidates) if (await bringOne(candidate, carrier, use)) return;
  const paths = candidates.map(({ path }) => path).join(" or ");
  throw new PacelineError("unavailable", `${paths} is not there`, { details: { isAbsent: true } });
}

/**
 * A part that led to wrong content is never continued: where it was an earlier fetch's, the
 * download starts over, else the source is at fault.
 */
async function bringOne(
  { path, bytesMax, md5 }: Candidate,
  { store, limits, target }: Carrier,
  use: (file: string) => Promise<void>,
): Promise<boolean> {
  const { scratch, log } = target;
  for (;;) {
    const part = await scratch.claimPart(store.name, path);
    const isResumed = part.bytes > 0;
    try {
      const isThere = await download({ store, path, bytesMax, limits, log }, part);
      if (isThere) {
        await checkPacked(part.path, path, md5);
        await use(part.path);
      }
      await part.remove();
      return isThere;
    } catch (cause) {
      if (!(cause instanceof PacelineError) || cause.code !== "data") throw cause;
      await part.remove();
      if (!isResumed) throw cause;
      log(`${reasonOf(cause)}: starting over without the part that was here`);
    }
  }
}

async function checkPacked(file: string, path: string, md5: string | null): Promise<void> {
  if (md5 === null) return;
  const found = await md5OfFile(file);
  if (found !== md5) throw dataError(path, `has MD5 ${found}, not ${md5}`);
}
