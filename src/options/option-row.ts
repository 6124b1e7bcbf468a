/**
 * The form of one row of the options table: everything that help, validation, environment names,
 * the config file's schema and docs/config.md say about an option.
 */

import type { ValueType } from "./option-values.js";
import type { ResolvedOptions } from "./resolved-options.js";

/** Commands that take options of the table. */
export const commandNames = [
  "train",
  "baseline",
  "coordinator",
  "server",
  "worker",
  "submit",
  "jobs",
  "status",
  "health",
  "admin",
  "ring",
  "experiments",
  "tune",
  "doctor",
  "runs",
  "parse-logs",
  "charts",
  "data",
  "ckpt",
  "eval",
  "predict",
  "bench",
  "certs",
  "aws",
  "completion",
] as const;
/** One of them. */
export type CommandName = (typeof commandNames)[number];

/** The table's groups, in the order in which help and the documents show them. */
export const optionGroups = [
  "cluster",
  "pace",
  "training",
  "input",
  "wire",
  "keeping",
  "showing",
  "trying",
] as const;
/** One of the groups. */
export type OptionGroup = (typeof optionGroups)[number];

/** Names and values as a process gets them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Another environment name that an option is read from, by all its commands unless some are named.
 */
export interface EnvironmentAlias {
  readonly name: string;
  readonly commands?: readonly CommandName[];
  /** The name that holds the port where the value is a host alone. */
  readonly portFrom?: string;
  /** True where the port of that name is of something else. */
  readonly isForeignPort?: (environment: Environment) => boolean;
  /** The variable means the option only where this holds; always if left out. */
  readonly holds?: (environment: Environment) => boolean;
  /** The value in the variable's text; null where the text has another form than it always has. */
  readonly take?: (text: string) => string | null;
  /** Says less than others do, and yields to them without a word. */
  readonly isWeak?: boolean;
}

/** Says that an option means something only while another has one of these values. */
export interface OnlyWith {
  readonly key: keyof ResolvedOptions;
  readonly values: readonly string[];
}

/** A default that follows from another option, where somebody has written that. */
export interface DefaultBeside<T> {
  readonly key: keyof ResolvedOptions;
  /** True of those values of the other option that it follows from. */
  holds(value: unknown): boolean;
  readonly value: T;
}

/** One row of the table. */
export interface OptionRow<T> {
  /** As on the command line, without the dashes; the config file and --set use the same name. */
  readonly name: string;
  readonly short?: string;
  /** Further names, from systems whose users come here; read wherever the name is. */
  readonly otherNames?: readonly string[];
  readonly type: ValueType<T>;
  readonly default: T;
  /** Where a command's default is another. */
  readonly defaults?: Readonly<Partial<Record<CommandName, T>>>;
  /** Works the default out where it depends on the user's environment. */
  readonly defaultFrom?: (environment: Environment) => T;
  /**
   * The default where the option of `onlyWith` comes from another system's variable in that
   * system's word, which means more there than the option's value does here.
   */
  readonly defaultWith?: { readonly variable: string; readonly text: string; readonly value: T };
  /**
   * The default where another option is written in some way; every command that has this option
   * has that one.
   */
  readonly defaultBeside?: DefaultBeside<T>;
  /** The default under --fast. */
  readonly fast?: T;
  /** What the documents say of the default where the value itself says too little. */
  readonly defaultText?: string;
  readonly unit?: string;
  readonly sentence: string;
  readonly group: OptionGroup;
  readonly commands: readonly CommandName[];
  readonly aliases?: readonly EnvironmentAlias[];
  readonly onlyWith?: OnlyWith;
}

/** A row for each field of some of the options. */
export type OptionRows<Fields> = { readonly [Key in keyof Fields]-?: OptionRow<Fields[Key]> };

/** Commands that define a run, cluster included. */
export const runCommands = ["train", "coordinator", "submit"] as const;

/** Commands that define what is trained. */
export const trainingCommands = ["train", "baseline", "coordinator", "submit"] as const;

/** Commands that take part in a run. */
export const partCommands = ["train", "coordinator", "server", "worker"] as const;
