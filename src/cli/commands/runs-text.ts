/** Runs as text for people: the list, all of one run, several side by side. */
import { existsSync } from "node:fs";
import { toPacelineError } from "../../errors.js";
import { readConfigFile } from "../../options/config-file.js";
import type { Environment } from "../../options/option-row.js";
import { rowOf } from "../../options/options.js";
import { printable } from "../../report/progress.js";
import { summaryTable } from "../../store/runs/console-tables.js";
import type { Comparison } from "../../study/compare-runs.js";
import type { Remark, RunRecord, SizedCheckpoint } from "../../study/run-records.js";
import type { Setting } from "../../study/study-result.js";

/** An option that a run was given another value of than the default. */
export interface OptionSet {
  readonly name: string;
  readonly value: string;
  readonly default: string;
}

/** What `show` tells beside the record. */
export interface RunDetails {
  readonly options: readonly OptionSet[];
  readonly checkpoints: readonly SizedCheckpoint[];
  readonly remarks: readonly Remark[];
}

/** A record as `ls --json` gives it: without what only `show` tells. */
export function listingOf(record: RunRecord) {
  const { epochs, evaluations, result, form, ...rest } = record;
  return { ...rest, epochsDone: epochs.length };
}

/** A line for each run. */
export function listTable(records: readonly RunRecord[]): string[] {
  const titles = ["Name", "Model", "Data", "Mode", "Workers", "Servers", "State", "Epochs"];
  const rows = records.map((record) => [
    record.name,
    record.model ?? "-",
    record.data ?? "-",
    record.mode ?? "-",
    String(record.workers ?? "-"),
    String(record.servers ?? "-"),
    record.state,
    `${record.epochs.length}/${record.epochsPlanned ?? "-"}`,
    fixed(record.accuracyPercent, 2),
    fixed(record.seconds, 1),
    minute(record.startedAt),
  ]);
  return table([...titles, "Accuracy(%)", "Time(s)", "Started (UTC)"], rows);
}

/** Everything about one run. */
export function describeRun(record: RunRecord, details: RunDetails): string[] {
  const { options, checkpoints, remarks } = details;
  const settings = Object.entries(record.result?.settings ?? {});
  const set = options.map(({ name, value, default: usual }) => [name, value, usual]);
  // A file by itself has no config.yaml; then what the file tells is all there is.
  const told = settings.map(([path, value]) => [path, settingText(value)]);
  return [
    ...factLines(record),
    ...section("Options that were set", ["Option", "Value", "Default"], set),
    ...(set.length > 0 ? [] : section("Settings", ["Setting", "Value"], told)),
    ...epochLines(record),
    ...section(
      "Evaluations",
      ["Step", "Version", "Time(s)", "Examples", "Accuracy(%)", "Loss"],
      record.evaluations.map(({ step, version, seconds, examples, accuracyPercent, loss }) => [
        String(step),
        version ?? "-",
        fixed(seconds, 2),
        String(examples ?? "-"),
        fixed(accuracyPercent, 2),
        fixed(loss, 4),
      ]),
    ),
    ...section(
      "Checkpoints",
      ["Step", "Size", "Path"],
      checkpoints.map(({ step, bytes, path }) => [String(step), bytesText(bytes), path]),
    ),
    ...section(
      "Warnings and losses",
      ["Time", "Kind", "What"],
      remarks.map(({ time, kind, text }) => [time ?? "-", kind, text]),
    ),
    ...record.problems.flatMap((problem) => ["", printable(problem)]),
  ];
}

