/**
 * The config file: YAML with an option's name and value in each line, at the top or under its
 * group's name. What `config print` writes can be read again, and so can a run's config.yaml.
 */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { PacelineError } from "../errors.js";
import { readTextFile, readYaml, yamlBytesMax } from "../store/yaml-file.js";
import { errnoOf, reasonOf } from "../system-reason.js";
import { readValue, showOrigin } from "./assignments.js";
import { type CommandName, optionGroups } from "./option-row.js";
import { keysOf, type OptionKey, optionKeys, rowOf } from "./options.js";
import { type FileValues, hasEffect, type Resolution, type WhenRule } from "./resolve.js";

/**
 * Reads the config file at a path, or, where there is none and the path is a bare name, the one of
 * that name that ships with Paceline.
 */
export function readConfigFile(path: string): FileValues {
  try {
    return readConfigText(readTextFile(path), path);
  } catch (cause) {
    if (cause instanceof PacelineError) throw cause;
    const shipped = shippedConfigs();
    const own = errnoOf(cause) === "ENOENT" ? shipped.get(path) : undefined;
    if (own !== undefined) return readConfigText(readTextFile(own), own);
    const sentence = `the config file ${path} can't be read (${reasonOf(cause)})`;
    const names = [...shipped.keys()].join(", ");
    const hint = path.includes("/") ? "" : `, or one of the names that ship: ${names}`;
    throw new PacelineError("usage", `${sentence}; give the path of a YAML file${hint}`, { cause });
  }
}

/** The paths of the run configurations that ship with Paceline, by name. */
export function shippedConfigs(): ReadonlyMap<string, string> {
  return shippedFiles((name) => !name.startsWith(matrixPrefix));
}

/** The paths of the matrices of experiments that ship with Paceline, by name. */
export function shippedMatrices(): ReadonlyMap<string, string> {
  return shippedFiles((name) => name.startsWith(matrixPrefix));
}

const matrixPrefix = "experiments-";

function shippedFiles(isWanted: (name: string) => boolean): ReadonlyMap<string, string> {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  const names = readdirSync(join(folder, "configs"))
    .filter((name) => /^[a-z0-9-]+\.yaml$/.test(name) && isWanted(name))
    .sort();
  return new Map(names.map((name) => [name.replace(".yaml", ""), join(folder, "configs", name)]));
}

/** Reads the text of a config file; `path` names it in refusals. */
export function readConfigText(text: string, path: string): FileValues {
  if (text.length > yamlBytesMax)
    throw usage(`${path} has ${text.length} characters; a config file has at most ${yamlBytesMax}`);
  const { content } = readYaml(text, path);
  const values = new Map<OptionKey, string>();
  if (content === null) return values;
  if (!isMapping(content))
    throw usage(`${path} is not a mapping; write lines such as "workers: 4"`);
  const { when, ...lines } = content;
  readLines(lines, path, values);
  return when === undefined ? values : Object.assign(values, { when: readRules(when, path) });
}

function readLines(content: object, path: string, values: Map<OptionKey, string>): void {
  for (const [name, value] of Object.entries(content)) {
    const group = optionGroups.find((known) => known === name);
    if (group === undefined) readValue(name, value, null, path, values);
    else if (isMapping(value))
      for (const [inner, one] of Object.entries(value)) readValue(inner, one, group, path, values);
    else if (value !== null)
      throw usage(`${name}: ${show(value)} in ${path} is a group; write its options under it`);
  }
}

/** `when:` holds options for some runs only: items of a match and what it sets. */
function readRules(rules: unknown, path: string): WhenRule[] {
  const remedy = "write items such as {match: {mode: asp}, set: {lr: 0.5}}";
  if (!Array.isArray(rules)) throw usage(`when: in ${path} is not a list; ${remedy}`);
  return rules.map((rule: unknown, index) => {
    const place = `${path}, when.${index + 1}`;
    const { match, set } = isMapping(rule) ? (rule as Record<string, unknown>) : {};
    const keys = isMapping(rule) ? Object.keys(rule).sort().join() : "";
    if (keys !== "match,set" || !isMapping(match) || !isMapping(set))
      throw usage(`${place} is not a pair of match and set; ${remedy}`);
    const values = { match: new Map<OptionKey, string>(), set: new Map<OptionKey, string>() };
    readLines(match, place, values.match);
    readLines(set, place, values.set);
    return values;
  });
}

/**
 * The resolved options of a command as YAML, by group, each with its origin as a comment if asked
 * for.
 */
export function printConfig(
  command: CommandName,
  { options, origins }: Resolution,
  withOrigins: boolean,
): string {
  const lines: string[] = [];
  const keys = keysOf(command).filter((key) => hasEffect(key, options));
  for (const group of optionGroups) {
    const members = keys.filter((key) => rowOf(key).group === group);
    if (members.length > 0) lines.push(`${group}:`);
    for (const key of members) {
      const line = `  ${yamlLine(key, options[key])}`;
      lines.push(withOrigins ? `${line.padEnd(40)} # ${showOrigin(origins[key])}` : line);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The line of an option in a config file. */
export function yamlLine(key: OptionKey, value: unknown): string {
  return `${rowOf(key).name}: ${yamlScalar(key, value)}`;
}

/** Written as numbers where they are no ranges. */
const countKeys: readonly OptionKey[] = ["servers", "workers"];

function yamlScalar(key: OptionKey, value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") {
    const printed = rowOf(key).type.print(value);
    return stringify(printed === String(value) ? value : printed).trimEnd();
  }
  const printed = rowOf(key).type.print(value);
  return stringify(
    /^\d+$/.test(printed) && countKeys.includes(key) ? Number(printed) : printed,
  ).trimEnd();
}

/** The JSON schema of the config file. */
export function configSchema(): Record<string, unknown> {
  const property = (key: OptionKey) => {
    const row = rowOf(key);
    return { ...row.type.schema, description: row.sentence, default: row.type.print(row.default) };
  };
  const properties: Record<string, unknown> = {};
  for (const group of optionGroups) {
    const members = optionKeys.filter((key) => rowOf(key).group === group);
    const entries = members.map((key) => [rowOf(key).name, property(key)]);
    properties[group] = {
      type: ["object", "null"],
      properties: Object.fromEntries(entries),
      additionalProperties: false,
    };
    for (const [name, schema] of entries) properties[name as string] = schema;
  }
  const lines = { type: "object", properties: { ...properties }, additionalProperties: false };
  properties.when = {
    type: "array",
    description: "options that hold only where others have the values under match",
    items: {
      type: "object",
      properties: { match: lines, set: lines },
      required: ["match", "set"],
      additionalProperties: false,
    },
  };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Paceline run",
    type: "object",
    properties,
    additionalProperties: false,
  };
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
