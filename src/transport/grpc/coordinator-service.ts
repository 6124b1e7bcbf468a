/**
 * The coordinator's gRPC service: calls and session streams on one side, a CoordinatorService on
 * the other.
 */

import type {
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
} from "@grpc/grpc-js";
import { PacelineError } from "../../errors.js";
import type { MemberIdentity } from "../../protocol/identity.js";
import type { CoordinatorMessage } from "../../protocol/messages.js";
import { closedBy } from "../connection-errors.js";
import { type Door, doorAt } from "../credentials/door.js";
import type { CoordinatorService, Listener, MemberReceiver, SessionChannel } from "../transport.js";
import { blocksOf, examplesBlockBytes, examplesRequestBytes } from "../wire/examples-codec.js";
import {
  cancelJobReplyBytes,
  cancelJobRequestBytes,
  jobEventsReplyBytes,
  jobEventsRequestBytes,
  jobsReplyBytes,
  jobsRequestBytes,
  submitReplyBytes,
  submitRequestBytes,
} from "../wire/job-codec.js";
import {
  keepResidualBytes,
  keptResidualBytes,
  readResidualBytes,
  residualBytes,
} from "../wire/residual-codec.js";
import {
  drainReplyBytes,
  drainRequestBytes,
  leaveReplyBytes,
  leaveRequestBytes,
  registerReplyBytes,
  registerRequestBytes,
  statusReplyBytes,
  statusRequestBytes,
  switchReplyBytes,
  switchRequestBytes,
} from "../wire/service-codec.js";
import { decodeMemberMessage, encodeCoordinatorMessage } from "../wire/session-codec.js";
import { listen, type OtherProtocol, serverStream } from "./listener.js";
import type { GrpcLimits } from "./methods.js";
import { coordinatorMethods, serviceNames } from "./methods.js";
import { toStatus } from "./status-errors.js";
import { crash, GrpcStream } from "./stream.js";

