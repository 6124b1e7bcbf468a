/**
 * The coordinator: performs the coordinator machine's effects. It is what the transport serves:
 * registrations are answered in their turn, each member's messages are kept until they are known to
 * have arrived.
 *
 * Effects are performed in their order. One that has to be durable before the rest (`persist`) is
 * waited for (effect-loop.ts); events that come meanwhile wait, and are stepped in the order of
 * their coming and with its time; past a limit what members say is left to be said again
 * (event-intake.ts). Heartbeats are answered all the same. What takes long and holds nothing up
 * (`load`, `save`) is only begun. Whatever is waited for or begun ends in an event: the machine
 * decides.
 */

import { Coordinator } from "../core/coordinator/coordinator.js";
import type {
  CoordinatorConfig,
  CoordinatorEffect,
  CoordinatorEvent,
  LoadProblem,
  OrderAnswer,
  WayBack,
} from "../core/coordinator/coordinator-events.js";
import type { CoordinatorRecord } from "../core/coordinator/coordinator-record.js";
import type { RunSetup, SaveRequest } from "../core/work/run-setup.js";
import { PacelineError, toPacelineError } from "../errors.js";
import { type Examples, type ExamplesRequest, examplesMaxOf } from "../protocol/examples.js";
import type { MemberIdentity, MemberPlace, MemberRole } from "../protocol/identity.js";
import { shownId } from "../protocol/ids.js";
import type {
  CoordinatorMessage,
  MemberMessage,
  RegisterReply,
  RegisterRequest,
} from "../protocol/messages.js";
import type { NormReport } from "../protocol/norms.js";
import type { ResidualChunk, ResidualPlace } from "../protocol/residuals.js";
import type {
  CoordinatorSnapshot,
  JobEvents,
  RunEvent,
  RunResult,
} from "../protocol/run-events.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type {
  CoordinatorService,
  MemberReceiver,
  SessionChannel,
  SwitchRequest,
} from "../transport/transport.js";
import { CheckpointSaver, type SaverParts } from "./checkpoint-saver.js";
import { every, type Timer } from "./clock.js";
import { EffectLoop } from "./effect-loop.js";
import { EventIntake } from "./event-intake.js";
import { GivenResidualStore, residualBytes } from "./given-residuals.js";
import { PendingAnswers } from "./pending-answers.js";
import { Mailbox, mailboxMessagesMax } from "./session/mailbox.js";
import { loadState, type ModelState } from "./state-transfer.js";

/** What a coordinator needs around it. */
export interface CoordinatorHostParts extends SaverParts {
  readonly config: CoordinatorConfig;
  /** What training starts from: fresh, or from the checkpoint that the setup resumes. */
  initialState(setup: RunSetup): Promise<ModelState>;
  /** Makes the record durable in place of the one before; rejects where it is not. */
  persist(record: CoordinatorRecord): Promise<void>;
  /**
   * Reads the last checkpoint of the run, or its start where it has none: what `initialState` and
   * `inheritance` give from there on. The term is durable, and above each one before.
   */
  goBack?(setup: RunSetup): Promise<WayBack>;
  /**
   * By rank the residuals that the setup goes on with, those of its checkpoint; what is taken over
   * is taken out. None if left out.
   */
  inheritance?(): Map<number, Float32Array>;
  onEvent(event: RunEvent): void;
  onEnded(result: RunResult): void;
  /** A server has measured norms; nobody wants them where it is left out. */
  onNorms?(report: NormReport): void;
  /** Why a member of this role has nothing to do; nobody says where it is left out. */
  note?(role: MemberRole): string;
  /** Examples of the run that is on, whose feed is central; in memory of their own. */
  readExamples(request: ExamplesRequest): Examples;
}

interface Line {
  readonly mailbox: Mailbox<CoordinatorMessage>;
  channel: SessionChannel<CoordinatorMessage> | null;
  /** True once the member has said, on this stream, what it has received. */
  agreed: boolean;
  received: number;
}

/** An event with the time of its coming, at which it is stepped whenever its turn is. */
interface Arrived {
  readonly event: CoordinatorEvent;
  readonly atMs: number;
  readonly sender: string;
}

const tickIntervalMs = 100;
/** Senders of events that are no members. */
const [host, clock, callers] = ["the coordinator itself", "the clock", "new members and callers"];
/** So many members that were dropped can be told why. */
const droppedMax = 1024;

