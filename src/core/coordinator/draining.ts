/**
 * What somebody asks a run for while it is on: another way to keep pace (phase-rounds.ts), or
 * members that leave while others go on: may they, and what follows. A worker leaves once its
 * present step is complete, a server once others hold its chunks (run-servers.ts); who has no part
 * in a run leaves at once.
 *
 * Somebody may ask a member to leave, or it asks itself, since its machine is to be taken away. The
 * former is refused below the minimum that the run goes on with. The latter is going to happen
 * anyway: a worker is always let go, and the run waits for others (shortage.ts); a server is kept
 * while the run needs what it alone has, and asks again.
 */
import type { MemberPlace } from "../../protocol/identity.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type Member, nameOf, type Roster } from "../members/roster.js";
import { protocolProblem } from "../sync/modes.js";
import type { CoordinatorEffect, CoordinatorEvent, OrderAnswer } from "./coordinator-events.js";
import type { Phase } from "./coordinator-phase.js";
import type { Training } from "./training.js";
import { chunkCount } from "./training-words.js";

/** What there is when somebody asks. */
export interface DrainScene {
  readonly phase: Phase["name"];
  readonly spec: RunSpec | null;
  readonly training: Training | null;
  readonly roster: Roster;
  perform(effect: CoordinatorEffect): void;
}

/** Does what somebody asks for, or says why not: in the answer, and in the run's events. */
export function obey(
  order: CoordinatorEvent & { readonly type: "drain" | "switch" },
  scene: DrainScene,
  nowMs: number,
): void {
  const { request } = order;
  const isDrain = order.type === "drain";
  const answer = isDrain ? drained(order.request, scene, nowMs) : switched(order, scene);
  const { isAccepted, text } = answer;
  if (isAccepted) scene.perform({ type: "event", event: { kind: "info", text } });
  scene.perform({ type: "orderAnswered", request, answer });
}

/**
 * A member asks to be let go, maybe once more; says what comes of it, and a refusal once. Nothing
 * where it has been told to leave already, or will be at the end of a run that ends.
 */
export function letGo(member: Member, why: string, scene: DrainScene, nowMs: number): void {
  if (member.dismissal !== null || scene.phase === "stopping") return;
  if (scene.training?.isClosing === true || scene.training?.servers.isDraining(member)) return;
  const { isAccepted, text } = leaveOf(member, scene, nowMs);
  if (!isAccepted && member.refusedLeave === text) return;
  member.refusedLeave = isAccepted ? "" : text;
  const told = `${nameOf(member)} asks to leave (${why}): ${text}`;
  scene.perform({ type: "event", event: { kind: "info", text: told } });
}

function leaveOf(member: Member, scene: DrainScene, nowMs: number): OrderAnswer {
  const { phase, training, roster, perform } = scene;
  const leave = (afterStep: boolean) =>
    perform(dismissalOf(member, `${nameOf(member)} drained`, afterStep));
  if (member.role === "worker" || phase === "forming") {
    const takesPart = training?.isActive(member.rank, member.incarnation) === true;
    leave(takesPart);
    const when = takesPart ? " when its present step is complete" : "";
    return { isAccepted: true, text: `it leaves${when}` };
  }
  const objection = phase === "training" ? training?.servers.drainObjection(member) : null;
  if (objection == null || training?.canSpare(member) !== true) {
    return drained(member, scene, nowMs);
  }
  const other = roster.all("server").find(({ dismissal }) => dismissal !== null);
  if (other !== undefined) return refused(`${nameOf(other)} leaves first`);
  leave(false);
  return { isAccepted: true, text: "it leaves, as others have copies of all its chunks" };
}

function drained(request: MemberPlace, scene: DrainScene, nowMs: number): OrderAnswer {
  const { phase, roster, training, perform } = scene;
  const name = nameOf(request);
  const member = roster.get(request.role, request.rank);
  if (member === undefined) return refused(`there is no ${name}${presentText(roster)}`);
  if (member.dismissal !== null) return refused(`${name} has been told to leave already`);
  const leave = (afterStep: boolean) => perform(dismissalOf(member, `${name} drained`, afterStep));
  if (phase === "idle") {
    leave(false);
    return { isAccepted: true, text: `${name} leaves: no run is on` };
  }
  if (phase !== "training" || training?.running !== true || training.isClosing) {
    return refused(`${name} can't be drained while the run is ${standing(phase, training)}`);
  }
  const objection =
    member.role === "server"
      ? training.servers.drainObjection(member)
      : workerObjection(member, scene, training);
  if (objection !== null) return refused(objection);
  const { rank: index, incarnation } = member;
  const isWorker = member.role === "worker";
  const takesPart = isWorker
    ? training.isActive(index, incarnation)
    : training.views.hasServer({ index, incarnation });
  if (!takesPart) {
    leave(false);
    return { isAccepted: true, text: `${name} leaves: it has no part in the run yet` };
  }
  if (isWorker) {
    leave(true);
    return { isAccepted: true, text: `${name} leaves when its present step is complete` };
  }
  const chunks = training.servers.drain(member, nowMs);
  return { isAccepted: true, text: `${name} is drained: ${chunkCount(chunks)} to be moved` };
}

function switched(
  { request: protocol, name = "" }: CoordinatorEvent & { readonly type: "switch" },
  { phase, training, spec }: DrainScene,
): OrderAnswer {
  const problem = protocolProblem(protocol);
  if (problem !== null) return refused(problem);
  if (phase === "idle") return refused("no run is on");
  const here = spec?.name ?? "";
  if (name !== "" && name !== here) {
    return refused(`the run here is ${here}, not ${name}; correct --coordinator, or the name`);
  }
  if (phase !== "training" || training?.running !== true || training.isClosing) {
    return refused(`there is no switch while the run is ${standing(phase, training)}`);
  }
  return training.phases.ask(protocol);
}

/**
 * Tells a member to leave; `afterStep` has a worker complete its step first, and one that is to
 * `stay` registers again.
 */
export function dismissalOf(
  member: Member,
  text: string,
  afterStep = false,
  stay = false,
): CoordinatorEffect {
  const { role, rank } = member;
  member.dismissal = text;
  const about = { reason: text, outcome: "interrupted", stay, afterStep } as const;
  return { type: "send", role, rank, message: { type: "stop", ...about } };
}

function workerObjection(
  member: Member,
  { spec, roster }: DrainScene,
  training: Training,
): string | null {
  const stays = ({ rank, incarnation, dismissal }: Member) =>
    dismissal === null && training.isActive(rank, incarnation);
  const count = roster.all("worker").filter(stays).length;
  const least = spec?.workersMin ?? 1;
  if (!stays(member) || count > least) return null;
  const are = count === 1 ? "it is the only worker" : `${count} workers take part`;
  return `${nameOf(member)} can't be drained: ${are} and at least ${least} must be left`;
}

function refused(text: string): OrderAnswer {
  return { isAccepted: false, text };
}

function standing(phase: Phase["name"], training: Training | null): string {
  if (phase !== "training") return phase;
  return training?.isClosing === true ? "ending" : "starting";
}

function presentText(roster: Roster): string {
  const names = roster.everybody().slice(0, 16).map(nameOf);
  return names.length === 0 ? "; nobody has registered" : `; members are ${names.join(", ")}`;
}
