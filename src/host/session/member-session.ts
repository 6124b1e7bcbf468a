/**
 * A member's side of its session with the coordinator: registers, with more and more patience
 * between tries; sends heartbeats; opens the stream again when the link breaks and has both sides
 * say again what the other has not heard.
 *
 * States: registering -> open <-> reopening -> over. The identity stays the same through every link
 * that is restored; when the coordinator no longer knows it, the handler is told that it was
 * expelled. Where another coordinator has taken the place of one that ended, both sides begin to
 * count anew, and the member says how it stands.
 *
 * Without a coordinator it goes on for a grace, counted from the sending of the last heartbeat that
 * was answered, as the coordinator may not have known it for longer.
 *
 * Invariant: nothing is taken from a coordinator of a lower term than the process has heard of, nor
 * from one that has not said its term on the present stream.
 */

import { failureOfAll, PacelineError, toPacelineError } from "../../errors.js";
import type { MemberIdentity } from "../../protocol/identity.js";
import { termOf } from "../../protocol/ids.js";
import type {
  CoordinatorMessage,
  MemberMessage,
  RegisterReply,
  RegisterRequest,
} from "../../protocol/messages.js";
import type { ResidualChunk, ResidualPlace } from "../../protocol/residuals.js";
import type { SessionChannel, Transport } from "../../transport/transport.js";
import { type Clock, every, type Timer } from "../clock.js";
import type { CoordinatorPlaces } from "./coordinator-places.js";
import type { HeardTerm } from "./heard-term.js";
import { Mailbox } from "./mailbox.js";

/** A heartbeat without what the session adds. */
export type HeartbeatBody = Pick<
  MemberMessage & { readonly type: "heartbeat" },
  "activity" | "server" | "worker" | "reach"
>;

/** What the session tells its member. */
export interface SessionHandler {
  onMessage(message: CoordinatorMessage): void;
  heartbeat(): HeartbeatBody;
  /**
   * Another coordinator has taken the place of the one before, and has heard nothing yet: what the
   * member has to say of how it stands goes first. A server has nothing to say: it answers the
   * view that comes next.
   */
  onReturned(): unknown;
  /** The session can't go on: "refused" when the coordinator has given this member up. */
  onLost(error: PacelineError): void;
  log(text: string): void;
}

/** Where and how long to try. */
export interface SessionConfig {
  readonly coordinator: CoordinatorPlaces;
  /** How long registration is tried. */
  readonly startTimeoutMs: number;
  /** How long a call is tried again that a broken link ended. */
  readonly ioTimeoutMs: number;
  /** How long the member goes on without a coordinator. */
  readonly coordinatorGraceMs: number;
}

/** What is said once and ends something. */
const lastWords: ReadonlySet<MemberMessage["type"]> = new Set(["diverged", "failed", "leave"]);
/** Waits between tries to register: 1, 2, 4, then 8 s. */
const registerDelaysMs = [1000, 2000, 4000, 8000];
/** The most of it where another coordinator may take the lead at any moment. */
const registerDelayMsMax = 1000;
const reopenDelayMs = 150;
/** How long a coordinator may say nothing before another address is tried, where there is one. */
const silentMsMax = 3000;
/**
 * The same of one that has yet to answer on a connection: twice as long each time, up to the above.
 * One that is frozen takes connections too, and must not be waited for as long each time.
 */
const firstAnswerMs = 1000;
/** Between two askings to be let go: what is refused, or not heard, may be granted later. */
const leaveAgainMs = 1000;
/** Between tries of a call that a broken link ended. */
const askAgainDelayMs = 100;

/**
 * Registers, trying again while the coordinator can't be reached or is not the present one; rejects
 * when it says no.
 */