function factLines(record: RunRecord): string[] {
  const { form, result } = record;
  const { stalenessCounts: counts, stepTimes, bytesIn, bytesOut } = result ?? {};
  const { staleness, globalSteps, tornSteps, skippedExamples } = form?.paceline ?? {};
  const { version, commit } = form?.paceline ?? {};
  // Workers in step have no staleness, and a baseline no servers.
  const isCounted = counts?.some((count) => count > 0) || (staleness?.rejected ?? 0) > 0;
  const hadNone = result?.inOneProcess === true;
  const facts: [string, string | null][] = [
    ["run", record.name],
    ["path", record.path],
    ["state", `${record.state}: ${record.reason}`],
    ["model", record.model],
    ["data", record.data],
    ["mode", record.mode],
    ["workers", textOf(record.workers)],
    ["servers", textOf(record.servers)],
    ["seed", textOf(record.seed)],
    ["started", record.startedAt],
    ["ended", record.endedAt],
    ["time", record.seconds === null ? null : `${fixed(record.seconds, 2)} s of training`],
    [
      "epoch",
      result?.epochSeconds == null ? null : `${fixed(result.epochSeconds, 2)} s on average`,
    ],
    ["accuracy", record.accuracyPercent === null ? null : `${fixed(record.accuracyPercent, 2)} %`],
    ["steps", globalSteps == null ? null : stepsText(globalSteps, tornSteps, skippedExamples)],
    ["staleness", staleness == null || !isCounted ? null : stalenessText(staleness)],
    ["by staleness", counts == null || !isCounted ? null : countsText(counts)],
    ["a step", stepTimes == null ? null : stepText(stepTimes)],
    ["received", hadNone || bytesIn == null ? null : `${bytesText(bytesIn)} by the servers`],
    ["sent", hadNone || bytesOut == null ? null : `${bytesText(bytesOut)} by the servers`],
    ["cores", result?.crowded ? "fewer than processes: times are no measure of scaling" : null],
    ["clock", result?.simulated ? "virtual: times are modelled" : null],
    ["version", version == null ? null : `${version}${commit ? ` (${commit})` : ""}`],
  ];
  const told = facts.filter((fact): fact is [string, string] => fact[1] !== null);
  return told.map(([label, text]) => `${label.padEnd(12)}  ${printable(text)}`);
}

function epochLines({ epochs }: RunRecord): string[] {
  const titles = ["Epoch", "Longest(s)", "Mean(s)", "Train loss", "Train(%)"];
  return section(
    "Epochs",
    [...titles, "Test loss", "Test(%)"],
    epochs.map((epoch) => [
      String(epoch.epoch),
      fixed(epoch.longestSeconds, 2),
      fixed(epoch.meanSeconds, 2),
      fixed(epoch.trainLoss, 4),
      fixed(epoch.trainAccuracyPercent, 2),
      fixed(epoch.testLoss, 4),
      fixed(epoch.testAccuracyPercent, 2),
    ]),
  );
}

/** Runs side by side, and against the first. */
export function comparisonText(comparison: Comparison): string[] {
  const { runs, differences, against, common, remarks } = comparison;
  const areUnlike = new Set(runs.map(({ name }) => name)).size === runs.length;
  const labels = runs.map(({ name, path }) => printable(areUnlike ? name : path));
  const summary = runs.map((run, index) => ({ ...run, experiment: labels[index]! }));
  const lines = summaryTable(summary);
  const options = differences.map(({ option, values }) => [option, ...values.map(settingText)]);
  lines.push(...section("They differ in", ["Option", ...labels], options));
  const first = labels[0]!;
  const rows = against.map(({ speedup, epochSpeedup, accuracyDifference }, index) => [
    labels[index + 1]!,
    timesText(speedup),
    timesText(epochSpeedup),
    accuracyDifference === null ? "-" : signed(accuracyDifference),
  ]);
  const titles = ["Experiment", "Speed-up", "By epoch", "Accuracy (points)"];
  lines.push(...section(`Against ${first}`, titles, rows));
  if (common !== null) {
    const times = common.seconds.map((seconds, index) => [labels[index]!, fixed(seconds, 2)]);
    const level = `${fixed(common.accuracyPercent, 2)} %`;
    const title = `Time to ${level}, the highest that all evaluated runs reached`;
    lines.push(...section(title, ["Experiment", "Time(s)"], times));
  }
  return [...lines, ...remarks.flatMap((remark) => ["", printable(remark)])];
}

