/**
 * From a matrix to its cells: the product of the axes, less what is excluded, plus what is
 * included, each repeated; with the name that its files bear and a fingerprint of its options, by
 * which a later run of the suite tells whether a finished cell is still the one that is asked for.
 */
import { createHash } from "node:crypto";
import { PacelineError } from "../errors.js";
import { modeWord } from "../store/runs/experiment-file.js";
import type { Match, MatrixFile, OptionTexts, Priority, RunOptions } from "./matrix.js";

/** What resolved options say of a run, as far as a suite looks at it. */
export interface CellFacts {
  /** The protocol's name: bsp, ssp, asp, ... */
  readonly mode: string;
  /** The most workers, and with how few it goes on. */
  readonly workers: number;
  readonly workersMin: number;
  /** With how many it begins. */
  readonly workersAtStart: number;
  readonly servers: number;
  readonly seed: number;
  /** Null where nothing names it. */
  readonly model: string | null;
  readonly data: string | null;
  readonly epochs: number;
  /** Global steps. */
  readonly maxSteps: number | null;
  readonly batchSize: number;
  /** Examples. */
  readonly trainLimit: number | null;
  /** Any option's value, defaults included, as its type prints it. */
  readonly print: (name: string) => string;
}

/** One run of the suite. */
export interface Cell {
  /** `experiment_name`, such as sync_4workers_servers2_run1. */
  readonly name: string;
  /** What repeats and seeds of the same cell have in common: the name without these. */
  readonly group: string;
  /** From 1. */
  readonly run: number;
  /** What the matrix says of it, by option. */
  readonly values: OptionTexts;
  readonly facts: CellFacts;
  readonly priority: Priority;
  readonly fingerprint: string;
  /** Options whose values make up the name beside mode and workers. */
  readonly varying: readonly string[];
}

/** The cells in the order of the matrix. */
export interface Expansion {
  readonly cells: readonly Cell[];
  /** Rules that changed nothing, which may be mistakes. */
  readonly warnings: readonly string[];
}

/** A cell before its repeats and its name. */
interface Draft {
  readonly place: string;
  readonly values: OptionTexts;
  readonly facts: CellFacts;
}

const cellsMax = 10_000;
const nameMax = 90;

/** Makes the cells. */
export function expandMatrix(file: MatrixFile, options: RunOptions): Expansion {
  refuseEnvironment(file, options);
  const used = new Set<object>();
  const drafts = draftsOf(file, options, used);
  if (drafts.length === 0) throw usage(`${file.path} has no cell left; remove an exclude`);
  const varying = varyingOptions(file, drafts);
  const cells = drafts.flatMap((draft) =>
    Array.from({ length: file.repeats }, (_, index) =>
      cellOf(draft, index + 1, { file, options, varying, used }),
    ),
  );
  refuseDuplicates(cells, file.path);
  const rules = [...file.when, ...file.exclude, ...file.priority];
  const idle = rules.filter((rule) => !used.has(rule));
  return { cells, warnings: idle.map(({ place }) => `${place} matches no cell of the matrix`) };
}

function draftsOf(file: MatrixFile, options: RunOptions, used: Set<object>): Draft[] {
  const environment = [...options.fromEnvironment]
    .filter(([, { isPlace }]) => !isPlace)
    .map(([name, { text }]) => [name, text] as const);
  const draft = (own: OptionTexts, place: string): Draft => {
    const values = new Map([...environment, ...file.base]);
    const seen = options.apart(new Map([...values, ...own]));
    for (const rule of file.when) {
      if (!matches(rule.value.match, (name) => seen.get(name) ?? defaults.print(name))) continue;
      used.add(rule);
      for (const [name, text] of rule.value.set) values.set(name, text);
    }
    for (const [name, text] of own) values.set(name, text);
    const facts = options.resolve(values, place);
    const missing = facts.model === null ? "model" : facts.data === null ? "data" : null;
    if (missing === null) return { place, values, facts };
    throw usage(`${place} has no ${missing}; write ${missing}: under base`);
  };
  const matches = (match: Match, print: (name: string) => string) =>
    matching(match, print, options);
  const product = productOf(file);
  const defaults = options.resolve(new Map(), file.path);
  const place = `${file.path}, axes`;
  const kept = product
    .map((own) => ({ own, one: draft(own, `${place} ${shown(own)}`) }))
    .filter(({ one }) => {
      const rules = file.exclude.filter(({ value }) => matches(value, one.facts.print));
      for (const rule of rules) used.add(rule);
      return rules.length === 0;
    })
    .map(({ one }) => one);
  return [...kept, ...file.include.map((one) => draft(one.value, one.place))];
}

/** All combinations, the last axis running fastest; one without axes, none if only included. */
function productOf({ axes, include, path }: MatrixFile): OptionTexts[] {
  if (axes.size === 0 && include.length > 0) return [];
  const count = [...axes.values()].reduce((product, values) => product * values.length, 1);
  if (count > cellsMax) throw usage(`${path} has ${count} cells; at most ${cellsMax} are allowed`);
  let combinations: [string, string][][] = [[]];
  for (const [name, values] of axes)
    combinations = combinations.flatMap((one) =>
      values.map((value): [string, string][] => [...one, [name, value]]),
    );
  return combinations.map((one) => new Map(one));
}

