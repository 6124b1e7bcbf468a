/** What `paceline aws plan`, `status` and `fetch` print for people. */
import { type CostLine, costPerHour } from "../../deploy/fargate-cost.js";
import type { PlannedStack, Stack } from "../../deploy/stack.js";
import type { FetchedLog } from "../../deploy/stack-logs.js";
import type { StackStatus, TaskStatus } from "../../deploy/stack-status.js";

/** The changes and the bill of a plan. */
export function planText({ changes }: PlannedStack, cost: readonly CostLine[]): string {
  const words = Object.entries(changes).map(([action, count]) => `${count} to ${action}`);
  const head = words.length === 0 ? "nothing to change" : words.join(", ");
  return lines([head, "", ...bill(cost), "", usedBesides]);
}

/** The files that were fetched. */
export function fetchedText(fetched: readonly FetchedLog[]): string {
  return lines(
    fetched.map(({ path, lines: count, moreBefore }) => {
      const came = `${path}  ${count} lines`;
      return moreBefore === null
        ? came
        : `${came}, kept as it was: it has these and ${moreBefore} more`;
    }),
  );
}

/** Services, tasks, stops and the bill of a stack. */
export function statusText(stack: Stack, status: StackStatus, nowMs: number): string {
  const { services, running, stopped, cost } = status;
  const serviceRows = services.map(({ name, desired, running: up, pending, event }) => {
    return [name, String(desired), String(up), String(pending), event];
  });
  const runningRows = running.map((task) => [
    ...[task.id.slice(0, 8), task.role, rankOf(task), task.state],
    ...[ago(task.startedAt, nowMs), `${task.cpu / 1024} vCPU, ${task.memoryMib / 1024} GiB`],
    task.isSpot ? "Spot" : "",
  ]);
  const stoppedRows = stopped.map((task) => [
    ...[task.id.slice(0, 8), task.role, rankOf(task)],
    ...[`${ago(task.stoppedAt, nowMs)} ago`, task.reason],
  ]);
  return lines([
    `${stack.name} in ${stack.region}`,
    "",
    ...table(["service", "wanted", "running", "pending", "ECS says"], serviceRows),
    "",
    ...table(["task", "role", "rank", "state", "for", "size", ""], runningRows),
    ...(stopped.length === 0
      ? []
      : ["", ...table(["stopped", "role", "rank", "when", "why"], stoppedRows)]),
    "",
    ...bill(cost),
  ]);
}

const usedBesides =
  "List prices of us-west-2. Logs, stored and transferred bytes are paid by use besides.";

function bill(cost: readonly CostLine[]): string[] {
  const rows = cost.map(({ what, usdPerHour }) => [what, usdPerHour.toFixed(3)]);
  const sum = costPerHour(cost);
  const total = ["together", sum.toFixed(3)];
  return [
    ...table(["cost", "USD an hour"], [...rows, total]),
    `${(sum * 24).toFixed(2)} USD a day`,
  ];
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = heads.map((head, column) => {
    return Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0));
  });
  return [heads, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function rankOf({ rank }: TaskStatus): string {
  return rank === null ? "" : String(rank);
}

function ago(time: string | null, nowMs: number): string {
  const ms = nowMs - Date.parse(time ?? "");
  if (!Number.isFinite(ms)) return "";
  const minutes = Math.max(0, Math.round(ms / 60_000));
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}
