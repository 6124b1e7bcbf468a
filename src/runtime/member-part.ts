/**
 * A member's part in a coordinator's runs: registers, keeps a session for the host that is made
 * then, and leaves with a goodbye. One part is one incarnation.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { PacelineError } from "../errors.js";
import type { Clock } from "../host/clock.js";
import type { ServerHost } from "../host/server-host.js";
import { CoordinatorPlaces } from "../host/session/coordinator-places.js";
import type { HeardTerm } from "../host/session/heard-term.js";
import { MemberSession, register, type SessionConfig } from "../host/session/member-session.js";
import type { WorkerHost } from "../host/worker-host.js";
import { protocolVersion, type RegisterRequest } from "../protocol/messages.js";
import type { Transport } from "../transport/transport.js";
import { type ReachSettings, roleDefaults } from "./role-settings.js";

/** How a member's part ended. */
export interface MemberEnd {
  /** How the run ended; `left` where the member left before its end. */
  readonly outcome: "done" | "failed" | "interrupted" | "left";
  readonly reason: string;
}

/** A running role, as the code that started it sees it. */
export interface RunningMember {
  /** Its end; rejects with a PacelineError where it could not go on. */
  readonly ended: Promise<MemberEnd>;
  /**
   * Leaves with a goodbye, after which `ended` resolves. False where none can be said: it is not
   * registered yet, or has begun to leave.
   */
  interrupt(reason: string): boolean;
  /**
   * Asks to be let go in order, after which `ended` resolves: a worker once its step is complete, a
   * server once others hold its chunks. Where that can't be, it is asked again until it can. False
   * as for `interrupt`.
   */
  drain(reason: string): boolean;
  /** True while a coordinator has it as a member. */
  isMember(): boolean;
  /** True while a run goes on that it has a part in. */
  takesPart(): boolean;
  /** Gives everything up that is still held; `ended` resolves if it has not. */
  close(): Promise<void>;
}

/** Who takes part and where. */
export interface MemberPartSetup {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly config: SessionConfig;
  readonly request: RegisterRequest;
  /** The highest term that this process has heard; its later parts share it. */
  readonly heard: HeardTerm;
  log(text: string): void;
}

/** Who is behind the session. */
export interface Participant {
  readonly host: ServerHost | WorkerHost;
  /** The session can't go on: "refused" when the coordinator has given this member up. */
  onLost(error: PacelineError): void;
  /** The goodbye is said. */
  onLeft(reason: string): void;
  /** Another host behind the same address wants it: it is to register again. */
  onMoved(reason: string): void;
}

/** How long a goodbye may take. */
const goodbyeLimitMs = 2000;

/** The part of one incarnation. */
export class MemberPart {
  readonly #setup: MemberPartSetup;
  readonly #abort = new AbortController();
  #participant: Participant | null = null;
  #session: MemberSession | null = null;
  #isOver = false;
  /** It has been told to stop, and has a step to complete before it says goodbye. */
  #isAfterStep = false;

  constructor(setup: MemberPartSetup) {
    this.#setup = setup;
  }

