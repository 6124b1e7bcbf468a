/**
 * The value in effect of each option: flag > --set > environment > config file > the resumed run >
 * --fast > default.
 * Every value keeps its origin, so that a refusal can name the place to mend and `config print` can
 * show where a value came from.
 */
import { PacelineError } from "../errors.js";
import { withoutSecret } from "../store/remote/remote-store.js";
import { didYouMean } from "../suggest.js";
import { environmentWithoutModeWords, withoutModeWords } from "./mode-words.js";
import type { CommandName, Environment, OptionRow } from "./option-row.js";
import {
  environmentName,
  environmentValue,
  keysOf,
  type OptionKey,
  optionKeys,
  rowOf,
} from "./options.js";
import type { ResolvedOptions } from "./resolved-options.js";
import { serviceOf } from "./service-variables.js";

/** Where a value may come from; the later wins over the earlier. */
export const originKinds = [
  "default",
  "fast",
  "run",
  "file",
  "environment",
  "set",
  "flag",
] as const;

/** Where a value came from. */
export interface Origin {
  readonly kind: (typeof originKinds)[number];
  /** The name that it was written under, such as --workers, PACELINE_WORKERS or run.yaml. */
  readonly place: string;
}

/** Values as they were written, by option. */
export type Written = ReadonlyMap<OptionKey, string>;

/** Values of a config file that hold only where other options have some values. */
export interface WhenRule {
  readonly match: Written;
  readonly set: Written;
}

/** Values of a config file. */
export interface FileValues extends Written {
  readonly when?: readonly WhenRule[];
}

/** Everything that was said to a command. */
export interface Given {
  readonly flags?: Written;
  readonly set?: Written;
  readonly environment?: Environment;
  readonly file?: { readonly path: string; readonly values: FileValues };
  /** The options of the run that is resumed. */
  readonly run?: { readonly path: string; readonly values: FileValues };
}

/** Values with their origins. */
export interface Resolution {
  readonly options: ResolvedOptions;
  readonly origins: Readonly<Record<OptionKey, Origin>>;
}

interface Found {
  readonly text: string;
  readonly origin: Origin;
  /** The value as the user wrote it, for refusals. */
  readonly shown: string;
}

/** Resolves every option; those that the command does not take have their defaults. */
export function resolve(command: CommandName, written: Given): Resolution {
  const given = withoutOldPace(command, withRules(command, takenApart(command, written)));
  const options: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  const taken = new Set(keysOf(command));
  const isFast = taken.has("fast") && resolveOne("fast", command, given, false).value === true;
  for (const key of optionKeys) {
    const { value, origin } = taken.has(key)
      ? resolveOne(key, command, given, isFast)
      : { value: defaultOf(key, given), origin: defaultOrigin };
    options[key] = value;
    origins[key] = origin;
  }
  const resolution = { options, origins } as unknown as Resolution;
  for (const key of taken) demandEffect(key, resolution);
  return resolution;
}

/** What was said, with the parameters that stand in a mode's word as options of their own. */
function takenApart(command: CommandName, given: Given): Given {
  const { flags, set, environment, file } = given;
  return {
    ...given,
    ...(flags && { flags: withoutModeWords(flags, (key) => `--${rowOf(key).name}`) }),
    ...(set && { set: withoutModeWords(set, (key) => `--set ${rowOf(key).name}`) }),
    ...(environment && { environment: environmentWithoutModeWords(command, environment) }),
    ...(file && { file: { ...file, values: fileWithoutModeWords(file) } }),
  };
}

function fileWithoutModeWords({ path, values }: NonNullable<Given["file"]>): FileValues {
  const shown = (key: OptionKey) => `${rowOf(key).name} in ${path}`;
  const plain = withoutModeWords(values, shown);
  const when = values.when?.map(({ match, set }) => ({
    match: withoutModeWords(match, shown),
    set: withoutModeWords(set, shown),
  }));
  return when === undefined ? plain : Object.assign(plain, { when });
}

/** What was said, with the values of those rules of the file whose match holds. */
function withRules(command: CommandName, given: Given): Given {
  const { file } = given;
  if (file?.values.when === undefined) return given;
  const taken = keysOf(command);
  const holds = ([key, text]: readonly [OptionKey, string]) => {
    if (!taken.includes(key)) return false;
    const { type } = rowOf(key);
    const wanted = type.parse(text);
    if ("problem" in wanted)
      throw new PacelineError(
        "usage",
        `${shownInFile(key, text, file.path)} ${wanted.problem}; write ${type.wanted}`,
      );
    return type.print(wanted.value) === type.print(resolveOne(key, command, given, false).value);
  };
  const rules = file.values.when.filter(({ match }) => [...match].every(holds));
  const values = new Map([...file.values, ...rules.flatMap(({ set }) => [...set])]);
  return { ...given, file: { path: file.path, values } };
}

