/**
 * What a value of an option may look like: from text to value and back, with the words that a
 * refusal and the documents use. Flags, the environment, --set and the config file all arrive as
 * text, so a value means the same wherever it is written.
 */

import { isIPv6, joinHostPort, parseHostPort } from "../protocol/host-port.js";
import type { AugmentSpec } from "../protocol/input-spec.js";
import {
  type Interval,
  intervalOf,
  type Range,
  rangeProblem,
  rangeSchema,
  rangeText,
} from "../protocol/interval.js";
import type { Cadence, TimedCadence } from "../protocol/plan/cadence.js";
import { serversMax } from "../protocol/run-spec.js";
import { etcdAddressIn, isEtcd } from "../store/etcd/etcd-address.js";
import { expandHome } from "../store/home-path.js";
import { runNameProblem, runNameWanted } from "../store/runs/run-directory.js";
import { alternatives } from "../suggest.js";
import type { ServerRange, WorkerRange } from "./resolved-options.js";

/** A parsed value, or what is wrong with the text ("is below 1"). */
export type Parsed<T> = { readonly value: T } | { readonly problem: string };

/** How one kind of value is read, shown and described. */
export interface ValueType<T> {
  /** What help shows for the value; "" for a switch. */
  readonly placeholder: string;
  /** What may be written, to follow "write ". */
  readonly wanted: string;
  parse(text: string): Parsed<T>;
  print(value: T): string;
  /** JSON schema of the value in a config file. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** The words that are accepted, where there is a closed set of them. */
  readonly choices?: readonly string[];
  /** The numbers that are accepted, where the value is one number. */
  readonly interval?: Interval;
  /** Between several values in one text; such an option may be given more than once. */
  readonly separator?: string;
}

/** A whole number between two bounds, both included. */
export function whole(min: number, max: number, placeholder = "count"): ValueType<number> {
  return {
    placeholder,
    wanted: `a whole number from ${min} to ${max}`,
    parse(text) {
      if (!/^[+-]?\d+$/.test(text)) return { problem: "is not a whole number" };
      return within(Number(text), min, max);
    },
    print: String,
    interval: { min, max, minIncluded: true, maxIncluded: true },
    schema: { type: "integer", minimum: min, maximum: max },
  };
}

/** A number of a range. */
export function real(range: Range, placeholder = "number"): ValueType<number> {
  return realWithin(intervalOf(range), placeholder);
}

/** A number of a range that is taken apart. */
export function realWithin(interval: Interval, placeholder = "number"): ValueType<number> {
  return {
    placeholder,
    wanted: rangeText(interval),
    parse(text) {
      const value = decimal(text);
      if (value === null) return { problem: "is not a number" };
      const problem = rangeProblem(value, interval);
      return problem === null ? { value } : { problem };
    },
    print: String,
    interval,
    schema: { type: "number", ...rangeSchema(interval) },
  };
}

/** A number in decimal digits, with a sign and a power of ten where it has them; else null. */
function decimal(text: string): number | null {
  const value = Number(text);
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(value)
    ? value
    : null;
}

const shareInterval = intervalOf("[0, 1]");

/** A share of something: 0.05 or 5%. */
export const share: ValueType<number> = {
  placeholder: "share",
  wanted: "a share such as 0.05 or 5%",
  parse(text) {
    const percent = text.endsWith("%");
    const value = decimal(percent ? text.slice(0, -1) : text);
    if (value === null) return { problem: "is not a share" };
    const part = percent ? value / 100 : value;
    const problem = rangeProblem(part, shareInterval);
    return problem === null ? { value: part } : { problem };
  },
  print: String,
  interval: shareInterval,
  schema: { type: ["number", "string"] },
};

/** Any text but the empty one. */
export function text(placeholder: string, wanted: string): ValueType<string> {
  return {
    placeholder,
    wanted,
    parse: (value) => (value === "" ? { problem: "is empty" } : { value }),
    print: (value) => value,
    schema: { type: "string", minLength: 1 },
  };
}

/** The path of a folder or file; a ~ before it is the user's home folder. */
export function path(placeholder: string, wanted: string): ValueType<string> {
  const plain = text(placeholder, wanted);
  return {
    ...plain,
    parse(written) {
      const expanded = expandHome(written);
      if ("problem" in expanded) return expanded;
      return plain.parse(expanded.path);
    },
  };
}

