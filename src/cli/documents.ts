/** What `paceline config` prints of the options table, and the pages of docs/ made from it. */
import { join } from "node:path";
import { errorCodes, PacelineError } from "../errors.js";
import { showOrigin } from "../options/assignments.js";
import { configSchema, printConfig } from "../options/config-file.js";
import {
  type CommandName,
  type OptionGroup,
  optionGroups,
  partCommands,
} from "../options/option-row.js";
import { environmentName, keysOf, type OptionKey, optionKeys, rowOf } from "../options/options.js";
import { type Resolution, resolve } from "../options/resolve.js";
import { diskFiles, writeTextAtomically } from "../store/files.js";
import { alternatives, didYouMean } from "../suggest.js";
import type { Call } from "./commands/command-plan.js";

/** `paceline config print | schema | docs`. */
export async function configCommand({ words, flags, options, resolution, io }: Call) {
  switch (words[0]) {
    case "print": {
      const role = roleOf(flags.role as string | undefined);
      const { environment } = io;
      const shown = role === "train" ? resolution : resolve(role, { environment });
      const text = options.json ? printJson(role, shown) : printConfig(role, shown, true);
      io.stdout.write(text);
      return 0;
    }
    case "schema":
      io.stdout.write(`${JSON.stringify(configSchema(), null, 2)}\n`);
      return 0;
    default:
      await writeDocuments(flags.write as string | undefined, (text) => io.stdout.write(text));
      return 0;
  }
}

function roleOf(word: string | undefined): CommandName {
  const role = partCommands.find((one) => one === (word ?? "train"));
  if (role !== undefined) return role;
  const hint = didYouMean(word ?? "", partCommands);
  const sentence = `--role ${word || '""'} is none${hint}`;
  throw new PacelineError("usage", `${sentence}; write ${alternatives(partCommands)}`);
}

function printJson(command: CommandName, { options, origins }: Resolution): string {
  const entries = keysOf(command).map((key) => {
    const value = rowOf(key).type.print(options[key]);
    const plain = typeof options[key] === "number" || typeof options[key] === "boolean";
    const shown = plain && String(options[key]) === value ? options[key] : value;
    return [rowOf(key).name, { value: shown, origin: showOrigin(origins[key]) }];
  });
  return `${JSON.stringify(Object.fromEntries(entries))}\n`;
}

/** The generated documents by file name. */
export const documents: Readonly<Record<string, () => string>> = {
  "config.md": configDocument,
  "errors.md": errorsDocument,
};

async function writeDocuments(
  folder: string | undefined,
  print: (text: string) => void,
): Promise<void> {
  if (folder !== undefined) await diskFiles.makeFolder(folder);
  for (const [name, write] of Object.entries(documents)) {
    if (folder === undefined) print(write());
    else await writeTextAtomically(diskFiles, join(folder, name), write());
  }
}

const groupSentences: Readonly<Record<OptionGroup, string>> = {
  cluster: "Members of the cluster and how they reach each other.",
  pace: "How workers are synchronised.",
  training: "The model, the data and the training.",
  input: "Where examples come from.",
  wire: "Transport and compression.",
  keeping: "Run folders and checkpoints.",
  showing: "Output.",
  trying: "Trying things out.",
};

function configDocument(): string {
  const lines = [
    "# Configuration",
    "",
    "This page is generated from the options table by `make docs`.",
    "",
    "Each option can be given as a flag (`--batch-size 128`), with `--set",
    "training.batch-size=128`, in the environment (`PACELINE_BATCH_SIZE=128`) or in a YAML file",
    "(`batch-size: 128`, at the top or under its group's name). A flag wins over `--set`, then",
    "come the environment, the file, `--fast` and the default. `paceline config print` shows",
    "every value and where it came from, `paceline config schema` prints a JSON schema of the",
    "file. A switch is turned off with `--no-` before its name.",
  ];
  for (const group of optionGroups) {
    lines.push("", `## ${group}`, "", groupSentences[group], "");
    lines.push("| option | value | default | commands | environment | meaning |");
    lines.push("|---|---|---|---|---|---|");
    for (const key of optionKeys) if (rowOf(key).group === group) lines.push(documentRow(key));
  }
  return `${lines.join("\n")}\n`;
}

function documentRow(key: OptionKey): string {
  const row = rowOf(key);
  const inTable = (text: string) => text.replaceAll("|", "\\|");
  const flag = `${row.short === undefined ? "" : `-${row.short}, `}--${row.name}`;
  const printed = row.default === null ? "none" : row.type.print(row.default);
  const others = Object.entries(row.defaults ?? {}).map(
    ([command, value]) => `, ${row.type.print(value)} for ${command}`,
  );
  const fast = row.fast === undefined ? "" : `, ${row.type.print(row.fast)} with --fast`;
  const standard = row.defaultText ?? `${printed}${others.join("")}${fast}`;
  const names = [environmentName(key), ...(row.aliases ?? []).map(aliasText)].join(", ");
  const only =
    row.onlyWith === undefined
      ? ""
      : `; only with --${rowOf(row.onlyWith.key).name} ${row.onlyWith.values.join(" or ")}`;
  const unit = row.unit === undefined ? "" : ` (${row.unit})`;
  const cells = [`\`${flag}\``, row.type.wanted + unit, standard, row.commands.join(", "), names];
  return `| ${[...cells, row.sentence + only].map(inTable).join(" | ")} |`;
}

function aliasText({ name, commands }: { name: string; commands?: readonly string[] }): string {
  return commands === undefined ? name : `${name} (${commands.join(", ")})`;
}

function errorsDocument(): string {
  const lines = [
    "# Errors and exit codes",
    "",
    "This page is generated from `src/errors.ts` by `make docs`.",
    "",
    "Every failure is one sentence on standard error: what is wrong, with the value, and how to",
    'correct it. With `--json` standard output also gets `{"error":{"code":...}}`, with',
    "`message`, `exitCode` and `details`.",
    "",
    "| code | exit code | a retry may help | meaning |",
    "|---|---|---|---|",
  ];
  for (const [code, { exitCode, retryable, meaning }] of Object.entries(errorCodes))
    lines.push(`| \`${code}\` | ${exitCode} | ${retryable ? "yes" : "no"} | ${meaning} |`);
  lines.push(
    "",
    "Exit code 0 means done, with the last checkpoint on disk. 129 (hang-up), 130 (interrupt) and",
    "143 (termination) mean that a signal ended the run. If training had started, a checkpoint was",
    "written, and `paceline resume RUN` continues from it. After a second signal nothing is",
    "written. If the last checkpoint can't be written, its weights stay in memory and the write is",
    "retried for `--save-patience`; a run that ends without it has exit code 8, not 0 or 130.",
    "",
    "`paceline train` ends with the exit code of a member that fails before the first step (2, 5,",
    "6 or 7), and with 1 or 4 if a required member is lost later. A worker that failed so is not",
    "restarted, as it would fail again.",
  );
  return `${lines.join("\n")}\n`;
}
