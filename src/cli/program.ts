/**
 * The command line itself: commander takes the words apart, the options table gives them meaning,
 * and whatever goes wrong ends as one sentence on standard error with the exit code of its kind.
 */
import { Command, CommanderError, Option } from "commander";
import { assert } from "../assert.js";
import { errorCodes, PacelineError, toPacelineError } from "../errors.js";
import { readAssignments } from "../options/assignments.js";
import type { CommandName, Environment } from "../options/option-row.js";
import { path } from "../options/option-values.js";
import {
  colorWelcome,
  environmentValue,
  keysOf,
  namesOf,
  type OptionKey,
  rowOf,
} from "../options/options.js";
import {
  doubtfulEnvironment,
  type Given,
  ignoredVariables,
  type Resolution,
  resolve,
  type Written,
} from "../options/resolve.js";
import type { CommandIo, TextSink } from "../options/resolved-options.js";
import { optionHint } from "../options/synonyms.js";
import { printable } from "../report/progress.js";
import { usableCores } from "../runtime/process/cores.js";
import { packageVersion } from "../runtime/process/machine.js";
import { systemError } from "../store/file-errors.js";
import type { Call, CommandPlan } from "./commands/command-plan.js";
import { commandPlans, demandPlace, nextSteps } from "./commands.js";
import { programHelp } from "./help.js";
import { helpAsked, missingWord, verbOf } from "./help-request.js";
import { demandOpenFiles, threadsWarning } from "./run-warnings.js";

/** Of the options of one place, so much is told at the start. */
const listedCharactersMax = 160;

/** What is done with a command line that has been taken apart. */
type Act = typeof perform;

/** How a command line ended, and whether its errors are to be objects besides. */
interface Outcome {
  exitCode: number;
  asJson: boolean;
}

/** What a command line says. */
export interface ReadCommandLine {
  readonly plan: CommandPlan;
  readonly words: readonly string[];
  readonly resolution: Resolution;
}

/** The process around a command line. */
export interface ProgramHost {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly environment: Environment;
  readonly isTerminal: boolean;
}

/** Runs one command line (without node and script) and gives the exit code. */
export async function runProgram(argv: readonly string[], host: ProgramHost): Promise<number> {
  const outcome = { exitCode: 0, asJson: wantsJson(argv, host.environment) };
  const program = buildProgram(argv, host, outcome);
  try {
    demandText(argv);
    const help = argv.length === 0 ? programHelp(commandPlans) : helpAsked(argv, commandPlans);
    if (help !== null) host.stdout.write(help);
    else await program.parseAsync(argv as string[], { from: "user" });
    return outcome.exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const error = thrown instanceof CommanderError ? misread(thrown, argv) : readable(thrown);
    report(error, outcome.asJson, host);
    return error.exitCode;
  }
}

/**
 * Reads a command line and an environment as running them would, and does nothing else: for what is
 * written down for other machines to run.
 * @throws PacelineError `usage` as the command would end with.
 */
export async function readCommandLine(
  argv: readonly string[],
  environment: Environment,
): Promise<ReadCommandLine> {
  const sink: TextSink = { write: () => {} };
  const host = { stdout: sink, stderr: sink, environment, isTerminal: false };
  const found: ReadCommandLine[] = [];
  const act: Act = async (plan, words, flags) => {
    if (plan.verbs !== undefined) verbOf(plan, words[0] ?? "");
    const written = writtenFlags(plan.options, flags);
    const resolution = resolve(plan.options, { flags: written, environment });
    nextSteps(plan, resolution.options);
    found.push({ plan, words, resolution });
    return 0;
  };
  try {
    const outcome = { exitCode: 0, asJson: false };
    await buildProgram(argv, host, outcome, act).parseAsync([...argv], { from: "user" });
  } catch (thrown) {
    throw thrown instanceof CommanderError ? misread(thrown, argv) : thrown;
  }
  const [read] = found;
  assert(read !== undefined, "a command was named", { argv });
  return read;
}

/** True where a command line or the environment asks for JSON, as far as can be told unread. */
function wantsJson(argv: readonly string[], environment: Environment): boolean {
  if (argv.includes("--no-json")) return false;
  if (argv.includes("--json")) return true;
  const plan = commandPlans.find(({ name }) => name === argv[0]);
  if (plan === undefined || !keysOf(plan.options).includes("json")) return false;
  const set = plan.config ? argv.findLast((word) => /^(--set=)?showing\.json=/.test(word)) : null;
  const text = set?.replace(/^.*json=/, "") ?? environmentValue("json", plan.options, environment);
  const parsed = rowOf("json").type.parse(
    typeof text === "string" ? text : (text?.text ?? "false"),
  );
  return "value" in parsed && parsed.value === true;
}

