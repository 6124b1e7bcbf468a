/** How far a suite has come: every cell with its state, numbers and what it may still take. */
import type { Cell } from "./cells.js";
import type { PlannedCell } from "./suite-book.js";
import {
  type CellState,
  durationText,
  estimateSeconds,
  isCrowded,
  type Measured,
  remainingSeconds,
} from "./suite-plan.js";

/** One cell, as `experiments status` shows it. */
export interface StatusRow {
  readonly name: string;
  readonly priority: Cell["priority"];
  readonly state: CellState;
  /** Spent on it, from the start of its processes to their end. */
  readonly seconds: number | null;
  readonly accuracyPercent: number | null;
  /** What it will still take; null where that can't be judged, or nothing is left. */
  readonly remainingSeconds: number | null;
  /** More workers than cores. */
  readonly crowded: boolean;
  readonly note: string;
}

/** The suite's status. */
export interface SuiteStatus {
  readonly cells: readonly StatusRow[];
  readonly counts: Readonly<Record<CellState, number>>;
  /** Until every cell is done that the next run would run. */
  readonly remainingSeconds: number | null;
}

/** Puts the status together. */
export function statusOf(
  planned: readonly PlannedCell[],
  { cores, nowMs }: { readonly cores: number; readonly nowMs: number },
): SuiteStatus {
  const measured = measuredOf(planned);
  const elapsed = ({ decision, disk: { record, run } }: PlannedCell) => {
    const started = record?.startedAt ?? null;
    const before = record?.seconds ?? 0;
    const isOn = run.pid !== null || decision.kind === "follow";
    return !isOn || started === null
      ? before
      : before + Math.max(0, (nowMs - Date.parse(started)) / 1000);
  };
  const cells = planned.map((one): StatusRow => {
    const { cell, disk } = one;
    const state = stateOf(one);
    const isOver = state === "done" || state === "failed";
    const whole = isOver ? null : estimateSeconds(cell.facts, measured);
    const spent = state === "waiting" ? null : elapsed(one) || (disk.study?.seconds ?? null);
    return {
      name: cell.name,
      priority: cell.priority,
      state,
      seconds: spent,
      accuracyPercent: state === "done" ? (disk.study?.accuracyPercent ?? null) : null,
      remainingSeconds: whole === null ? null : Math.max(0, whole - (spent ?? 0)),
      crowded: disk.study?.crowded ?? isCrowded(cell.facts, cores),
      note: noteOf(one, state),
    };
  });
  const left = planned.filter((one) => !["done", "failed"].includes(stateOf(one)));
  const count = (state: CellState) => cells.filter((cell) => cell.state === state).length;
  return {
    cells,
    counts: {
      done: count("done"),
      running: count("running"),
      waiting: count("waiting"),
      interrupted: count("interrupted"),
      failed: count("failed"),
    },
    remainingSeconds: remainingSeconds(
      left.map((one) => {
        const isBegun = stateOf(one) !== "waiting";
        return { facts: one.cell.facts, elapsedSeconds: isBegun ? elapsed(one) : 0 };
      }),
      measured,
    ),
  };
}

/** What finished cells took. */
export function measuredOf(planned: readonly PlannedCell[]): Measured[] {
  return planned.flatMap(({ cell, decision, disk }) => {
    const seconds = disk.record?.seconds || (disk.study?.seconds ?? null);
    if (decision.kind !== "skip" || seconds === null) return [];
    return [{ facts: cell.facts, seconds, epochExamples: disk.epochExamples }];
  });
}

/** The status as a table, and a line below it. */
export function statusLines(status: SuiteStatus): string[] {
  const titles = ["Cell", "State", "Priority", "Time(s)", "Accuracy(%)", "Left", "Note"];
  const rows = status.cells.map((row) => [
    `${row.name}${row.crowded ? " *" : ""}`,
    row.state,
    row.priority,
    row.seconds === null ? "-" : row.seconds.toFixed(1),
    row.accuracyPercent === null ? "-" : row.accuracyPercent.toFixed(2),
    row.remainingSeconds === null ? "-" : durationText(row.remainingSeconds),
    row.note,
  ]);
  const widths = titles.map((title, index) =>
    Math.max(title.length, ...rows.map((row) => row[index]!.length)),
  );
  const isNumber = (index: number) => index >= 3 && index <= 5;
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) =>
        isNumber(index) ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!),
      )
      .join("  ")
      .trimEnd();
  const told = Object.entries(status.counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`);
  const { remainingSeconds: left } = status;
  const about = left === null || left === 0 ? "" : `; about ${durationText(left)} left`;
  const lines = [line(titles), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)];
  lines.push("", `${told.join(", ")}${about}`);
  if (status.cells.some(({ crowded }) => crowded))
    lines.push("* more workers than cores: its times say little");
  return lines;
}

/** How far a cell has come, seen from the matrix as it is. */
function stateOf({ decision, disk }: PlannedCell): CellState {
  switch (decision.kind) {
    case "skip":
      return "done";
    case "leave":
      return "failed";
    case "resume":
    case "collect":
      return "interrupted";
    case "follow":
      return "running";
    case "blocked":
      return disk.run.pid === null ? "waiting" : "running";
    case "begin":
      return decision.isHalf ? "interrupted" : "waiting";
    default:
      return decision satisfies never;
  }
}

function noteOf({ decision, disk }: PlannedCell, state: CellState): string {
  if (state === "done") return disk.record?.resumed ? "resumed from a checkpoint" : "";
  if (decision.kind === "follow") return `job ${decision.job}`;
  if (state === "running") return `process ${disk.run.pid}`;
  return decision.reason === "waiting" ? "" : decision.reason;
}