  /** Registers and begins the session of what `make` makes; rejects when it can't. */
  async join(
    make: (rank: number, incarnation: number, heard: HeardTerm, pool: string) => Participant,
  ): Promise<void> {
    const { transport, clock, config, request, heard, log } = this.#setup;
    const { role } = request;
    const { signal } = this.#abort;
    const reply = await register(transport, clock, config, request, log, heard, signal);
    const { rank, incarnation } = reply;
    const known = heard.of(reply.run);
    log(`${role === "worker" ? "Worker" : "Server"} ${rank} registered with ID ${rank}`);
    const participant = make(rank, incarnation, known, reply.run);
    const { host } = participant;
    this.#participant = participant;
    this.#session = new MemberSession(
      {
        transport,
        clock,
        config,
        handler: {
          onMessage: (message) => {
            if (message.type === "move") return this.#move(participant, message.reason);
            const stop = message.type === "stop" && !message.stay ? message : null;
            if (stop !== null) this.#isAfterStep = stop.afterStep;
            host.onMessage(message);
            if (stop?.afterStep === false) void this.#endSession();
          },
          heartbeat: () => host.heartbeat(),
          onReturned: () => "onReturned" in host && host.onReturned(),
          onLost: (error) => {
            if (this.#isOver) return;
            this.#isOver = true;
            participant.onLost(error);
          },
          log,
        },
        heard: known,
      },
      { role, rank, incarnation },
      reply.heartbeatIntervalMs,
    );
    host.attach(this.#session);
  }

  /** See `RunningMember.isMember`. */
  isMember(): boolean {
    return !this.#isOver && this.#session !== null;
  }

  /** See `RunningMember.takesPart`. */
  takesPart(): boolean {
    const told = this.#isOver ? null : this.#participant?.host.heartbeat();
    return told != null && (told.worker !== null || (told.server?.chunks ?? 0) > 0);
  }

  /** Leaves; see `RunningMember.interrupt`. */
  leave(reason: string): boolean {
    const session = this.#session;
    const participant = this.#participant;
    if (this.#isOver || session === null || participant === null) return false;
    this.#setup.log(`${reason}: leaving`);
    const { server, worker } = participant.host.heartbeat();
    session.send({ type: "leave", reason, server, worker });
    void this.#endSession().then(() => participant.onLeft(reason));
    return true;
  }

  /** Asks to be let go; see `RunningMember.drain`. */
  drain(reason: string): boolean {
    if (this.#isOver || this.#session === null) return false;
    this.#session.askToLeave(reason);
    return true;
  }

  /** The host has said goodbye. Where that came after a step, it is waited for to be heard. */
  async finish(): Promise<void> {
    if (this.#isAfterStep) await this.#endSession();
  }

  /** Gives the part up; a goodbye that is under way ends by itself. */
  close(): void {
    this.#abort.abort();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#session?.close();
  }

  #move(participant: Participant, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#session?.close();
    participant.onMoved(reason);
  }

  async #endSession(): Promise<void> {
    this.#isOver = true;
    await this.#session?.drain(goodbyeLimitMs);
    this.#session?.close();
  }
}

/** Whose runs a member takes part in, and for how long it goes on without a coordinator. */
export interface MemberSettings extends ReachSettings {
  /** host:port of the coordinator; of one with standbys all, with commas between. */
  readonly coordinator: string;
  /**
   * How long a member goes on while no coordinator answers, counted from the last heartbeat that
   * was answered; 30 s if left out.
   */
  readonly coordinatorGraceMs?: number;
}

/** The session of a member with these settings. */
export function sessionConfigOf(
  role: "server" | "worker",
  settings: MemberSettings,
): SessionConfig {
  const { coordinator, startTimeoutMs, ioTimeoutMs, coordinatorGraceMs } = settings;
  if (coordinator === "") {
    const sentence = `a ${role} needs the address of a coordinator`;
    throw new PacelineError("usage", `${sentence}; write coordinator: "127.0.0.1:8000"`);
  }
  return {
    coordinator: new CoordinatorPlaces(coordinator),
    startTimeoutMs: startTimeoutMs ?? roleDefaults.startTimeoutMs,
    ioTimeoutMs: ioTimeoutMs ?? roleDefaults.ioTimeoutMs,
    coordinatorGraceMs: coordinatorGraceMs ?? roleDefaults.coordinatorGraceMs,
  };
}

/** What a member of this process says of itself when it registers. */
export function registrationOf(role: "server" | "worker", rank: number | null): RegisterRequest {
  const from = { pid: process.pid, host: hostname(), address: "", frames: null };
  const attempt = randomUUID();
  return { protocol: protocolVersion, role, rank, incarnation: null, ...from, attempt };
}