/** Node.js gives a program no argument's bytes: what is not UTF-8 is lost, and names nothing. */
function demandText(argv: readonly string[]): void {
  const lossy = argv.find((argument) => argument.includes("\uFFFD"));
  if (lossy === undefined) return;
  const sentence = `the argument ${JSON.stringify(lossy)} holds bytes that are not UTF-8`;
  const remedy = "rename what it names, or link to it by another name";
  throw new PacelineError("usage", `${sentence}, which can't be passed on to a program: ${remedy}`);
}

/** Tells of what nobody caught, as a command's error is told; gives the exit code. */
export function reportUncaught(thrown: unknown, streams: Pick<ProgramHost, "stdout" | "stderr">) {
  const error = readable(thrown);
  report(error, false, streams);
  return error.exitCode;
}

/** What the system refused has a remedy; anything else that is no PacelineError is a fault here. */
function readable(thrown: unknown): PacelineError {
  return systemError(thrown) ?? toPacelineError(thrown);
}

/** A command that is named is built alone: all of them have well over a thousand options. */
function buildProgram(
  argv: readonly string[],
  host: ProgramHost,
  outcome: Outcome,
  act: Act = perform,
): Command {
  const program = quiet(new Command("paceline"), host).version(packageVersion());
  const named = commandPlans.filter(({ name }) => name === argv[0]);
  for (const plan of named.length > 0 ? named : commandPlans) {
    const command = quiet(new Command(plan.name), host).description(plan.sentence);
    for (const argument of plan.arguments ?? []) command.argument(argument);
    command.allowExcessArguments(false);
    for (const key of keysOf(plan.options)) addOption(command, key);
    if (plan.config) command.addOption(severalTimes(new Option("--set <a.b=c>")));
    for (const { flags } of plan.extra ?? []) command.addOption(extraOption(flags));
    command.action(async (...given: unknown[]) => {
      // A word that may be given several times comes as a list.
      const words = given
        .slice(0, -2)
        .flat()
        .filter((word) => typeof word === "string");
      outcome.exitCode = await act(plan, words as string[], command.opts(), host, outcome);
    });
    program.addCommand(command);
  }
  return program;
}

function quiet(command: Command, host: ProgramHost): Command {
  return command
    .exitOverride()
    .helpCommand(false)
    .configureOutput({ writeOut: (text) => void host.stdout.write(text), writeErr: () => {} });
}

function addOption(command: Command, key: OptionKey): void {
  const { name, short, type } = rowOf(key);
  const dashes = short === undefined ? `--${name}` : `-${short}, --${name}`;
  for (const other of namesOf(key).slice(1)) command.addOption(new Option(`--${other} <value>`));
  if (type.placeholder === "") {
    command.addOption(new Option(dashes)).addOption(new Option(`--no-${name}`));
  } else {
    const option = new Option(`${dashes} <value>`);
    command.addOption(type.separator === ";" ? severalTimes(option, ";") : option);
  }
}

/** A flag that is not in the table; one that is a path knows the home folder. */
function extraOption(flags: string): Option {
  const option = new Option(flags);
  if (!/<(folder|file|path|run)>$/.test(flags)) return option;
  return option.argParser((text: string) => {
    const parsed = path("path", "the path in full").parse(text);
    if ("value" in parsed) return parsed.value;
    const sentence = `${option.long} ${text || '""'} ${parsed.problem}; write the path in full`;
    throw new PacelineError("usage", sentence);
  });
}

/** Lets an option be given again; its texts are joined by the separator, or listed. */
function severalTimes(option: Option, separator?: string): Option {
  if (separator === undefined)
    return option.argParser((text: string, before: string[] = []) => [...before, text]);
  return option.argParser((text: string, before?: string) =>
    before === undefined ? text : `${before}${separator}${text}`,
  );
}