/** What a run says of its plan, and what of that goes with the word that says which. */
const planWords = ["plan", "switchOrder"] as const satisfies readonly OptionKey[];
const ofPhases = ["trainSteps", "hparams", "ckptFrequency"] as const satisfies readonly OptionKey[];

/**
 * Another way to keep pace that is said beside a resumed run, as a mode or as a plan, takes the
 * place of the run's own plan, whichever words that was said in.
 */
function withoutOldPace(command: CommandName, given: Given): Given {
  const { run } = given;
  if (run === undefined) return given;
  const isAnew = (key: OptionKey) => {
    const found = findText(key, command, given);
    return found !== null && found.origin.kind !== "run";
  };
  const printed = (key: OptionKey, from: Given) => {
    const { value } = resolveOne(key, command, from, false);
    return rowOf(key).type.print(value as never);
  };
  const isOther = (key: OptionKey) => {
    return isAnew(key) && printed(key, given) !== printed(key, { run });
  };
  const values = new Map(run.values);
  const yields = (keys: readonly OptionKey[]) => {
    for (const key of keys) values.delete(key);
  };
  const isSaid = (key: OptionKey) => isAnew(key) && printed(key, given) !== "none";
  if (isOther("mode")) yields([...planWords, ...ofPhases]);
  else if (planWords.some(isOther)) {
    if (planWords.some(isSaid)) yields(planWords);
    else yields(ofPhases);
    if (isSaid("plan")) yields(["trainSteps"]);
  }
  return { ...given, run: { ...run, values } };
}

function shownInFile(key: OptionKey, text: string, path: string): string {
  return `${rowOf(key).name}: ${shownText(text)} in ${path}`;
}

function defaultOf(key: OptionKey, { environment }: Given): unknown {
  const row = rowOf(key);
  return row.defaultFrom?.(environment ?? {}) ?? row.default;
}

const defaultOrigin: Origin = { kind: "default", place: "default" };

function resolveOne(
  key: OptionKey,
  command: CommandName,
  given: Given,
  isFast: boolean,
): { value: unknown; origin: Origin } {
  const row = rowOf(key);
  const found = findText(key, command, given);
  if (found === null) {
    if (isFast && row.fast !== undefined)
      return { value: row.fast, origin: { kind: "fast", place: "--fast" } };
    const implied = impliedDefault(row, command, given) ?? defaultBeside(row, command, given);
    if (implied !== null) return implied;
    const value = row.defaults?.[command] ?? defaultOf(key, given);
    return { value, origin: defaultOrigin };
  }
  const parsed = row.type.parse(found.text);
  if ("problem" in parsed) {
    const hint = didYouMean(found.text, row.type.choices ?? []);
    const sentence = `${found.shown} ${parsed.problem}${hint}; write ${row.type.wanted}`;
    throw new PacelineError("usage", sentence, {
      details: { option: row.name, found: withoutSecret(found.text) },
    });
  }
  return { value: parsed.value, origin: found.origin };
}

function impliedDefault(
  { onlyWith, defaultWith }: OptionRow<unknown>,
  command: CommandName,
  given: Given,
) {
  if (onlyWith === undefined || defaultWith === undefined) return null;
  const { variable, text, value } = defaultWith;
  const found = findText(onlyWith.key, command, given);
  if (found?.origin.place !== variable || found.text !== text) return null;
  return { value, origin: { kind: "default", place: `default with ${variable}=${text}` } as const };
}

/** The default that follows from another option, which is named as it was written. */
function defaultBeside(
  { defaultBeside: beside }: OptionRow<unknown>,
  command: CommandName,
  given: Given,
) {
  if (beside === undefined || !keysOf(command).includes(beside.key)) return null;
  const found = findText(beside.key, command, given);
  if (found === null || !beside.holds(resolveOne(beside.key, command, given, false).value)) {
    return null;
  }
  const place = `default with ${found.shown}`;
  return { value: beside.value, origin: { kind: "default", place } as const };
}

/** What somebody gave, in a sentence: a URL's password is nobody's business. */
function shownText(text: string): string {
  return text === "" ? '""' : withoutSecret(text);
}

