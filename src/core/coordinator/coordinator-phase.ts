/**
 * The phases of a coordinator, each with the fields that are valid in it.
 *
 * - idle: no run. A submission leads to forming.
 * - forming: members come. Complete -> preparing; too few in time -> stopping.
 * - preparing: they build model and data. All ready -> training; too few left -> forming.
 * - training: see training.ts. Finished or failed -> stopping.
 * - stopping: members say goodbye. All have, or the time is over -> idle.
 */

import type { RunSpec } from "../../protocol/run-spec.js";
import { judgeFormation } from "./formation.js";
import { type Member, nameOf } from "./roster.js";
import type { Ending } from "./run-ending.js";
import type { Training } from "./training.js";

/** Where a coordinator stands. */
export type Phase =
  | { readonly name: "idle" }
  | { readonly name: "forming"; readonly sinceMs: number }
  | { readonly name: "preparing"; readonly sinceMs: number; readonly members: Set<Member> }
  | { readonly name: "training" }
  | {
      readonly name: "stopping";
      readonly sinceMs: number;
      readonly awaited: Set<Member>;
      readonly ending: Ending;
    };

/** One sentence: what the coordinator waits for. */
export function activityIn(
  phase: Phase,
  spec: RunSpec | null,
  training: Training | null,
  members: readonly Member[],
): string {
  if (phase.name === "idle" || spec === null) return "waiting for a run";
  switch (phase.name) {
    case "forming": {
      const formation = judgeFormation(spec, members, false);
      return `waiting for members: ${formation.reason}`;
    }
    case "preparing": {
      const missing = [...phase.members].filter((member) => member.readyFor !== spec.run);
      return `waiting for ${missing.map(nameOf).join(", ")} to prepare`;
    }
    case "training":
      return training?.activity() ?? "";
    case "stopping":
      return `stopping: ${phase.ending.reason}`;
    default:
      return phase satisfies never;
  }
}
