/**
 * The rows of the options that fill a field of a run's spec. They follow from the spec's table in
 * `protocol`; what stands here is how a kind of field is written as text, and which commands take
 * an option besides those that define a run.
 */
import {
  compressionSpecFields,
  pullCompressions,
  pushCompressions,
} from "../protocol/compression.js";
import { inputFields } from "../protocol/input-spec.js";
import { parseReduce, type Reduce, reductions } from "../protocol/reduction.js";
import type { RunOptions } from "../protocol/run-options.js";
import { type Feed, runFields } from "../protocol/run-spec.js";
import type { Field, FieldShape, FieldTable } from "../protocol/spec-field.js";
import { type FoundOption, optionsIn } from "../protocol/spec-option.js";
import { alternatives } from "../suggest.js";
import {
  type CommandName,
  type DefaultBeside,
  type OptionRow,
  type OptionRows,
  runCommands,
  trainingCommands,
} from "./option-row.js";
import {
  augmentation,
  cadence,
  choice,
  listOf,
  optional,
  realWithin,
  share,
  timedCadence,
  toggle,
  type ValueType,
  whole,
} from "./option-values.js";
import { compression } from "./options-wire.js";
import type { WorkerRange } from "./resolved-options.js";

/** Commands that take an option of a run although they define none, with their own default. */
const alsoTaken: {
  readonly [Key in keyof RunOptions]?: {
    readonly commands: readonly CommandName[];
    readonly defaults?: OptionRow<RunOptions[Key]>["defaults"];
  };
} = {
  chunkValues: { commands: ["ring"] },
  virtualNodes: { commands: ["ring"] },
  loadBound: { commands: ["ring"] },
  engine: { commands: ["eval", "predict"] },
};

const reduction: ValueType<Reduce> = {
  placeholder: reductions.join("|"),
  wanted: alternatives(reductions),
  parse: parseReduce,
  print: String,
  choices: reductions,
  schema: { type: "string", pattern: "^(mean|sum|median|trimmed:[0-9.e-]+)$" },
};

/** Workers that come and go are dealt a batch at a time: no example stays with one that went. */
const feedOfRange: DefaultBeside<Feed> = {
  key: "workers",
  holds: (value) => (value as WorkerRange).start !== undefined,
  value: "leased",
};

/** Defaults that follow from options which are no fields of a run's spec. */
const defaultsBeside: { readonly [Key in keyof RunOptions]?: DefaultBeside<RunOptions[Key]> } = {
  feed: feedOfRange,
};

/** How fields of the table that are more than a word or a number are written as one text. */
const writtenRecords = new Map<Field<unknown>, ValueType<unknown>>([
  [runFields.evaluateEvery.of, cadence],
  [runFields.checkpointEvery.of, timedCadence],
  [inputFields.augment, augmentation],
  [runFields.reduce, reduction],
  [compressionSpecFields.push, compression(pushCompressions)],
  [compressionSpecFields.pull, compression(pullCompressions)],
]);

/** The rows, in the order of the table. */
export const runOptionRows = Object.fromEntries(
  allOptions(runFields).map((found) => [found.option.key, rowFrom(found)]),
) as unknown as OptionRows<RunOptions>;

/** The options of a table and of the records in it. */
function allOptions(fields: FieldTable): FoundOption[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const own = optionsIn({ [name]: field });
    const { kind } = field;
    if (own.length > 0 || kind !== "record") return own;
    return allOptions((field as FieldShape & { readonly kind: "record" }).fields);
  });
}

function rowFrom({ field, option }: FoundOption): OptionRow<unknown> {
  const { key, name, placeholder, mayBeUnset, scope, onlyWith, ...shown } = option;
  const type = typeOf(field, placeholder);
  const also = alsoTaken[key as keyof RunOptions];
  const beside = defaultsBeside[key as keyof RunOptions];
  return {
    ...shown,
    name: name ?? key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
    type: mayBeUnset ? optional(type) : type,
    commands: [...(scope === "run" ? runCommands : trainingCommands), ...(also?.commands ?? [])],
    ...(also?.defaults === undefined ? {} : { defaults: also.defaults }),
    ...(beside === undefined ? {} : { defaultBeside: beside as DefaultBeside<unknown> }),
    ...(onlyWith === undefined ? {} : { onlyWith: onlyWith as NonNullable<OnlyWith> }),
  };
}

type OnlyWith = OptionRow<unknown>["onlyWith"];

function typeOf(field: Field<unknown>, placeholder?: string): ValueType<unknown> {
  const written = writtenRecords.get(field);
  if (written !== undefined) return written;
  const shape = field as FieldShape;
  switch (shape.kind) {
    case "whole":
      return whole(shape.min, shape.max, placeholder);
    case "real":
      return realWithin(shape.interval, placeholder);
    case "share":
      return share;
    case "flag":
      return toggle;
    case "word":
      return choice(shape.words);
    case "nullable":
      return optional(typeOf(shape.of, placeholder));
    case "list":
      return listOf(typeOf(shape.of, placeholder), ",", shape.lengthMax);
    default:
      throw new Error(`assertion failed: an option can't be a ${shape.kind}`);
  }
}