type Unary = (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => void;

/** Serves a coordinator at host:port, beside another protocol where there are certificates. */
export function serveCoordinator(
  address: string,
  service: CoordinatorService,
  limits: GrpcLimits,
  besides: ((door: Door) => OtherProtocol) | null = null,
): Promise<Listener> {
  const streams = new Set<GrpcStream>();
  const sessions = new Map<string, MemberReceiver>();
  const door = doorAt(address, limits.security);
  const handlers = {
    register: unary(async (bytes, peer) => {
      const request = registerRequestBytes.decode(bytes);
      const register = () => service.register(request, peer);
      return registerReplyBytes.encode(await door.registration(peer, request.role, register));
    }),
    leave: unary((bytes, peer) => {
      const { member, leave } = leaveRequestBytes.decode(bytes);
      door.demandRole(peer, member.role);
      const receiver = sessions.get(sessionKey(member));
      if (receiver === undefined) {
        const who = `${member.role} ${member.rank}`;
        throw new PacelineError("refused", `${who} has no open session; it is not a member`);
      }
      receiver.onMessage({ type: "leave", ...leave });
      return leaveReplyBytes.encode({});
    }),
    status: unary((bytes) => {
      statusRequestBytes.decode(bytes);
      return statusReplyBytes.encode({ json: JSON.stringify(service.status() ?? null) });
    }),
    drain: unary(async (bytes) => {
      const text = await service.drain(drainRequestBytes.decode(bytes));
      return drainReplyBytes.encode({ text });
    }),
    switchTo: unary(async (bytes) => {
      const text = await service.switchTo(switchRequestBytes.decode(bytes));
      return switchReplyBytes.encode({ text });
    }),
    ...jobHandlers(service),
    keepResidual: unary((bytes) => {
      service.keepResidual(keepResidualBytes.decode(bytes));
      return keptResidualBytes.encode({});
    }),
    readResidual: unary((bytes) => {
      const values = service.readResidual(readResidualBytes.decode(bytes));
      return residualBytes.encode({ values });
    }),
    readExamples: (call: ServerWritableStream<Buffer, Buffer>) =>
      answerExamples(call, service, streams),
    heartbeat: (call: ServerDuplexStream<Buffer, Buffer>) => {
      const stream = serverStream(call, streams, limits, "member identity", (first) =>
        openSession(stream, service, sessions, door, first),
      );
    },
  };
  const name = serviceNames.coordinator;
  const served = { name, methods: coordinatorMethods, handlers, streams, door };
  return listen(address, served, limits, door.tls === null ? null : (besides?.(door) ?? null));
}

function jobHandlers(service: CoordinatorService) {
  return {
    submit: unary(async (bytes) => {
      const run = await service.submit(submitRequestBytes.decode(bytes));
      return submitReplyBytes.encode({ run });
    }),
    jobs: unary((bytes) => {
      const jobs = service.jobs(jobsRequestBytes.decode(bytes).job);
      return jobsReplyBytes.encode({ json: JSON.stringify(jobs ?? null) });
    }),
    cancelJob: unary(async (bytes) => {
      const text = await service.cancelJob(cancelJobRequestBytes.decode(bytes).job);
      return cancelJobReplyBytes.encode({ text });
    }),
    jobEvents: unary(async (bytes) => {
      const events = await service.jobEvents(jobEventsRequestBytes.decode(bytes));
      return jobEventsReplyBytes.encode(events);
    }),
  };
}

/** Takes the message that opens a session and gives the stream to the service. */
function openSession(
  stream: GrpcStream,
  service: CoordinatorService,
  sessions: Map<string, MemberReceiver>,
  door: Door,
  first: Buffer,
): void {
  const opening = decodeMemberMessage(first);
  if (opening.type !== "open") {
    const said = `but ${stream.peer} sent ${opening.type}`;
    throw new PacelineError("protocol", `the first message of a session must be open, ${said}`);
  }
  const { type: _, ...identity } = opening;
  door.demandRole(stream.peer, identity.role);
  const channel: SessionChannel<CoordinatorMessage> = {
    peer: stream.peer,
    send: (message) => stream.send(() => encodeCoordinatorMessage(message)),
    close: () => stream.close(),
  };
  const receiver = service.open(identity, channel);
  const key = sessionKey(identity);
  sessions.set(key, receiver);
  stream.whenOver(() => {
    if (sessions.get(key) === receiver) sessions.delete(key);
  });
  stream.adopt({
    onBytes: (bytes) => {
      const message = decodeMemberMessage(bytes);
      if (message.type === "open") {
        throw new PacelineError("protocol", `${stream.peer} opened its session twice`);
      }
      receiver.onMessage(message);
    },
    onClose: (error) => receiver.onClose(error),
  });
}

/** The answer goes out block by block, as the connection takes it. */
function answerExamples(
  call: ServerWritableStream<Buffer, Buffer>,
  service: CoordinatorService,
  streams: Set<GrpcStream>,
): void {
  const peer = call.getPeer();
  const onBytes = (bytes: Buffer): void => {
    for (const block of blocksOf(service.readExamples(examplesRequestBytes.decode(bytes)))) {
      stream.send(() => examplesBlockBytes.encode(block));
    }
    stream.shut(closedBy(peer));
  };
  const stream = new GrpcStream(peer, call, { onBytes, onClose: () => {} }, (error) => {
    call.emit("error", toStatus(error));
  });
  streams.add(stream);
  stream.whenOver(() => streams.delete(stream));
  call.on("cancelled", () => stream.remoteBroke());
  call.on("finish", () => stream.remoteEnded());
  stream.arrived(call.request);
}

function sessionKey({ role, rank, incarnation }: MemberIdentity): string {
  return `${role} ${rank} ${incarnation}`;
}

/** A handler of bytes to bytes; a PacelineError becomes the call's status. */
function unary(answer: (bytes: Buffer, peer: string) => Buffer | Promise<Buffer>): Unary {
  return async (call, callback) => {
    let reply: Buffer;
    try {
      reply = await answer(call.request, call.getPeer());
    } catch (thrown) {
      if (!(thrown instanceof PacelineError)) return crash(thrown);
      callback(toStatus(thrown));
      return;
    }
    callback(null, reply);
  };
}
