/**
 * `paceline init [run.yaml]`: writes a run's config file with a sentence above each option, from
 * what flags say and the defaults. A file that exists is not overwritten.
 */
import { PacelineError } from "../../errors.js";
import { yamlLine } from "../../options/config-file.js";
import { optionGroups } from "../../options/option-row.js";
import { keysOf, type OptionKey, rowOf } from "../../options/options.js";
import { hasEffect, type Resolution } from "../../options/resolve.js";
import { diskFiles } from "../../store/files.js";
import type { Call } from "./command-plan.js";

/** Options that the file names even where nobody set them. */
const shownKeys: readonly OptionKey[] = [
  "servers",
  "workers",
  "mode",
  "model",
  "data",
  "epochs",
  "batchSize",
  "lr",
  "optimizer",
  "seed",
  "checkpointEvery",
];

/** Runs the command; resolves to the exit code. */
export async function init({ words, resolution, options, io }: Call): Promise<number> {
  const [path = "run.yaml"] = words;
  const example = { model: options.model ?? "mlp", data: options.data ?? "mnist" };
  const chosen = { ...resolution, options: { ...options, ...example } };
  await write(path, configText(chosen));
  io.stdout.write(options.json ? `${JSON.stringify({ path })}\n` : `${path}\n`);
  io.stderr.write(`next: paceline train ${path} --dry-run\n`);
  return 0;
}

/** The text of the file. */
export function configText({ options, origins }: Resolution): string {
  const isShown = (key: OptionKey) =>
    hasEffect(key, options) && (shownKeys.includes(key) || origins[key].kind !== "default");
  const lines = [
    "# A run of Paceline: paceline train FILE runs it, --dry-run shows the plan.",
    "# paceline train --help-all explains every option; each can be set here by its name.",
  ];
  for (const group of optionGroups) {
    const keys = keysOf("train").filter((key) => rowOf(key).group === group && isShown(key));
    if (keys.length > 0) lines.push("", `${group}:`);
    for (const key of keys) {
      const { sentence, type } = rowOf(key);
      const wanted = type.wanted.length > 60 ? "" : `: ${type.wanted}`;
      lines.push(`  # ${sentence}${wanted}`, `  ${yamlLine(key, options[key])}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

async function write(path: string, text: string): Promise<void> {
  if (await diskFiles.claimFile(path, text)) return;
  const sentence = `${path} exists already and is not overwritten`;
  throw new PacelineError("usage", `${sentence}; write paceline init with another file name`);
}
