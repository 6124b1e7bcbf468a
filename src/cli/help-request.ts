/**
 * Whether a command line asks for help, and with what: `help X`, `X --help`, `X VERB --help`. The
 * words are looked up before commander sees them, so that a command or verb that does not exist is
 * refused, whatever flags stand behind it.
 */
import { PacelineError } from "../errors.js";
import { alternatives, didYouMean } from "../suggest.js";
import type { CommandPlan, VerbPlan } from "./commands/command-plan.js";
import { commandHelp, programHelp, verbHelp } from "./help.js";

/**
 * The text that answers the command line; null where it asks for no help.
 * @throws PacelineError `usage` for a command that there is not.
 */
export function helpAsked(argv: readonly string[], plans: readonly CommandPlan[]): string | null {
  const isHelp = argv[0] === "help";
  const words = isHelp ? argv.slice(1) : argv;
  const [name, second] = words;
  const end = words.indexOf("--");
  const flags = words.slice(0, end < 0 ? words.length : end).filter((word) => word.startsWith("-"));
  const isWhole = flags.includes("--help-all");
  const isAsked = isHelp || isWhole || flags.includes("--help") || flags.includes("-h");
  if (name === undefined || name.startsWith("-")) return isAsked ? programHelp(plans) : null;
  const plan = plans.find((one) => one.name === name);
  if (plan === undefined) throw unknownCommand(name, plans);
  if (!isAsked) return null;
  if (plan.verbs === undefined || second === undefined || second.startsWith("-"))
    return commandHelp(plan, isWhole);
  return verbHelp(plan, verbOf(plan, second));
}

/** The part of a command that its first word names. @throws PacelineError `usage` for none. */
export function verbOf(plan: CommandPlan, word: string): VerbPlan {
  const verb = plan.verbs?.find((one) => one.name === word);
  if (verb === undefined) throw unknownVerb(plan, word);
  return verb;
}

/** "paceline resume needs <run>, as in paceline resume mlp-bsp-4w-001". */
export function missingWord(
  { name, verbs = [], arguments: words = [], examples }: CommandPlan,
  argument: string,
  argv: readonly string[],
): string {
  const isVerb = verbs.length > 0 && words[0] === `<${argument}>`;
  if (isVerb) {
    const known = alternatives(verbs.map((verb) => verb.name));
    return `paceline ${name} needs a subcommand; write ${known}`;
  }
  const verb = verbs.find((one) => argv.includes(one.name));
  const command = ["paceline", name, ...(verb === undefined ? [] : [verb.name])].join(" ");
  const example = examples.find((one) => one.startsWith(`${command} `));
  return `${command} needs <${argument}>${example === undefined ? "" : `, as in ${example}`}`;
}

function unknownCommand(name: string, plans: readonly CommandPlan[]): PacelineError {
  const names = [...plans.map((plan) => plan.name), "help"];
  const sentence = `paceline has no command ${name}${didYouMean(name, names)}`;
  return new PacelineError("usage", `${sentence}; see paceline --help`);
}

function unknownVerb({ name, verbs = [] }: CommandPlan, word: string): PacelineError {
  const known = verbs.map((verb) => verb.name);
  const sentence = `paceline ${name} has no subcommand ${word}${didYouMean(word, known)}`;
  return new PacelineError("usage", `${sentence}; write ${alternatives(known)}`);
}
