/**
 * The coordinator's machine: who has registered, what run is on, how it ends. What happens between
 * "all are ready" and "nothing is left to do" is training.ts.
 *
 * Phases: idle -> forming (members come) -> preparing (they build model and data) -> training ->
 * stopping (they say goodbye) -> idle. Losing a chunk's last replica has the run go back to its
 * last checkpoint (roll-back.ts); losing workers ends it when fewer than the minimum are left and
 * none is coming back.
 */

import type { ErrorCode } from "../../errors.js";
import type { MemberIdentity } from "../../protocol/identity.js";
import type {
  CoordinatorMessage,
  MemberMessage,
  RegisterRequest,
} from "../../protocol/messages.js";
import type { CoordinatorSnapshot, RunEvent } from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { lossEventOf, type Member, nameOf, Roster, registrationOf } from "../members/roster.js";
import type { RunSetup } from "../work/run-setup.js";
import { Attendance } from "./attendance.js";
import { Bequests } from "./bequests.js";
import type {
  CoordinatorConfig,
  CoordinatorEffect,
  CoordinatorEvent,
} from "./coordinator-events.js";
import { beginningOf, type Phase } from "./coordinator-phase.js";
import { pictureOf } from "./coordinator-picture.js";
import { type CoordinatorRecord, goneFrom, type Return, withRecord } from "./coordinator-record.js";
import { type DrainScene, letGo, obey } from "./draining.js";
import {
  invitation,
  modelObjection,
  noteReady,
  placesOf,
  readyOnes,
  stopFor,
} from "./formation.js";
import { MemberCounts, noteCounts } from "./member-counts.js";
import { recordOf, returned } from "./return.js";
import { RollBack } from "./roll-back.js";
import {
  type Ending,
  endingDeposed,
  endingDiverged,
  endingOf,
  endingWithout,
  goodbyeOf,
  type ProcessEnd,
  resultOf,
  toldOf,
} from "./run-ending.js";
import { Training } from "./training.js";
import { portOf } from "./training-port.js";
import { drainEnded } from "./training-words.js";

/** The machine. */
export class Coordinator {
  readonly #config: CoordinatorConfig;
  readonly #roster: Roster;
  #phase: Phase = { name: "idle" };
  #setup: RunSetup | null = null;
  #training: Training | null = null;
  readonly #rollBack: RollBack;
  #attendance: Attendance;
  #counts = new MemberCounts();
  #bequests = this.#bequestsOf([]);
  #effects: CoordinatorEffect[] = [];
  readonly #perform = (effect: CoordinatorEffect) => void this.#effects.push(effect);
  #nowMs = 0;

