/**
 * YAML as a person writes it: every scalar is the text that stands in the file, so that `007`
 * stays "007" and an option's own type says what 0x10 or `yes` mean. Only null, ~ and nothing are
 * null. What can't be read is a `usage` error with file, line and remedy.
 */
import { closeSync, openSync, readSync } from "node:fs";
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  parseDocument,
  type YAMLError,
} from "yaml";
import { PacelineError } from "../errors.js";

/** What a file says: text, nothing, a list or a mapping. */
export type YamlValue =
  | string
  | null
  | readonly YamlValue[]
  | { readonly [key: string]: YamlValue };

/** A file that has been read. */
export interface YamlFile {
  /** Null where the file says nothing. */
  readonly content: YamlValue;
  readonly document: Document;
  readonly lines: LineCounter;
}

/** The most values that aliases may make of a file. */
const valuesMax = 100_000;
/** The most collections that lie in each other: deeper ones exhaust what parses them. */
const depthMax = 100;
/** The most bytes of a file that is read. */
export const yamlBytesMax = 1_000_000;

const remedies: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "has a key twice; keep one of the two",
  TAB_AS_INDENT: "is indented by a tab; use spaces",
  MULTIPLE_DOCS: "begins a second document; keep one",
  BAD_ALIAS: "has an alias without a name; write the value in full",
  TAG_RESOLVE_FAILED: "has a tag that is not known; leave the tag out",
};

/** Text from the bytes of a file. A byte order mark is no part of it. */
export function utf8Text(bytes: Uint8Array, path: string): string {
  const [first, second] = bytes;
  const isUtf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (isUtf16) throw usage(`${path} is UTF-16 text; save it as UTF-8`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const before = new TextDecoder("utf-8").decode(bytes).split("\ufffd")[0] ?? "";
    const line = before.split("\n").length;
    throw usage(`${path} line ${line} is not UTF-8 text; save the file as UTF-8`);
  }
}

/**
 * The text of a file, of which no more is read than may be there: it may be a device or a pipe that
 * never ends. Throws the platform's errors where it can't be read.
 */
export function readTextFile(path: string, bytesMax = yamlBytesMax): string {
  const bytes = Buffer.alloc(bytesMax + 1);
  const file = openSync(path, "r");
  let length = 0;
  try {
    for (let count = -1; count !== 0 && length < bytes.length; length += count) {
      count = readSync(file, bytes, length, bytes.length - length, null);
    }
  } finally {
    closeSync(file);
  }
  if (length <= bytesMax) return utf8Text(bytes.subarray(0, length), path);
  throw usage(`${path} has more than ${bytesMax} bytes; give the path of a YAML file`);
}

/** Reads a text; `path` names the file in refusals. */
export function readYaml(text: string, path: string): YamlFile {
  demandShallow(text, path);
  const lines = new LineCounter();
  const document = parseDocument(text.replace(/^\ufeff/, ""), {
    lineCounter: lines,
    version: "1.2",
  });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw usage(problemText(problem, path));
  return { content: new Reader(document, lines, path).read(document.contents), document, lines };
}

/** Follows the text without making anything of it, as deep nesting ends a process that does. */
function demandShallow(text: string, path: string): void {
  const parser = new Parser();
  let line = 1;
  for (const lexeme of new Lexer().lex(text)) {
    for (const _ of parser.next(lexeme));
    line += lexeme.split("\n").length - 1;
    if (parser.stack.length > depthMax)
      throw usage(
        `${path} line ${line} is nested deeper than ${depthMax} levels; write it flatter`,
      );
  }
}

function problemText({ code, message, linePos }: YAMLError, path: string): string {
  const place = `${path} line ${linePos?.[0].line ?? 1}`;
  const remedy = remedies[code];
  if (remedy !== undefined) return `${place} ${remedy}`;
  const reason = message.split(" at line ")[0];
  return `${place} is not YAML (${reason}); correct that line`;
}

class Reader {
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #path: string;
  /** Collections that are being read, to find one that contains itself. */
  readonly #open = new Set<unknown>();
  #values = 0;

  constructor(document: Document, lines: LineCounter, path: string) {
    this.#document = document;
    this.#lines = lines;
    this.#path = path;
  }

  read(node: unknown): YamlValue {
    this.#values += 1;
    if (this.#values > valuesMax)
      throw this.#refusal(node, `has more than ${valuesMax} values; use fewer aliases`);
    if (node === null || node === undefined) return null;
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target !== undefined) return this.read(target);
      throw this.#refusal(
        node,
        `has the alias *${node.source} of no anchor; write the value in full`,
      );
    }
    if (isScalar(node)) return scalarText(node);
    if (this.#open.has(node)) throw this.#refusal(node, "contains itself; leave the alias out");
    this.#open.add(node);
    try {
      if (isSeq(node)) return node.items.map((item) => this.read(item));
      if (isMap(node)) return this.#mapping(node.items);
    } finally {
      this.#open.delete(node);
    }
    throw this.#refusal(node, "is of an unknown kind; write a value, a list or a mapping");
  }

  #mapping(pairs: readonly { readonly key: unknown; readonly value: unknown }[]): YamlValue {
    const entries = pairs.map(({ key, value }) => {
      if (!isScalar(key)) throw this.#refusal(key, "has a key that is not a word; write a word");
      return [scalarText(key) ?? "null", this.read(value)] as const;
    });
    return Object.fromEntries(entries);
  }

  #refusal(node: unknown, problem: string): PacelineError {
    const start = (node as { range?: readonly number[] | null } | null)?.range?.[0] ?? 0;
    return usage(`${this.#path} line ${this.#lines.linePos(start).line} ${problem}`);
  }
}

/** As it stands in the file where it is plain, else what the quotes hold. */
function scalarText({ value, source, type }: { value: unknown; source?: string; type?: string }) {
  if (type === "PLAIN") return value === null ? null : (source ?? String(value));
  return String(value);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
