/**
 * What a program says of a run: the names of the options in camel case, plain values or the words
 * of a config file, and nothing that has a default. Defaults, checks and remedies are those of the
 * options table. Only where data lie is read from the environment, as that is a fact of the
 * machine and not of the program.
 */
import { PacelineError } from "../errors.js";
import { printConfig } from "../options/config-file.js";
import {
  keyOfName,
  type OptionKey,
  optionKeys,
  readEnvironment,
  rowOf,
  withoutOptions,
} from "../options/options.js";
import { resolve } from "../options/resolve.js";
import type { RunRequest } from "../runtime/run-carrier.js";
import type { RunSettings } from "../runtime/run-settings.js";
import { didYouMean } from "../suggest.js";

type Setting<Value> = Value | string;

/** Settings of a run, of which `model` and `data` have no default. */
export type TrainSettings = {
  readonly [Key in Exclude<
    keyof RunSettings,
    "inject" | "workers" | "servers" | "model" | "data"
  >]?: Setting<RunSettings[Key]>;
} & {
  readonly model: string;
  readonly data: string;
  /** How many, or a range such as "2:4" that a run begins with and goes on with. */
  readonly workers?: Setting<number | RunSettings["workers"]>;
  /** How many, or a range. */
  readonly servers?: Setting<number | RunSettings["servers"]>;
};

/** Set by the program alone, whatever the options of a command. */
const machineKeys: readonly OptionKey[] = ["dataDir", "cacheDir"];

/**
 * The whole run that settings describe.
 * @throws PacelineError `usage` that names the field and the remedy.
 */
export function describeRun(settings: TrainSettings): RunRequest {
  return inFields(() => {
    const flags = new Map<OptionKey, string>();
    for (const [field, value] of Object.entries(settings)) {
      if (value !== undefined) flags.set(demandKey(field), textOf(demandKey(field), value));
    }
    for (const field of ["model", "data"] as const) {
      if (!flags.has(field)) throw usage(`${field} is missing; write ${rowOf(field).type.wanted}`);
    }
    const environment = withoutOptions(readEnvironment(), machineKeys);
    const resolution = resolve("train", { flags, environment });
    const configText = printConfig("train", resolution, false);
    return { settings: resolution.options, configText };
  });
}

/** Does it; what is thrown names fields where a command would name flags. */
export function inFields<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (thrown) {
    throw asFields(thrown);
  }
}

/** A usage error in the words of a program; anything else as it is. */
export function asFields(thrown: unknown): unknown {
  if (!(thrown instanceof PacelineError) || thrown.code !== "usage") return thrown;
  const message = thrown.message.replaceAll(
    /--([a-z][a-z0-9-]*)/g,
    (flag, name: string) => keyOfName(name) ?? flag,
  );
  return new PacelineError("usage", message, { details: thrown.details, cause: thrown });
}

function demandKey(field: string): OptionKey {
  const key = optionKeys.find((known) => known === field);
  if (key !== undefined && rowOf(key).commands.includes("train")) return key;
  throw usage(`${field} is not a setting of a run${didYouMean(field, optionKeys)}; leave it out`);
}

function textOf(key: OptionKey, value: unknown): string {
  if (typeof value === "string") return value;
  if ((key === "workers" || key === "servers") && typeof value === "number") return String(value);
  try {
    return rowOf(key).type.print(value);
  } catch {
    throw usage(`${key} is ${JSON.stringify(value)}; write ${rowOf(key).type.wanted}`);
  }
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
