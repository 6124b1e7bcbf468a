/**
 * The one table of options, and the only place that reads the environment. Help, validation,
 * environment names, the config file, its schema and docs/config.md all come from these rows.
 */

import { PacelineError } from "../errors.js";
import { isIPv6, joinHostPort, parseHostPort } from "../protocol/host-port.js";
import type {
  CommandName,
  Environment,
  EnvironmentAlias,
  OptionRow,
  OptionRows,
} from "./option-row.js";
import { clusterRows } from "./options-cluster.js";
import { paceRows } from "./options-pace.js";
import { runOptionRows } from "./options-run.js";
import { keepingRows, showingRows } from "./options-showing.js";
import { portionRows, trainingRows } from "./options-training.js";
import { wireRows } from "./options-wire.js";
import type { ResolvedOptions } from "./resolved-options.js";
import { serviceOf } from "./service-variables.js";

/**
 * Every row, by the field of ResolvedOptions that it fills. Within a group this is the order in
 * which help and the documents show them.
 */
export const optionRows: OptionRows<ResolvedOptions> = {
  ...clusterRows,
  ...paceRows,
  ...trainingRows,
  ...wireRows,
  ...runOptionRows,
  ...portionRows,
  ...keepingRows,
  ...showingRows,
};

/** A field of ResolvedOptions. */
export type OptionKey = keyof ResolvedOptions;

/** Every key, in the order of the table. */
export const optionKeys = Object.keys(optionRows) as readonly OptionKey[];

const keysByName = new Map(optionKeys.flatMap((key) => namesOf(key).map((name) => [name, key])));

/** Every option's own name, as written after the dashes. */
export const optionNames: readonly string[] = optionKeys.map((key) => optionRows[key].name);

/** All names of an option, its own first. */
export function namesOf(key: OptionKey): readonly string[] {
  const { name, otherNames = [] } = optionRows[key] as OptionRow<unknown>;
  return [name, ...otherNames];
}

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
  const variablesOf = (key: OptionKey) => [
    environmentName(key),
    ...(optionRows[key].aliases ?? []).map(({ name }) => name),
  ];
  const keptNames = new Set(kept.flatMap(variablesOf));
  const otherNames = new Set(optionKeys.flatMap(variablesOf));
  const isKept = (name: string) =>
    keptNames.has(name) || !(otherNames.has(name) || name.startsWith(namePrefix));
  return Object.fromEntries(Object.entries(environment).filter(([name]) => isKept(name)));
}

/** A value of the environment and the name that it stood under. */
export interface EnvironmentValue {
  readonly name: string;
  readonly text: string;
}

/**
 * What the environment says of an option to a command. Its own name comes before its aliases; of
 * those, two that say different things are refused, as nobody can tell which is meant.
 * @throws PacelineError `usage`.
 */
export function environmentValue(
  key: OptionKey,
  command: CommandName,
  environment: Environment,
): EnvironmentValue | null {
  const own = environmentName(key);
  const text = readVariable(own, environment);
  if (text !== null) return { name: own, text };
  const aliases = (optionRows[key].aliases ?? []).filter(
    ({ commands, holds }) =>
      (commands === undefined || commands.includes(command)) && (holds?.(environment) ?? true),
  );
  const found = aliases.flatMap((alias) => {
    const value = aliasValue(key, alias, environment);
    return value === null ? [] : [{ alias, value }];
  });
  const [first, ...others] = found;
  if (first === undefined) return null;
  const other = others.find(
    ({ alias, value }) =>
      alias.isWeak !== true && printed(key, value) !== printed(key, first.value),
  );
  if (other === undefined || first.alias.isWeak === true) return first.value;
  const { name } = optionRows[key];
  const both = [first.alias, other.alias].map((one) => `${one.name}=${environment[one.name]}`);
  const sentence = `${both.join(" and ")} disagree on --${name}`;
  throw new PacelineError("usage", `${sentence}; write --${name} or ${own}, or unset one of them`);
}

function readVariable(name: string, environment: Environment): string | null {
  const text = environment[name] || null;
  return text === null || serviceOf(name, text) !== null ? null : text;
}

function aliasValue(
  key: OptionKey,
  { name, take, portFrom, isForeignPort }: EnvironmentAlias,
  environment: Environment,
): EnvironmentValue | null {
  const read = readVariable(name, environment);
  if (read === null) return null;
  const text = take === undefined ? read : take(read);
  if (text === null) {
    const sentence = `${name}=${read} has a form that is not known`;
    throw new PacelineError("usage", `${sentence}; write --${optionRows[key].name}`);
  }
  const isOwnPort = portFrom !== undefined && !(isForeignPort?.(environment) ?? false);
  const port = isOwnPort ? readVariable(portFrom, environment) : null;
  return { name, text: port === null ? text : withPort(text, port) };
}

/** A value as it is compared with another; a text that is refused anyway as it stands. */
function printed(key: OptionKey, { text }: EnvironmentValue): string {
  const { type } = rowOf(key);
  const parsed = type.parse(text);
  return "value" in parsed ? type.print(parsed.value) : text;
}

/** A host and the port that another variable names; an address that has its own keeps it. */
function withPort(address: string, port: string): string {
  if (!/^\d+$/.test(port)) return `${address}:${port}`;
  if (isIPv6(address)) return joinHostPort(address, Number(port));
  const parts = parseHostPort(address);
  const isHostAlone = !("problem" in parts) && parts.port === null;
  return isHostAlone ? joinHostPort(parts.host, Number(port)) : address;
}

/** Whether output may be coloured: NO_COLOR and CI say no, as does anything but a terminal. */
export function colorWelcome(environment: Environment, isTerminal: boolean): boolean {
  return isTerminal && !environment.NO_COLOR && !environment.CI;
}