async function perform(
  plan: CommandPlan,
  words: readonly string[],
  flags: Readonly<Record<string, unknown>>,
  host: ProgramHost,
  outcome: Outcome,
): Promise<number> {
  if (plan.verbs !== undefined) verbOf(plan, words[0] ?? "");
  if (plan.name === "resume") return resumeRun(words[0] ?? "", flags, host, outcome);
  // Members of a run have no config file: YAML is loaded for those who may have one.
  const files = plan.config ? await import("../options/config-file.js") : null;
  const path = plan.config ? words.at(plan.arguments!.length - 1) : undefined;
  const given: Given = {
    flags: writtenFlags(plan.options, flags),
    set: readAssignments((flags.set as string[] | undefined) ?? []),
    environment: host.environment,
    ...(path === undefined ? {} : { file: { path, values: files!.readConfigFile(path) } }),
  };
  const { resolution, isOver, goesOn } = await continued(plan, given, host);
  outcome.asJson = resolution.options.json;
  if (isOver) return 0;
  const doubts = doubtfulEnvironment(host.environment);
  const ignored = ignoredVariables(plan.options, host.environment);
  for (const line of [...doubts, ...ignored]) host.stderr.write(`${line}\n`);
  const steps = nextSteps(plan, resolution.options);
  if (steps !== null) {
    host.stderr.write(steps);
    const [sentence = ""] = steps.split(/\.\s/);
    if (resolution.options.json) reportJson(new PacelineError("usage", sentence), host);
    return errorCodes.usage.exitCode;
  }
  demandPlace(plan, resolution.options);
  if (plan.tellsOptions === true) {
    demandOpenFiles(plan.options, resolution.options);
    const warning = threadsWarning(plan.options, resolution.options, usableCores());
    if (warning !== null) host.stderr.write(`${warning}\n`);
  }
  if (plan.tellsOptions && !resolution.options.quiet) tellOptions(plan, resolution, host);
  const io: CommandIo = {
    stdout: host.stdout,
    stderr: host.stderr,
    color: colorWelcome(host.environment, host.isTerminal),
    isTerminal: host.isTerminal && !host.environment.CI && host.environment.TERM !== "dumb",
    environment: host.environment,
    version: packageVersion(),
    configText: files?.printConfig(plan.options, resolution, false) ?? "",
    readConfig: (text) => {
      assert(files !== null, "the command takes a config file", { command: plan.name });
      const values = files.readConfigText(text, "the submitted run");
      return resolve("train", { file: { path: "the submitted run", values } }).options;
    },
  };
  const call: Call = { words, flags, resolution, options: resolution.options, io, goesOn };
  return plan.run(call);
}

/** The options of a command, with those of the run that it goes on with. */
async function continued(plan: CommandPlan, given: Given, host: ProgramHost) {
  const resolution = resolve(plan.options, given);
  const fresh = { resolution, isOver: false, goesOn: false };
  const { resume, name } = resolution.options;
  if (plan.resumes !== true || (resume === null && name === null)) return fresh;
  // Of coordinators that stand by the one that leads sees what there is to go on with.
  if (plan.name === "coordinator" && resolution.options.store !== "file") return fresh;
  if (plan.name === "coordinator") {
    const { findBrokenOffRun, optionsInPlace } = await import("./broken-off-run.js");
    const run = await findBrokenOffRun(resolution.options);
    if (run !== null) return { ...fresh, resolution: optionsInPlace(run, given), goesOn: true };
  }
  if (resume === null) return fresh;
  const { differences, findResumedRun, tellNothingLeft } = await import("./resumed-run.js");
  const run = await findResumedRun(resolution.options);
  if (run === null) return fresh;
  const resumed = resolve(plan.options, { ...given, run });
  for (const line of differences(plan.options, run, resumed)) host.stderr.write(`${line}\n`);
  const isOver = await tellNothingLeft(run, resumed.options, host);
  return { resolution: resumed, isOver, goesOn: false };
}

/** `paceline resume RUN`: the command that began it, with --resume. */
async function resumeRun(
  wanted: string,
  given: Readonly<Record<string, unknown>>,
  host: ProgramHost,
  outcome: Outcome,
): Promise<number> {
  const flags = { ...given, resume: wanted };
  const written = writtenFlags("train", flags);
  const { options } = resolve("train", { flags: written, environment: host.environment });
  const { findResumedRun } = await import("./resumed-run.js");
  const name = (await findResumedRun(options))?.command ?? "train";
  const plan = commandPlans.find((one) => one.name === name)!;
  const foreign = [...written.keys()].find((key) => !keysOf(plan.options).includes(key));
  if (foreign !== undefined) {
    const sentence = `--${rowOf(foreign).name} does not apply to run ${wanted}`;
    const reason = `paceline ${name} began it and has no such option`;
    throw new PacelineError("usage", `${sentence}: ${reason}; leave it out`);
  }
  return perform(plan, [], flags, host, outcome);
}

function writtenFlags(command: CommandName, flags: Readonly<Record<string, unknown>>): Written {
  const written = new Map<OptionKey, string>();
  for (const key of keysOf(command)) {
    const given = (name: string) => flags[new Option(`--${name}`).attributeName()];
    const [name, other] = namesOf(key).filter((one) => given(one) !== undefined);
    if (other !== undefined) {
      const sentence = `--${name} and --${other} are two names of one option`;
      throw new PacelineError("usage", `${sentence}; keep one of them`);
    }
    if (name !== undefined) written.set(key, String(given(name)));
  }
  return written;
}

