/** Runs as comma-separated values (RFC 4180), for spreadsheets and data frames. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readJsonLines } from "../../store/runs/json-lines.js";
import { GivenUpRows } from "../../store/runs/resumed-row.js";
import type { RunRecord } from "../../study/run-records.js";

/** What a row may be of. */
export const csvUnits = ["run", "epoch", "step"] as const;
/** One of them. */
export type CsvUnit = (typeof csvUnits)[number];

type Cell = string | number | boolean | null | undefined;
type Row = Readonly<Record<string, Cell>>;

/** One line of values; what would be taken for the form's own signs is quoted. */
export function csvLine(cells: readonly Cell[]): string {
  const quoted = cells.map((cell) => {
    const text = cell === null || cell === undefined ? "" : String(cell);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${quoted.join(",")}\r\n`;
}

/** The heading, and a row for each run, epoch or logged step; unknown values are empty. */
export async function* csvOf(
  records: readonly RunRecord[],
  unit: CsvUnit,
  onBroken: (sentence: string) => void = () => {},
): AsyncGenerator<string, void, undefined> {
  const columns = columnsOf[unit];
  yield csvLine(columns);
  for (const record of records) {
    for await (const row of rowsOf(record, unit, onBroken)) {
      yield csvLine(columns.map((column) => row[column]));
    }
  }
}

const runColumns = ["run", "model", "data", "mode", "workers", "servers", "seed"];

const columnsOf: Readonly<Record<CsvUnit, readonly string[]>> = {
  run: [
    ...runColumns,
    "state",
    "epochs",
    "accuracy_percent",
    "seconds",
    "epoch_seconds",
    "global_steps",
    "staleness_average",
    "input_seconds_per_step",
    "compute_seconds_per_step",
    "wait_seconds_per_step",
    "bytes_in",
    "bytes_out",
    "started_at",
    "ended_at",
    "path",
  ],
  epoch: [
    ...runColumns,
    "epoch",
    "longest_seconds",
    "mean_seconds",
    "train_loss",
    "train_accuracy_percent",
    "test_loss",
    "test_accuracy_percent",
  ],
  step: [
    ...runColumns,
    "step",
    "epoch",
    "seconds",
    "examples",
    "train_loss",
    "examples_per_second",
    "staleness",
  ],
};

async function* rowsOf(
  record: RunRecord,
  unit: CsvUnit,
  onBroken: (sentence: string) => void,
): AsyncGenerator<Row, void, undefined> {
  const { name: run, model, data, mode, workers, servers, seed } = record;
  const head = { run, model, data, mode, workers, servers, seed };
  if (unit === "run") yield { ...head, ...runCells(record) };
  else if (unit === "epoch") {
    for (const epoch of record.epochs) {
      yield {
        ...head,
        epoch: epoch.epoch,
        longest_seconds: epoch.longestSeconds,
        mean_seconds: epoch.meanSeconds,
        train_loss: epoch.trainLoss,
        train_accuracy_percent: epoch.trainAccuracyPercent,
        test_loss: epoch.testLoss,
        test_accuracy_percent: epoch.testAccuracyPercent,
      };
    }
  } else for await (const row of stepRows(record.path, onBroken)) yield { ...head, ...row };
}

function runCells(record: RunRecord): Row {
  const { state, epochs, accuracyPercent, seconds, startedAt, endedAt, path, result } = record;
  return {
    state,
    epochs: epochs.length,
    accuracy_percent: accuracyPercent,
    seconds,
    epoch_seconds: result?.epochSeconds,
    global_steps: record.form?.paceline?.globalSteps,
    staleness_average: record.form?.paceline?.staleness?.average,
    input_seconds_per_step: result?.stepTimes?.inputSeconds,
    compute_seconds_per_step: result?.stepTimes?.computeSeconds,
    wait_seconds_per_step: result?.stepTimes?.waitSeconds,
    bytes_in: result?.bytesIn,
    bytes_out: result?.bytesOut,
    started_at: startedAt,
    ended_at: endedAt,
    path,
  };
}

/** Rows that say where a run stands. */
const placedForm = z.looseObject({ kind: z.enum(["step", "resumed"]), step: z.number() });
const stepForm = z.looseObject({
  kind: z.literal("step"),
  step: z.number(),
  epoch: z.number().nullish(),
  seconds: z.number().nullish(),
  examples: z.number().nullish(),
  loss: z.number().nullish(),
  examplesPerSecond: z.number().nullish(),
  staleness: z.number().nullish(),
});

/** The logged steps of a run's folder; a file by itself has none. */
async function* stepRows(
  path: string,
  onBroken: (sentence: string) => void,
): AsyncGenerator<Row, void, undefined> {
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory() !== true) return;
  const metrics = join(path, "metrics.jsonl");
  const givenUp = new GivenUpRows();
  for await (const line of readJsonLines(metrics, () => {})) {
    const { data } = placedForm.safeParse(line);
    if (data !== undefined) givenUp.take(data);
  }
  let place = -1;
  for await (const line of readJsonLines(metrics, onBroken)) {
    if (!placedForm.safeParse(line).success) continue;
    place += 1;
    const { data } = stepForm.safeParse(line);
    if (data === undefined || givenUp.isGivenUp(place, data.step)) continue;
    const { step, epoch, seconds, examples, loss, examplesPerSecond, staleness } = data;
    const rates = { examples_per_second: examplesPerSecond, staleness };
    yield { step, epoch, seconds, examples, train_loss: loss, ...rates };
  }
}