  constructor(config: CoordinatorConfig) {
    this.#config = config;
    this.#roster = new Roster(config, config.term);
    this.#attendance = new Attendance(config);
    this.#rollBack = new RollBack(config, this.#roster, {
      end: (ending) => this.#end(ending),
      giveUp: () => {
        const drained = this.#training?.servers.draining ?? [];
        for (const name of drained) this.#emit({ kind: "warning", text: drainEnded(name) });
        this.#phase = { name: "rolling back", rollBack: this.#rollBack };
        this.#training = null;
      },
      form: (setup, term) => this.#form(setup, term),
      perform: this.#perform,
    });
  }

  /** Eats one event; the effects are to be performed in order. */
  step(event: CoordinatorEvent, nowMs: number): CoordinatorEffect[] {
    this.#effects = [];
    this.#nowMs = nowMs;
    switch (event.type) {
      case "submit":
        if (this.#phase.name === "idle") this.#form(event.setup, event.term);
        break;
      case "return":
        if (this.#phase.name === "idle") this.#return(event);
        break;
      case "register":
        this.#onRegister(event.request);
        break;
      case "opened": {
        const member = this.#roster.opened(event.member, nowMs);
        if (member !== undefined) this.#prepare(member);
        break;
      }
      case "closed":
        this.#roster.closed(event.member, nowMs);
        break;
      case "message":
        this.#onMessage(event.member, event.message);
        break;
      case "exited":
        this.#onExited(event);
        break;
      case "loaded":
        if (!this.#isOn(event.run, event.generation) || this.#training === null) break;
        if (event.problem === null) this.#training.onLoaded(nowMs);
        else this.#fail(event.problem.code, event.problem.reason);
        break;
      case "persisted":
        if (this.#isOn(event.run) && event.problem !== null) this.#fail("storage", event.problem);
        break;
      case "marked":
      case "copied":
      case "saved":
        if (!this.#isOn(event.run, event.generation)) break;
        if (this.#phase.name === "rolling back") this.#rollBack.saved(event, nowMs);
        else this.#training?.onSaved(event, nowMs);
        break;
      case "wentBack":
        this.#onWentBack(event);
        break;
      case "fail":
        if (this.#isOn(event.run)) this.#fail(event.code, event.reason, true);
        break;
      case "interrupt":
        this.#onInterrupt(event.reason);
        break;
      case "drain":
      case "switch":
        obey(event, this.#drainScene(), nowMs);
        break;
      default:
        event satisfies { readonly type: "tick" };
    }
    this.#advance();
    return withRecord(this.#effects, () => this.#record());
  }

  /** True while this life of a process is a member. */
  knows({ role, rank, incarnation }: MemberIdentity): boolean {
    return this.#roster.find(role, rank, incarnation) !== undefined;
  }

  /** The term under which it speaks. */
  get term(): number {
    return this.#roster.term;
  }

  /** The run that is on, or null. */
  get spec(): RunSpec | null {
    return this.#setup?.spec ?? null;
  }

  /** The same with what it goes on from. */
  get setup(): RunSetup | null {
    return this.#setup;
  }

  /** What has to be durable before members are told what they act on. */
  #record(): CoordinatorRecord | null {
    // While it is to go back the record of before stands, which has the servers that are lost.
    const training = this.#phase.name === "rolling back" ? null : this.#trained;
    const [roster, counts] = [this.#roster, this.#counts];
    return training && recordOf({ training, roster, counts, phase: this.#phase }, this.#nowMs);
  }

  /** Goes on where another has ended; members come back to what they have. */
  #return(back: Return): void {
    this.#roster.raiseTerm(back.term);
    const { setup, counts, training } = returned(back, this.#roster, this.#perform, this.#nowMs);
    [this.#setup, this.#counts, this.#training] = [setup, counts, training];
    this.#phase = { name: "training" };
    const { ending } = back.record;
    if (ending === null) training.goOn(goneFrom(back.record), this.#nowMs);
    else this.#end(ending, this.#roster.everybody());
  }

  /** True while this life of a worker may give residuals for this barrier. */
  awaitsResiduals({ rank, incarnation }: Omit<MemberIdentity, "role">, barrier: number): boolean {
    return this.#training?.awaitsResiduals(rank, incarnation, barrier) === true;
  }

  /** The present picture. */
  snapshot(nowMs: number): CoordinatorSnapshot {
    const [training, setup, counts] = [this.#trained, this.#setup, this.#counts];
    return pictureOf({ setup, training, roster: this.#roster, counts }, this.#phase, nowMs);
  }

  #isOn(run: string | undefined, generation = this.#setup?.generation ?? 0): boolean {
    const isPresent = generation === (this.#setup?.generation ?? 0);
    return isPresent && (run === undefined || run === this.#setup?.spec.run);
  }

  #onWentBack({ run, way }: CoordinatorEvent & { readonly type: "wentBack" }): void {
    if (this.#setup === null || this.#phase.name !== "rolling back" || !this.#isOn(run)) return;
    this.#rollBack.wentBack(way, this.#setup);
  }

  #form(setup: RunSetup, term: number): void {
    this.#raiseTerm(term);
    // A run that goes back is the same: who is started no more is not started for it either.
    if (!this.#isOn(setup.spec.run)) this.#attendance = new Attendance(this.#config);
    this.#setup = setup;
    this.#training = null;
    this.#counts = new MemberCounts(setup.generation, setup.resume?.workers);
    this.#bequests = this.#bequestsOf(setup.residuals ?? []);
    this.#phase = { name: "forming", sinceMs: this.#nowMs };
    for (const member of this.#roster.everybody()) this.#prepare(member);
  }

  #raiseTerm(term: number): void {
    const reason = `has to register again: the run goes on under term ${term}`;
    for (const member of this.#roster.raiseTerm(term)) {
      this.#expel(member, reason);
      this.#emit({ kind: "info", text: `${nameOf(member)} ${reason}` });
    }
  }

  #onRegister(request: RegisterRequest): void {
    const limits = placesOf(this.#config.serve ? null : this.spec);
    const { reply, member, replaced } = this.#roster.register(request, limits, this.#nowMs);
    if (replaced !== null) this.#lose(replaced, "a new process took its rank");
    this.#effects.push({ type: "registered", request, reply });
    if (member === null) return;
    if (member.role === "worker") this.#attendance.came(member.rank);
    const { role, rank, incarnation } = member;
    this.#emit({ kind: "registered", role, rank, incarnation, text: registrationOf(member) });
  }

  #prepare(member: Member): void {
    if (this.#setup === null || this.#phase.name === "stopping") return;
    const residuals = member.role === "worker" && this.#bequests.has(member.rank);
    const message = invitation(member, this.#setup, residuals);
    if (message !== null) this.#send(member, message);
  }

  #onMessage(name: MemberIdentity, message: MemberMessage): void {
    const member = this.#roster.find(name.role, name.rank, name.incarnation);
    if (member === undefined) {
      this.#effects.push({ type: "drop", member: name, reason: "" });
      return;
    }
    member.detector.heard(this.#nowMs, message.type === "heartbeat");
    noteCounts(member, message, this.#setup === null ? null : this.#counts);
    switch (message.type) {
      case "heartbeat":
        if (message.term > this.term) this.#end(endingDeposed(member, message.term, this.term));
        break;
      case "ready":
        this.#onReady(member, message);
        break;
      case "diverged":
        this.#end(endingDiverged(nameOf(member), message.step, message.what));
        break;
      case "failed":
        this.#onFailed(member, message.code as ErrorCode, message.reason);
        break;
      case "leave":
        this.#onLeave(member, message.reason);
        break;
      case "leaving":
        letGo(member, message.reason, this.#drainScene(), this.#nowMs);
        break;
      default:
        this.#training?.onMessage(member, message, this.#nowMs);
    }
  }

  #onReady(member: Member, message: MemberMessage & { readonly type: "ready" }): void {
    const setup = this.#setup;
    if (setup === null || message.run !== setup.spec.run || member.dismissal !== null) return;
    const reason = modelObjection(setup, member, message.tensors);
    if (reason !== null) {
      this.#emit({ kind: "warning", text: reason });
      this.#send(member, stopFor(reason));
      this.#forget(member);
      return;
    }
    noteReady(member, message);
    if (this.#training === null) return;
    if (member.role === "worker") this.#bequests.settle(member.rank);
    if (member.role === "server") this.#training.onServerReady(member, this.#nowMs);
    else if (this.#attendance.mayTakePart(member.rank, this.#nowMs)) {
      this.#training.onReady(member, this.#nowMs);
    }
  }

  #onFailed(member: Member, code: ErrorCode, reason: string): void {
    const ending = this.#attendance.failed(member, this.#training, { code, reason }, this.#nowMs);
    if (this.#training !== null) this.#lose(member, `failed: ${reason}`);
    if (ending !== null) this.#close(ending);
  }

  #onLeave(member: Member, reason: string): void {
    if (this.#phase.name !== "stopping") {
      this.#lose(member, `left: ${reason}`);
      return;
    }
    this.#phase.awaited.delete(member);
    member.readyFor = "";
    member.toldOf = "";
    if (!this.#config.serve) this.#roster.remove(member, this.#nowMs);
  }

  /** The rank may be with another life by then, which goes on. */
  #onExited({ role, rank, pid, reason, restarts, code }: ProcessEnd): void {
    const isUntrained = (this.#trained?.globalSteps() ?? 0) === 0;
    if (code != null && !restarts && isUntrained) {
      this.#fail(code, `${nameOf({ role, rank })} ${reason}`);
    }
    const member = this.#roster.get(role, rank);
    if (member !== undefined && member.pid !== pid) return;
    if (role === "worker") this.#attendance.exited(rank, restarts);
    if (member === undefined && this.#roster.wasDismissed(role, rank, pid)) return;
    if (member !== undefined) this.#lose(member, reason);
    if (role === "worker") return;
    if (restarts) this.#rollBack.restarts(rank, this.#nowMs);
    else if (this.#phase.name === "forming") {
      this.#end(endingWithout({ role, rank }, reason, this.#trained));
    }
  }

  /** Takes a member that is gone, or not wanted, out of everything. */
  #forget(member: Member): void {
    this.#roster.remove(member, this.#nowMs);
    if (this.#phase.name === "stopping") this.#phase.awaited.delete(member);
    if (this.#phase.name === "preparing") this.#phase.members.delete(member);
  }

  #expel(member: Member, reason: string): void {
    this.#forget(member);
    const { role, rank, incarnation } = member;
    this.#effects.push({ type: "drop", member: { role, rank, incarnation }, reason });
  }

  #lose(member: Member, reason: string): void {
    const { role } = member;
    this.#expel(member, reason);
    if (this.#phase.name === "stopping") return;
    const told = this.#effects.length; // A loss is told before the view that follows from it.
    const counted = role === "worker" && this.#training?.onWorkerLost(member, this.#nowMs);
    const left = counted === true ? (this.#training?.activeRanks().length ?? 0) : null;
    const event = lossEventOf(member, reason, left, this.#trained?.globalSteps() ?? 0);
    this.#effects.splice(told, 0, { type: "event", event });
    const forming = this.#phase.name === "idle" || this.#phase.name === "forming";
    if (role !== "server" || forming || member.toldOf !== this.spec?.run) return;
    if (this.#training?.onServerLost(member, this.#nowMs) === true) return;
    const ending = endingWithout(member, reason, this.#trained);
    this.#rollBack.begin(member, ending, this.#trained, this.#nowMs);
  }

  /** Training that is on, or was given up for a roll-back. */
  get #trained(): Training | null {
    return this.#training ?? this.#rollBack.past;
  }

  #drainScene(): DrainScene {
    const about = { phase: this.#phase.name, spec: this.spec, training: this.#training };
    return { ...about, roster: this.#roster, perform: this.#perform };
  }

  /** Without training there is nothing to save; without any run the members may go home. */
  #onInterrupt(reason: string): void {
    const ending = { outcome: "interrupted", code: null, reason } as const;
    const members = this.#phase.name === "idle" ? this.#roster.everybody() : [];
    for (const member of members) this.#send(member, goodbyeOf(ending, false));
    if (this.#phase.name !== "idle") this.#close(ending);
  }

  /** Ends the run, with a checkpoint where there is something to be kept. */
  #close(ending: Ending): void {
    if (this.#training?.running !== true || this.#phase.name !== "training") {
      this.#end(ending);
      return;
    }
    if (!this.#training.isClosing || ending.outcome === "interrupted") {
      this.#emit({ kind: "info", text: `${ending.reason}: writing a checkpoint` });
    }
    this.#training.close(ending, this.#nowMs);
  }

  #advance(): void {
    for (const { member, reason } of this.#roster.dead(this.#nowMs)) this.#lose(member, reason);
    switch (this.#phase.name) {
      case "idle":
        break;
      case "forming":
      case "preparing":
        this.#advanceBeginning(this.#phase);
        break;
      case "training":
        this.#training?.advance(this.#nowMs);
        this.#advanceTraining();
        break;
      case "rolling back":
        if (this.#setup !== null) this.#rollBack.advance(this.#setup, this.#nowMs);
        break;
      case "stopping":
        this.#advanceStopping(this.#phase);
        break;
      default:
        this.#phase satisfies never;
    }
  }

  #advanceBeginning(phase: Phase & { readonly name: "forming" | "preparing" }): void {
    const setup = this.#setup;
    if (setup === null) return;
    const times = { ...this.#config, nowMs: this.#nowMs };
    const beginning = beginningOf(phase, setup, this.#roster.everybody(), times);
    if (beginning.verdict === "start") this.#startTraining(setup);
    else if (beginning.verdict === "failed") this.#fail("cluster_not_formed", beginning.reason);
    else this.#phase = beginning.phase;
  }

  /** `isKept` says that what was trained is sound, and worth a checkpoint. */
  #fail(code: ErrorCode, reason: string, isKept = false): void {
    const ending = { outcome: "failed", code, reason } as const;
    if (isKept) this.#close(ending);
    else this.#end(ending);
  }

  /** Every ready worker takes part, also those that came while the others prepared. */
  #startTraining(setup: RunSetup): void {
    this.#phase = { name: "training" };
    const { servers, workers } = readyOnes(setup.spec, this.#roster.everybody());
    const port = portOf(setup, this.#counts, this.#perform);
    this.#training = new Training(setup, { term: this.term, servers, workers }, port);
    this.#rollBack.settle();
    const dropped = this.#bequests.settleAll(workers, setup.spec.workersMax);
    for (const text of dropped) this.#emit({ kind: "warning", text });
    this.#training.advance(this.#nowMs);
  }

  /** Later lives of a rank start at zero. */
  #bequestsOf(ranks: readonly number[]): Bequests {
    return new Bequests(ranks, (rank) => this.#effects.push({ type: "inherited", rank }));
  }

  #advanceTraining(): void {
    const [training, spec] = [this.#training, this.spec];
    if (training === null || spec === null) return;
    const scene = { training, roster: this.#roster, spec };
    if (training.finished) this.#end(endingOf(training));
    else
      this.#attendance.attend(scene, this.#nowMs, {
        lose: (member, reason) => this.#lose(member, reason),
        tell: (text) => this.#emit({ kind: "warning", text }),
        close: (ending) => this.#close(ending),
        perform: this.#perform,
      });
  }

  /**
   * Ends the run that is on: everybody is told, also who is cut off for the moment, and has a while
   * to answer.
   */
  #end(ending: Ending, members: Iterable<Member> = this.#roster.spokenTo()): void {
    if (this.#phase.name === "stopping" || this.#phase.name === "idle") return;
    const awaited = new Set(members);
    for (const member of awaited) this.#send(member, goodbyeOf(ending, this.#config.serve));
    this.#phase = { name: "stopping", sinceMs: this.#nowMs, awaited, ending };
  }

  #advanceStopping(phase: Phase & { name: "stopping" }): void {
    const late = this.#nowMs - phase.sinceMs >= this.#config.stopTimeoutMs;
    if (phase.awaited.size > 0 && !late) return;
    for (const member of [...phase.awaited]) this.#lose(member, "said no goodbye");
    const result = resultOf(phase.ending, this.#trained, this.#counts, phase.sinceMs);
    this.#effects.push(...toldOf(result));
    this.#phase = { name: "idle" };
    this.#setup = null;
    this.#training = null;
    this.#rollBack.settle();
  }

  #send({ role, rank }: Member, message: CoordinatorMessage): void {
    this.#effects.push({ type: "send", role, rank, message });
  }

  #emit(event: RunEvent): void {
    this.#effects.push({ type: "event", event });
  }
}
