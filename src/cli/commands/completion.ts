/**
 * `paceline completion bash | zsh | fish`: a script that lets the shell complete commands, verbs,
 * options and the values of options that are words of a list.
 */
import { PacelineError } from "../../errors.js";
import { keysOf, rowOf } from "../../options/options.js";
import { alternatives, didYouMean } from "../../suggest.js";
import type { CommandPlan } from "./command-plan.js";

const shells = { bash, zsh, fish };

/** The script for a shell. */
export function completionScript(shell: string, plans: readonly CommandPlan[]): string {
  const known = Object.keys(shells) as (keyof typeof shells)[];
  const found = known.find((name) => name === shell);
  if (found !== undefined) return shells[found](plans);
  const sentence = `paceline completion does not support ${shell}${didYouMean(shell, known)}`;
  throw new PacelineError("usage", `${sentence}; write ${alternatives(known)}`);
}

interface CompletedOption {
  /** Without dashes. */
  readonly name: string;
  readonly sentence: string;
  readonly takesValue: boolean;
  readonly values: readonly string[];
}

function optionsOf(plan: CommandPlan): CompletedOption[] {
  const rows = keysOf(plan.options).map((key) => {
    const { name, sentence, type, default: value } = rowOf(key);
    const takesValue = type.placeholder !== "";
    return {
      name: value === true ? `no-${name}` : name,
      sentence,
      takesValue,
      values: type.choices ?? [],
    };
  });
  const extra = (plan.extra ?? []).map(({ flags, sentence }) => {
    const name = /--([a-z0-9-]+)/.exec(flags)?.[1] ?? "";
    return { name, sentence, takesValue: flags.includes("<"), values: [] };
  });
  return [...rows, ...extra];
}

function verbsOf(plan: CommandPlan): string[] {
  return (plan.verbs ?? []).map(({ name }) => name);
}

function bash(plans: readonly CommandPlan[]): string {
  const cases = plans.map((plan) => {
    const options = optionsOf(plan).map(({ name }) => `--${name}`);
    return `    ${plan.name}) words="${[...verbsOf(plan), ...options].join(" ")}" ;;`;
  });
  const lists = new Map(plans.flatMap(optionsOf).map((option) => [option.name, option]));
  const values = [...lists.values()].filter((option) => option.values.length > 0);
  return [
    "# Completion of paceline for bash; load it with: source <(paceline completion bash)",
    "_paceline() {",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the braces are the shell's
    '  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
    '  case "$before" in',
    ...values.map((one) => `    --${one.name}) words="${one.values.join(" ")}" ;;`),
    "  esac",
    '  if [ -z "$words" ] && [ "$COMP_CWORD" -eq 1 ]; then',
    `    words="${[...plans.map(({ name }) => name), "help"].join(" ")}"`,
    '  elif [ -z "$words" ]; then',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the braces are the shell's
    '    case "${COMP_WORDS[1]}" in',
    ...cases.map((line) => `  ${line}`),
    "    esac",
    "  fi",
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    "}",
    "complete -o default -F _paceline paceline",
    "",
  ].join("\n");
}

/** zsh runs the script of bash. */
function zsh(plans: readonly CommandPlan[]): string {
  const [, ...lines] = bash(plans).split("\n");
  return [
    "# Completion of paceline for zsh; load it with: source <(paceline completion zsh)",
    "autoload -U +X compinit && compinit",
    "autoload -U +X bashcompinit && bashcompinit",
    ...lines,
  ].join("\n");
}

function fish(plans: readonly CommandPlan[]): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = [
    "# Completion of paceline for fish; load it with: paceline completion fish | source",
  ];
  for (const plan of plans) {
    const { name, sentence } = plan;
    lines.push(
      `complete -c paceline -n __fish_use_subcommand -f -a ${name} -d ${quoted(sentence)}`,
    );
    const seen = `complete -c paceline -n '__fish_seen_subcommand_from ${name}'`;
    for (const verb of plan.verbs ?? [])
      lines.push(`${seen} -f -a ${verb.name} -d ${quoted(verb.sentence)}`);
    for (const option of optionsOf(plan)) {
      const kind = option.values.length > 0 ? ` -x -a ${quoted(option.values.join(" "))}` : " -r";
      const value = option.takesValue ? kind : "";
      lines.push(`${seen} -l ${option.name}${value} -d ${quoted(option.sentence)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
