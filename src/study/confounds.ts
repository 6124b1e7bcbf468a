/**
 * What else than the mode runs of several modes differ in: where there is such a setting, no
 * difference between them is the mode's alone, and a comparison says so.
 */
import type { Setting, StudyResult } from "./study-result.js";

/** A run, or repeats that are told as one, as far as a comparison of modes looks at it. */
export type Compared = Pick<StudyResult, "mode" | "servers" | "settings">;

/** A setting in which modes differ, with its values by mode. */
export interface Confound {
  readonly name: string;
  readonly values: readonly (readonly [mode: string, values: string])[];
}

/** What a setting is called where its place in a run's specification is no word. */
const settingNames: Readonly<Record<string, string>> = {
  "schedule.lr": "learning rate",
  "schedule.name": "learning-rate schedule",
  "updateRule.name": "optimizer",
  "updateRule.momentum": "momentum",
  "updateRule.weightDecay": "weight decay",
  batchSize: "batch size",
  trainExamples: "training examples",
  evaluateEvery: "evaluation every",
};
/** Settings that belong to the mode, or to the number of workers. */
const belongsToMode = /^protocol\.|^workersM(?:in|ax)$/;
const toldMax = 4;

/** The settings that differ between modes; none where there is one mode. */
export function confoundsOf(runs: readonly Compared[]): Confound[] {
  const modes = [...new Set(runs.map(({ mode }) => mode))];
  const names = new Set(runs.flatMap(({ settings }) => Object.keys(settings)));
  const told = ["servers", ...[...names].sort()].filter((name) => !belongsToMode.test(name));
  return told.flatMap((name) => {
    const values = modes.flatMap((mode) => {
      const own = runs.filter((run) => run.mode === mode).map((run) => settingOf(run, name));
      const known = [...new Set(own.filter((value) => value !== undefined).map(String))].sort();
      return known.length === 0 ? [] : [[mode, known.join(" or ")] as const];
    });
    const isAlike = new Set(values.map(([, value]) => value)).size < 2;
    return isAlike ? [] : [{ name: settingNames[name] ?? name, values }];
  });
}

function settingOf({ servers, settings }: Compared, name: string): Setting | undefined {
  return name === "servers" ? (servers ?? undefined) : settings[name];
}

/** The sentence that says so; null where there is nothing to say. */
export function confoundText(confounds: readonly Confound[]): string | null {
  if (confounds.length === 0) return null;
  const parts = confounds
    .slice(0, toldMax)
    .map(({ name, values }) => `${name} (${values.map((pair) => pair.join(" ")).join(", ")})`);
  const rest = confounds.length - parts.length;
  const more = rest === 0 ? "" : ` and ${rest} more ${rest === 1 ? "setting" : "settings"}`;
  return (
    `These runs differ in more than the mode: in ${parts.join(", ")}${more}. ` +
    "No difference between them is the mode's alone."
  );
}