/** The host. */
export class CoordinatorHost implements CoordinatorService {
  readonly #parts: CoordinatorHostParts;
  readonly #machine: Coordinator;
  readonly #loop: EffectLoop<Arrived, CoordinatorEffect>;
  readonly #lines = new Map<string, Line>();
  /** Incarnation by role and rank, to address the machine's messages. */
  readonly #present = new Map<string, MemberIdentity>();
  readonly #tick: Timer;
  readonly #intake = new EventIntake();
  readonly #given = new GivenResidualStore();
  /** Why members were dropped, for those who come and ask; the latest of them. */
  readonly #dropped = new Map<string, string>();
  /** How each registration that waits for its answer is given it. */
  readonly #asked = new PendingAnswers<RegisterRequest, RegisterReply>();
  /** The same of each asking to have a member leave, or workers keep pace in another way. */
  readonly #orders = new PendingAnswers<object, OrderAnswer>();
  readonly #saver: CheckpointSaver;
  /** True for the effects of a step behind a record that could not be made durable. */
  #isUnkept = false;

  constructor(parts: CoordinatorHostParts) {
    this.#parts = parts;
    this.#machine = new Coordinator(parts.config);
    this.#saver = new CheckpointSaver(parts, this.#given, (event) => this.tell(event));
    this.#loop = new EffectLoop<Arrived, CoordinatorEffect>({
      step: ({ event, atMs, sender }) => {
        this.#intake.done(sender);
        this.#isUnkept = false;
        return this.#machine.step(event, atMs);
      },
      perform: (effect) => this.#perform(effect),
    });
    this.#tick = every(parts.clock, tickIntervalMs, () => {
      if (this.#intake.admits(clock)) this.tell({ type: "tick" }, clock);
    });
  }

  /** Gives the machine an event and does what it says: at once, or when its turn has come. */
  tell(event: CoordinatorEvent, sender = host): void {
    this.#intake.add(sender);
    this.#loop.take({ event, atMs: this.#parts.clock.nowMs(), sender });
  }

  /** The term under which it speaks. */
  get term(): number {
    return this.#machine.term;
  }

  /** The present picture. */
  snapshot(): CoordinatorSnapshot {
    return this.#machine.snapshot(this.#parts.clock.nowMs());
  }

  /** Stops the clock and ends every session. */
  close(): void {
    this.#loop.end();
    this.#tick.cancel();
    for (const line of this.#lines.values()) line.channel?.close();
    this.#lines.clear();
  }

  async register(request: RegisterRequest): Promise<RegisterReply> {
    this.#intake.demandRoom(callers);
    const asked = { ...request };
    return this.#asked.ask(asked, () => this.tell({ type: "register", request: asked }, callers));
  }

  open(identity: MemberIdentity, channel: SessionChannel<CoordinatorMessage>): MemberReceiver {
    const line = this.#lines.get(keyOf(identity));
    if (line === undefined || !this.#machine.knows(identity)) {
      throw new PacelineError(
        "refused",
        `${identity.role}-${identity.rank} of incarnation ${shownId(identity.incarnation)} ` +
          `is not a member any more: ${this.#whyDropped(identity)}`,
      );
    }
    const sender = keyOf(identity);
    this.#intake.demandRoom(sender);
    line.channel?.close();
    line.channel = channel;
    line.agreed = false;
    this.tell({ type: "opened", member: identity }, sender);
    return {
      onMessage: (message) => {
        if (line.channel === channel) this.#onMessage(identity, line, message);
      },
      onClose: () => {
        if (line.channel === channel) this.#closed(identity, line);
      },
    };
  }

  status(): unknown {
    return this.snapshot();
  }

  drain(member: MemberPlace): Promise<string> {
    return this.#order({ type: "drain", request: { ...member } });
  }

  switchTo({ protocol, run }: SwitchRequest): Promise<string> {
    return this.#order({ type: "switch", request: { ...protocol }, name: run });
  }

  async #order(order: CoordinatorEvent & { type: "drain" | "switch" }): Promise<string> {
    this.#intake.demandRoom(callers);
    const tell = () => this.tell(order, callers);
    const { isAccepted, text } = await this.#orders.ask(order.request, tell);
    if (!isAccepted) throw new PacelineError("refused", text);
    return text;
  }

  submit(): string {
    throw takesNoJobs();
  }

  jobs(): unknown {
    throw takesNoJobs();
  }

  cancelJob(): string {
    throw takesNoJobs();
  }

  async jobEvents(): Promise<JobEvents> {
    throw takesNoJobs();
  }

  /** True of a member, and of one that was dropped and may yet be told why. */
  remembers(member: MemberIdentity): boolean {
    return this.#machine.knows(member) || this.#dropped.has(keyOf(member));
  }

  /** Has members leave and register again: another host behind the same address wants them. */
  move(members: readonly MemberIdentity[], reason: string): void {
    for (const { role, rank, incarnation } of members) {
      const member = { role, rank, incarnation };
      this.#lines.get(keyOf(member))?.channel?.send({ type: "move", reason });
      const message = { type: "leave", reason, server: null, worker: null } as const;
      this.tell({ type: "message", member, message });
    }
  }

  /** A batch that can't be read ends the run: no worker could have it. */
  readExamples(request: ExamplesRequest): Examples {
    demandReadable(request, this.#machine.spec);
    try {
      return this.#parts.readExamples(request);
    } catch (thrown) {
      const error = toPacelineError(thrown);
      const { code, message } = error;
      if (code === "data") this.tell({ type: "fail", run: request.run, code, reason: message });
      throw error;
    }
  }

  keepResidual(residual: ResidualChunk): void {
    const setup = this.#setupOf(residual);
    if (!this.#machine.awaitsResiduals(residual, residual.barrier)) {
      const whose = `worker ${residual.rank} of incarnation ${shownId(residual.incarnation)}`;
      const barrier = `barrier ${shownId(residual.barrier)}`;
      throw new PacelineError("refused", `${barrier} does not wait for ${whose}`);
    }
    this.#given.keep(residual, setup);
  }

  readResidual(place: ResidualPlace): Uint8Array {
    const setup = this.#setupOf(place);
    const values = this.#parts.inheritance?.().get(place.rank);
    if (values !== undefined) return residualBytes(values, place, setup);
    throw new PacelineError("refused", `there are no residuals left for worker ${place.rank}`);
  }

  /** The setup that residuals belong to. */
  #setupOf({ run, rank, incarnation }: ResidualPlace): RunSetup {
    const { setup } = this.#machine;
    if (setup?.spec.run !== run) throw new PacelineError("refused", `run ${run} is not on here`);
    if (this.#machine.knows({ role: "worker", rank, incarnation })) return setup;
    const whose = `worker-${rank} of incarnation ${shownId(incarnation)}`;
    throw new PacelineError("refused", `${whose} is not a member`);
  }

  #closed(member: MemberIdentity, line: Line): void {
    line.channel = null;
    line.agreed = false;
    this.tell({ type: "closed", member }, keyOf(member));
  }

  /** A member that never says that it has heard is a loss, whatever else it says. */
  #giveUp(member: MemberIdentity, line: Line): void {
    line.channel?.close();
    this.#lines.delete(keyOf(member));
    const reason = `it has not taken in the last ${mailboxMessagesMax} messages`;
    const message = { type: "leave", reason, server: null, worker: null } as const;
    this.tell({ type: "message", member, message });
  }

  /** What there is no room for is not received: the member says it again over its next stream. */
  #onMessage(member: MemberIdentity, line: Line, message: MemberMessage): void {
    const sender = keyOf(member);
    const isAdmitted = this.#intake.admits(sender);
    if (message.type === "heartbeat") {
      const sinceTerm = this.#parts.config.term;
      // What a member counts that has not heard of this coordinator is another's.
      if (message.term >= sinceTerm) line.mailbox.acknowledge(message.received);
      const { sequence } = message;
      const { term } = this.#machine;
      const { received } = line;
      const note = this.#parts.note?.(member.role) ?? "";
      line.channel?.send({ type: "heartbeatAck", sequence, received, term, sinceTerm, note });
      if (!line.agreed) {
        line.agreed = true;
        for (const kept of line.mailbox.unacknowledged()) line.channel?.send(kept);
      }
    } else if (isAdmitted) {
      line.received++;
    } else {
      line.channel?.close();
      this.#closed(member, line);
    }
    if (isAdmitted && message.type === "norms" && member.role === "server") {
      this.#parts.onNorms?.(message);
    }
    if (isAdmitted) this.tell({ type: "message", member, message }, sender);
  }

  /** What is not durable is not spoken of: the machine hears what is wrong and decides. */
  async #persist(record: CoordinatorRecord): Promise<void> {
    let problem: string | null = null;
    try {
      await this.#parts.persist(record);
    } catch (thrown) {
      problem = toPacelineError(thrown).message;
    }
    this.#isUnkept = problem !== null;
    this.tell({ type: "persisted", run: record.run, problem });
  }

  #answer({ role }: RegisterRequest, reply: RegisterReply): void {
    if (!reply.accepted) return;
    const { rank, incarnation } = reply;
    this.#expect({ role, rank, incarnation });
  }

  #expect(member: MemberIdentity): void {
    this.#present.set(placeOf(member), member);
    // A member that asks a second time has its line.
    if (this.#lines.has(keyOf(member))) return;
    const line = { mailbox: new Mailbox<CoordinatorMessage>(), channel: null };
    this.#lines.set(keyOf(member), { ...line, agreed: false, received: 0 });
  }

  #perform(effect: CoordinatorEffect): Promise<void> | void {
    switch (effect.type) {
      case "persist":
        return this.#persist(effect.record);
      case "registered": {
        const { request, reply } = effect;
        this.#answer(request, reply);
        this.#asked.answer(request, reply);
        break;
      }
      case "orderAnswered":
        this.#orders.answer(effect.request, effect.answer);
        break;
      case "send":
        this.#send(effect);
        break;
      case "expect":
        for (const member of effect.members) this.#expect(member);
        break;
      case "drop": {
        const key = keyOf(effect.member);
        this.#noteDropped(key, effect.reason);
        this.#lines.get(key)?.channel?.close();
        this.#lines.delete(key);
        break;
      }
      case "load":
        void this.#load(effect.view, effect.setup);
        break;
      case "inherited":
        this.#parts.inheritance?.().delete(effect.rank);
        break;
      case "save":
        this.#saver.begin(effect.request, effect.setup);
        break;
      case "goBack":
        void this.#goBack(effect.setup);
        break;
      case "giveAccount":
        this.#saver.account(effect.snapshot);
        break;
      case "hurrySave":
        this.#saver.hurry();
        break;
      case "abandonSave":
        this.#saver.abandon();
        break;
      case "event":
        this.#parts.onEvent(effect.event);
        break;
      case "ended":
        // Servers are gone; what is being written is a part of what the run leaves.
        this.#saver.abandon();
        this.#saver.hurry();
        void this.#saver.settled.then(() => this.#parts.onEnded(effect.result));
        break;
      default:
        effect satisfies never;
    }
  }

  #send({ message, ...place }: CoordinatorEffect & { readonly type: "send" }): void {
    if (this.#isUnkept && message.type !== "stop") return;
    const member = this.#present.get(placeOf(place));
    const line = member === undefined ? undefined : this.#lines.get(keyOf(member));
    if (member === undefined || line === undefined) return;
    if (line.mailbox.isFull) {
      this.#giveUp(member, line);
      return;
    }
    line.mailbox.add(message);
    if (line.agreed) line.channel?.send(message);
  }

  #whyDropped(identity: MemberIdentity): string {
    return this.#dropped.get(keyOf(identity)) ?? "it belongs to another run";
  }

  #noteDropped(key: string, reason: string): void {
    if (reason === "" || this.#dropped.has(key)) return;
    this.#dropped.set(key, `it ${reason}`);
    const [oldest] = this.#dropped.keys();
    if (this.#dropped.size > droppedMax) this.#dropped.delete(oldest!);
  }

  async #load(view: SaveRequest["view"], setup: RunSetup): Promise<void> {
    let problem: LoadProblem | null = null;
    try {
      const state = await this.#parts.initialState(setup);
      await loadState(this.#parts, view, state, setup.layout);
    } catch (thrown) {
      const { code, message } = toPacelineError(thrown);
      problem = { code, reason: message };
    }
    const { generation } = view;
    this.tell({ type: "loaded", run: setup.spec.run, generation, problem });
  }

  /** What is being written may be the last checkpoint when it is there. */
  async #goBack(setup: RunSetup): Promise<void> {
    let way: WayBack | LoadProblem;
    try {
      this.#saver.hurry();
      await this.#saver.settled;
      const { goBack } = this.#parts;
      if (goBack === undefined) throw new PacelineError("internal", "nobody reads checkpoints");
      way = await goBack(setup);
    } catch (thrown) {
      const { code, message } = toPacelineError(thrown);
      way = { code, reason: message };
    }
    this.tell({ type: "wentBack", run: setup.spec.run, way });
  }
}

function takesNoJobs(): PacelineError {
  return new PacelineError("usage", "this coordinator takes no jobs: start one with --serve");
}

function demandReadable({ run, split, start, end }: ExamplesRequest, spec: RunSpec | null): void {
  if (spec?.run !== run) throw new PacelineError("refused", `run ${run} is not on here`);
  if (spec.feed !== "central") {
    const remedy = "workers read their own files";
    throw new PacelineError("refused", `run ${run} has --feed ${spec.feed}: ${remedy}`);
  }
  const count = split === "train" ? spec.trainExamples : spec.testExamples;
  const most = examplesMaxOf(spec);
  if (end <= count && end - start <= most) return;
  const asked = `${split} examples ${start} to ${end}`;
  const there = `there are ${count}, and at most ${most} are sent at once`;
  throw new PacelineError("protocol", `${asked} can't be sent: ${there}`);
}

function placeOf({ role, rank }: { role: string; rank: number }): string {
  return `${role}-${rank}`;
}

function keyOf({ role, rank, incarnation }: MemberIdentity): string {
  return `${role}-${rank}-${incarnation}`;
}
