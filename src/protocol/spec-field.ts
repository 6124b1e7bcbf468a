/**
 * The words in which the table of a run's spec is written: a field is a whole number between two
 * bounds, a word of a list, a record of fields. Each is plain data that reads a value, so that the
 * type of the spec, its validation, its form on the wire and the options that fill it all follow
 * from the same row.
 *
 * Invariant: what `read` gives holds the fields of the table and no others, each within its bounds;
 * it never throws, whatever the value is.
 */

import { type Interval, intervalOf, type Range, rangeProblem, rangeText } from "./interval.js";

/** A value within its bounds, or what is wrong with it: "epochs is 0, it must be from 1 to 9". */
export type Reading<T> = { readonly value: T } | { readonly problem: string };

/** What may stand in a field. */
export interface Field<T> {
  readonly kind: FieldShape["kind"];
  /** `path` names the field in a problem. */
  read(value: unknown, path: string): Reading<T>;
  /** What holds where the writer of a checkpoint did not know the field. */
  readonly absent?: { readonly value: T };
}

/** Fields by name. */
export type FieldTable = Readonly<Record<string, Field<unknown>>>;

/** The type of a field's value. */
export type ValueOf<F> = F extends Field<infer T> ? T : never;

/** The type of a record with these fields. */
export type SpecOf<Fields> = { readonly [Name in keyof Fields]: ValueOf<Fields[Name]> };

/** A whole number. */
export interface WholeField extends Field<number> {
  readonly kind: "whole";
  readonly min: number;
  readonly max: number;
}

/** A finite number; as a `share` it may be written as a percentage. */
export interface RealField extends Field<number> {
  readonly kind: "real" | "share";
  readonly interval: Interval;
}

/** Yes or no. */
export interface FlagField extends Field<boolean> {
  readonly kind: "flag";
}

/** A text. */
export interface TextField<Text extends string = string> extends Field<Text> {
  readonly kind: "text";
  /** One of each kind, where not every text may stand there. */
  readonly examples?: readonly Text[];
}

/** A word of a closed list. */
export interface WordField<Word extends string> extends Field<Word> {
  readonly kind: "word";
  readonly words: readonly Word[];
}

/** A value, or null. */
export interface NullableField<T> extends Field<T | null> {
  readonly kind: "nullable";
  readonly of: Field<T>;
}

/** Several values. */
export interface ListField<T, List extends readonly T[] = readonly T[]> extends Field<List> {
  readonly kind: "list";
  readonly of: Field<T>;
  readonly lengthMax: number;
}

/** A record. */
export interface RecordField<T> extends Field<T> {
  readonly kind: "record";
  readonly fields: FieldTable;
}

/** A value that somebody else reads and writes. */
export interface OpaqueField<T> extends Field<T> {
  readonly kind: "opaque";
}

/** Every kind of field, for a `switch`. */
export type FieldShape =
  | WholeField
  | RealField
  | FlagField
  | TextField
  | WordField<string>
  | NullableField<unknown>
  | ListField<unknown>
  | RecordField<unknown>
  | OpaqueField<unknown>;

/** A whole number from `min` to `max`, both included. */
export function whole(min = 0, max: number = Number.MAX_SAFE_INTEGER): WholeField {
  return {
    kind: "whole",
    min,
    max,
    read: (value, path) =>
      Number.isInteger(value)
        ? within(value as number, path, min, max)
        : not("a whole number")(value, path),
  };
}

/** A number of a range. */
export function real(range: Range): RealField {
  const interval = intervalOf(range);
  return {
    kind: "real",
    interval,
    read(value, path) {
      if (typeof value !== "number" || !Number.isFinite(value))
        return not("a finite number")(value, path);
      const problem = rangeProblem(value, interval);
      if (problem === null) return { value };
      return { problem: `${path} is ${value}, it ${problem}; it must be ${rangeText(interval)}` };
    },
  };
}

/** A number from 0 to 1. */
export const share: RealField = { ...real("[0, 1]"), kind: "share" };

/** Yes or no. */
export const flag: FlagField = {
  kind: "flag",
  read: (value, path) =>
    typeof value === "boolean" ? { value } : not("true or false")(value, path),
};

/** A text of at most so many bytes. */
export function text(bytesMax: number): TextField {
  return {
    kind: "text",
    read(value, path) {
      if (typeof value !== "string") return not("a text")(value, path);
      const bytes = new TextEncoder().encode(value).length;
      if (bytes <= bytesMax) return { value };
      return { problem: `${path} has ${bytes} bytes, at most ${bytesMax} are allowed` };
    },
  };
}

