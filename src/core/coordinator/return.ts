/**
 * A run that goes on in place where another coordinator has ended: its record is made of what the
 * machine knows, and the machine of its record.
 */

import type { Roster } from "../members/roster.js";
import type { RunSetup } from "../work/run-setup.js";
import type { CoordinatorEffect } from "./coordinator-events.js";
import type { Phase } from "./coordinator-phase.js";
import type { CoordinatorRecord, RecordedMember, Return } from "./coordinator-record.js";
import { MemberCounts } from "./member-counts.js";
import { Training } from "./training.js";
import { portOf } from "./training-port.js";
import { returnWords } from "./training-words.js";

/** What a record is made of. */
export interface RecordParts {
  readonly training: Training;
  readonly roster: Roster;
  readonly counts: MemberCounts;
  readonly phase: Phase;
}

/** What of a run has to be durable at this moment; null before its first view. */
export function recordOf(
  { training, roster, counts, phase }: RecordParts,
  nowMs: number,
): CoordinatorRecord | null {
  const made = training.record(nowMs);
  if (made === null) return null;
  const { servers, workers } = made.view;
  const inView = new Set([...servers, ...workers].map(({ incarnation }) => incarnation));
  const members = roster.everybody().flatMap((member): RecordedMember[] => {
    if (!inView.has(member.incarnation)) return [];
    const { role, rank, incarnation, pid, host, address, frames, engine, algorithms } = member;
    return [{ role, rank, incarnation, pid, host, address, frames, engine, algorithms }];
  });
  const ending = phase.name === "stopping" ? phase.ending : null;
  const about = { run: training.spec.run, term: roster.term };
  return { ...about, ...made, members, counts: counts.record(), ending };
}

/** A run as it stands when its coordinator is back. */
export interface Returned {
  readonly setup: RunSetup;
  readonly counts: MemberCounts;
  readonly training: Training;
}

/** Expects the members of a record, and takes its training up, which is yet to go on. */
export function returned(
  { setup: submitted, term, record }: Return,
  roster: Roster,
  perform: (effect: CoordinatorEffect) => void,
  nowMs: number,
): Returned {
  const { members, run, progress, view } = record;
  for (const member of members) roster.expect(member, run, nowMs);
  // What a life had counted is known before it says so again.
  for (const member of roster.all("worker")) {
    const last = record.counts.last[member.rank];
    if (last?.incarnation === member.incarnation) member.worker = last.counts;
  }
  perform({ type: "expect", members });
  // Residuals of a checkpoint are with their workers, or with nobody.
  const { generation } = view;
  const setup = { ...submitted, resume: progress, generation, residuals: [] };
  const counts = new MemberCounts(generation, record.counts.earlier, record.counts);
  const [servers, workers] = [roster.all("server"), roster.all("worker")];
  const port = portOf(setup, counts, perform);
  const training = new Training(setup, { term, servers, workers, record }, port);
  // What was over stays so, also for a coordinator that comes after this one.
  if (record.ending !== null) {
    training.finish();
    training.saves.finalSaved = record.ending.outcome !== "failed";
  }
  const text = returnWords(term, members.length);
  perform({ type: "event", event: { kind: "warning", text } });
  return { setup, counts, training };
}
