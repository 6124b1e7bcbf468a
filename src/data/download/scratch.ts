/**
 * Where a fetch works before its files take their names: a folder of its own beside them, so that
 * fetches at the same time never write to the same file. Parts of downloads that broke off go to a
 * pool, from which one later fetch takes each by renaming it. The folder of a process that died is
 * cleared away, its parts saved. So a stop at any moment leaves whole files and resumable parts.
 */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { PacelineError } from "../../errors.js";
import { makeFolders } from "../../store/folders.js";
import { lives, processStart } from "../../store/process-life.js";
import { reasonOf } from "../../system-reason.js";
import { PartFile } from "./part-file.js";

/** Nothing changed for this long: the writer is gone, whatever machine it ran on. */
const idleAgeMs = 3_600_000;
const folderPrefix = ".fetching-";
const poolName = ".parts";
const partSuffix = ".part";
const host = hostname().replace(/[^A-Za-z0-9.]/g, ".");
/** Stands for the start of a process where the platform does not tell it. */
const unknownStart = "0";

/** The working folder of one fetch. */
export class Scratch {
  /** An empty folder at first; gone when the fetch ends. */
  readonly path: string;
  readonly #pool: string;
  readonly #parts: PartFile[] = [];

  private constructor(path: string, pool: string) {
    this.path = path;
    this.#pool = pool;
  }

  /** Makes one below `folder`, which is made too. Throws "storage" where that can't be done. */
  static async open(folder: string): Promise<Scratch> {
    const pool = join(folder, poolName);
    try {
      await makeFolders(folder);
      for (const name of await readdir(folder)) {
        if (await isAbandoned(folder, name)) await clear(join(folder, name), pool);
      }
      const owner = `${host}-${process.pid}-${await startOf(process.pid)}`;
      const path = await mkdtemp(join(folder, `${folderPrefix}${owner}-`));
      return new Scratch(path, pool);
    } catch (cause) {
      const remedy = "choose a writable cache folder or give --data-dir";
      const message = `can't use ${folder} to keep data (${reasonOf(cause)}); ${remedy}`;
      throw new PacelineError("storage", message, { cause });
    }
  }

  /** The part of this download that an earlier fetch left, or an empty one. */
  async claimPart(store: string, path: string): Promise<PartFile> {
    const name = `${partName(store, path)}${partSuffix}`;
    const folder = join(this.path, name);
    // Of several that rename the same part, one succeeds.
    await rename(join(this.#pool, name), folder).catch(() => makeFolders(folder));
    const part = await PartFile.open(folder);
    this.#parts.push(part);
    return part;
  }

  /** Parts are of no more use, since everything is here. */
  async dropParts(): Promise<void> {
    for (const part of this.#parts.splice(0)) await part.remove();
    // Another fetch may be putting a part there, which is then the one to keep.
    await rm(this.#pool, { recursive: true, force: true }).catch(() => {});
  }

  /** Saves parts that are worth going on with and removes everything else. */
  async close(): Promise<void> {
    for (const part of this.#parts) await part.close();
    await clear(this.path, this.#pool);
    // Fails where other parts are kept, which is right.
    await rmdir(this.#pool).catch(() => {});
  }
}

/** Removes a scratch folder; its parts go to the pool unless the pool has them. */
async function clear(folder: string, pool: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(partSuffix) || !(await PartFile.isWorthKeeping(join(folder, name))))
      continue;
    await makeFolders(pool);
    await rename(join(folder, name), join(pool, name)).catch(() => {});
  }
  // Others may be clearing the same folder; what stays is cleared by the next fetch.
  await rm(folder, { recursive: true, force: true }).catch(() => {});
}

async function isAbandoned(folder: string, name: string): Promise<boolean> {
  if (!name.startsWith(folderPrefix)) return false;
  const [, itsHost, pid, start] = /^\.fetching-(.*)-(\d+)-(\w+)-[^-]*$/.exec(name) ?? [];
  if (itsHost === host && start !== undefined) {
    // Of a process of this machine its life decides, and not a time of day that may be set.
    const present = lives(Number(pid)) ? await startOf(Number(pid)) : null;
    if (present !== start) return true;
    if (start !== unknownStart) return false;
  }
  const path = join(folder, name);
  const entries = await readdir(path, { recursive: true }).catch(() => []);
  const times = await Promise.all(
    ["", ...entries].map(async (entry) => {
      const found = await stat(join(path, entry)).catch(() => null);
      return found?.mtimeMs ?? 0;
    }),
  );
  return Date.now() - Math.max(...times) >= idleAgeMs;
}

/** Tells processes apart that have the same number, one after the other. */
async function startOf(pid: number): Promise<string> {
  const start = await processStart(pid);
  if (start === null) return unknownStart;
  return createHash("sha256").update(start).digest("hex").slice(0, 12);
}

function partName(store: string, path: string): string {
  const digest = createHash("sha256").update(`${store}\n${path}`).digest("hex").slice(0, 12);
  const readable = path.slice(path.lastIndexOf("/") + 1).replace(/[^A-Za-z0-9._-]/g, "_");
  return `${readable.slice(-80)}-${digest}`;
}
