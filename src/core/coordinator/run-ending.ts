/**
 * How a run ends: the verdict, and the result made of it and of everything that was counted. The
 * verdict falls before members say goodbye, the result is drawn up after, so that it holds their
 * last counts.
 */

import type { ErrorCode } from "../../errors.js";
import type { MemberRole } from "../../protocol/identity.js";
import type { CoordinatorMessage } from "../../protocol/messages.js";
import type { RunOutcome, RunResult } from "../../protocol/run-events.js";
import { type Member, nameOf } from "../members/roster.js";
import type { CoordinatorEffect } from "./coordinator-events.js";
import type { MemberCounts } from "./member-counts.js";
import type { Training } from "./training.js";

/** The verdict. */
export interface Ending {
  readonly outcome: RunOutcome;
  /** Null unless the run failed. */
  readonly code: ErrorCode | null;
  readonly reason: string;
  /** What else can be done but to go on from a checkpoint; none if left out. */
  readonly remedy?: string;
}

/** A run that something other than the end of the work ended, when everything was to be written. */
export interface ClosedRun {
  readonly ending: Ending;
  /** Of the checkpoint. */
  readonly step: number;
  /** Why there is no checkpoint; null where there is one. */
  readonly problem: string | null;
}

/** How a supervisor saw the process of a member end. */
export interface ProcessEnd {
  readonly role: MemberRole;
  readonly rank: number;
  /** Which process of that rank; -1 where none could be started. */
  readonly pid: number;
  readonly reason: string;
  readonly restarts: boolean;
  /**
   * What the process itself said is wrong, if it did: until a first step is taken that is the
   * user's to mend and ends the run, later it is a loss like any other.
   */
  readonly code?: ErrorCode | null;
}

/** What members are told at the end of a run; with `stay` they wait for another. */
export function goodbyeOf({ outcome, reason }: Ending, stay: boolean): CoordinatorMessage {
  return { type: "stop", reason, outcome, stay, afterStep: false };
}

/** The verdict on training that has finished. */
export function endingOf(training: Pick<Training, "closed" | "saves">): Ending {
  const { closed, saves } = training;
  const { unsaved } = saves;
  if (closed === null) {
    const reason = "training is done";
    if (unsaved === null) return { outcome: "done", code: null, reason };
    return { outcome: "failed", code: "unsaved", reason: `${reason}, not saved: ${unsaved}` };
  }
  const { ending, problem } = closed;
  const { outcome, code, reason: why, remedy } = ending;
  if (outcome === "interrupted") {
    if (problem === null) return { outcome, code, reason: "interrupted" };
    return { outcome: "failed", code: "unsaved", reason: `interrupted, not saved: ${problem}` };
  }
  const lack = problem === null ? "" : `, and no checkpoint could be written (${problem})`;
  const others = remedy === undefined ? "" : `, or ${remedy}`;
  const reason = `${why}${lack}: ${fromCheckpoint(training)}${others}`;
  return { outcome, code, reason };
}

/** The verdict where a server is gone, and what it held or was to hold with it. */
export function endingWithout(
  server: Pick<Member, "role" | "rank"> & Partial<Pick<Member, "pid" | "host">>,
  reason: string,
  training: Pick<Training, "saves"> | null,
): Ending {
  const { pid, host } = server;
  const whereabouts = pid === undefined ? "" : ` (pid ${pid} on ${host})`;
  const remedy =
    training === null
      ? "look at its log and start it again"
      : `its chunks had no other replica, ${fromCheckpoint(training)}`;
  const text = `${nameOf(server)}${whereabouts} is lost: ${reason}; ${remedy}`;
  return { outcome: "failed", code: "member_lost", reason: text };
}

/** What is left of a run that can't go on. */
function fromCheckpoint({ saves: { keptStep } }: Pick<Training, "saves">): string {
  if (keptStep === null) return "no checkpoint was written, start the run again";
  return `go on from its checkpoint of step ${keptStep} with paceline resume`;
}

/** The verdict where a server is there and nobody reaches it. */
export function endingUnreached(server: Member, reason: string): Ending {
  const { pid, host } = server;
  const text = `${nameOf(server)} (pid ${pid} on ${host}) is lost: ${reason}`;
  return { outcome: "failed", code: "member_lost", reason: text };
}

/** The verdict where members have heard of another coordinator, and take nothing from this one. */
export function endingDeposed(member: Member, heard: number, own: number): Ending {
  const terms = `${nameOf(member)} has heard of term ${heard}, this coordinator's is ${own}`;
  return { outcome: "failed", code: "refused", reason: `${terms}: another has taken over` };
}

/** The verdict where a loss, a gradient or the sum of gradients is not finite. */
export function endingDiverged(member: string, step: number, what: string): Ending {
  const where = `at step ${step} on ${member.replace("-", " ")}`;
  const reason = `${what} ${where}: lower --lr, or look at the data`;
  return { outcome: "failed", code: "diverged", reason };
}

/** How the world hears of a result. */
export function toldOf(result: RunResult): CoordinatorEffect[] {
  const text = `run ${result.outcome}: ${result.reason}`;
  const event = { kind: "ended", outcome: result.outcome, text } as const;
  return [
    { type: "event", event },
    { type: "ended", result },
  ];
}

/** The result of a run whose verdict fell at `endedMs`; `training` is null when it never began. */
export function resultOf(
  ending: Ending,
  training: Training | null,
  counts: MemberCounts,
  endedMs: number,
): RunResult {
  const epochs = training?.records.closed ?? [];
  return {
    ...ending,
    trainingSeconds: training?.records.elapsedSeconds(endedMs) ?? 0,
    globalSteps: training?.globalSteps() ?? 0,
    tornSteps: training?.tornSteps ?? 0,
    skippedExamples: epochs.reduce((sum, epoch) => sum + epoch.skipped, 0),
    epochs,
    evaluations: training?.evaluator.records ?? [],
    phases: training?.phases.taken ?? [],
    servers: counts.servers,
    workers: counts.workers,
    earlierWorkers: counts.earlier,
  };
}
