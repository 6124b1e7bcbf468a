/**
 * The file of a suite of experiments: what all cells have in common, the axes whose product the
 * cells are, and the exceptions. Read here into checked values; `cells.ts` makes the cells of it.
 * Whatever is wrong with it is one `usage` error that names file, line, key, value and remedy.
 */
import { type Document, isScalar, type LineCounter } from "yaml";
import { z } from "zod";
import { PacelineError } from "../errors.js";
import { expandHome } from "../store/home-path.js";
import { readTextFile, readYaml, yamlBytesMax } from "../store/yaml-file.js";
import { didYouMean } from "../suggest.js";
import { reasonOf } from "../system-reason.js";
import type { CellFacts } from "./cells.js";

/** How much a cell matters, the most first. */
export const priorities = ["high", "medium", "optional"] as const;

/** One of the priorities. */
export type Priority = (typeof priorities)[number];

/** Values of options by name, each as its type prints it. */
export type OptionTexts = ReadonlyMap<string, string>;

/** What a suite needs to know of the options of a run; supplied by the owner of their table. */
export interface RunOptions {
  /** Reads one line of a file of options: `name` is an option's, or a group's with its options. */
  read(name: string, value: unknown, place: string): OptionTexts;
  /** Resolves the options of one cell, or says what can't be. */
  resolve(values: OptionTexts, place: string): CellFacts;
  /** Options that the environment gives; the matrix may not give them too. */
  readonly fromEnvironment: ReadonlyMap<string, FromEnvironment>;
  /** Values with the parameters of a mode that is one word (ssp:2) as options of their own. */
  apart(values: OptionTexts): OptionTexts;
  /** True when the option can change what a run measures. */
  matters(name: string): boolean;
}

/** An option that the environment gives. */
export interface FromEnvironment {
  readonly text: string;
  readonly variable: string;
  /** It says where something lies on this machine: no part of the experiment. */
  readonly isPlace: boolean;
}

/** Options with the values that a cell must have one of. */
export type Match = ReadonlyMap<string, readonly string[]>;

/** A part of the file with the place that messages name. */
export interface Placed<T> {
  readonly place: string;
  readonly value: T;
}

/** The file, checked value by value. */
export interface MatrixFile {
  readonly path: string;
  readonly question: string | null;
  readonly resultsDir: string;
  readonly repeats: number;
  readonly base: OptionTexts;
  readonly axes: ReadonlyMap<string, readonly string[]>;
  readonly when: readonly Placed<{ readonly match: Match; readonly set: OptionTexts }>[];
  readonly include: readonly Placed<OptionTexts>[];
  readonly exclude: readonly Placed<Match>[];
  readonly priority: readonly Placed<{ readonly match: Match; readonly priority: Priority }>[];
}

/** A whole number from 1 to 1000, as the text that stands in the file. */
const count = z
  .string()
  .regex(/^(?:[1-9]\d{0,2}|1000)$/)
  .transform(Number);
const mapping = z.record(z.string(), z.unknown());
const schema = z.strictObject({
  question: z.string().nullish(),
  "results-dir": z.string().min(1).nullish(),
  repeats: count.nullish(),
  base: mapping.nullish(),
  axes: z.record(z.string(), z.array(z.unknown()).min(1)).nullish(),
  when: z.array(z.strictObject({ match: mapping, set: mapping })).nullish(),
  include: z.array(mapping).nullish(),
  exclude: z.array(mapping).nullish(),
  priority: z.array(z.strictObject({ match: mapping, priority: z.enum(priorities) })).nullish(),
});

const wanted: Readonly<Record<string, string>> = {
  question: "write a sentence",
  "results-dir": "write the path of a folder",
  repeats: "write a whole number from 1 to 1000",
  base: "write lines such as lr: 0.1",
  axes: "write lines such as workers: [1, 2, 4]",
  when: "write items such as {match: {mode: asp}, set: {lr: 0.5}}",
  include: "write items such as {mode: bsp, workers: 8}",
  exclude: "write items such as {mode: asp, workers: 1}",
  priority: "write items such as {match: {workers: 4}, priority: high}, of high, medium, optional",
};

