/**
 * Style as rules over all files: what no single file shows, such as a file that nobody imports, a
 * crowded folder, a permission that nobody uses, or an import that goes up the table of rooms.
 */
import {
  type Finding,
  isGenerated,
  isTest,
  type Rooms,
  references,
  resolveSpecifier,
  roomOf,
  type Source,
} from "./sources.js";

/** A folder with as many files has become a heap: look for its parts. */
export const folderFilesMax = 29;
const entries = ["src/index.ts", "src/cli/main.ts"];
/** A plain list, a file a command. */
const lists = ["src/cli/commands"];

/** Files that nobody but their own test refers to. */
export function deadFiles(sources: readonly Source[]): Finding[] {
  const alive = new Set(entries);
  for (const source of sources) {
    const named = source.text.matchAll(/["/]([a-z]+(?:\/[a-z0-9-]+)+)\.js"/g);
    if (!source.path.startsWith("src/")) for (const [, stem] of named) alive.add(`src/${stem}.ts`);
    for (const { specifier } of references(source)) {
      const target = resolveSpecifier(source.path, specifier);
      if (target !== null && source.path !== target.replace(/\.ts$/, ".test.ts")) alive.add(target);
    }
  }
  return sources
    .filter(({ path }) => path.startsWith("src/") && !isTest(path) && !alive.has(path))
    .map(({ path }) => ({
      path,
      line: 1,
      message: "nobody imports this file; use it or remove it",
    }));
}

/** Folders that hold too many files of their own, not counting tests and generated ones. */
export function crowdedFolders(paths: readonly string[]): Finding[] {
  const counts = new Map<string, number>();
  for (const path of paths) {
    if (roomOf(path) === null || path.endsWith(".test.ts") || isGenerated(path)) continue;
    const folder = path.slice(0, path.lastIndexOf("/"));
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts]
    .filter(([folder, count]) => count > folderFilesMax && !lists.includes(folder))
    .map(([folder, count]) => {
      const message = `${count} files in one folder; look for its parts, wings of one idea each`;
      return { path: folder, line: 1, message };
    });
}

/** Rows of the table that allow what no file does, or list a wing that is not there. */
export function unusedPermissions(sources: readonly Source[], rooms: Rooms): Finding[] {
  const used = new Map<string, "values" | "types">();
  const wings = new Set<string>();
  for (const source of sources) {
    const room = roomOf(source.path);
    if (room === null || isTest(source.path)) continue;
    wings.add(source.path.split("/").slice(1, -1).join("/"));
    for (const { specifier, typesOnly } of references(source)) {
      const target = resolveSpecifier(source.path, specifier);
      const arrow = `${room} ${target === null ? null : roomOf(target)}`;
      if (!typesOnly || !used.has(arrow)) used.set(arrow, typesOnly ? "types" : "values");
    }
  }
  const finding = (message: string) => ({ path: "ARCHITECTURE.md", line: 1, message });
  return [...rooms].flatMap(([room, { imports, wings: listed }]) => [
    ...[...imports]
      .filter(([other, allowed]) => used.get(`${room} ${other}`) !== allowed)
      .map(([other, allowed]) => {
        const found = used.get(`${room} ${other}`) ?? "nothing";
        return finding(`${room} may import ${allowed} of ${other} and uses ${found}; narrow it`);
      }),
    ...listed
      .filter((wing) => !wings.has(`${room}/${wing}`))
      .map((wing) => finding(`${room} has no wing ${wing}; take it out of the table`)),
  ]);
}

/** Permissions that go up the table: a room may import only rooms that stand above it. */
export function arrowsUp(rooms: Rooms): Finding[] {
  const above = new Set<string>();
  return [...rooms].flatMap(([room, { imports }]) => {
    const upward = [...imports.keys()].filter((other) => !above.has(other));
    above.add(room);
    return upward.map((other) => {
      const message = `${room} imports ${other}, which does not stand above it; turn the arrow`;
      return { path: "ARCHITECTURE.md", line: 1, message };
    });
  });
}
