/**
 * The coordinator's present picture, as status, cluster.json and the display show it: put together
 * from what the machine holds, and never asked by the machine itself.
 */

import type { CoordinatorSnapshot } from "../../protocol/run-events.js";
import type { Roster } from "../members/roster.js";
import type { RunSetup } from "../work/run-setup.js";
import { activityIn, type Phase } from "./coordinator-phase.js";
import type { MemberCounts } from "./member-counts.js";
import type { Training } from "./training.js";

/** The most lines of what engines chose, so that a status stays small whatever members say. */
const algorithmsMax = 1024;

/** What the picture is of. */
export interface PictureParts {
  readonly setup: RunSetup | null;
  readonly training: Training | null;
  readonly roster: Roster;
  readonly counts: MemberCounts;
}

/** The picture at this moment. */
export function pictureOf(
  { setup, training, roster, counts }: PictureParts,
  phase: Phase,
  nowMs: number,
): CoordinatorSnapshot {
  const spec = setup?.spec ?? null;
  const told = Object.values(counts.workers).reduce((sum, worker) => sum + worker.examples, 0);
  return {
    run: spec?.run ?? null,
    name: spec?.name ?? null,
    phase: phase.name,
    activity: activityIn(phase, setup, training, roster.everybody()),
    epoch: training?.epoch ?? 0,
    epochs: spec?.epochs ?? 0,
    globalSteps: training?.globalSteps() ?? 0,
    // The account closes with an assignment; heartbeats know of the assignments under way.
    examples: Math.max(training?.records.examples() ?? 0, told),
    totalExamples: spec?.schedule.totalExamples ?? 0,
    members: roster.snapshot(
      nowMs,
      ({ role, rank, incarnation }) =>
        role === "server" || (training?.isActive(rank, incarnation) ?? false),
    ),
    moves: training?.servers.moves ?? { left: 0, total: 0 },
    algorithms: algorithmsOf(roster),
    evaluations: training?.evaluator.records ?? [],
  };
}

/** Each line once; workers of one machine and one library all have the same. */
function algorithmsOf(roster: Roster): string[] {
  const lines = new Set(roster.everybody().flatMap(({ algorithms }) => algorithms));
  return [...lines].sort().slice(0, algorithmsMax);
}