interface Naming {
  readonly file: MatrixFile;
  readonly options: RunOptions;
  readonly varying: readonly string[];
  readonly used: Set<object>;
}

function cellOf(draft: Draft, run: number, naming: Naming): Cell {
  const { file, options, varying, used } = naming;
  const isOwnSeed = file.repeats > 1 && !file.axes.has("seed");
  let { values, facts } = draft;
  if (isOwnSeed) {
    values = new Map([...values, ["seed", String(facts.seed + run - 1)]]);
    facts = options.resolve(values, draft.place);
  }
  const ofGroup = varying.filter((name) => name !== "seed");
  const fingerprint = fingerprintOf(values, options);
  const repeat = file.repeats > 1 ? `_run${run}` : "";
  const rule = file.priority.find(({ value }) => matching(value.match, facts.print, options));
  if (rule !== undefined) used.add(rule);
  return {
    name: `${cellName(facts, varying, values.get("mode"))}${repeat}`,
    group: cellName(facts, ofGroup, values.get("mode")),
    run,
    values,
    facts,
    priority: rule?.value.priority ?? "medium",
    fingerprint,
    varying,
  };
}

/**
 * `sync_4workers`, then `_<option><value>` for each of the options that vary beside these; what
 * can't stand in a file's name becomes a dash. A name that is too long ends in a checksum.
 * @param word the mode as it was written, maybe with parameters: quorum:3.
 */
export function cellName(
  facts: CellFacts,
  varying: readonly string[],
  word: string = facts.mode,
): string {
  const { mode, workers, workersMin } = facts;
  const [, parameters] = /^[^:]*:(.*)$/.exec(word) ?? [];
  const shown =
    parameters === undefined ? modeWord(mode) : `${modeWord(mode)}-${plain(parameters)}`;
  const elastic = workersMin > 1 ? `_min${workersMin}` : "";
  const suffixes = varying.map((name) => {
    const value = facts.print(name) === "" ? "none" : facts.print(name);
    return `_${name}${plain(value)}`;
  });
  const name = `${shown}_${workers}workers${elastic}${suffixes.join("")}`;
  if (name.length <= nameMax) return name;
  return `${name.slice(0, nameMax - 9)}_${sha256(name).slice(0, 8)}`;
}

/** What may stand in a file's name. */
function plain(value: string): string {
  return value.replace(/[^A-Za-z0-9.]+/g, "-").replace(/^-+|-+$/g, "");
}

/** Beside mode and workers, the options of axes and inclusions that are not the same everywhere. */
function varyingOptions(file: MatrixFile, drafts: readonly Draft[]): string[] {
  const included = file.include.flatMap(({ value }) => [...value.keys()]);
  const names = new Set([...file.axes.keys(), ...included]);
  return [...names].filter((name) => {
    if (name === "mode" || name === "workers") return false;
    return new Set(drafts.map(({ facts }) => facts.print(name))).size > 1;
  });
}

/** A checksum of the options that can change what the cell measures. */
function fingerprintOf(values: OptionTexts, options: RunOptions): string {
  const told = [...values].filter(([name]) => options.matters(name)).sort();
  return sha256(JSON.stringify(told)).slice(0, 16);
}

/** True of a cell with one of the wanted values of each option: of ssp:2, with both it says. */
function matching(
  match: Match,
  print: (name: string) => string,
  options: Pick<RunOptions, "apart">,
): boolean {
  return [...match].every(([option, texts]) =>
    texts.some((text) =>
      [...options.apart(new Map([[option, text]]))].every(([name, one]) => print(name) === one),
    ),
  );
}

function refuseEnvironment(file: MatrixFile, options: RunOptions): void {
  const parts = [file.base, file.axes, ...file.include.map(({ value }) => value)];
  const named = new Set([
    ...parts.flatMap((part) => [...part.keys()]),
    ...file.when.flatMap(({ value }) => [...value.set.keys()]),
  ]);
  for (const [name, { text, variable }] of options.fromEnvironment) {
    if (!named.has(name)) continue;
    const sentence = `${variable}=${text} in the environment would override ${name}`;
    throw usage(`${sentence} of ${file.path}; unset it`);
  }
  for (const { value, place } of file.when) {
    const axis = [...value.set.keys()].find((name) => file.axes.has(name));
    if (axis !== undefined) throw usage(`${place} sets ${axis}, which is an axis; leave it out`);
  }
}

function refuseDuplicates(cells: readonly Cell[], path: string): void {
  const byName = new Map<string, Cell>();
  for (const cell of cells) {
    const other = byName.get(cell.name.toLowerCase());
    if (other !== undefined) {
      const both = `${shown(other.values)} and ${shown(cell.values)}`;
      throw usage(`two cells of ${path} have the name ${cell.name}: ${both}; remove one`);
    }
    byName.set(cell.name.toLowerCase(), cell);
  }
}

function shown(values: OptionTexts): string {
  return `(${[...values].map(([name, text]) => `${name}=${text}`).join(", ")})`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
