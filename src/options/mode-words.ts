/**
 * A mode with its parameters in one word: `quorum:3,grace=auto` says what `--mode quorum --quorum 3
 * --grace auto` says, `ssp:2`, `k-of-n:1` and `dssp:1-6` likewise. Values without a name are of the
 * mode's settings in their order. In a plan they stand before the length: `bsp:25%,ssp:3:50%,asp`.
 *
 * Such a word is taken apart where it is read, and its parameters count as said in the same place,
 * so what is stronger or weaker there is as for options of their own.
 *
 * Invariant: one place says an option once, or twice the same.
 */
import { modes } from "../core/sync/modes.js";
import { PacelineError } from "../errors.js";
import { isLengthWord, planParts } from "../protocol/plan/plan-text.js";
import type { CommandName, Environment } from "./option-row.js";
import { environmentName, environmentValue, keyOfName, type OptionKey, rowOf } from "./options.js";

/** What was written without parameters in words, and the parameters. */
interface TakenApart {
  readonly text: string;
  readonly parameters: ReadonlyMap<OptionKey, string>;
}

/** Options whose values are modes, and how each is taken apart. */
const takenApart = { mode: modeApart, plan: planApart } as const;
const optionsOfModes = Object.keys(takenApart) as (keyof typeof takenApart)[];

/**
 * Values as they were written, with parameters in words as options of their own.
 * @param shown how the place names an option: "--grace".
 */
export function withoutModeWords(
  written: ReadonlyMap<OptionKey, string>,
  shown: (key: OptionKey) => string,
): ReadonlyMap<OptionKey, string> {
  let values = written;
  for (const option of optionsOfModes) {
    const word = written.get(option);
    const apart = word === undefined ? null : takenApart[option](word);
    if (apart === null || apart.parameters.size === 0) continue;
    const merged = new Map(values).set(option, apart.text);
    for (const [key, text] of apart.parameters) {
      demandSame(key, [text, `${shown(option)} ${word}`], [values.get(key), shown(key)]);
      merged.set(key, text);
    }
    values = merged;
  }
  return values;
}

/** True of a value of an option in which parameters of a mode stand. */
export function hasModeWords(option: OptionKey, text: string): boolean {
  const known = optionsOfModes.find((one) => one === option);
  return known !== undefined && (takenApart[known](text)?.parameters.size ?? 0) > 0;
}

/** The mode that a word has parameters of, and their values by option; null of any other word. */
export function modeInWord(
  word: string,
): { readonly mode: string; readonly values: Readonly<Record<string, unknown>> } | null {
  const apart = modeApart(word);
  if (apart === null) return null;
  const values = [...apart.parameters].map(([key, text]) => {
    const { name, type } = rowOf(key);
    const read = type.parse(text);
    if ("problem" in read) {
      throw usage(`${word}: --${name} ${text} ${read.problem}; write ${type.wanted}`);
    }
    return [key, read.value] as const;
  });
  return { mode: apart.text, values: Object.fromEntries(values) };
}

/** As `withoutModeWords`, of variables. */
export function environmentWithoutModeWords(
  command: CommandName,
  environment: Environment,
): Environment {
  let values = environment;
  for (const option of optionsOfModes) {
    const found = environmentValue(option, command, environment);
    const apart = found === null ? null : takenApart[option](found.text);
    if (found === null || apart === null || apart.parameters.size === 0) continue;
    const merged: Record<string, string | undefined> = { ...values, [found.name]: apart.text };
    for (const [key, text] of apart.parameters) {
      const other = environmentValue(key, command, values);
      demandSame(key, [text, `${found.name}=${found.text}`], [other?.text, other?.name ?? ""]);
      merged[environmentName(key)] = text;
    }
    values = merged;
  }
  return values;
}

/** Two ways to say an option in one place may say the same only. */
function demandSame(
  key: OptionKey,
  [text, word]: readonly [string, string],
  [other, name]: readonly [string | undefined, string],
): void {
  if (other === undefined || printed(key, other) === printed(key, text)) return;
  const both = `${word} says ${rowOf(key).name} ${text}, and ${name} says ${other}`;
  throw usage(`${both}; keep one of the two`);
}

/** As the option's type prints it; as it stands where it is no value of that. */
function printed(key: OptionKey, text: string): string {
  const { type } = rowOf(key);
  const read = type.parse(text);
  return "problem" in read ? text : type.print(read.value);
}

/** A mode in words; null where the word is of none that is known, which is refused elsewhere. */
function modeApart(word: string): TakenApart | null {
  const [, name = "", texts] = /^([^:]*):(.*)$/s.exec(word) ?? [];
  const mode = modes().find((one) => one.name === name || one.aliases.includes(name));
  if (mode === undefined || texts === undefined) return null;
  const keys = mode.settings.map((setting) => setting as OptionKey);
  const names = keys.map((key) => rowOf(key).name);
  const known = names.length === 0 ? "it has none" : `it has ${names.join(", ")}`;
  const parameters = new Map<OptionKey, string>();
  const values = texts.split(",").flatMap((text) => rangeOf(text.trim()) ?? [text.trim()]);
  let place = 0;
  for (const value of values) {
    const [, given, text = value] = /^([a-z-]+)=(.*)$/s.exec(value) ?? [];
    const key = given === undefined ? keys[place++] : keyOfName(given);
    if (key === undefined || !keys.includes(key)) {
      throw usage(
        `${word} has ${JSON.stringify(value)}, which is no parameter of ${name}: ${known}`,
      );
    }
    if (text === "") throw usage(`${word} has an empty value of ${rowOf(key).name}`);
    if (parameters.has(key)) throw usage(`${word} says ${rowOf(key).name} twice`);
    parameters.set(key, text);
  }
  return { text: name, parameters };
}

/** The two ends of a range, for settings that follow each other: 1-6. */
function rangeOf(text: string): string[] | null {
  const [, low, high] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  return low === undefined || high === undefined ? null : [low, high];
}

function planApart(plan: string): TakenApart {
  const parameters = new Map<OptionKey, string>();
  const phases = planParts(plan).map((part) => {
    const [word = "", ...more] = part.trim().split(":");
    const lengths = more.filter(isLengthWord);
    const said = more.filter((text) => !isLengthWord(text));
    // Where nothing is a length all may be a wrong one.
    const apart = said.length === 1 && !isLengthLike(said) ? modeApart(`${word}:${said[0]}`) : null;
    if (apart === null) return part;
    for (const [key, text] of apart.parameters) {
      const before = parameters.get(key) ?? text;
      demandSame(key, [text, `--plan ${plan}`], [before, "another phase of it"]);
      parameters.set(key, text);
    }
    return [apart.text, ...lengths].join(":");
  });
  return { text: phases.join(","), parameters };
}

/** True of what looks like a length that can't be read: it is refused as one. */
function isLengthLike([text = ""]: readonly string[]): boolean {
  return /%|^plateau|^-?[\d.]+e$/.test(text);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
