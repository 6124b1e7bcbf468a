/**
 * Names of files that somebody else gave: bytes, of which most are UTF-8, but not all. A path is a
 * text where it can be one, else bytes; people are shown the bytes that are no text as \xE9.
 */
import { isUtf8 } from "node:buffer";
import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, sep } from "node:path";

/** A path as the platform takes it. */
export type FilePath = string | Buffer;

/** Something in a folder. */
export interface FolderEntry {
  /** As people see it. */
  readonly name: string;
  readonly path: FilePath;
  readonly isFolder: boolean;
  readonly isLink: boolean;
}

/** What is in a folder, whatever the names are, sorted by them. Throws as the platform does. */
export async function entriesOf(folder: FilePath): Promise<FolderEntry[]> {
  const entries = await readdir(folder, { withFileTypes: true, encoding: "buffer" });
  return (entries as unknown as Dirent<Buffer>[])
    .map((entry) => ({
      name: shownPath(entry.name),
      path: pathBelow(folder, entry.name),
      isFolder: entry.isDirectory(),
      isLink: entry.isSymbolicLink(),
    }))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** A path as people are shown it. */
export function shownPath(path: FilePath): string {
  if (typeof path === "string") return path;
  if (isUtf8(path)) return path.toString();
  let shown = "";
  for (let at = 0; at < path.length; ) {
    const length = [1, 2, 3, 4].find((count) => {
      return at + count <= path.length && isUtf8(path.subarray(at, at + count));
    });
    if (length === undefined) shown += `\\x${path.toString("hex", at, at + 1).toUpperCase()}`;
    else shown += path.toString("utf8", at, at + length);
    at += length ?? 1;
  }
  return shown;
}

function pathBelow(folder: FilePath, name: Buffer): FilePath {
  if (typeof folder === "string" && isUtf8(name)) return join(folder, name.toString());
  return Buffer.concat([Buffer.from(folder), Buffer.from(sep), name]);
}
