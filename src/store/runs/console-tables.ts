/** What a run shows on the console as text: data in, lines out. Null shows as a dash. */
import type { ServerFinalMetrics } from "./experiment-file.js";

/** A row of the summary table. */
export interface SummaryRow {
  readonly experiment: string;
  readonly mode: string;
  readonly workers: number;
  readonly seconds: number | null;
  readonly epochSeconds: number | null;
  readonly accuracyPercent: number | null;
  /** Standard deviations, where the row stands for several runs. */
  readonly deviations?: {
    readonly seconds: number | null;
    readonly epochSeconds: number | null;
    readonly accuracyPercent: number | null;
  };
}

/**
 * A row of the epoch table. `loss` and `trainAccuracyPercent` are means over the epoch's training
 * examples, taken before the model learned from each; `accuracyPercent` is of the test set.
 */
export interface EpochRow {
  readonly epoch: number;
  readonly epochs: number;
  readonly seconds: number;
  readonly loss: number | null;
  readonly trainAccuracyPercent: number | null;
  readonly accuracyPercent: number | null;
  readonly examplesPerSecond: number | null;
  readonly workers: number;
}

interface Column {
  readonly title: string;
  readonly width: number;
  readonly left?: boolean;
}

const summaryColumns: readonly Column[] = [
  { title: "Experiment", width: 20, left: true },
  { title: "Mode", width: 6, left: true },
  { title: "Workers", width: 7 },
  { title: "Time(s)", width: 9 },
  { title: "Epoch(s)", width: 9 },
  { title: "Accuracy(%)", width: 11 },
];

const epochColumns: readonly Column[] = [
  { title: "Epoch", width: 9, left: true },
  { title: "Time(s)", width: 9 },
  { title: "Loss", width: 9 },
  { title: "Train(%)", width: 8 },
  { title: "Accuracy(%)", width: 11 },
  { title: "Examples/s", width: 10 },
  { title: "Workers", width: 7 },
];

/** The table that compares runs: a heading, a rule, a line for each run. */
export function summaryTable(rows: readonly SummaryRow[]): string[] {
  const cells = rows.map((row) => [
    row.experiment,
    row.mode,
    String(row.workers),
    withDeviation(row.seconds, row.deviations?.seconds, 1),
    withDeviation(row.epochSeconds, row.deviations?.epochSeconds, 2),
    withDeviation(row.accuracyPercent, row.deviations?.accuracyPercent, 2),
  ]);
  const columns = summaryColumns.map((column, index) => ({
    ...column,
    width: Math.max(column.width, ...cells.map((row) => row[index]!.length)),
  }));
  return [...heading(columns), ...cells.map((row) => line(columns, row))];
}

/** Heading and rule of the epoch table. */
export function epochTableHeading(): string[] {
  return heading(epochColumns);
}

/** One epoch's line of the epoch table, in the heading's columns. */
export function epochTableRow(row: EpochRow): string {
  return line(epochColumns, [
    `${row.epoch}/${row.epochs}`,
    fixed(row.seconds, 2),
    fixed(row.loss, 4),
    fixed(row.trainAccuracyPercent, 2),
    fixed(row.accuracyPercent, 2),
    fixed(row.examplesPerSecond, 0),
    String(row.workers),
  ]);
}

/** The block that closes a run on the servers' side. */
export function serverStatistics(metrics: ServerFinalMetrics): string[] {
  const rows: [string, string][] = [
    ["Mode", metrics.mode],
    ["Total workers", String(metrics.total_workers)],
    ["Total training time", `${fixed(metrics.total_training_time_seconds, 2)} s`],
    ["Global steps completed", String(metrics.global_steps_completed)],
    ["Total parameter updates", String(metrics.total_parameter_updates)],
    ["Gradients processed", String(metrics.gradients_processed)],
    ["Average update time", `${fixed(metrics.average_update_time_seconds * 1000, 3)} ms`],
    ["Updates per second", fixed(metrics.updates_per_second, 2)],
    ["Learning rate", String(Number(metrics.learning_rate.toPrecision(6)))],
  ];
  if (metrics.async_updates !== undefined) {
    rows.push(
      ["Asynchronous updates", String(metrics.async_updates)],
      ["Average gradient staleness", fixed(metrics.average_gradient_staleness ?? null, 2)],
      ["Maximum staleness observed", fixed(metrics.max_staleness_observed ?? null, 0)],
    );
  }
  const rule = "=".repeat(60);
  const width = Math.max(...rows.map(([label]) => label.length)) + 1;
  return [
    rule,
    "PARAMETER SERVER FINAL STATISTICS",
    rule,
    ...rows.map(([label, value]) => `${`${label}:`.padEnd(width)} ${value}`),
    rule,
  ];
}

function heading(columns: readonly Column[]): string[] {
  const titles = columns.map((column) => column.title);
  return [line(columns, titles), columns.map((column) => "-".repeat(column.width)).join("  ")];
}

function line(columns: readonly Column[], cells: readonly string[]): string {
  const padded = columns.map((column, index) => {
    const cell = cells[index]!;
    return column.left ? cell.padEnd(column.width) : cell.padStart(column.width);
  });
  return padded.join("  ").trimEnd();
}

function withDeviation(value: number | null, deviation: number | null | undefined, digits: number) {
  const plain = fixed(value, digits);
  return value === null || deviation == null ? plain : `${plain} +- ${fixed(deviation, digits)}`;
}

function fixed(value: number | null, digits: number): string {
  return value === null || !Number.isFinite(value) ? "-" : value.toFixed(digits);
}