/** What a run's config.yaml says beyond the defaults; one that can't be read is told as such. */
export function optionsSet(path: string, environment: Environment): OptionSet[] {
  if (!existsSync(path)) return [];
  try {
    const written = [...readConfigFile(path)].map(([key, value]) => {
      const { name, type, default: everywhere, defaults, defaultFrom } = rowOf(key);
      const usual = defaults?.train ?? defaultFrom?.(environment) ?? everywhere;
      return { name, value, default: type.print(usual) };
    });
    return written.filter((option) => option.value !== option.default);
  } catch (thrown) {
    return [{ name: "config.yaml", value: toPacelineError(thrown).message, default: "" }];
  }
}

/** Bytes in a unit that suits them; 1 kB are 1000 bytes. */
export function bytesText(bytes: number): string {
  const units = ["kB", "MB", "GB", "TB"];
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes / 1000;
  let index = 0;
  while (value >= 999.95 && index < units.length - 1) {
    value /= 1000;
    index += 1;
  }
  return `${value.toFixed(1)} ${units[index]}`;
}

function stepsText(steps: number, torn: number | null = null, skipped: number | null = null) {
  const parts = [`${steps}`];
  if (torn) parts.push(`${torn} torn`);
  if (skipped) parts.push(`${skipped} examples skipped`);
  return parts.join(", ");
}

type StalenessForm = NonNullable<
  NonNullable<NonNullable<RunRecord["form"]>["paceline"]>["staleness"]
>;

function stalenessText({ average, max, rejected }: StalenessForm): string {
  const told = `${fixed(average ?? null, 2)} on average, ${fixed(max ?? null, 0)} at most`;
  return rejected ? `${told}, ${rejected} pushes rejected` : told;
}

/** So many lengths of staleness are counted apart. */
const placesMax = 128;

function countsText(counts: readonly number[]): string {
  const last = counts.length - 1;
  const told = counts.flatMap((count, staleness) => {
    // The last place of all counts those above, too.
    const more =
      staleness === last && staleness > 0 && counts.length >= placesMax ? " or more" : "";
    return count > 0 ? [`${staleness}${more}: ${count}`] : [];
  });
  return told.length === 0 ? "no pushes" : told.join(", ");
}

function stepText(times: { inputSeconds: number; computeSeconds: number; waitSeconds: number }) {
  const ms = (seconds: number) => `${(seconds * 1000).toFixed(1)} ms`;
  const { inputSeconds, computeSeconds, waitSeconds } = times;
  return `${ms(inputSeconds)} input, ${ms(computeSeconds)} compute, ${ms(waitSeconds)} wait`;
}

/** A table under its title, indented, with an empty line before; nothing where it has no rows. */
export function section(
  title: string,
  titles: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  if (rows.length === 0) return [];
  return ["", title, ...table(titles, rows).map((line) => `  ${line}`)];
}

/** Columns of which every cell is a number or a dash stand to the right. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = rows.map((row) => row.map(printable));
  const isNumeric = titles.map((_, column) =>
    cells.every((row) => /^(?:[-+]?[\d.]+[x%]?|-|\d+\/(?:\d+|-))$/.test(row[column]!)),
  );
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]!.length)),
  );
  return [titles, ...cells].map((row) =>
    row
      .map((cell, column) =>
        isNumeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join("  ")
      .trimEnd(),
  );
}

function fixed(value: number | null, digits: number): string {
  return value === null ? "-" : value.toFixed(digits);
}

function timesText(value: number | null): string {
  if (value === null) return "-";
  return `${value < 0.1 ? Number(value.toPrecision(2)) : value.toFixed(2)}x`;
}

function signed(value: number): string {
  return `${value < 0 ? "" : "+"}${value.toFixed(2)}`;
}

function textOf(value: number | null): string | null {
  return value === null ? null : String(value);
}

function settingText(value: Setting | undefined): string {
  if (value === undefined) return "-";
  return value === null || value === "" ? "none" : String(value);
}

/** A time in UTC to the minute; a dash where it is none. */
export function minute(time: string | null): string {
  const ms = Date.parse(time ?? "");
  return Number.isNaN(ms) ? "-" : new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}
