/**
 * Makes a failing run smaller: faults, late workers, refused batches, failed saves and whole parts
 * are taken out, alone and in groups, as long as the same kind of violation stays (delta debugging:
 * Zeller and Hildebrandt, TSE 2002). What is left is what the violation takes.
 */

import type { ClusterPlan } from "./cluster-plan.js";
import type { RunSchedule } from "./schedule.js";
import { simulateSchedule } from "./simulate-seed.js";

/** A smaller run that fails alike. */
export interface Shrunken {
  readonly schedule: RunSchedule;
  /** Of what can be taken out: how much is left, and how much there was. */
  readonly left: number;
  readonly before: number;
  /** Simulations that it took. */
  readonly runs: number;
}

/** Something that a run can do without. */
interface Trouble {
  readonly part: number;
  takeOut(plan: ClusterPlan): ClusterPlan | null;
}

/** Shrinks a run in which a violation of this kind is found, with so many simulations at most. */
export async function shrinkSchedule(
  schedule: RunSchedule,
  kind: string,
  runsMax = 300,
): Promise<Shrunken> {
  const all = troublesOf(schedule);
  let runs = 0;
  const fails = async (kept: readonly Trouble[]) => {
    const smaller = without(schedule, all, kept);
    if (smaller === null || runs >= runsMax) return false;
    runs++;
    const { violations } = await simulateSchedule(smaller);
    return violations.some((violation) => violation.kind === kind);
  };
  const kept = await leastOf(all, fails);
  const smaller = without(schedule, all, kept) ?? schedule;
  return { schedule: smaller, left: kept.length, before: all.length, runs };
}

/**
 * The items that are needed, in their order: no single one of them can be left out, and no group of
 * neighbours that was tried.
 */
export async function leastOf<Item>(
  items: readonly Item[],
  isEnough: (items: readonly Item[]) => Promise<boolean>,
): Promise<readonly Item[]> {
  if (await isEnough([])) return [];
  let kept = items;
  for (let groups = 2; kept.length > 1; ) {
    const size = Math.ceil(kept.length / groups);
    let smaller: readonly Item[] | null = null;
    for (let start = 0; start < kept.length && smaller === null; start += size) {
      const rest = [...kept.slice(0, start), ...kept.slice(start + size)];
      if (await isEnough(rest)) smaller = rest;
    }
    if (smaller !== null) {
      kept = smaller;
      groups = Math.max(2, groups - 1);
    } else if (size === 1) return kept;
    else groups = Math.min(kept.length, 2 * groups);
  }
  return kept;
}

function troublesOf({ parts }: RunSchedule): Trouble[] {
  return parts.flatMap((plan, part) => {
    const changes: ((plan: ClusterPlan) => ClusterPlan | null)[] = [];
    if (parts.length > 1) changes.push(() => null);
    for (const fault of plan.faults) {
      changes.push((from) => ({ ...from, faults: from.faults.filter((one) => one !== fault) }));
    }
    plan.lateMs.forEach((lateMs, rank) => {
      if (lateMs > 0) changes.push((from) => ({ ...from, lateMs: from.lateMs.with(rank, 0) }));
    });
    plan.slowness.forEach((slowness, rank) => {
      if (slowness > 1) {
        changes.push((from) => ({ ...from, slowness: from.slowness.with(rank, 1) }));
      }
    });
    if (plan.refusals > 0) changes.push((from) => ({ ...from, refusals: 0 }));
    if (plan.failedSaves > 0) changes.push((from) => ({ ...from, failedSaves: 0 }));
    return changes.map((takeOut) => ({ part, takeOut }));
  });
}

/** The run with these troubles only; null where no part would be left. */
function without(
  { parts, ...run }: RunSchedule,
  all: readonly Trouble[],
  kept: readonly Trouble[],
): RunSchedule | null {
  const left = parts.flatMap((plan, part) => {
    let smaller: ClusterPlan | null = plan;
    for (const trouble of all) {
      if (trouble.part !== part || kept.includes(trouble) || smaller === null) continue;
      smaller = trouble.takeOut(smaller);
    }
    return smaller ?? [];
  });
  return left.length === 0 ? null : { ...run, parts: left };
}