/** One line a process: what was not left to its default, each place where it was said once. */
function tellOptions(plan: CommandPlan, { options, origins }: Resolution, host: ProgramHost): void {
  const byPlace = new Map<string, string[]>();
  for (const key of keysOf(plan.options)) {
    const { kind, place } = origins[key];
    if (kind === "default" || kind === "run") continue;
    const { name, type } = rowOf(key);
    const value = `${name}=${type.print(options[key])}`;
    byPlace.set(place, [...(byPlace.get(place) ?? []), value]);
  }
  const told = [...byPlace].map(([place, values]) => `${shortList(values)} (${place})`);
  const rest = told.length === 0 ? "all at their defaults" : told.join(", ");
  host.stderr.write(`paceline ${plan.name} ${packageVersion()}: ${rest}\n`);
}

/** A list that a line or two hold; `paceline config print` has all of it. */
function shortList(values: readonly string[]): string {
  let kept = values.length;
  while (kept > 1 && values.slice(0, kept).join(", ").length > listedCharactersMax) kept -= 1;
  const more = kept === values.length ? "" : ` and ${values.length - kept} more`;
  return `${values.slice(0, kept).join(", ")}${more}`;
}

/** Commander's complaints in our words. */
function misread(error: CommanderError, argv: readonly string[]): PacelineError {
  const plan = commandPlans.find(({ name }) => name === argv[0]);
  const [, quoted = ""] = /'([^']*)'/.exec(error.message) ?? [];
  const help = plan === undefined ? "paceline --help" : `paceline ${plan.name} --help`;
  const usage = (sentence: string) => new PacelineError("usage", sentence, { cause: error });
  switch (error.code) {
    case "commander.unknownOption": {
      const flag = quoted.replace(/=.*$/s, "");
      const [bare] = quoted === flag || plan === undefined ? [] : valueless(plan, flag.slice(2));
      if (bare !== undefined) return usage(`${flag} takes no value; write ${bare}`);
      const own = plan?.extra?.flatMap(({ flags }) => flags.match(/(?<=--)[a-z-]+/g) ?? []) ?? [];
      const rows = plan === undefined ? [] : keysOf(plan.options).map((key) => rowOf(key).name);
      const hint = optionHint(flag.replace(/^-+/, ""), [...rows, ...own], "--");
      const command = plan === undefined ? "paceline" : `paceline ${plan.name}`;
      return usage(`${command} has no option ${flag}${hint}; see ${help}`);
    }
    case "commander.optionMissingArgument": {
      const [, name = ""] = /--([a-z0-9-]+)/.exec(quoted) ?? [];
      const key = plan && keysOf(plan.options).find((known) => rowOf(known).name === name);
      const wanted = key === undefined ? "one" : rowOf(key).type.wanted;
      return usage(`--${name} has no value; write ${wanted}`);
    }
    case "commander.missingArgument":
      return usage(plan === undefined ? `see ${help}` : missingWord(plan, quoted, argv.slice(1)));
    case "commander.excessArguments":
      return usage(`${surplus(plan, error.message)}; see ${help}`);
    default:
      return usage(`${error.message.replace(/^error: /, "")}; see ${help}`);
  }
}

/** How a flag is written that takes no value; nothing where the command has none of that name. */
function valueless(plan: CommandPlan, name: string): string[] {
  const key = keysOf(plan.options).find((one) => namesOf(one).includes(name));
  const own = plan.extra?.some(({ flags }) => flags === `--${name}`) ?? false;
  if (key === undefined) return own ? [`--${name}`] : [];
  return rowOf(key).type.placeholder === "" ? [`--${name} or --no-${name}`] : [];
}

/** "paceline train takes at most one word, [run.yaml], and got 2". */
function surplus(plan: CommandPlan | undefined, message: string): string {
  const [, , got = "more"] = /Expected (\d+) arguments? but got (\d+)/.exec(message) ?? [];
  const name = plan === undefined ? "paceline" : `paceline ${plan.name}`;
  const words = plan?.arguments ?? [];
  if (words.length === 0) return `${name} takes options only, and got ${got} words besides`;
  const most = words.length === 1 ? "one word" : `${words.length} words`;
  return `${name} takes at most ${most}, ${words.join(" ")}, and got ${got}`;
}

function report(
  error: PacelineError,
  asJson: boolean,
  host: Pick<ProgramHost, "stdout" | "stderr">,
): void {
  const named = error.message.startsWith("paceline ") ? "" : "paceline: ";
  host.stderr.write(`${named}${printable(error.message)}\n`);
  if (error.code === "internal" && error.cause instanceof Error)
    host.stderr.write(`${error.cause.stack}\n`);
  if (asJson) reportJson(error, host);
}

function reportJson(error: PacelineError, host: Pick<ProgramHost, "stdout">): void {
  const { code, message, exitCode, details } = error;
  host.stdout.write(`${JSON.stringify({ error: { code, message, exitCode, details } })}\n`);
}
