/**
 * The phases of a coordinator, each with the fields that are valid in it.
 *
 * - idle: no run. A submission leads to forming.
 * - forming: members come. Complete -> preparing; too few in time -> stopping.
 * - preparing: they build model and data. All ready -> training; too few left -> forming.
 * - training: see training.ts. Finished or failed -> stopping; a chunk has no replica left ->
 *   rolling back.
 * - rolling back: see roll-back.ts. The servers are there and the checkpoint is read -> forming; a
 *   server does not come back -> stopping.
 * - stopping: members say goodbye. All have, or the time is over -> idle.
 */

import { type Member, nameOf } from "../members/roster.js";
import { type FormedRun, judgeFormation, judgePreparation } from "./formation.js";
import type { RollBack } from "./roll-back.js";
import type { Ending } from "./run-ending.js";
import type { Training } from "./training.js";

/** Where a coordinator stands. */
export type Phase =
  | { readonly name: "idle" }
  | { readonly name: "forming"; readonly sinceMs: number }
  | { readonly name: "preparing"; readonly sinceMs: number; readonly members: Set<Member> }
  | { readonly name: "training" }
  | { readonly name: "rolling back"; readonly rollBack: RollBack }
  | {
      readonly name: "stopping";
      readonly sinceMs: number;
      readonly awaited: Set<Member>;
      readonly ending: Ending;
    };

/** One sentence: what the coordinator waits for. */
export function activityIn(
  phase: Phase,
  run: FormedRun | null,
  training: Training | null,
  members: readonly Member[],
): string {
  if (phase.name === "idle" || run === null) return "waiting for a run";
  switch (phase.name) {
    case "forming": {
      const formation = judgeFormation(run, members, false);
      return `waiting for members: ${formation.reason}`;
    }
    case "preparing": {
      const missing = [...phase.members].filter((member) => member.readyFor !== run.spec.run);
      return `waiting for ${missing.map(nameOf).join(", ")} to prepare`;
    }
    case "training":
      return training?.activity() ?? "";
    case "rolling back":
      return phase.rollBack.activity();
    case "stopping":
      return `stopping: ${phase.ending.reason}`;
    default:
      return phase satisfies never;
  }
}

/** The time, and how long is waited. */
export interface TimesToBegin {
  readonly nowMs: number;
  readonly startTimeoutMs: number;
  readonly waitForWorkersMs?: number;
}

/** What becomes of a run that begins: it stays in its phase, goes on to another, or can't begin. */
export type Beginning =
  | { readonly verdict: "phase"; readonly phase: Phase }
  | { readonly verdict: "failed"; readonly reason: string }
  | { readonly verdict: "start" };

/**
 * Looks at who has come, or prepares; coming and preparing each have the time to start. A run that
 * has gone back was on already: it waits for workers as one does that has too few.
 */
export function beginningOf(
  phase: Phase & { readonly name: "forming" | "preparing" },
  run: FormedRun,
  members: readonly Member[],
  { nowMs, startTimeoutMs, waitForWorkersMs = 0 }: TimesToBegin,
): Beginning {
  const late = nowMs - phase.sinceMs >= startTimeoutMs;
  if (phase.name === "forming") {
    const wasOn = (run.generation ?? 0) > 0;
    const isOver = late && (!wasOn || nowMs - phase.sinceMs >= waitForWorkersMs);
    const formation = judgeFormation(run, members, late, isOver);
    if (formation.verdict !== "complete") return kept(phase, formation);
    const chosen = new Set(formation.members);
    return beginningOf({ name: "preparing", sinceMs: nowMs, members: chosen }, run, members, {
      nowMs,
      startTimeoutMs,
      waitForWorkersMs,
    });
  }
  const preparation = judgePreparation(run.spec, [...phase.members], late);
  if (preparation.verdict === "complete") return { verdict: "start" };
  if (preparation.verdict !== "short") return kept(phase, preparation);
  return { verdict: "phase", phase: { name: "forming", sinceMs: phase.sinceMs } };
}

function kept(phase: Phase, judged: { readonly verdict: string; readonly reason: string }) {
  const { verdict, reason } = judged;
  if (verdict === "failed") return { verdict, reason } as const;
  return { verdict: "phase", phase } as const;
}
