/**
 * What a coordinator that starts again has to know to go on with a run in place: one plain record,
 * durable before anybody hears of a view, an assignment or an end that it does not have.
 *
 * The idea: members act on these, and on nothing else that outlives the coordinator which said it.
 * All else is begun anew (pauses, barriers, evaluations, checkpoints), said again by members (the
 * last assignment that is done, and what is under way), or known by servers, whose marks are the
 * account of what is used.
 */
import type { MemberIdentity, WorkerIdentity } from "../../protocol/identity.js";
import type { CoordinatorMessage } from "../../protocol/messages.js";
import type { FrameAddresses, View } from "../../protocol/view.js";
import type { RunSetup, TrainingSnapshot } from "../work/run-setup.js";
import type { WorkRecord } from "../work/work-floor.js";
import type { CoordinatorEffect } from "./coordinator-events.js";
import type { KeptCounts } from "./member-counts.js";
import type { Ending } from "./run-ending.js";
import type { KeptSaves } from "./saves.js";
import type { ViewsStand } from "./view-rounds.js";

/** The coordinator's record of one run. */
export interface CoordinatorRecord {
  readonly run: string;
  readonly term: number;
  /** The last view that was begun. */
  readonly view: View;
  /** How far the run had come. */
  readonly progress: TrainingSnapshot;
  readonly stand: TrainingStand;
  readonly members: readonly RecordedMember[];
  readonly counts: KeptCounts;
  /** Members are told that the run is over; null while it is not. */
  readonly ending: Ending | null;
}

/** What training knows besides what a checkpoint keeps of it. */
export interface TrainingStand extends ViewsStand {
  /** Servers have their chunks, and workers may have heard of a view. */
  readonly isLoaded: boolean;
  readonly work: WorkRecord;
  readonly saves: KeptSaves;
  /** The last evaluation of the run has ended. */
  readonly hasFinal: boolean;
}

/** A member that takes part, as it registered and prepared itself. */
export interface RecordedMember extends MemberIdentity {
  readonly pid: number;
  readonly host: string;
  readonly address: string;
  readonly frames: FrameAddresses | null;
  readonly engine: string;
  readonly algorithms: readonly string[];
}

/** A run that goes on in place. */
export interface Return {
  /** The run, as it was submitted. */
  readonly setup: RunSetup;
  /** Above each one under which the run was carried out; durable. */
  readonly term: number;
  readonly record: CoordinatorRecord;
}

/** Workers of a record's view that were lost when it was made. */
export function goneFrom({ view, members }: CoordinatorRecord): WorkerIdentity[] {
  const present = new Set(members.map(({ incarnation }) => incarnation));
  return view.workers.filter(({ incarnation }) => !present.has(incarnation));
}

const recordedWords: ReadonlySet<CoordinatorMessage["type"]> = new Set(["view", "work", "stop"]);

/**
 * Has the record durable before the first view, assignment or goodbye among the effects is told, as
 * members act on these; before somebody is told that what they asked for will be done; and before a
 * checkpoint is told of, as a coordinator that comes after this one goes back to it.
 */
export function withRecord(
  effects: CoordinatorEffect[],
  make: () => CoordinatorRecord | null,
): CoordinatorEffect[] {
  const first = effects.findIndex(
    (effect) =>
      (effect.type === "send" && recordedWords.has(effect.message.type)) ||
      (effect.type === "event" && effect.event.kind === "checkpoint") ||
      (effect.type === "orderAnswered" && effect.answer.isAccepted),
  );
  const record = first < 0 ? null : make();
  if (record === null) return effects;
  return [...effects.slice(0, first), { type: "persist", record }, ...effects.slice(first)];
}
