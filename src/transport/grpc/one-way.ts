/**
 * The Push and Pull calls as small channels on the acceptor that also serves PushPull, so that a
 * host knows one kind of channel only. Push counts the outcome of each push; Pull asks for each
 * chunk.
 */
import type { ServerReadableStream, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { PacelineError } from "../../errors.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import { acceptHello, deliverChunk } from "../chunk-delivery.js";
import { closedBy, silent } from "../connection-errors.js";
import type { ChunkAcceptor, ChunkChannel, ChunkReceiver } from "../transport.js";
import { decodeChunk, encodeChunk } from "../wire/chunk-codec.js";
import type { PullRequest, PushSummary } from "../wire/service-codec.js";
import { pullRequestBytes, pushSummaryBytes } from "../wire/service-codec.js";
import type { GrpcLimits } from "./methods.js";
import { toStatus } from "./status-errors.js";
import { GrpcStream } from "./stream.js";

/**
 * Plays a Push call: the first chunk is a hello, the others pushes; the summary comes when all are
 * decided on.
 */
export function answerPush(
  call: ServerReadableStream<Buffer, Buffer>,
  callback: sendUnaryData<Buffer>,
  accept: ChunkAcceptor,
  streams: Set<GrpcStream>,
  limits: GrpcLimits,
): void {
  const peer = call.getPeer();
  const counts = new PushCounts();
  let receiver: ChunkReceiver | null = null;
  let halfClosed = false;
  const refuse = (error: PacelineError): void => callback(toStatus(error));
  const ending = { write: () => {}, end: () => refuse(closedBy("the server")) };
  const settle = (): void => {
    if (!halfClosed || counts.areOpen || stream.over) return;
    callback(null, pushSummaryBytes.encode(counts.summary));
    stream.finish(closedBy(peer));
  };
  const channel = oneWayChannel(
    () => stream,
    (header, _payload, sent) => {
      if (sent !== undefined) setImmediate(sent);
      counts.answered(header);
      settle();
    },
  );
  const onBytes = (bytes: Buffer): void => {
    const { header, payload } = decodeChunk(bytes);
    if (receiver === null) {
      receiver = acceptHello(accept, channel, header);
      const { onClose } = receiver;
      if (!stream.adopt({ onBytes, onClose: onClose.bind(receiver) })) return;
    } else if (header.kind === "push") counts.asked(header);
    else {
      const said = `but ${peer} sent ${header.kind}`;
      throw new PacelineError("protocol", `a Push call carries a hello and pushes, ${said}`);
    }
    deliverChunk(receiver, { ...header, wantsReply: false }, payload);
  };
  const stream = new GrpcStream(peer, ending, { onBytes, onClose: () => {} }, refuse);
  keep(stream, streams);
  const { ioTimeoutMs } = limits;
  const opening = setTimeout(() => stream.fail(silent(peer, "hello", ioTimeoutMs)), ioTimeoutMs);
  stream.whenOver(() => clearTimeout(opening));
  call.on("data", (bytes: Buffer) => {
    clearTimeout(opening);
    stream.arrived(bytes);
  });
  call.on("end", () => {
    halfClosed = true;
    const empty = "a Push call starts with a hello, but it ended without one";
    if (receiver === null) stream.fail(new PacelineError("protocol", empty));
    else settle();
  });
  call.on("cancelled", () => stream.remoteBroke());
}

/**
 * Plays a Pull call: says hello for the caller, pulls each chunk, and ends after the last reply.
 */
export function answerPull(
  call: ServerWritableStream<Buffer, Buffer>,
  accept: ChunkAcceptor,
  streams: Set<GrpcStream>,
): void {
  const peer = call.getPeer();
  let left = 0;
  const channel = oneWayChannel(
    () => stream,
    (header, payload, sent) => {
      left -= 1;
      stream.send((allocate) => encodeChunk(header, payload, allocate), sent);
      if (left === 0) stream.shut(closedBy(peer));
    },
  );
  const onBytes = (bytes: Buffer): void => {
    const request = pullRequestBytes.decode(bytes);
    // A server answers the last of several requests for a chunk, so each is asked for once.
    const chunks = new Set(request.chunks);
    left = chunks.size;
    const hello = pullHeader(request, "hello", 0);
    const receiver = acceptHello(accept, channel, hello);
    if (!stream.adopt({ onBytes, onClose: (error) => receiver.onClose(error) })) return;
    deliverChunk(receiver, hello, null);
    for (const chunk of chunks) {
      if (stream.receiver === null) return;
      deliverChunk(receiver, pullHeader(request, "pull", chunk), null);
    }
    if (left === 0) stream.shut(closedBy(peer));
  };
  const stream = new GrpcStream(peer, call, { onBytes, onClose: () => {} }, (error) => {
    call.emit("error", toStatus(error));
  });
  keep(stream, streams);
  call.on("cancelled", () => stream.remoteBroke());
  stream.arrived(call.request);
}

/**
 * The channel that the host sees: replies go to `replied`, a refusal or an early close ends the
 * call.
 */
function oneWayChannel(
  stream: () => GrpcStream,
  replied: (header: ChunkHeader, payload: Uint8Array | null, sent?: () => void) => void,
): ChunkChannel {
  return {
    get peer() {
      return stream().peer;
    },
    send: (header, payload, sent) => {
      if (header.kind === "reply") {
        replied(header, payload, sent);
        return;
      }
      if (sent !== undefined) setImmediate(sent);
      if (header.kind === "refusal") stream().fail(new PacelineError("refused", header.detail));
    },
    close: () => stream().close(),
  };
}

function pullHeader(request: PullRequest, kind: "hello" | "pull", chunk: number): ChunkHeader {
  const { run, generation, rank, incarnation, fence, term } = request;
  const blank = { phase: 0, version: 0, examples: 0, codec: 0, staleness: 0, detail: "" };
  const unjudged = { scale: null, leads: false, pull: 0 };
  const words = { part: "weights", outcome: "none", wantsReply: true, step: -1 } as const;
  return {
    ...blank,
    ...unjudged,
    ...words,
    kind,
    run,
    generation,
    rank,
    incarnation,
    fence,
    term,
    chunk,
  };
}

function keep(stream: GrpcStream, streams: Set<GrpcStream>): void {
  streams.add(stream);
  stream.whenOver(() => streams.delete(stream));
}

/**
 * The pushes of a call: those that are not decided on, and how many met which outcome. A server
 * answers the last push of a chunk, also where it came several times or the one before it still
 * waited; so an answer settles every push of its chunk up to its step.
 */
class PushCounts {
  readonly #counts = {
    applied: 0,
    duplicate: 0,
    rejected: 0,
    dropped: 0,
    refused: 0,
    nonfinite: 0,
  };
  /** By chunk the steps that are not decided on. */
  readonly #open = new Map<number, number[]>();
  #detail = "";

  get summary(): PushSummary {
    return { ...this.#counts, detail: this.#detail };
  }

  /** True while a push is not decided on. */
  get areOpen(): boolean {
    return this.#open.size > 0;
  }

  asked({ chunk, step }: ChunkHeader): void {
    this.#open.set(chunk, [...(this.#open.get(chunk) ?? []), step]);
  }

  answered({ chunk, step, outcome, detail }: ChunkHeader): void {
    const open = this.#open.get(chunk) ?? [];
    const settled = open.filter((asked) => asked <= step);
    const rest = open.filter((asked) => asked > step);
    if (rest.length > 0) this.#open.set(chunk, rest);
    else this.#open.delete(chunk);
    const steps = new Set(settled).size;
    if (outcome !== "none") this.#counts[outcome] += steps;
    this.#counts.duplicate += settled.length - steps;
    if (outcome !== "applied" && this.#detail === "") this.#detail = detail;
  }
}