/** A text of a form of its own, of which `examples` show each kind. */
export function formed<Text extends string>(
  parse: (text: string) => Reading<Text>,
  examples: readonly Text[],
): TextField<Text> {
  return {
    kind: "text",
    examples,
    read(value, path) {
      const reading = typeof value === "string" ? parse(value) : { problem: "is not a text" };
      if ("value" in reading) return reading;
      const known = `it is one of ${examples.join(", ")}`;
      return { problem: `${path} ${shownValue(value)} ${reading.problem}; ${known}` };
    },
  };
}

/** A word of a closed list. */
export function oneOf<const Word extends string>(words: readonly Word[]): WordField<Word> {
  return {
    kind: "word",
    words,
    read(value, path) {
      const known = words.find((word) => word === value);
      if (known !== undefined) return { value: known };
      const shown = shownValue(value);
      return {
        problem: `${path} has the unknown value ${shown}; it is one of ${words.join(", ")}`,
      };
    },
  };
}

/** Null, or what another field holds. */
export function nullable<T>(of: Field<T>): NullableField<T> {
  return {
    kind: "nullable",
    of,
    read: (value, path) => (value === null ? { value } : of.read(value, path)),
  };
}

/** At most so many values. */
export function list<T>(of: Field<T>, lengthMax: number): ListField<T> {
  return {
    kind: "list",
    of,
    lengthMax,
    read(value, path) {
      if (!Array.isArray(value)) return not("a list")(value, path);
      if (value.length > lengthMax) {
        const many = `${path} has ${value.length} entries`;
        return { problem: `${many}, at most ${lengthMax} are allowed` };
      }
      const values: T[] = [];
      for (const one of value) {
        const reading = of.read(one, `${path}[]`);
        if ("problem" in reading) return reading;
        values.push(reading.value);
      }
      return { value: values };
    },
  };
}

/** Channels, height and width of a picture. */
export function triple<T>(of: Field<T>): ListField<T, readonly [T, T, T]> {
  const some = list(of, 3);
  return {
    kind: "list",
    of,
    lengthMax: some.lengthMax,
    read(value, path) {
      const reading = some.read(value, path);
      if ("problem" in reading) return reading;
      const [first, second, third] = reading.value;
      if (first !== undefined && second !== undefined && third !== undefined)
        return { value: [first, second, third] };
      return { problem: `${path} has ${reading.value.length} extents, not 3` };
    },
  };
}

/** A record; `check` says what is wrong with the whole, or null. */
export function record<T extends object>(
  fields: { readonly [Name in keyof T]-?: Field<T[Name]> },
  check: (value: T) => string | null = () => null,
): RecordField<T> {
  return {
    kind: "record",
    fields,
    read(value, path) {
      if (typeof value !== "object" || value === null || Array.isArray(value))
        return not("a record")(value, path);
      const known: Record<string, unknown> = {};
      for (const [name, field] of Object.entries<Field<unknown>>(fields)) {
        const found: unknown = Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
        const reading = readOr(field, found, path === "" ? name : `${path}.${name}`);
        if ("problem" in reading) return reading;
        known[name] = reading.value;
      }
      const problem = check(known as T);
      if (problem === null) return { value: known as T };
      return { problem: path === "" ? problem : `${path}: ${problem}` };
    },
  };
}

/** A value that is read and written by functions that stand beside the table; here it passes. */
export function opaque<T>(): OpaqueField<T> {
  return { kind: "opaque", read: (value) => ({ value: value as T }) };
}

/** A field that came later: `value` holds where the writer of a checkpoint did not know it. */
export function addedLater<T, F extends Field<T>>(field: F & Field<T>, value: NoInfer<T>): F {
  return { ...field, absent: { value } };
}

function readOr<T>(field: Field<T>, value: unknown, path: string): Reading<T> {
  if (value !== undefined) return field.read(value, path);
  return field.absent ?? { problem: `${path} is missing` };
}

function within(value: number, path: string, min: number, max: number): Reading<number> {
  if (value >= min && value <= max) return { value };
  return { problem: `${path} is ${value}, it must be from ${min} to ${max}` };
}

function not(wanted: string): (value: unknown, path: string) => { readonly problem: string } {
  return (value, path) => ({ problem: `${path} is ${shownValue(value)}, ${wanted} is needed` });
}

function shownValue(value: unknown): string {
  return typeof value === "object" ? (value === null ? "null" : "an object") : String(value);
}
