/**
 * The help of the program, of a command and of a command's verb, from the options table and the
 * table of commands. A command with many options shows the common ones and names the others by
 * group; --help-all explains all of them.
 */
import { type CommandName, optionGroups } from "../options/option-row.js";
import { keysOf, type OptionKey, rowOf } from "../options/options.js";
import type { CommandPlan, ExtraFlag, VerbPlan } from "./commands/command-plan.js";

/** Options that the short help explains where a command has more than fit on a page. */
const commonOptions: ReadonlySet<OptionKey> = new Set([
  "workers",
  "servers",
  "coordinator",
  "host",
  "port",
  "threads",
  "mode",
  "staleness",
  "model",
  "data",
  "epochs",
  "maxSteps",
  "batchSize",
  "lr",
  "optimizer",
  "seed",
  "dataDir",
  "compress",
  "checkpointEvery",
  "resume",
  "runDir",
  "name",
  "json",
  "quiet",
  "dryRun",
  "fast",
]);
/** Commands with more options than this have a short help. */
const shortFrom = 30;
const width = 100;

/** What `paceline` says when it is called bare, or with --help. */
export function programHelp(plans: readonly CommandPlan[]): string {
  const line = (name: string, sentence: string) => `  ${name.padEnd(14)}${sentence}`;
  const commands = plans.map(({ name, sentence }) => line(name, sentence));
  return [
    "paceline: train a neural network with many workers around a parameter server",
    "",
    "Start here:",
    "  paceline doctor                                      look at this machine",
    "  paceline train --model mlp --data mnist --fast       a small run, done in seconds",
    "  paceline train --model mlp --data mnist -w 4 -s 2    four workers, two servers",
    "",
    "Commands:",
    ...commands,
    line("help", "the help of a command, such as paceline help runs show"),
    "",
    "paceline COMMAND --help explains a command, paceline --version prints the version.",
    "",
  ].join("\n");
}

/** The help of one command, its options by group. */
export function commandHelp(plan: CommandPlan, isWhole = false): string {
  const words = (plan.arguments ?? []).map((word) => ` ${word}`).join("");
  const lines = [`paceline ${plan.name}${words} [options]`, "", plan.sentence];
  const verbs = plan.verbs ?? [];
  for (const [index, { name, sentence }] of verbs.entries())
    lines.push(...(index === 0 ? [""] : []), ...helpLine(name, sentence));
  lines.push(...optionLines(plan.options, isWhole), ...extraLines(plan, plan.extra ?? []));
  if (isShort(plan.options) && !isWhole)
    lines.push("", `paceline ${plan.name} --help-all explains every option.`);
  if (verbs.length > 0) {
    const [{ name }] = verbs as [VerbPlan];
    lines.push("", `paceline ${plan.name} ${name} --help explains ${name} alone, and so for each.`);
  }
  lines.push("", "Examples:", ...plan.examples.map((example) => `  ${example}`), "");
  return lines.join("\n");
}

/** The help of a command's verb: what it takes of the command's flags, and its own examples. */
export function verbHelp(plan: CommandPlan, verb: VerbPlan): string {
  const start = `paceline ${plan.name} ${verb.name}`;
  const lines = [
    `${start}${verb.words === "" ? "" : ` ${verb.words}`} [options]`,
    "",
    verb.sentence,
  ];
  const extra = (plan.extra ?? []).filter(({ verbs }) => verbs?.includes(verb.name) ?? true);
  lines.push(...optionLines(plan.options, true), ...extraLines(plan, extra));
  const examples = plan.examples.filter((one) => one === start || one.startsWith(`${start} `));
  if (examples.length > 0) lines.push("", "Examples:", ...examples.map((one) => `  ${one}`));
  return [...lines, ""].join("\n");
}

function isShort(command: CommandName): boolean {
  return keysOf(command).length > shortFrom;
}

function optionLines(command: CommandName, isWhole: boolean): string[] {
  const lines: string[] = [];
  const explains = (key: OptionKey) => isWhole || !isShort(command) || commonOptions.has(key);
  for (const group of optionGroups) {
    const members = keysOf(command).filter((key) => rowOf(key).group === group);
    if (members.length > 0) lines.push("", group);
    for (const key of members.filter(explains)) lines.push(...optionHelp(key, command));
    const others = members.filter((key) => !explains(key)).map((key) => shownName(key));
    if (others.length > 0) lines.push(...wrapped(`also ${others.join(", ")}`));
  }
  return lines;
}

function extraLines(plan: CommandPlan, extra: readonly ExtraFlag[]): string[] {
  const lines = extra.flatMap(({ flags, sentence }) => helpLine(flags, sentence));
  const set = "set any option, e.g. training.lr=0.05; may be repeated";
  if (plan.config) lines.push(...helpLine("--set <a.b=c>", set));
  return lines.length > 0 ? ["", "other", ...lines] : [];
}

function shownName(key: OptionKey): string {
  const { name, default: value } = rowOf(key);
  return value === true ? `--no-${name}` : `--${name}`;
}

function optionHelp(key: OptionKey, command: CommandName): string[] {
  const row = rowOf(key);
  const short = row.short === undefined ? "    " : `-${row.short}, `;
  const value = row.type.placeholder === "" ? "" : ` <${row.type.placeholder}>`;
  const sentence = row.default === true ? `do not ${row.sentence}` : row.sentence;
  const given = row.defaults?.[command] ?? row.default;
  const isQuiet = row.type.placeholder === "" || given === null || row.type.print(given) === "";
  const text = isQuiet ? row.defaultText?.replaceAll("`", "") : row.type.print(given);
  const whole = text ? `${sentence} (default: ${text})` : sentence;
  return helpLine(`${short}${shownName(key)}${value}`, whole);
}

function helpLine(flags: string, sentence: string): string[] {
  const column = 38;
  if (flags.length + 4 > column) return [`  ${flags}`, `${" ".repeat(column)}${sentence}`];
  return [`  ${flags}`.padEnd(column) + sentence];
}

function wrapped(text: string): string[] {
  const indent = "      ";
  const lines = [indent];
  for (const word of text.split(" ")) {
    const last = lines.at(-1) as string;
    if (last.length + word.length >= width) lines.push(`${indent}${word}`);
    else lines[lines.length - 1] = last === indent ? `${last}${word}` : `${last} ${word}`;
  }
  return lines;
}