/** Reads the file at a path. */
export async function readMatrixFile(path: string, options: RunOptions): Promise<MatrixFile> {
  let text: string;
  try {
    text = readTextFile(path);
  } catch (cause) {
    if (cause instanceof PacelineError) throw cause;
    const sentence = `the matrix ${path} can't be read (${reasonOf(cause)})`;
    throw new PacelineError("usage", `${sentence}; give the path of a YAML file`, { cause });
  }
  return readMatrixText(text, path, options);
}

/** Reads the text of a matrix; `path` names it in refusals. */
export function readMatrixText(text: string, path: string, options: RunOptions): MatrixFile {
  if (text.length > yamlBytesMax)
    throw usage(`${path} has ${text.length} characters; a matrix has at most ${yamlBytesMax}`);
  const { content, document, lines } = readYaml(text, path);
  if (typeof content !== "object" || content === null || Array.isArray(content))
    throw usage(`${path} is not a mapping; write base: and axes: with options under them`);
  const place = (keys: readonly PropertyKey[]) => placeOf(document, lines, path, keys);
  const checked = schema.safeParse(content);
  if (!checked.success) {
    const { issues } = checked.error;
    const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]!;
    throw refusal(issue, content, place);
  }
  const reader = new Reader(options, place);
  const { question, repeats, axes, when, include, exclude, priority } = checked.data;
  return {
    path,
    question: question ?? null,
    resultsDir: folderOf(checked.data["results-dir"] ?? "experiment_results", place),
    repeats: repeats ?? 1,
    base: reader.texts(checked.data.base ?? {}, ["base"]),
    axes: reader.axes(axes ?? {}),
    when: (when ?? []).map(({ match, set }, index) => ({
      place: place(["when", index]),
      value: {
        match: reader.match(match, ["when", index, "match"]),
        set: reader.texts(set, ["when", index, "set"]),
      },
    })),
    include: (include ?? []).map((one, index) => ({
      place: place(["include", index]),
      value: reader.texts(one, ["include", index]),
    })),
    exclude: (exclude ?? []).map((one, index) => ({
      place: place(["exclude", index]),
      value: reader.match(one, ["exclude", index]),
    })),
    priority: (priority ?? []).map((one, index) => ({
      place: place(["priority", index]),
      value: {
        match: reader.match(one.match, ["priority", index, "match"]),
        priority: one.priority,
      },
    })),
  };
}

function folderOf(path: string, place: (keys: Keys) => string): string {
  const expanded = expandHome(path);
  if ("path" in expanded) return expanded.path;
  const where = place(["results-dir"]);
  throw usage(`${path} in ${where} ${expanded.problem}; write the path in full`);
}

type Keys = readonly (string | number)[];

/** Reads options of the file through the table, each under its own place. */
class Reader {
  readonly #options: RunOptions;
  readonly #place: (keys: Keys) => string;

  constructor(options: RunOptions, place: (keys: Keys) => string) {
    this.#options = options;
    this.#place = place;
  }

  texts(given: Readonly<Record<string, unknown>>, keys: Keys): OptionTexts {
    const texts = new Map<string, string>();
    for (const [name, value] of Object.entries(given)) {
      const place = this.#place([...keys, name]);
      for (const [option, text] of this.#options.read(name, value, place)) {
        if (texts.has(option)) throw usage(`"${option}" appears twice in ${place}; keep one`);
        texts.set(option, text);
      }
    }
    return texts;
  }

  axes(given: Readonly<Record<string, readonly unknown[]>>): Map<string, string[]> {
    const axes = this.#byOption(Object.entries(given), ["axes"], (name, index) => [name, index]);
    for (const [option, texts] of axes) {
      const twice = texts.find((text, index) => texts.indexOf(text) < index);
      if (twice === undefined) continue;
      throw usage(`${twice} appears twice in ${this.#place(["axes", option])}; keep one`);
    }
    return axes;
  }