/** The name of a run, which is that of its folder. */
export const runName: ValueType<string> = {
  placeholder: "name",
  wanted: runNameWanted,
  parse(name) {
    const problem = name === "" ? "is empty" : runNameProblem(name);
    return problem === null ? { value: name } : { problem };
  },
  print: (name) => name,
  schema: { type: "string", minLength: 1 },
};

/** A name that a folder may have; `known` are those that need none. */
export function folderName(known: readonly string[], other: string): ValueType<string> {
  return {
    placeholder: "name",
    wanted: `${known.join(", ")}, or ${other}`,
    parse(name) {
      if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return { value: name };
      return { problem: "is not a plain name" };
    },
    print: (name) => name,
    schema: { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$", examples: known },
  };
}

/** Yes or no. */
export const toggle: ValueType<boolean> = {
  placeholder: "",
  wanted: "true or false",
  parse(word) {
    if (/^(true|yes|on|1)$/i.test(word)) return { value: true };
    if (/^(false|no|off|0)$/i.test(word)) return { value: false };
    return { problem: "is neither true nor false" };
  },
  print: String,
  schema: { type: "boolean" },
};

/** What is done to training examples: none, or some of crop, flip and standardise. */
export const augmentation: ValueType<AugmentSpec> = {
  placeholder: "crop,flip,...",
  wanted: "none, or some of crop (or crop:4, its padding in pixels), flip and standardise",
  parse(text) {
    const augment = { cropPadding: 0, flip: false, standardise: false };
    const words = text.split(",").map((word) => word.trim());
    const kinds = words.map((word) => word.split(":")[0]);
    const twice = kinds.find((kind, index) => kinds.indexOf(kind) < index);
    if (twice !== undefined) return { problem: `has ${twice} twice` };
    for (const word of words) {
      const crop = /^crop(?::(\d{1,3}))?$/.exec(word);
      if (crop !== null) augment.cropPadding = Number(crop[1] ?? 4);
      else if (word === "flip") augment.flip = true;
      else if (word === "standardise") augment.standardise = true;
      else if (word !== "none" || words.length > 1) return { problem: "is unknown" };
    }
    return { value: augment };
  },
  print({ cropPadding, flip, standardise }) {
    const words = [
      ...(cropPadding > 0 ? [`crop:${cropPadding}`] : []),
      ...(flip ? ["flip"] : []),
      ...(standardise ? ["standardise"] : []),
    ];
    return words.length === 0 ? "none" : words.join(",");
  },
  schema: { type: "string", minLength: 1 },
};

/** One of some words; `aliases` maps other words to them. */
export function choice<const T extends string>(
  words: readonly T[],
  aliases: Readonly<Record<string, T>> = {},
): ValueType<T> {
  const aliasOf = (word: string) => (Object.hasOwn(aliases, word) ? aliases[word] : undefined);
  return {
    placeholder: words.join("|"),
    wanted: alternatives(words),
    parse(word) {
      const found = words.find((known) => known === word) ?? aliasOf(word);
      return found === undefined ? { problem: "is unknown" } : { value: found };
    },
    print: (word) => word,
    schema: { enum: [...words, ...Object.keys(aliases)] },
    choices: words,
  };
}

const durationUnits = [
  ["h", 3_600_000],
  ["m", 60_000],
  ["min", 60_000],
  ["s", 1000],
  ["ms", 1],
] as const;

/** A length of time such as 250ms, 30s, 5m or 1h; the value is in milliseconds. */
export function duration(minMs: number, maxMs: number): ValueType<number> {
  return {
    placeholder: "time",
    wanted: `a time from ${printDuration(minMs)} to ${printDuration(maxMs)}, such as 250ms or 30s`,
    parse(text) {
      const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|min|h)$/.exec(text) ?? [];
      if (digits === undefined) return { problem: "is not a time" };
      const short = unit === "min" ? "m" : unit;
      const factor = durationUnits.find(([name]) => name === short)![1];
      return within(Number(digits) * factor, minMs, maxMs, printDuration);
    },
    print: printDuration,
    schema: { type: "string", pattern: "^\\d+(\\.\\d+)?(ms|s|m|min|h)$" },
  };
}

