/**
 * What `experiments run --dry-run` finds wrong with the cells that it would run: whatever `train
 * --dry-run` refuses of each, under the name and from the checkpoint that the suite would give it.
 */
import { type PacelineError, toPacelineError } from "../../errors.js";
import type { Environment } from "../../options/option-row.js";
import { keyOfName, type OptionKey } from "../../options/options.js";
import { type Given, resolve } from "../../options/resolve.js";
import type { ResolvedOptions } from "../../options/resolved-options.js";
import { usableCores } from "../../runtime/process/cores.js";
import { demandPreparable } from "../../runtime/run-preparation.js";
import type { PlannedCell } from "../../study/suite-book.js";
import type { SuiteFolder } from "../../study/suite-state.js";
import { findResumedRun } from "../resumed-run.js";
import { demandStartable } from "../run-demands.js";
import { planRun } from "./dry-run.js";

/** What is wrong, by the cell's name; nothing of cells that would not be trained. */
export async function problemsOfCells(
  planned: readonly PlannedCell[],
  folder: SuiteFolder,
  environment: Environment,
): Promise<Map<string, PacelineError>> {
  const problems = new Map<string, PacelineError>();
  for (const { cell, decision } of planned) {
    if (decision.kind !== "begin" && decision.kind !== "resume") continue;
    try {
      const values = new Map([...cell.values].map(([name, text]) => [keyOfName(name)!, text]));
      const file = { path: folder.configPath(cell.name), values };
      const resumes = decision.kind === "resume";
      const options = await optionsOf({ file, environment }, cell.name, folder, resumes);
      demandStartable(options);
      await demandPreparable(options);
      await planRun(options, usableCores());
    } catch (thrown) {
      problems.set(cell.name, toPacelineError(thrown));
    }
  }
  return problems;
}

/** The folder of a run that is begun anew is removed before: its name is free. */
async function optionsOf(
  given: Given,
  name: string,
  folder: SuiteFolder,
  resumes: boolean,
): Promise<ResolvedOptions> {
  const flags = new Map<OptionKey, string>([["runDir", folder.runsPath]]);
  if (resumes) flags.set("resume", name);
  const { options } = resolve("train", { ...given, flags });
  if (!resumes) return options;
  const run = await findResumedRun(options);
  return run === null ? options : resolve("train", { ...given, flags, run }).options;
}
