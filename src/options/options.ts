/**
 * The one table of options, and the only place that reads the environment. Help, validation,
 * environment names, the config file, its schema and docs/config.md all come from these rows.
 */

import type { CommandName, Environment, OptionRow, OptionRows } from "./option-row.js";
import { clusterRows, paceRows } from "./options-cluster.js";
import { runOptionRows } from "./options-run.js";
import { keepingRows, showingRows } from "./options-showing.js";
import { portionRows, trainingRows } from "./options-training.js";
import { wireRows } from "./options-wire.js";
import type { ResolvedOptions } from "./resolved-options.js";

const { servers, ...otherRunRows } = runOptionRows;

/**
 * Every row, by the field of ResolvedOptions that it fills. Within a group this is the order in
 * which help and the documents show them.
 */
export const optionRows: OptionRows<ResolvedOptions> = {
  servers,
  ...clusterRows,
  ...paceRows,
  ...trainingRows,
  ...wireRows,
  ...otherRunRows,
  ...portionRows,
  ...keepingRows,
  ...showingRows,
};

/** A field of ResolvedOptions. */
export type OptionKey = keyof ResolvedOptions;

/** Every key, in the order of the table. */
export const optionKeys = Object.keys(optionRows) as readonly OptionKey[];

const keysByName = new Map(optionKeys.map((key) => [optionRows[key].name, key]));

/** Every name as written after the dashes. */
export const optionNames: readonly string[] = [...keysByName.keys()];

/** The row of a key, with the type of its value forgotten. */
export function rowOf(key: OptionKey): OptionRow<unknown> {
  return optionRows[key] as OptionRow<unknown>;
}

/** The key of a name as written after the dashes. */
export function keyOfName(name: string): OptionKey | undefined {
  return keysByName.get(name);
}

/** The keys that a command takes, in the order of the table. */
export function keysOf(command: CommandName): OptionKey[] {
  return optionKeys.filter((key) => optionRows[key].commands.includes(command));
}

const namePrefix = "PACELINE_";

/** The environment's own name of an option: PACELINE_BATCH_SIZE for batch-size. */
export function environmentName(key: OptionKey): string {
  return `${namePrefix}${optionRows[key].name.toUpperCase().replaceAll("-", "_")}`;
}

/** Reads the environment of this process. */
export function readEnvironment(): Environment {
  return process.env;
}

/** The environment without what gives an option to a command, but for those of `kept`. */
export function withoutOptions(
  environment: Environment,
  kept: readonly OptionKey[] = [],
): Environment {
  const namesOf = (key: OptionKey) => [
    environmentName(key),
    ...(optionRows[key].aliases ?? []).map(({ name }) => name),
  ];
  const keptNames = new Set(kept.flatMap(namesOf));
  const otherNames = new Set(optionKeys.flatMap(namesOf));
  const isKept = (name: string) =>
    keptNames.has(name) || !(otherNames.has(name) || name.startsWith(namePrefix));
  return Object.fromEntries(Object.entries(environment).filter(([name]) => isKept(name)));
}

/** A value of the environment and the name that it stood under. */
export interface EnvironmentValue {
  readonly name: string;
  readonly text: string;
}

/** What the environment says of an option to a command; its own name comes before its aliases. */
export function environmentValue(
  key: OptionKey,
  command: CommandName,
  environment: Environment,
): EnvironmentValue | null {
  const read = (name: string) => environment[name] || null;
  const own = environmentName(key);
  const text = read(own);
  if (text !== null) return { name: own, text };
  for (const alias of optionRows[key].aliases ?? []) {
    if (alias.commands !== undefined && !alias.commands.includes(command)) continue;
    const found = read(alias.name);
    if (found === null) continue;
    const withPort = alias.portFrom !== undefined && !/:\d+$/.test(found);
    const port = withPort ? `:${read(alias.portFrom as string) ?? defaultPort}` : "";
    return { name: alias.name, text: `${found}${port}` };
  }
  return null;
}

/** The port of a coordinator whose address names none. */
export const defaultPort = 8000;

/** Whether output may be coloured: NO_COLOR and CI say no, as does anything but a terminal. */
export function colorWelcome(environment: Environment, isTerminal: boolean): boolean {
  return isTerminal && !environment.NO_COLOR && !environment.CI;
}