/** 1500 as "1500ms", 30000 as "30s". */
export function printDuration(milliseconds: number): string {
  const [name, factor] = durationUnits.find(([, size]) => milliseconds % size === 0) ?? ["ms", 1];
  return milliseconds === 0 ? "0s" : `${milliseconds / factor}${name}`;
}

/** The most steps, epochs or seconds between two times. */
const cadenceMax = 2_000_000_000;

/** Every so many global steps or epochs: 5it, 1e. */
export const cadence: ValueType<Cadence> = {
  placeholder: "cadence",
  wanted: "a count of steps such as 5it, or of epochs such as 1e",
  parse(text) {
    const [, digits, unit] = /^(\d+)(it|e)$/.exec(text) ?? [];
    if (digits === undefined) return { problem: "is not a cadence" };
    const count = within(Number(digits), 1, cadenceMax);
    if ("problem" in count) return count;
    return { value: { unit: unit === "e" ? "epoch" : "step", count: count.value } };
  },
  // A program may give a unit that there is not: its text is then refused.
  print: ({ unit, count }) => `${count}${{ epoch: "e", step: "it" }[unit] ?? ` ${unit}`}`,
  schema: { type: "string", pattern: "^\\d+(it|e)$" },
};

const timeUnits = { s: 1, m: 60, min: 60, h: 3600 } as const;

/** A cadence, or every so much time: 5it, 1e, 10min. */
export const timedCadence: ValueType<TimedCadence> = {
  placeholder: "cadence",
  wanted: "a count of steps such as 500it, of epochs such as 1e, or a time such as 5min",
  parse(text) {
    const [, digits, unit] = /^(\d+)(s|m|min|h)$/.exec(text) ?? [];
    if (digits === undefined) return cadence.parse(text);
    const seconds = Number(digits) * timeUnits[unit as keyof typeof timeUnits];
    const count = within(seconds, 1, cadenceMax, (bound) => `${bound}s`);
    return "problem" in count ? count : { value: { unit: "second", count: count.value } };
  },
  print({ unit, count }) {
    if (unit !== "second") return cadence.print({ unit, count });
    if (count % 3600 === 0) return `${count / 3600}h`;
    return count % 60 === 0 ? `${count / 60}min` : `${count}s`;
  },
  schema: { type: "string", pattern: "^\\d+(it|e|s|m|min|h)$" },
};

/** Of any type, or the word "none" for null. */
export function optional<T>(
  type: ValueType<T>,
  wanted = `${type.wanted}, or none`,
): ValueType<T | null> {
  return {
    ...type,
    wanted,
    parse: (text) => (text === "none" ? { value: null } : type.parse(text)),
    print: (value) => (value === null ? "none" : type.print(value)),
    schema: { anyOf: [type.schema, { enum: ["none", null] }] },
  };
}

/** What one type has, or a word that stands for another choice. */
export function orWord<T, const Word extends string>(
  word: Word,
  type: ValueType<T>,
): ValueType<T | Word> {
  return {
    ...type,
    wanted: `${type.wanted}, or ${word}`,
    parse: (text) => (text === word ? { value: word } : type.parse(text)),
    print: (value) => (value === word ? word : type.print(value as T)),
    schema: { anyOf: [type.schema, { enum: [word] }] },
  };
}

/** Several of one type, at most so many; in one text they stand apart by the separator. */
export function listOf<T>(
  type: ValueType<T>,
  separator: "," | ";",
  lengthMax = 1024,
): ValueType<readonly T[]> {
  return {
    placeholder: separator === "," ? `${type.placeholder},...` : type.placeholder,
    wanted: separator === "," ? `${type.wanted}, several with commas` : type.wanted,
    separator,
    parse(text) {
      const values: T[] = [];
      for (const part of text.split(separator).filter((one) => one.trim() !== "")) {
        const parsed = type.parse(part.trim());
        if ("problem" in parsed) return parsed;
        values.push(parsed.value);
      }
      if (values.length <= lengthMax) return { value: values };
      return { problem: `has ${values.length} entries, more than ${lengthMax}` };
    },
    print: (values) => values.map((value) => type.print(value)).join(separator),
    schema: { anyOf: [type.schema, { type: "array", items: type.schema }] },
  };
}

/** The most workers of one run. */
export const workersMax = 1024;

