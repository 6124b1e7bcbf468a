/**
 * May a run start with the members that have come? Each answer has a sentence with the numbers.
 *
 * A run waits for its full number of workers, or for the minimum of a range that is written, and
 * when the time to start is over takes what has come, if that is enough. Whether it may go on with
 * those who are left is shortage.ts.
 */
import type { MemberRole } from "../../protocol/identity.js";
import { type TensorSpec, tensorDifference } from "../../protocol/layout.js";
import type { CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type Member, membersMax, nameOf } from "../members/roster.js";
import type { RunSetup } from "../work/run-setup.js";

/** Who takes part, or why nobody does yet. */
export type Formation =
  | { readonly verdict: "complete"; readonly members: readonly Member[]; readonly reason: string }
  | { readonly verdict: "waiting" | "failed"; readonly reason: string };

/** What the forming of a run depends on. */
export type FormedRun = Pick<RunSetup, "spec" | "workersAtStart" | "generation">;

/** How those who prepare themselves get on; "short" when too few workers are left. */
export interface Preparation {
  readonly verdict: "complete" | "short" | "waiting" | "failed";
  readonly reason: string;
}

/** True when the run has a place for this rank. */
export function hasPlace(spec: RunSpec, { role, rank }: Pick<Member, "role" | "rank">): boolean {
  return rank < placesOf(spec)[role];
}

/** How many ranks of each role are given out; without a run as many as a cluster may have. */
export function placesOf(spec: RunSpec | null): Readonly<Record<MemberRole, number>> {
  if (spec === null) return { server: membersMax, worker: membersMax };
  return { server: spec.serversMax ?? spec.servers, worker: spec.workersMax };
}

/** Why a worker whose model has these tensors can't take part; null when it can. */
export function modelObjection(
  setup: RunSetup,
  member: Member,
  tensors: readonly TensorSpec[],
): string | null {
  if (member.role === "server") return null;
  const difference = tensorDifference(setup.layout.tensors, tensors);
  if (difference === null) return null;
  const other = `${nameOf(member)}'s model is not the run's ${setup.spec.model}`;
  const remedy = "run the same version of Paceline with the same model on both";
  return `${other}: ${difference}; ${remedy}`;
}

/**
 * Tells a member of the run, once; null where it knows, or is not to take part. One whose link is
 * cut hears of it when it is back.
 */
export function invitation(
  member: Member,
  { spec, layout }: RunSetup,
  residuals: boolean,
): CoordinatorMessage | null {
  const isWanted = member.opened && member.dismissal === null && hasPlace(spec, member);
  if (!isWanted || member.toldOf === spec.run) return null;
  member.toldOf = spec.run;
  member.activity = "preparing";
  return { type: "prepare", spec, residuals, layout };
}

/** Tells a member that it can't take part. */
export function stopFor(reason: string): CoordinatorMessage {
  return { type: "stop", reason, outcome: "failed", stay: false, afterStep: false };
}

/** A member has prepared itself. */
export function noteReady(
  member: Member,
  { run, engine, algorithms }: MemberMessage & { readonly type: "ready" },
): void {
  member.readyFor = run;
  member.engine = engine;
  member.algorithms = algorithms;
  member.activity = "ready";
}

/** The members that are ready for the run and have a place in it, by role. */
export function readyOnes(spec: RunSpec, members: readonly Member[]) {
  const ready = members.filter((one) => one.readyFor === spec.run && hasPlace(spec, one));
  const servers = ready.filter(({ role }) => role === "server");
  const workers = ready.filter(({ role }) => role === "worker");
  return { servers, workers };
}

/**
 * May the run start? `late` says that the time to start is over, and what has come has to do;
 * `isOver` that no others are waited for, even if that does not.
 */
export function judgeFormation(
  { spec, workersAtStart = spec.workersMax }: FormedRun,
  members: readonly Member[],
  late: boolean,
  isOver = late,
): Formation {
  const fitting = members.filter((member) => member.connected && hasPlace(spec, member));
  const servers = fitting.filter(({ role }) => role === "server").length;
  const workers = fitting.length - servers;
  const wanted = Math.max(workersAtStart, workers);
  const ofServers = `${servers} of ${spec.servers} servers`;
  const reason = `${ofServers} and ${workers} of ${wanted} workers have come`;
  const enough = servers >= spec.servers && workers >= spec.workersMin;
  if (enough && (late || workers >= workersAtStart)) {
    return { verdict: "complete", members: fitting, reason };
  }
  if (!isOver) return { verdict: "waiting", reason };
  const remedy = "start the others, or raise --start-timeout";
  return { verdict: "failed", reason: `the time to start is over and ${reason}: ${remedy}` };
}

/** Are those who were chosen ready? `late` says that the time to prepare is over. */
export function judgePreparation(
  spec: RunSpec,
  members: readonly Member[],
  late: boolean,
): Preparation {
  const workers = members.filter(({ role }) => role === "worker").length;
  if (workers < spec.workersMin) {
    return { verdict: "short", reason: `${workers} of ${spec.workersMin} workers are left` };
  }
  const missing = members.filter(({ readyFor }) => readyFor !== spec.run).map(nameOf);
  if (missing.length === 0) return { verdict: "complete", reason: "all are ready" };
  const names = missing.join(", ");
  if (!late) return { verdict: "waiting", reason: `${names} prepare` };
  const remedy = "look at the log, or raise --start-timeout";
  return { verdict: "failed", reason: `${names} did not get ready in time: ${remedy}` };
}