export async function register(
  transport: Transport,
  clock: Clock,
  config: SessionConfig,
  request: RegisterRequest,
  log: (text: string) => void,
  heard: HeardTerm,
  signal: AbortSignal = new AbortController().signal,
): Promise<RegisterReply & { accepted: true }> {
  const deadlineMs = clock.nowMs() + config.startTimeoutMs;
  /** The latest of each address. */
  const failures = new Map<string, PacelineError>();
  for (let attempt = 0; ; attempt++) {
    try {
      const reply = await registerAt(transport, clock, config.coordinator, request);
      if (signal.aborted) throw givenUp();
      if (!reply.accepted) {
        throw new PacelineError(reply.code, `the coordinator said no: ${reply.reason}`);
      }
      const known = heard.of(reply.run);
      if (known.hear(reply.term)) return reply;
      throw new PacelineError(
        "unavailable",
        known.objection(config.coordinator.present, reply.term),
      );
    } catch (thrown) {
      const error = toPacelineError(thrown);
      failures.set(config.coordinator.present, error);
      // All addresses are tried before it waits.
      config.coordinator.turn();
      const rounds = Math.floor(attempt / config.coordinator.count);
      const { count } = config.coordinator;
      const longestMs = count > 1 ? registerDelayMsMax : registerDelaysMs.at(-1)!;
      const isWhole = (attempt + 1) % count === 0;
      const delayMs = isWhole ? Math.min(registerDelaysMs[rounds] ?? longestMs, longestMs) : 0;
      if (!error.retryable) throw error;
      const together = failureOfAll([...failures.values()]);
      if (clock.nowMs() + delayMs > deadlineMs) throw together;
      if (signal.aborted) throw givenUp();
      if (delayMs === 0) continue;
      log(`${together.message}; trying again in ${delayMs / 1000} s`);
      await pause(clock, delayMs, signal);
    }
  }
}

/** Registers at the present address, which has a short time to answer where there are others. */
async function registerAt(
  transport: Transport,
  clock: Clock,
  places: CoordinatorPlaces,
  request: RegisterRequest,
): Promise<RegisterReply> {
  const asked = transport.register(places.present, request);
  if (places.count === 1) return asked;
  asked.catch(() => {});
  return new Promise((resolve, reject) => {
    const timer = clock.after(silentMsMax, () => reject(silent(places.present, silentMsMax)));
    asked.then(resolve, reject).finally(() => timer.cancel());
  });
}

function silent(address: string, forMs: number): PacelineError {
  const what = `the coordinator at ${address} has answered nothing for ${forMs / 1000} s`;
  return new PacelineError("timeout", what);
}

/** Waits; rejects as soon as the signal comes. */
function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      timer.cancel();
      reject(givenUp());
    };
    const timer = clock.after(delayMs, () => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
    signal.addEventListener("abort", abort, { once: true });
  });
}

function givenUp(): PacelineError {
  return new PacelineError("refused", "the registration was given up");
}

/** An open session. */
export class MemberSession {
  readonly identity: MemberIdentity;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #config: SessionConfig;
  readonly #handler: SessionHandler;
  readonly #heard: HeardTerm;
  #mailbox = new Mailbox<MemberMessage>();
  readonly #beat: Timer;
  #channel: SessionChannel<MemberMessage> | null = null;
  #retry: Timer | null = null;
  /** Asks to be let go, once that is wanted. */
  #leaving: Timer | null = null;
  /** True once the coordinator has said, on this stream, what it has received. */
  #agreed = false;
  #sequence = 0;
  #received = 0;
  /** When the last heartbeat was sent that was answered. */
  #answeredMs: number;
  /** When the present channel was opened. */
  #openedMs = 0;
  /** How long an answer is waited for on a channel that has had none. */
  #patienceMs = firstAnswerMs;
  /** When heartbeats were sent of which the answer is missing, by number. */
  readonly #sentMs = new Map<number, number>();
  /** The term under which the coordinator began that is heard; 0 before any. */
  #sinceTerm = 0;
  /** Why the coordinator that answers is not listened to; null where it is. */
  #objection: PacelineError | null = null;
  #over = false;
  /** Why there is nothing to do, as the coordinator said last. */
  #note = "";

