/**
 * The one harness that every benchmark runs in. A case measures Paceline and, on request, its
 * peers in turns (A B A B ...), so that a machine that slows down slows all of them; the first
 * turns warm up and do not count; what is reported is the median. A ratio above 1 is always better
 * for Paceline.
 */
import { assert } from "../../assert.js";
import { toPacelineError } from "../../errors.js";
import { describeMachine, type Machine } from "../../runtime/process/machine.js";

/** What a contender does: `run` is one measurement, in the case's unit. */
export interface Contender {
  /** Called once before the first turn of the case. */
  readonly setUp?: () => Promise<void>;
  /** One measurement, above 0. */
  readonly run: () => Promise<number> | number;
  /** Called once after the last turn, also after a failure. */
  readonly tearDown?: () => Promise<void>;
}

/** Another system that does the same work beside Paceline. */
export interface Peer extends Contender {
  readonly name: string;
  /** Of the peers of one system, set up in different ways, only the best has a row. */
  readonly system?: string;
}

/** One thing that is measured. */
export interface BenchmarkCase extends Contender {
  readonly name: string;
  readonly unit: string;
  /** Rates are better when higher, times when lower. */
  readonly better: "higher" | "lower";
  readonly peers?: readonly Peer[];
}

/** How a benchmark is run. */
export interface BenchmarkOptions {
  /** Measures the cases' peers too. */
  readonly peers: boolean;
  /** Turns that count, 5 when left out. */
  readonly turns?: number;
  /** Turns before them, 1 when left out. */
  readonly warmUpTurns?: number;
  /** Takes a line when a case is done and when a peer fails. */
  readonly log?: (line: string) => void;
}

/** A measured case; one row for each peer that was measured, else one without. */
export interface BenchmarkRow {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: string;
  readonly peerValue?: number;
  readonly ratio?: number;
}

/** What `bench --json` prints. */
export interface BenchmarkReport {
  readonly bench: string;
  readonly machine: Machine;
  readonly rows: readonly BenchmarkRow[];
}

/**
 * Runs the cases one after the other. A failing case fails the benchmark; a failing peer is logged
 * and left out.
 */
export async function runBenchmark(
  bench: string,
  cases: readonly BenchmarkCase[],
  options: BenchmarkOptions,
): Promise<BenchmarkReport> {
  const rows: BenchmarkRow[] = [];
  for (const one of cases) rows.push(...(await runCase(one, options)));
  return { bench, machine: describeMachine(), rows };
}

/** The middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  assert(values.length > 0, "a median needs values");
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** The report as text: one JSON object on one line, or a table for people. */
export function formatBenchmark(report: BenchmarkReport, form: "json" | "table"): string {
  return form === "json" ? JSON.stringify(report) : formatTable(report);
}

/** A contender of the case at hand with what it has measured; null once it has failed. */
interface Lane {
  readonly contender: Contender;
  readonly peer: string | null;
  readonly system: string | null;
  values: number[] | null;
}

async function runCase(one: BenchmarkCase, options: BenchmarkOptions): Promise<BenchmarkRow[]> {
  const { turns = 5, warmUpTurns = 1, log = () => {} } = options;
  assert(turns >= 1 && warmUpTurns >= 0, "benchmark turns", { turns, warmUpTurns });
  const lanes: Lane[] = [{ contender: one, peer: null, system: null, values: [] }];
  for (const peer of options.peers ? (one.peers ?? []) : []) {
    const { name, system = null } = peer;
    lanes.push({ contender: peer, peer: name, system, values: [] });
  }
  try {
    for (const lane of lanes) await attempt(lane, log, async () => lane.contender.setUp?.());
    for (let turn = 0; turn < warmUpTurns + turns; turn++) {
      for (const lane of lanes) await attempt(lane, log, () => measure(lane, turn >= warmUpTurns));
    }
  } finally {
    for (const lane of lanes) await lane.contender.tearDown?.();
  }
  for (const lane of lanes) {
    const shown = lane.values?.map(significant).join(", ");
    if (shown !== undefined) log(`${one.name}: ${lane.peer ?? "paceline"} ${shown} ${one.unit}`);
  }
  return rowsOf(one, lanes);
}

async function attempt(
  lane: Lane,
  log: (line: string) => void,
  action: () => Promise<void>,
): Promise<void> {
  if (lane.values === null) return;
  try {
    await action();
  } catch (thrown) {
    if (lane.peer === null) throw thrown;
    lane.values = null;
    log(`peer ${lane.peer} failed and is left out: ${toPacelineError(thrown).message}`);
  }
}

async function measure(lane: Lane, counts: boolean): Promise<void> {
  const value = await lane.contender.run();
  assert(Number.isFinite(value) && value > 0, "a measurement is above 0", {
    contender: lane.peer ?? "paceline",
    value,
  });
  if (counts) lane.values?.push(value);
}

function rowsOf(one: BenchmarkCase, lanes: readonly Lane[]): BenchmarkRow[] {
  const [own, ...peers] = lanes.map(({ peer, system, values }) => ({
    peer,
    system,
    value: values === null ? null : median(values),
  }));
  const value = own?.value as number;
  const row = { name: one.name, value, unit: one.unit };
  const rows: BenchmarkRow[] = [];
  const ratioTo = (other: number) => (one.better === "higher" ? value / other : other / value);
  for (const { peer, system, value: peerValue } of peers) {
    if (peer === null || peerValue === null) continue;
    const ratio = ratioTo(peerValue);
    const isBeaten = peers.some(
      (other) =>
        other.peer !== peer &&
        other.system === system &&
        other.value !== null &&
        ratioTo(other.value) < ratio,
    );
    if (system === null || !isBeaten) rows.push({ ...row, peer, peerValue, ratio });
  }
  return rows.length > 0 ? rows : [row];
}

function formatTable({ bench, machine, rows }: BenchmarkReport): string {
  const memory = `${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB`;
  const where = `${machine.cpu}, ${machine.cores} cores, ${memory}`;
  const head = `${bench}: ${where}, Node ${machine.node}, ${machine.platform}`;
  const withPeers = rows.some((row) => row.peer !== undefined);
  const cells = [["Case", "Paceline", "Unit", "Peer", "Peer's", "Ratio"]];
  for (const { name, value, unit, peer, peerValue, ratio } of rows) {
    const versus = peerValue === undefined ? "" : significant(peerValue);
    const times = ratio === undefined ? "" : `${ratio.toFixed(2)} x`;
    cells.push([name, significant(value), unit, peer ?? "", versus, times]);
  }
  const shown = withPeers ? cells : cells.map((row) => row.slice(0, 3));
  const widths = (shown[0] as string[]).map((_, column) =>
    Math.max(...shown.map((row) => (row[column] as string).length)),
  );
  const isNumber = [false, true, false, false, true, true];
  const lines = shown.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] as number;
        return isNumber[column] ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
  return [head, ...lines].join("\n");
}

/** Four significant digits, without an exponent. */
function significant(value: number): string {
  const decimals = Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(decimals, 12));
}