  match(given: Readonly<Record<string, unknown>>, keys: Keys): Match {
    const entries = Object.entries(given).map(([name, value]) => {
      return [name, Array.isArray(value) ? value : [value]] as const;
    });
    return this.#byOption(entries, keys, (name) => [name]);
  }

  /** Texts of values by the option's own name, whichever of its names is written. */
  #byOption(
    given: readonly (readonly [string, readonly unknown[]])[],
    keys: Keys,
    keysOf: (name: string, index: number) => Keys,
  ): Map<string, string[]> {
    const found = new Map<string, string[]>();
    for (const [name, values] of given) {
      const read = values.map((value, index) => {
        return this.#one(name, value, [...keys, ...keysOf(name, index)]);
      });
      const option = read[0]?.[0] ?? name;
      if (found.has(option)) {
        throw usage(`"${option}" appears twice in ${this.#place([...keys, name])}; keep one`);
      }
      found.set(
        option,
        read.map(([, text]) => text),
      );
    }
    return found;
  }

  #one(name: string, value: unknown, keys: Keys): readonly [option: string, text: string] {
    const place = this.#place(keys);
    const read = [...this.#options.read(name, value, place)];
    const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
    if (read[0] !== undefined && !isGroup) return read[0];
    throw usage(`"${name}" in ${place} is a group; write the name of an option`);
  }
}

/** "matrix.yaml line 4, axes.workers". */
function placeOf(
  document: Document,
  lines: LineCounter,
  path: string,
  keys: readonly PropertyKey[],
): string {
  const told = keys.map((key) => (typeof key === "number" ? String(key + 1) : String(key)));
  for (let length = keys.length; length > 0; length--) {
    const start = startOf(document, keys.slice(0, length));
    if (start !== null) return `${path} line ${lines.linePos(start).line}, ${told.join(".")}`;
  }
  return told.length === 0 ? path : `${path}, ${told.join(".")}`;
}

/** Where a part of the file begins; of an entry of a mapping, where its key does. */
function startOf(document: Document, keys: readonly PropertyKey[]): number | null {
  const parent: unknown = keys.length === 1 ? document.contents : document.getIn(keys.slice(0, -1));
  const items = (parent as { items?: readonly unknown[] } | null)?.items ?? [];
  for (const item of items) {
    const key = (item as { key?: unknown }).key;
    if (isScalar(key) && String(key.value) === String(keys.at(-1))) return key.range?.[0] ?? null;
  }
  const node = document.getIn(keys, true) as { range?: readonly number[] | null } | undefined;
  return node?.range?.[0] ?? null;
}

function refusal(
  issue: z.core.$ZodIssue,
  content: object,
  place: (keys: readonly PropertyKey[]) => string,
): PacelineError {
  const top = String(issue.path[0] ?? "");
  if (issue.code === "unrecognized_keys") {
    const [key = ""] = issue.keys;
    const known = knownKeys(top);
    const where = place([...issue.path, key]);
    const hint = didYouMean(key, known);
    return usage(`"${key}" in ${where} is not part of a matrix${hint}; it has ${known.join(", ")}`);
  }
  const found = issue.path.reduce<unknown>(
    (part, key) => (part as Record<PropertyKey, unknown> | null | undefined)?.[key],
    content,
  );
  const shown = found === undefined ? "nothing" : JSON.stringify(found);
  const problem = issue.code === "too_small" && shown === "[]" ? "has no value" : "does not fit";
  const remedy = wanted[top] ?? "see docs/experiments";
  return usage(`${shown} in ${place(issue.path)} ${problem}; ${remedy}`);
}

function knownKeys(top: string): string[] {
  if (top === "when") return ["match", "set"];
  if (top === "priority") return ["match", "priority"];
  return Object.keys(schema.shape);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
