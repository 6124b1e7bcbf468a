/**
 * The one interface through which roles reach each other. A session carries typed messages between
 * a member and the coordinator; a data channel carries chunk messages to and from a server. The
 * receiver of a chunk message supplies the memory that its payload is written to, so that a
 * transport able to do so reads a socket straight into the arena.
 *
 * Implementations: memory (tests, simulation, one process), gRPC (the public contract), frames
 * (between Paceline's own processes). Every wait ends by the time-out given; every failure reaches
 * `onClose` once, as a PacelineError with code "unavailable" (the connection broke), "timeout",
 * "refused" or "protocol".
 */

import type { PacelineError } from "../errors.js";
import type { Examples, ExamplesBlock, ExamplesRequest } from "../protocol/examples.js";
import type { MemberIdentity, MemberPlace } from "../protocol/identity.js";
import type {
  ChunkHeader,
  CoordinatorMessage,
  MemberMessage,
  RegisterReply,
  RegisterRequest,
} from "../protocol/messages.js";
import type { ResidualChunk, ResidualPlace } from "../protocol/residuals.js";
import type { JobEvents, JobEventsRequest, Submission } from "../protocol/run-events.js";
import type { Protocol } from "../protocol/run-spec.js";

/**
 * Receives chunk messages, in order of arrival, two calls for each. Between the two, while the
 * payload is read, other channels may be heard, and this one may end: then the second never comes,
 * and the memory is not written to any more once `close` or `onClose` was called.
 */
export interface ChunkReceiver {
  /**
   * Where the payload shall go: memory of exactly `payloadBytes`, or null to have it thrown away.
   * Called for each message, also when the payload is empty.
   */
  onHeader(header: ChunkHeader, payloadBytes: number): Uint8Array | null;
  /** The message is whole; `destination` is what onHeader returned. */
  onChunk(header: ChunkHeader, destination: Uint8Array | null): void;
  /** The channel is gone; nothing follows. */
  onClose(error: PacelineError): void;
}

/** One direction-less stream of chunk messages. */
export interface ChunkChannel {
  /** Address or name of the other side, for messages to people. */
  readonly peer: string;
  /**
   * `payload` must not change until `sent` is called; it is called exactly once, also when the
   * channel closes.
   */
  send(header: ChunkHeader, payload: Uint8Array | null, sent?: () => void): void;
  /**
   * Ends the channel after what was sent; the receiver on this side hears nothing more, not even
   * `onClose`. Calling it again does nothing.
   */
  close(): void;
}

/** Decides on an incoming data channel after its hello: who receives from it. */
export type ChunkAcceptor = (channel: ChunkChannel) => ChunkReceiver;

/** Receives session messages on the coordinator's side. */
export interface MemberReceiver {
  onMessage(message: MemberMessage): void;
  onClose(error: PacelineError): void;
}

/** Receives session messages on the member's side. */
export interface CoordinatorReceiver {
  onMessage(message: CoordinatorMessage): void;
  onClose(error: PacelineError): void;
}

/** One member's session. */
export interface SessionChannel<Message> {
  readonly peer: string;
  send(message: Message): void;
  /** As a chunk channel's. */
  close(): void;
}

/** Another way to keep pace, for the run of this name; "" for the only one that is on. */
export interface SwitchRequest {
  readonly protocol: Protocol;
  readonly run: string;
}

/** What a coordinator offers to the network. */
export interface CoordinatorService {
  register(request: RegisterRequest, peer: string): RegisterReply | Promise<RegisterReply>;
  /**
   * Throws a PacelineError with code "refused" when the identity is not, or no longer, a member's.
   */
  open(identity: MemberIdentity, channel: SessionChannel<CoordinatorMessage>): MemberReceiver;
  /** A JSON document: the present snapshot, for `paceline status` and the admin service. */
  status(): unknown;
  /** Has a member leave: what follows, in a sentence. Throws "refused" where it can't be. */
  drain(member: MemberPlace): string | Promise<string>;
  /** Has workers keep pace in another way: what follows. Throws "refused" where they can't. */
  switchTo(request: SwitchRequest): string | Promise<string>;
  /** Takes a run into the queue of a serving coordinator; returns the run's name or throws. */
  submit(submission: Submission): string | Promise<string>;
  /** A JSON document: the jobs, or the one of this name or number. Throws "refused" without it. */
  jobs(job: string): unknown;
  /** Ends a job: what follows, in a sentence. Throws "refused" where nothing can be ended. */
  cancelJob(job: string): string | Promise<string>;
  /** A part of what happened in a job. Throws "refused" where there is none. */
  jobEvents(request: JobEventsRequest): Promise<JobEvents>;
  /**
   * Examples for a worker without files, in memory that nobody writes to any more. Throws a
   * PacelineError: "refused" where the run is not on or deals no examples.
   */
  readExamples(request: ExamplesRequest): Examples;
  /**
   * Keeps what a worker gives at a barrier; its memory is the caller's. Throws a PacelineError:
   * "refused" where no such barrier is stood at, "protocol" where it is no chunk's residual.
   */
  keepResidual(residual: ResidualChunk): void;
  /** A chunk's residual in the resumed checkpoint. Throws as `keepResidual` does. */
  readResidual(place: ResidualPlace): Uint8Array;
}

/** Something that listens. */
export interface Listener {
  /** host:port really bound. */
  readonly address: string;
  close(): Promise<void>;
}

/** A way to listen and to reach others. `address` is host:port or another of addresses.ts. */
export interface Transport {
  serveCoordinator(address: string, service: CoordinatorService): Promise<Listener>;
  serveChunks(address: string, accept: ChunkAcceptor): Promise<Listener>;
  register(address: string, request: RegisterRequest): Promise<RegisterReply>;
  openSession(
    address: string,
    identity: MemberIdentity,
    receiver: CoordinatorReceiver,
  ): SessionChannel<MemberMessage>;
  openChunks(address: string, receiver: ChunkReceiver): ChunkChannel;
  status(address: string): Promise<unknown>;
  drain(address: string, member: MemberPlace): Promise<string>;
  switchTo(address: string, request: SwitchRequest): Promise<string>;
  submit(address: string, submission: Submission): Promise<string>;
  jobs(address: string, job: string): Promise<unknown>;
  cancelJob(address: string, job: string): Promise<string>;
  jobEvents(address: string, request: JobEventsRequest): Promise<JobEvents>;
  /**
   * Gives each block of the coordinator's answer to `onBlock`, in order, then resolves. What
   * `onBlock` throws ends the call and is what it rejects with.
   */
  readExamples(
    address: string,
    request: ExamplesRequest,
    onBlock: (block: ExamplesBlock) => void,
  ): Promise<void>;
  /** Gives the coordinator a chunk's residual; its memory must stay until this resolves. */
  keepResidual(address: string, residual: ResidualChunk): Promise<void>;
  /** Resolves to a chunk's residual in the resumed checkpoint, to be read at once. */
  readResidual(address: string, place: ResidualPlace): Promise<Uint8Array>;
  /** Ends every connection this transport opened. */
  close(): Promise<void>;
}
