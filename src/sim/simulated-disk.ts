/**
 * The disk of a simulated world, in memory, under the store's real code. What was written and not
 * synced is lost in a crash, in whole or from some byte on, or torn: as long as it was, with zeros
 * from some byte on. A name that its folder was not synced with is there or is not. The disk may be
 * slow, or full for a while.
 */
import { basename, dirname } from "node:path";
import type { Random } from "../random.js";
import { fileError } from "../store/file-errors.js";
import { aroundFiles, type Files } from "../store/files.js";

interface FileNode {
  bytes: Buffer;
  synced: Buffer;
}

interface FolderNode {
  names: Map<string, FileNode | FolderNode>;
  synced: Map<string, FileNode | FolderNode>;
}

function isFolder(node: FileNode | FolderNode | undefined): node is FolderNode {
  return node !== undefined && "names" in node;
}

function newFolder(): FolderNode {
  return { names: new Map(), synced: new Map() };
}

/** What a process finds the disk to be like. */
export interface DiskAccess {
  /** Called before each verb; what it waits for is what the disk is slow by. */
  readonly pause: () => Promise<void>;
  /** So many writes go well before it is full for one; never if it is infinite. */
  writesLeft: number;
}

/** The disk. */
export class SimulatedDisk implements DiskAccess {
  /** Its verbs, as the store knows them. */
  readonly files: Files;
  readonly pause = async (): Promise<void> => {};
  writesLeft = Number.POSITIVE_INFINITY;
  #root = newFolder();

  constructor() {
    this.files = this.mount(this);
  }

  /** The verbs as one process has them, that finds the disk slow or full. */
  mount(access: DiskAccess): Files {
    return aroundFiles(this.#verbs(), async (verb, path, action) => {
      await access.pause();
      try {
        if (/write|create/.test(verb) && access.writesLeft-- <= 0) {
          access.writesLeft = Number.POSITIVE_INFINITY;
          throw errno("ENOSPC");
        }
        return await action();
      } catch (thrown) {
        throw fileError(thrown, verb, path);
      }
    });
  }

  /** The machine goes down: what was not synced is as chance has it. */
  crash(random: Random): void {
    this.#root = crashed(this.#root, random);
  }

  #at(path: string): FileNode | FolderNode | undefined {
    let node: FileNode | FolderNode | undefined = this.#root;
    for (const name of path.split("/").filter((part) => part !== "")) {
      node = isFolder(node) ? node.names.get(name) : undefined;
    }
    return node;
  }

  #folder(path: string): FolderNode {
    const node = this.#at(path);
    if (!isFolder(node)) throw errno(node === undefined ? "ENOENT" : "ENOTDIR");
    return node;
  }

  #make(path: string): FolderNode {
    const known = this.#at(path);
    if (isFolder(known)) return known;
    const made = newFolder();
    this.#make(dirname(path)).names.set(basename(path), made);
    return made;
  }

  #open(path: string, file: FileNode) {
    const parent = this.#folder(dirname(path));
    parent.names.set(basename(path), file);
    return {
      write: async (bytes: Uint8Array) => {
        file.bytes = Buffer.concat([file.bytes, bytes]);
      },
      sync: async () => {
        file.synced = file.bytes;
      },
      close: async () => {},
    };
  }

  #verbs(): Files {
    const claim = (path: string, node: FileNode | FolderNode) => {
      const { names } = this.#folder(dirname(path));
      if (names.has(basename(path))) return false;
      names.set(basename(path), node);
      return true;
    };
    const nothing = Buffer.alloc(0);
    return {
      makeFolder: async (path) => void this.#make(path),
      claimFolder: async (path) => claim(path, newFolder()),
      claimFile: async (path, text) => claim(path, { bytes: Buffer.from(text), synced: nothing }),
      list: async (path) => {
        const node = this.#at(path);
        return isFolder(node) ? [...node.names.keys()].sort() : null;
      },
      rename: async (from, to) => {
        const node = this.#at(from);
        if (node === undefined) throw errno("ENOENT");
        this.#folder(dirname(from)).names.delete(basename(from));
        this.#folder(dirname(to)).names.set(basename(to), node);
      },
      remove: async (path) => {
        const parent = this.#at(dirname(path));
        if (isFolder(parent)) parent.names.delete(basename(path));
      },
      syncFolder: async (path) => {
        const folder = this.#folder(path);
        folder.synced = new Map(folder.names);
      },
      create: async (path) => this.#open(path, { bytes: nothing, synced: nothing }),
      append: async (path, bytes) => {
        const known = this.#at(path);
        const before = known === undefined || isFolder(known) ? nothing : known.bytes;
        return this.#open(path, { bytes: before.subarray(0, bytes), synced: nothing });
      },
      openFile: async (path) => {
        const node = this.#at(path);
        if (node === undefined || isFolder(node)) throw errno(node ? "EISDIR" : "ENOENT");
        const { bytes } = node;
        const read = async (into: Uint8Array, position: number) => {
          into.set(bytes.subarray(position, position + into.byteLength));
        };
        return { bytes: bytes.length, read, close: async () => {} };
      },
    };
  }
}

/** What is left of a folder: its names as they were synced, or with what came after. */
function crashed({ names, synced }: FolderNode, random: Random): FolderNode {
  const left = random.below(2) === 0 ? synced : names;
  const kept = new Map<string, FileNode | FolderNode>();
  for (const [name, node] of left) {
    kept.set(name, isFolder(node) ? crashed(node, random) : remainsOf(node, random));
  }
  return { names: kept, synced: new Map(kept) };
}

function remainsOf({ bytes, synced }: FileNode, random: Random): FileNode {
  if (bytes === synced) return { bytes, synced };
  const tail = Buffer.from(bytes.subarray(synced.length));
  const found = [
    () => synced,
    () => Buffer.concat([synced, tail.subarray(0, random.below(tail.length + 1))]),
    () => Buffer.concat([synced, tail.fill(0, random.below(tail.length + 1))]),
  ][random.below(3)]!();
  return { bytes: found, synced: found };
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}