  constructor(
    parts: {
      transport: Transport;
      clock: Clock;
      config: SessionConfig;
      handler: SessionHandler;
      heard: HeardTerm;
    },
    identity: MemberIdentity,
    heartbeatIntervalMs: number,
  ) {
    this.identity = identity;
    this.#transport = parts.transport;
    this.#clock = parts.clock;
    this.#config = parts.config;
    this.#handler = parts.handler;
    this.#heard = parts.heard;
    this.#answeredMs = parts.clock.nowMs();
    this.#beat = every(parts.clock, heartbeatIntervalMs, () => this.#heartbeat());
    this.#open();
  }

  /** Says something to the coordinator, once, in order, whatever the link does. */
  send(message: MemberMessage): void {
    if (this.#over) return;
    this.#mailbox.add(message);
    if (this.#agreed) this.#channel?.send(message);
  }

  /** Asks to be let go, and again from time to time until the session is over. */
  askToLeave(reason: string): void {
    if (this.#over || this.#leaving !== null) return;
    const ask = () => this.send({ type: "leaving", reason });
    ask();
    this.#leaving = every(this.#clock, leaveAgainMs, ask);
  }

  /** Gives the coordinator a chunk's residual, whatever the link does; rejects when it can't. */
  keepResidual(residual: Omit<ResidualChunk, keyof MemberIdentity>): Promise<void> {
    const { rank, incarnation } = this.identity;
    const whole = { ...residual, rank, incarnation };
    return this.#patiently((address) => this.#transport.keepResidual(address, whole));
  }

  /** Asks it for a chunk's residual in the resumed checkpoint, in the same way. */
  readResidual(place: Omit<ResidualPlace, keyof MemberIdentity>): Promise<Uint8Array> {
    const { rank, incarnation } = this.identity;
    const whole = { ...place, rank, incarnation };
    return this.#patiently((address) => this.#transport.readResidual(address, whole));
  }

  /** Resolves when the coordinator has everything that was said, or after a while. */
  async drain(limitMs: number): Promise<void> {
    this.#leaving?.cancel();
    const deadlineMs = this.#clock.nowMs() + limitMs;
    while (this.#mailbox.unacknowledged().length > 0 && !this.#over) {
      if (this.#clock.nowMs() >= deadlineMs) return;
      this.#heartbeat();
      await new Promise<void>((resolve) => this.#clock.after(20, resolve));
    }
  }

  /** Ends the session. */
  close(): void {
    this.#over = true;
    this.#beat.cancel();
    this.#retry?.cancel();
    this.#leaving?.cancel();
    this.#channel?.close();
    this.#channel = null;
  }

  async #patiently<Answer>(ask: (address: string) => Promise<Answer>): Promise<Answer> {
    const deadlineMs = this.#clock.nowMs() + this.#config.ioTimeoutMs;
    for (;;) {
      try {
        return await ask(this.#config.coordinator.present);
      } catch (thrown) {
        const error = toPacelineError(thrown);
        if (!error.retryable || this.#over || this.#clock.nowMs() >= deadlineMs) throw error;
        await new Promise<void>((resolve) => this.#clock.after(askAgainDelayMs, resolve));
      }
    }
  }

  #open(): void {
    if (this.#over) return;
    this.#agreed = false;
    const channel = this.#transport.openSession(this.#config.coordinator.present, this.identity, {
      onMessage: (message) => {
        if (this.#channel === channel) this.#onMessage(message);
      },
      onClose: (error) => {
        if (this.#channel === channel) this.#onClose(error);
      },
    });
    this.#channel = channel;
    this.#openedMs = this.#clock.nowMs();
    this.#heartbeat();
  }

  /** Gives the present coordinator's channel up and tries the next address. */
  #turn(error: PacelineError): void {
    const channel = this.#channel;
    if (!this.#agreed) this.#patienceMs = Math.min(2 * this.#patienceMs, silentMsMax);
    this.#channel = null;
    this.#agreed = false;
    channel?.close();
    this.#onClose(error);
  }

  #heartbeat(): void {
    if (this.#channel === null || this.#over) return;
    const sequence = ++this.#sequence;
    const received = this.#received;
    const term = this.#heard.value;
    const body = this.#handler.heartbeat();
    this.#sentMs.set(sequence, this.#clock.nowMs());
    this.#channel.send({ type: "heartbeat", sequence, received, term, ...body });
    this.#watchSilence();
  }

  /** How long no heartbeat has been answered. */
  get #unansweredMs(): number {
    return this.#clock.nowMs() - this.#answeredMs;
  }

  /** A link that is open and says nothing is as good as broken. */
  #watchSilence(): void {
    const unansweredMs = this.#unansweredMs;
    const { coordinator, coordinatorGraceMs } = this.#config;
    if (unansweredMs < coordinatorGraceMs) {
      const patienceMs = this.#agreed ? silentMsMax : this.#patienceMs;
      const isSilent = this.#clock.nowMs() - this.#openedMs >= patienceMs;
      const maySwitch = coordinator.count > 1 && isSilent && unansweredMs >= silentMsMax;
      if (maySwitch) this.#turn(silent(coordinator.present, patienceMs));
      return;
    }
    const seconds = (unansweredMs / 1000).toFixed(0);
    const sentence = `the coordinator at ${coordinator} has answered nothing`;
    this.#give(this.#objection ?? new PacelineError("timeout", `${sentence} for ${seconds} s`));
  }

  #onMessage(message: CoordinatorMessage): void {
    if (message.type === "heartbeatAck") {
      this.#onAck(message);
      return;
    }
    if (!this.#agreed) return;
    this.#received++;
    // A term may be raised between two heartbeats: then the first to tell is a view of it.
    if (message.type === "view" && !this.#heard.hear(termOf(message.view.number))) return;
    this.#handler.onMessage(message);
  }

  /** What a coordinator says of itself: whether it is the present one, and what it has received. */
  #onAck(ack: CoordinatorMessage & { readonly type: "heartbeatAck" }): void {
    const { received, term, sinceTerm, sequence, note } = ack;
    if (!this.#heard.hear(term)) {
      const objection = this.#heard.objection(this.#config.coordinator.present, term);
      this.#objection = new PacelineError("unavailable", objection);
      this.#channel?.close();
      this.#onClose(this.#objection);
      return;
    }
    this.#objection = null;
    this.#noteAnswered(sequence);
    if (note !== this.#note && note !== "") this.#handler.log(note);
    this.#note = note;
    if (this.#sinceTerm > 0 && sinceTerm > this.#sinceTerm) this.#beginAnew();
    this.#sinceTerm = sinceTerm;
    this.#mailbox.acknowledge(received);
    if (this.#agreed) return;
    this.#agreed = true;
    for (const kept of this.#mailbox.unacknowledged()) this.#channel?.send(kept);
  }

  #noteAnswered(sequence: number): void {
    this.#patienceMs = firstAnswerMs;
    this.#answeredMs = Math.max(this.#answeredMs, this.#sentMs.get(sequence) ?? 0);
    for (const sent of this.#sentMs.keys()) if (sent <= sequence) this.#sentMs.delete(sent);
  }

  /**
   * Of what the coordinator before was told, only what ends something counts still; the rest the
   * member says again as it stands.
   */
  #beginAnew(): void {
    const kept = this.#mailbox.unacknowledged().filter(({ type }) => lastWords.has(type));
    this.#mailbox = new Mailbox();
    this.#received = 0;
    this.#handler.log("another coordinator goes on with the run");
    this.#handler.onReturned();
    for (const message of kept) this.#mailbox.add(message);
  }

  #onClose(error: PacelineError): void {
    const wasAgreed = this.#agreed;
    this.#channel = null;
    this.#agreed = false;
    if (this.#over) return;
    if (!error.retryable || this.#unansweredMs >= this.#config.coordinatorGraceMs) {
      this.#give(error);
      return;
    }
    if (!wasAgreed) this.#config.coordinator.turn();
    this.#retry = this.#clock.after(reopenDelayMs, () => this.#open());
  }

  #give(error: PacelineError): void {
    if (this.#over) return;
    this.close();
    this.#handler.onLost(error);
  }
}