/** 4 for one to four workers, 2:8 to begin with two, go on with at least two, take up to eight. */
export const workerRange: ValueType<WorkerRange> = {
  ...rangeWords(workersMax),
  parse(text) {
    const range = parseRange(text, "workers", workersMax);
    if ("problem" in range) return range;
    const { min, max } = range.ends;
    return { value: min === null ? { min: 1, max } : { min, max, start: min } };
  },
  print: ({ min, max, start }) => (start === undefined ? String(max) : `${min}:${max}`),
};

/** 2 for two servers, 2:4 to begin with two, go on with at least two, take up to four. */
export const serverRange: ValueType<ServerRange> = {
  ...rangeWords(serversMax),
  parse(text) {
    const range = parseRange(text, "servers", serversMax);
    if ("problem" in range) return range;
    const { min, max } = range.ends;
    return { value: { min: min ?? max, max } };
  },
  print: ({ min, max }) => (min === max ? String(max) : `${min}:${max}`),
};

function rangeWords(most: number): Pick<ValueType<unknown>, "placeholder" | "wanted" | "schema"> {
  return {
    placeholder: "count",
    wanted: `a whole number from 1 to ${most}, or two such as 2:8`,
    schema: { type: ["integer", "string"] },
  };
}

type ParsedRange =
  | { readonly problem: string }
  | { readonly ends: { readonly min: number | null; readonly max: number } };

/** A count, or the two ends of a range; `min` is null where one number is written. */
function parseRange(text: string, what: string, most: number): ParsedRange {
  const [, first, second] = /^(\d+)(?::(\d+))?$/.exec(text) ?? [];
  if (first === undefined) return { problem: `is not a count of ${what}` };
  const max = Number(second ?? first);
  const min = second === undefined ? null : Number(first);
  if (max > most) return { problem: `is above ${most}` };
  if ((min ?? max) < 1) return { problem: "is below 1" };
  if (min !== null && min > max) return { problem: "has its minimum above its maximum" };
  return { ends: { min, max } };
}

/** host:port, with this port where none is written; null demands one. */
export function address(portDefault: number | null): ValueType<string> {
  return {
    placeholder: "host:port",
    wanted: "host:port, such as 127.0.0.1:8000 or [::1]:8000",
    parse(text) {
      const parts = parseHostPort(text);
      if ("problem" in parts) return parts;
      const port = parts.port ?? portDefault;
      if (port === null) return { problem: "has no port" };
      if (port === 0) return { problem: "has the port 0" };
      return { value: joinHostPort(parts.host, port) };
    },
    print: (value) => value,
    schema: { type: "string", minLength: 1 },
  };
}

/** The same of several, with commas between. */
export function addresses(portDefault: number | null): ValueType<string> {
  const one = address(portDefault);
  return {
    ...one,
    parse(text) {
      const values: string[] = [];
      for (const part of text.split(",")) {
        const parsed = one.parse(part.trim());
        if ("problem" in parsed) return parsed;
        values.push(parsed.value);
      }
      return { value: values.join(",") };
    },
  };
}

/** Where a coordinator keeps its state: in the run's folder, or in an etcd. */
export const stateStore: ValueType<string> = {
  placeholder: "file|etcd://host:2379",
  wanted: "file or the address of an etcd, such as etcd://127.0.0.1:2379/paceline",
  parse(text) {
    if (text === "file") return { value: text };
    if (!isEtcd(text)) return { problem: "is no store" };
    const parsed = etcdAddressIn(text);
    return "problem" in parsed ? parsed : { value: text };
  },
  print: (value) => value,
  schema: { type: "string", pattern: "^(file|etcd://.+)$" },
};

/** A name or address of this machine, without a port. */
export const host: ValueType<string> = {
  placeholder: "address",
  wanted: "an address of this machine, such as 127.0.0.1 or ::1",
  parse(text) {
    const parts = parseHostPort(text);
    // Without a port of its own there is nothing that an IPv6 address could be mistaken for.
    if (isIPv6(text)) return { value: text };
    if ("problem" in parts) return { problem: "is not an address" };
    return parts.port === null ? { value: parts.host } : { problem: "has a port" };
  },
  print: (value) => value,
  schema: { type: "string", minLength: 1 },
};

function within(
  value: number,
  min: number,
  max: number,
  print: (bound: number) => string = String,
): Parsed<number> {
  if (value < min) return { problem: `is below ${print(min)}` };
  if (value > max) return { problem: `is above ${print(max)}` };
  return { value };
}
