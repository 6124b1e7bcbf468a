/**
 * The live region at the bottom of a terminal: lines that are redrawn in place while ordinary lines
 * scroll past above them. Everything is one write, so that no half-drawn state is ever seen.
 */

import type { CoordinatorSnapshot, MemberSnapshot } from "../protocol/run-events.js";

/** Somewhere to write text. */
export interface TextSink {
  write(text: string): unknown;
  /** The size of a terminal, in characters. */
  readonly columns?: number;
  readonly rows?: number;
  /** True for a terminal. */
  readonly isTTY?: boolean;
}

/** Where a region is drawn. */
export interface RegionSetup {
  readonly sink: TextSink;
  /** False where nothing can be redrawn: then only ordinary lines are written. */
  readonly live: boolean;
  readonly nowMs: () => number;
}

const drawIntervalMs = 100;
const columnsDefault = 80;
const rowsDefault = 24;
const barColumnsMax = 24;
const barColumnsMin = 8;

/** A region of lines below the log. */
export class LiveRegion {
  readonly #setup: RegionSetup;
  #lines: readonly string[] = [];
  /** What stands on the screen. */
  #drawn: readonly string[] = [];
  #lastDrawMs = Number.NEGATIVE_INFINITY;

  constructor(setup: RegionSetup) {
    this.#setup = setup;
  }

  /** Writes an ordinary line above the region. */
  line(text: string): void {
    const erasing = this.#erasing();
    this.#drawn = [];
    this.#setup.sink.write(`${erasing}${text}\n${this.#drawing()}`);
  }