function findText(key: OptionKey, command: CommandName, given: Given): Found | null {
  const { name } = rowOf(key);
  const flag = given.flags?.get(key);
  if (flag !== undefined) {
    const shown = `--${name} ${shownText(flag)}`;
    return { text: flag, origin: { kind: "flag", place: `--${name}` }, shown };
  }
  const set = given.set?.get(key);
  if (set !== undefined) {
    const shown = `--set ${name}=${withoutSecret(set)}`;
    return { text: set, origin: { kind: "set", place: `--set ${name}` }, shown };
  }
  const environment = environmentValue(key, command, given.environment ?? {});
  if (environment !== null) {
    const shown = `${environment.name}=${withoutSecret(environment.text)}`;
    const origin = { kind: "environment", place: environment.name } as const;
    return { text: environment.text, origin, shown };
  }
  for (const kind of ["file", "run"] as const) {
    const found = given[kind]?.values.get(key);
    if (found === undefined) continue;
    const place = given[kind]?.path ?? "";
    return { text: found, origin: { kind, place }, shown: shownInFile(key, found, place) };
  }
  return null;
}

/** True when the option means something beside the other values. */
export function hasEffect(key: OptionKey, options: ResolvedOptions): boolean {
  const { onlyWith } = rowOf(key);
  if (onlyWith === undefined) return true;
  const present = presentOf(onlyWith.key, options);
  const satisfied = present.some((value) => onlyWith.values.includes(value));
  return satisfied && hasEffect(onlyWith.key, options);
}

/** What an option that others depend on is; a plan has several modes. */
function presentOf(key: OptionKey, options: ResolvedOptions): string[] {
  const { plan, switchOrder } = options;
  if (key === "mode" && plan !== null) return plan.map(({ mode }) => mode);
  if (key === "mode" && switchOrder !== null) return ["bsp", "asp"];
  return [String(options[key])];
}

/**
 * Refuses an option that would be ignored. One that a config file sets beside a mode that a flag
 * has overridden is let be: the weaker origin yields.
 */
function demandEffect(key: OptionKey, { options, origins }: Resolution): void {
  const row = rowOf(key);
  const strength = (origin: Origin) => originKinds.indexOf(origin.kind);
  if (row.onlyWith === undefined || strength(origins[key]) < originKinds.indexOf("file")) return;
  if (hasEffect(key, options)) return;
  const { key: other, values } = row.onlyWith;
  if (strength(origins[key]) < strength(origins[other])) return;
  const wanted = values.map((value) => `--${rowOf(other).name} ${value}`).join(" or ");
  const present = `--${rowOf(other).name} ${rowOf(other).type.print(options[other])}`;
  const place = origins[key].place;
  const remedy = `leave it out or set ${wanted}`;
  const sentence = `${place} has no effect with ${present}; ${remedy}`;
  throw new PacelineError("usage", sentence, { details: { option: row.name } });
}

/** Names in the environment that look like a mistyped option, with what they may have meant. */
export function doubtfulEnvironment(environment: Environment): string[] {
  const prefix = "PACELINE_";
  const known = optionKeys.map(environmentName);
  const suffixes = known.map((name) => name.slice(prefix.length));
  return Object.entries(environment)
    .filter(([name, value]) => serviceOf(name, value ?? "") === null)
    .filter(([name]) => name.startsWith(prefix) && !known.includes(name))
    .map(([name]) => ({ name, hint: didYouMean(name.slice(prefix.length), suffixes, prefix) }))
    .filter(({ hint }) => hint !== "")
    .map(({ name, hint }) => `${name} is not an option${hint}`);
}

/** A line for each variable that a command would read and that a Service's name has made. */
export function ignoredVariables(command: CommandName, environment: Environment): string[] {
  const lines = keysOf(command).flatMap((key) => {
    const { name: option, aliases = [] } = rowOf(key);
    const own = { name: environmentName(key), commands: undefined, portFrom: undefined };
    return [own, ...aliases]
      .filter(({ commands }) => commands === undefined || commands.includes(command))
      .flatMap(({ name, portFrom }) => [name, ...(portFrom === undefined ? [] : [portFrom])])
      .flatMap((name) => {
        const value = environment[name] ?? "";
        const service = serviceOf(name, value);
        if (service === null) return [];
        const maker = `Kubernetes or Docker made it for a service called ${service}`;
        return [`${name}=${value} is ignored: ${maker}; to set the option write --${option}`];
      });
  });
  return [...new Map(lines.map((line) => [line.split("=")[0], line])).values()];
}
