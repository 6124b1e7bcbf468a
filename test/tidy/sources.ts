/**
 * Our own sources, parsed: where each file lies, what it refers to, and the table of rooms that
 * ARCHITECTURE.md keeps. The rules of tidiness are functions over these.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** One file of ours. */
export interface Source {
  /** From the repository's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
}

/** What is wrong, and where. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/** What of another room a room may use. */
export type Permission = "values" | "types";

/** One row of the table in ARCHITECTURE.md. */
export interface Room {
  readonly wings: readonly string[];
  readonly imports: ReadonlyMap<string, Permission>;
}

/** The rooms by name, in the table's order: a room stands below those it imports. */
export type Rooms = ReadonlyMap<string, Room>;

/** The wing of fixtures and harnesses: in any room, not shipped, imported by tests alone. */
export const testing = "testing";

/** One file; it is parsed when something asks for its tree, as nothing does of documents. */
export function parse(path: string, text: string): Source {
  let tree: ts.SourceFile | undefined;
  return {
    path,
    text,
    get tree() {
      tree ??= ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
      return tree;
    },
  };
}

/** A function of sources that is computed once for each. */
function once<Answer>(compute: (source: Source) => Answer): (source: Source) => Answer {
  const known = new WeakMap<Source, Answer>();
  return (source) => {
    if (!known.has(source)) known.set(source, compute(source));
    return known.get(source)!;
  };
}

/** A file in a `testing` wing. */
export const isFixture = (path: string) => path.startsWith("src/") && /\/testing\//.test(path);
/** A test, or a file that only tests use. */
export const isTest = (path: string) => path.endsWith(".test.ts") || isFixture(path);
/** A file that a program wrote. */
export const isGenerated = (path: string) => /\/generated-[^/]*$/.test(path);

/** The room of a file, or null where it has none. */
export function roomOf(path: string): string | null {
  const parts = path.split("/");
  return parts[0] === "src" && parts.length > 2 ? parts[1]! : null;
}

/** A finding at a node or an offset. */
export function at(source: Source, position: ts.Node | number, message: string): Finding {
  const offset = typeof position === "number" ? position : position.getStart(source.tree);
  const line = source.tree.getLineAndCharacterOfPosition(offset).line + 1;
  return { path: source.path, line, message };
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

/** Every node of a file; none of a document or another language. */
export const nodes = once((source): readonly ts.Node[] => {
  const all: ts.Node[] = [];
  if (!/\.(ts|js|mjs)$/.test(source.path)) return all;
  walk(source.tree, (node) => all.push(node));
  return all;
});

/** Reads rows of the form "| `room` | `wing`, `wing` | holds | core (types), host |". */
export function readRooms(markdown: string): Rooms {
  const rooms = new Map<string, Room>();
  const rows = /^\| `([a-z]+)` \|([^|]*)\|[^|]*\|([^|]*)\|$/gm;
  for (const [, room, wings, permissions] of markdown.matchAll(rows)) {
    const imports = new Map<string, Permission>();
    for (const [, name, types] of permissions!.matchAll(/([a-z]+)( \(types\))?/g)) {
      imports.set(name!, types === undefined ? "values" : "types");
    }
    rooms.set(room!, { wings: [...wings!.matchAll(/`([a-z]+)`/g)].map(([, w]) => w!), imports });
  }
  return rooms;
}

/** A mention of another module. */
export interface Reference {
  readonly node: ts.Node;
  readonly specifier: string;
  readonly typesOnly: boolean;
}

/** Every module that a file imports, loads or names by URL. */
export const references = once((source): readonly Reference[] => {
  const found: Reference[] = [];
  const add = (node: ts.Node, literal: ts.Node | undefined, typesOnly: boolean) => {
    if (literal !== undefined && ts.isStringLiteralLike(literal))
      found.push({ node, specifier: literal.text, typesOnly });
  };
  for (const node of nodes(source)) {
    if (ts.isImportDeclaration(node))
      add(node, node.moduleSpecifier, node.importClause?.isTypeOnly ?? false);
    else if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node))
      add(node, (node.argument as ts.LiteralTypeNode).literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node, node.arguments[0], false);
    else if (ts.isNewExpression(node) && node.expression.getText() === "URL")
      add(node, node.arguments?.[0], false);
  }
  return found;
});

/** The source file that a relative specifier names, from the root; null for a package. */
export function resolveSpecifier(path: string, specifier: string): string | null {
  if (!specifier.startsWith(".") || !specifier.endsWith(".js")) return null;
  const joined = join(dirname(path), specifier).split(sep).join("/");
  return joined.replace(/^dist\//, "src/").replace(/\.js$/, ".ts");
}

/** The folder that has ARCHITECTURE.md. */
export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "ARCHITECTURE.md"))) folder = dirname(folder);
  return folder;
}

const read = new Map<string, readonly Source[]>();

/** Every file of ours that a rule looks at; tests of one process read them once. */
export function readSources(root: string): readonly Source[] {
  const sources = read.get(root) ?? readAll(root);
  read.set(root, sources);
  return sources;
}

function readAll(root: string): Source[] {
  const found: Source[] = [];
  const add = (path: string) => found.push(parse(path, readFileSync(join(root, path), "utf8")));
  for (const folder of "src assembly test bench scripts configs docs proto".split(" ")) {
    if (!existsSync(join(root, folder))) continue;
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      const path = relative(root, join(entry.parentPath ?? entry.path, entry.name));
      if (entry.isFile() && /\.(ts|mjs|md|ya?ml|proto|py)$/.test(path))
        add(path.split(sep).join("/"));
    }
  }
  for (const name of readdirSync(root)) if (/\.md$|^Makefile$/.test(name)) add(name);
  return found;
}