  /** Sets the region's lines; they are drawn at most ten times a second. */
  show(lines: readonly string[]): void {
    if (!this.#setup.live) return;
    this.#lines = lines.map(printable);
    if (!this.#isDue()) return;
    const erasing = this.#erasing();
    this.#setup.sink.write(`${erasing}${this.#drawing()}`);
  }

  /** Takes the region off the screen for good. */
  close(): void {
    this.#lines = [];
    const erasing = this.#erasing();
    this.#drawn = [];
    if (erasing !== "") this.#setup.sink.write(erasing);
  }

  #isDue(): boolean {
    return this.#setup.nowMs() - this.#lastDrawMs >= drawIntervalMs;
  }

  /** The region as text, and the note that it stands there; "" where it may not be drawn yet. */
  #drawing(): string {
    if (this.#lines.length === 0 || !this.#isDue()) return "";
    const { columns, rows } = terminalSize(this.#setup.sink);
    this.#lastDrawMs = this.#setup.nowMs();
    this.#drawn = this.#lines.slice(0, rows - 1).map((line) => line.slice(0, columns - 1));
    return this.#drawn.join("\n");
  }

  /** Goes to where the region begins, also if the terminal got narrower and wrapped its lines. */
  #erasing(): string {
    if (this.#drawn.length === 0) return "";
    const { columns } = terminalSize(this.#setup.sink);
    const rows = this.#drawn.map((line) => Math.max(1, Math.ceil(line.length / columns)));
    const above = rows.reduce((sum, count) => sum + count, 0) - 1;
    return above === 0 ? "\r\u001b[J" : `\r\u001b[${above}A\u001b[J`;
  }
}

/** Text of other processes without anything that a terminal would obey. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ");
}

/** The columns and rows of a terminal; some that nearly all have where it does not say. */
export function terminalSize({ columns, rows }: TextSink): { columns: number; rows: number } {
  return {
    columns: Math.max(2, columns || columnsDefault),
    rows: Math.max(2, rows || rowsDefault),
  };
}

/** How far a run is. */
export interface ProgressFigures {
  readonly examples: number;
  readonly totalExamples: number;
  readonly examplesPerSecond: number | null;
  /** Mean training loss of the last seconds; null where there is none. */
  readonly loss: number | null;
}

/** What the region shows: a line about the run, and one for each worker that there is room for. */
export function progressLines(
  snapshot: CoordinatorSnapshot,
  figures: ProgressFigures,
  { columns, rows }: { columns: number; rows: number },
): string[] {
  const first =
    snapshot.phase === "training" ? runLine(snapshot, figures, columns) : snapshot.activity;
  const workers = snapshot.members.filter(({ role }) => role === "worker");
  const room = Math.max(0, rows - 3);
  const shown = workers.length <= room ? workers : workers.slice(0, Math.max(0, room - 1));
  const rest = workers.length - shown.length;
  const lines = [first, ...shown.map(memberLine)];
  if (rest > 0) lines.push(`and ${rest} more worker${rest === 1 ? "" : "s"}`);
  return lines;
}

/**
 * One member and its state in a sentence. Members are heard of at moments of their own, some steps
 * apart, so a line names no step: the run's line has the one that all have come to.
 */
export function memberLine(member: MemberSnapshot): string {
  const name = `${member.role}-${member.rank}`.padEnd(10);
  const said = member.state === "alive" ? "" : `${member.state}: ${member.reason}; `;
  return `${name} ${said}${member.activity}${waitingShare(member)}`;
}

function waitingShare({ worker }: MemberSnapshot): string {
  if (worker === null) return "";
  const { inputSeconds, computeSeconds, waitSeconds } = worker;
  const all = inputSeconds + computeSeconds + waitSeconds;
  return all === 0 ? "" : ` (waits ${((100 * waitSeconds) / all).toFixed(0)}% of its time)`;
}

/** A duration for people: 0:05, 12:34, 1:02:03. */
export function clockTime(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (parts[0] === 0) parts.shift();
  return parts.map((part, index) => (index === 0 ? part : String(part).padStart(2, "0"))).join(":");
}

/** A piece of the run's line; where there is no room, those of the highest rank go first. */
interface Piece {
  readonly text: string;
  readonly rank: number;
}

function runLine(
  { epoch, epochs, activity, globalSteps }: CoordinatorSnapshot,
  { examples, totalExamples, examplesPerSecond: rate, loss }: ProgressFigures,
  columns: number,
): string {
  const share = totalExamples === 0 ? 0 : Math.min(1, examples / totalExamples);
  const isWithinEpoch = activity.startsWith("epoch ");
  let pieces: Piece[] = [
    { text: `${String(Math.floor(100 * share)).padStart(3)}%`, rank: 0 },
    { text: isWithinEpoch ? `epoch ${epoch + 1}/${epochs}` : activity, rank: 3 },
    { text: `step ${globalSteps}`, rank: 4 },
  ];
  if (loss !== null) pieces.push({ text: `loss ${loss.toPrecision(4)}`, rank: 2 });
  if (rate !== null) pieces.push({ text: `${rate.toFixed(0)} examples/s`, rank: 5 });
  if (rate !== null && rate > 0) {
    const left = clockTime(Math.max(0, totalExamples - examples) / rate);
    pieces.push({ text: `ETA ${left}`, rank: 1 });
  }
  const joined = () => pieces.map((piece) => piece.text).join("  ");
  const all = pieces.length;
  while (pieces.length > 1 && joined().trimStart().length > columns - 1) {
    const last = Math.max(...pieces.map(({ rank }) => rank));
    pieces = pieces.filter(({ rank }) => rank !== last);
  }
  const text = joined();
  const room = Math.min(barColumnsMax, columns - 1 - text.length - 3);
  // The bar tells what the percentage does, and goes before all.
  if (pieces.length < all || room < barColumnsMin) return text.trimStart();
  const filled = Math.floor(room * share);
  return `[${"#".repeat(filled)}${"-".repeat(room - filled)}] ${text}`;
}

/**
 * Whether METRICS_JSON lines go to standard output. On a terminal they are in the run's logs, where
 * they are always; with --json they would not be its one object.
 */
export function printsMetrics(
  { json, metricsJson }: { readonly json: boolean; readonly metricsJson: boolean },
  { isTTY }: TextSink,
): boolean {
  return !json && (metricsJson || isTTY !== true);
}
