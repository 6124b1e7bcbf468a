/**
 * What the table of a run's spec says of a field that the user sets: how the option is called, what
 * it is when nobody says anything, and the sentence that help and the documents show. From these
 * rows `options` makes its own.
 *
 * Invariant: an option and the field that it fills have one type, so that filling needs no mapping;
 * where a value has to be computed the compiler asks for it.
 */
import type { Field, FieldTable, ValueOf } from "./spec-field.js";

/** Which commands take the option: those that define a cluster's run, or the baseline as well. */
export type OptionScope = "run" | "training";

/** Where help shows the option. */
export type RunOptionGroup =
  | "cluster"
  | "pace"
  | "training"
  | "input"
  | "wire"
  | "keeping"
  | "showing";

/** What there is to say of an option besides its key. */
export interface OptionWords<T> {
  /** On the command line and in files; the key with dashes if not given. */
  readonly name?: string;
  readonly short?: string;
  /** Further names, from systems whose users come here. */
  readonly otherNames?: readonly string[];
  readonly default: T;
  /** The default under --fast. */
  readonly fast?: T;
  /** What the documents say of the default where the value itself says too little. */
  readonly defaultText?: string;
  /** What help shows for a number. */
  readonly placeholder?: string;
  readonly unit?: string;
  readonly sentence: string;
  readonly group: RunOptionGroup;
  readonly scope: OptionScope;
  /** It means something only while the option of this key has one of these values. */
  readonly onlyWith?: { readonly key: string; readonly values: readonly string[] };
}

/** An option: `key` is its field in the options as a command gets them. */
export interface RunOption<Key extends string, T> extends OptionWords<T> {
  readonly key: Key;
  /** True where it may be left unset, as null, and the field's value is then computed. */
  readonly mayBeUnset: boolean;
}

/** A field that an option fills. */
export interface WithOption<Key extends string, T> {
  readonly option: RunOption<Key, T>;
}

/** A field that the option of this key fills as it is. */
export function option<const Key extends string, F extends Field<unknown>>(
  key: Key,
  field: F,
  words: OptionWords<ValueOf<F>>,
): F & WithOption<Key, ValueOf<F>> {
  return { ...field, option: { ...words, key, mayBeUnset: false } };
}

/** A field whose option is null until somebody sets it. */
export function unsetOption<const Key extends string, F extends Field<unknown>>(
  key: Key,
  field: F,
  words: Omit<OptionWords<ValueOf<F> | null>, "default">,
): F & WithOption<Key, ValueOf<F> | null> {
  return { ...field, option: { ...words, key, default: null, mayBeUnset: true } };
}

/** The options of a table's own fields, by key. */
export type OptionsOf<Fields> = {
  readonly [Name in keyof Fields as Fields[Name] extends WithOption<infer Key, unknown>
    ? Key
    : never]: Fields[Name] extends WithOption<string, infer T> ? T : never;
};

/** The fields of a table that options fill as they are. */
export type FilledOf<Fields> = {
  readonly [Name in keyof Fields as Fields[Name] extends WithOption<string, ValueOf<Fields[Name]>>
    ? Name
    : never]: ValueOf<Fields[Name]>;
};

/** Fills every field of a table that has an option which is not unset; the rest is computed. */
export function filled<Fields extends FieldTable>(
  fields: Fields,
  options: OptionsOf<Fields>,
): FilledOf<Fields> {
  const values = optionsIn(fields)
    .filter(({ option }) => !option.mayBeUnset)
    .map(({ name, option }) => [name, Reflect.get(options, option.key)]);
  return Object.fromEntries(values);
}

/** What the fields of a table hold where nobody sets their options. */
export function defaultsOf<Fields extends FieldTable>(fields: Fields): FilledOf<Fields> {
  const defaults = optionsIn(fields).map(({ option }) => [option.key, option.default]);
  return filled(fields, Object.fromEntries(defaults));
}

/** A field of a table with its option. */
export interface FoundOption {
  readonly name: string;
  readonly field: Field<unknown>;
  readonly option: RunOption<string, unknown>;
}

/** The fields of one table that have an option, in its order. */
export function optionsIn(fields: FieldTable): FoundOption[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const { option } = field as Field<unknown> & Partial<WithOption<string, unknown>>;
    return option === undefined ? [] : [{ name, field, option }];
  });
}
