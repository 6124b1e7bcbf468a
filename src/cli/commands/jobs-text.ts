/** Jobs of a serving coordinator, and what happens in one, as text for people. */
import { PacelineError } from "../../errors.js";
import type { JobSummary } from "../../protocol/run-events.js";
import { printable } from "../../report/progress.js";

/** A table of jobs, a line each. */
export function jobTable(jobs: readonly JobSummary[]): string[] {
  const titles = ["Id", "Job", "State", "Priority", "Needs", "Submitted", "Remark"];
  const rows = jobs.map((job) => [
    `${job.id}`,
    printable(job.name),
    job.state,
    `${job.priority}`,
    `${job.workers}w ${job.servers}s`,
    timeOf(job.submittedAt),
    printable(remarkOf(job)),
  ]);
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  return [titles, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}

/** All of one job. */
export function jobLines(job: JobSummary): string[] {
  const { id, name, state, priority, workers, servers, submitter, result } = job;
  const rows: (readonly [string, string | null])[] = [
    ["job", `${name} (number ${id})`],
    ["state", state],
    ["waits for", job.waitsFor.replace(/^waits for /, "") || null],
    ["reason", job.reason || null],
    ["priority", `${priority}`],
    ["needs", `${workers} workers, ${servers} servers`],
    ["submitted", timeOf(job.submittedAt)],
    ["by", submitter === null ? null : `process ${submitter.pid} on ${submitter.host}`],
    ["started", job.startedAt === null ? null : timeOf(job.startedAt)],
    ["ended", job.endedAt === null ? null : timeOf(job.endedAt)],
    ["result", result === null ? null : resultText(result)],
    ["exit code", result === null ? null : `${result.exitCode}`],
  ];
  return rows.flatMap(([title, text]) =>
    text === null ? [] : [`${title.padEnd(10)} ${printable(text)}`],
  );
}

/** What happened, a line each: the time and the sentence, or the JSON as it is. */
export function eventLines(text: string, isJson: boolean): string[] {
  const whole = text.split("\n").filter((line) => line !== "");
  return isJson ? whole : whole.map(eventLine);
}

/** The last so many lines. */
export function tailOf(shown: readonly string[], tail: unknown): readonly string[] {
  if (tail === undefined) return shown;
  if (!/^\d{1,9}$/.test(String(tail))) {
    throw new PacelineError("usage", `--tail ${tail} is no count of lines; write one, such as 20`);
  }
  return Number(tail) === 0 ? [] : shown.slice(-Number(tail));
}

function eventLine(line: string): string {
  try {
    const { time, text } = JSON.parse(line) as Record<string, unknown>;
    return printable(`${time} ${text}`);
  } catch {
    return printable(line);
  }
}

function remarkOf({ state, waitsFor, reason, result }: JobSummary): string {
  if (state === "queued") return [reason, waitsFor].filter((text) => text !== "").join("; ");
  if (state === "running") return "";
  if (state === "done" && result !== null) return resultText(result);
  return reason;
}

function resultText({
  globalSteps,
  accuracyPercent,
  loss,
  seconds,
}: NonNullable<JobSummary["result"]>) {
  const steps = `step ${globalSteps} in ${seconds.toFixed(1)} s`;
  if (accuracyPercent === null || loss === null) return steps;
  return `${steps}, accuracy ${accuracyPercent.toFixed(2)}%, loss ${loss.toFixed(4)}`;
}

/** To the second, in UTC. */
function timeOf(iso: string): string {
  return iso.replace(/\.\d+Z$/, "Z");
}
