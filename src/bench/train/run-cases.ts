/**
 * Cases of runs that are measured with several wire setups and numbers of replicas. Beside a run
 * whose values are compressed stands the same run without, over the same link and in the same
 * turns, so that the ratio says what compression is worth there; beside one whose chunks have
 * copies the same run with one replica.
 */
import { PacelineError } from "../../errors.js";
import type { BenchmarkCase, Peer } from "../harness/benchmark.js";
import { RunPlace, type RunTimes } from "./measured-run.js";
import { isRaw, plainWire } from "./wire-setups.js";
import type { Workload } from "./workload.js";

/** What of a run is measured. */
export interface Measure {
  readonly unit: string;
  readonly better: "higher" | "lower";
  read(times: RunTimes): number;
  /** Hears of each run of the case itself. */
  heard?(times: RunTimes): void;
}

/** A case; `steps` are those of the run without compression, `peers` stand beside it as well. */
export function caseOfRun(
  name: string,
  workload: Workload,
  steps: number,
  measure: Measure,
  peers: readonly Peer[],
): BenchmarkCase {
  const { unit, better } = measure;
  const all = [...peers];
  if (!isRaw(workload.wire)) {
    const wire = { ...plainWire, link: workload.wire.link };
    all.push(otherRun("uncompressed", { ...workload, wire, steps }, measure));
  }
  if (workload.replicas > 1) {
    all.push(otherRun("one-replica", { ...workload, replicas: 1 }, measure));
  }
  const place = new RunPlace(workload);
  return {
    name,
    unit,
    better,
    peers: all,
    setUp: () => place.setUp(),
    async run() {
      const times = await place.run();
      measure.heard?.(times);
      return measure.read(times);
    },
    tearDown: () => place.tearDown(),
  };
}

/**
 * Refuses more replicas than there are servers in any case.
 * @throws PacelineError `usage`.
 */
export function demandServers(replicas: readonly number[], servers: readonly number[]): void {
  const [wanted, most] = [Math.max(...replicas), Math.max(...servers)];
  if (wanted <= most) return;
  const sentence = `--replicas ${wanted} is more than the ${most} server${most === 1 ? "" : "s"}`;
  throw new PacelineError("usage", `${sentence}; write --servers ${wanted}`);
}

/** Each run has an epoch that warms up; a turn that does is for the others that stand beside it. */
export function warmUpTurnsOf({ peers }: { readonly peers: boolean }): number {
  return peers ? 1 : 0;
}

/** A row of what the case before has measured in the same runs. */
export function caseOfSame(
  name: string,
  { unit, better }: Pick<Measure, "unit" | "better">,
  values: readonly number[],
): BenchmarkCase {
  let turn = 0;
  return { name, unit, better, run: () => values[turn++]! };
}

function otherRun(name: string, workload: Workload, { read }: Measure): Peer {
  const place = new RunPlace(workload);
  return {
    name,
    setUp: () => place.setUp(),
    run: async () => read(await place.run()),
    tearDown: () => place.tearDown(),
  };
}
