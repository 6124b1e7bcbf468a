/**
 * Cases of runs that are measured with several wire setups. Beside a run whose values are
 * compressed stands the same run without, over the same link and in the same turns, so that the
 * ratio says what compression is worth there.
 */
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
  if (!isRaw(workload.wire)) all.push(uncompressedPeer(workload, steps, measure));
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

function uncompressedPeer(workload: Workload, steps: number, { read }: Measure): Peer {
  const wire = { ...plainWire, link: workload.wire.link };
  const place = new RunPlace({ ...workload, wire, steps });
  return {
    name: "uncompressed",
    setUp: () => place.setUp(),
    run: async () => read(await place.run()),
    tearDown: () => place.tearDown(),
  };
}
