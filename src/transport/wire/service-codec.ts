/**
 * The unary calls' requests and replies <-> bytes: registration, leave, status, submit, and what
 * the push and pull calls of a parameter server take and return beside chunks.
 *
 * Invariant: as in session-codec.ts, decoding validates and throws only "protocol" errors.
 */

import { create } from "@bufbuild/protobuf";
import { PacelineError } from "../../errors.js";
import type { MemberIdentity, MemberPlace, WorkerIdentity } from "../../protocol/identity.js";
import { termMax } from "../../protocol/ids.js";
import type { RegisterReply, RegisterRequest } from "../../protocol/messages.js";
import type { SwitchRequest } from "../transport.js";
import type { RecordCodec } from "./field-codec.js";
import { list, optional, record, small, text, whole, word } from "./field-codec.js";
import type * as wire from "./generated-coordinator.js";
import * as schemas from "./generated-coordinator.js";
import type * as data from "./generated-parameter-server.js";
import { PullRequestSchema, PushSummarySchema } from "./generated-parameter-server.js";
import {
  documentBytesMax,
  nameBytesMax,
  pullChunksMax,
  runBytesMax,
  sentenceBytesMax,
} from "./limits.js";
import { protocolCodec } from "./protocol-codec.js";
import { frameAddressesCodec } from "./run-codec.js";
import { bytesCodec, identityCodec, leaveCodec } from "./session-codec.js";

/** How many pushes of one call met which outcome, and the first reason given. */
export interface PushSummary {
  readonly applied: number;
  readonly duplicate: number;
  readonly rejected: number;
  readonly dropped: number;
  readonly refused: number;
  readonly nonfinite: number;
  readonly detail: string;
}

/** Which chunks to fetch and for whom. */
export interface PullRequest extends WorkerIdentity {
  readonly run: string;
  readonly generation: number;
  readonly fence: number;
  readonly term: number;
  readonly chunks: readonly number[];
}

/** A leave by unary call. */
export interface LeaveRequest {
  readonly member: MemberIdentity;
  readonly leave: Parameters<typeof leaveCodec.toWire>[0];
}

type Accepted = Omit<Extract<RegisterReply, { accepted: true }>, "accepted">;
type Denied = Omit<Extract<RegisterReply, { accepted: false }>, "accepted">;

const count = whole();

const registered = record<Accepted, wire.Registered>(schemas.RegisteredSchema, {
  rank: small(),
  incarnation: count,
  term: small(0, termMax),
  heartbeatIntervalMs: small(1),
  leaseMs: small(1),
  run: text(nameBytesMax),
});

const refused = record<Denied, wire.Refused>(schemas.RefusedSchema, {
  code: word("refused", "protocol", "usage"),
  reason: text(sentenceBytesMax),
});

const registerReply: RecordCodec<RegisterReply, wire.RegisterReply> = {
  toWire: (reply) => {
    const result = reply.accepted
      ? ({ case: "registered", value: registered.toWire(reply) } as const)
      : ({ case: "refused", value: refused.toWire(reply) } as const);
    return create(schemas.RegisterReplySchema, { result });
  },
  fromWire: (message, path) => {
    const result = message?.result;
    if (result?.case === "registered") {
      return { accepted: true, ...registered.fromWire(result.value, `${path}.registered`) };
    }
    if (result?.case === "refused") {
      return { accepted: false, ...refused.fromWire(result.value, `${path}.refused`) };
    }
    throw new PacelineError("protocol", `${path} says neither registered nor refused`);
  },
};

/** Requests of registration. */
export const registerRequestBytes = bytesCodec<RegisterRequest, wire.RegisterRequest>(
  schemas.RegisterRequestSchema,
  record<RegisterRequest, wire.RegisterRequest>(schemas.RegisterRequestSchema, {
    protocol: small(),
    role: word("server", "worker"),
    rank: optional(small()),
    incarnation: optional(count),
    pid: small(),
    host: text(nameBytesMax),
    address: text(nameBytesMax),
    frames: optional(frameAddressesCodec),
    attempt: text(nameBytesMax),
  }),
);

/** Replies to them. */
export const registerReplyBytes = bytesCodec(schemas.RegisterReplySchema, registerReply);

/** Requests to leave. */
export const leaveRequestBytes = bytesCodec<LeaveRequest, wire.LeaveRequest>(
  schemas.LeaveRequestSchema,
  record<LeaveRequest, wire.LeaveRequest>(schemas.LeaveRequestSchema, {
    member: identityCodec,
    leave: leaveCodec,
  }),
);

/** Replies to them. */
export const leaveReplyBytes = bytesCodec<object, wire.LeaveReply>(
  schemas.LeaveReplySchema,
  record<object, wire.LeaveReply>(schemas.LeaveReplySchema, {}),
);

/** Requests for the snapshot. */
export const statusRequestBytes = bytesCodec<object, wire.StatusRequest>(
  schemas.StatusRequestSchema,
  record<object, wire.StatusRequest>(schemas.StatusRequestSchema, {}),
);

/** The snapshot as JSON. */
export const statusReplyBytes = bytesCodec<{ readonly json: string }, wire.StatusReply>(
  schemas.StatusReplySchema,
  record<{ readonly json: string }, wire.StatusReply>(schemas.StatusReplySchema, {
    json: text(documentBytesMax),
  }),
);

/** A member that is to leave. */
export const drainRequestBytes = bytesCodec<MemberPlace, wire.DrainRequest>(
  schemas.DrainRequestSchema,
  record<MemberPlace, wire.DrainRequest>(schemas.DrainRequestSchema, {
    role: word("server", "worker"),
    rank: small(),
  }),
);

/** Another way to keep pace. */
export const switchRequestBytes = bytesCodec<SwitchRequest, wire.SwitchRequest>(
  schemas.SwitchRequestSchema,
  record<SwitchRequest, wire.SwitchRequest>(schemas.SwitchRequestSchema, {
    protocol: protocolCodec,
    run: text(nameBytesMax),
  }),
);

/** What follows. */
export const switchReplyBytes = bytesCodec<{ readonly text: string }, wire.SwitchReply>(
  schemas.SwitchReplySchema,
  record<{ readonly text: string }, wire.SwitchReply>(schemas.SwitchReplySchema, {
    text: text(sentenceBytesMax),
  }),
);

/** What follows. */
export const drainReplyBytes = bytesCodec<{ readonly text: string }, wire.DrainReply>(
  schemas.DrainReplySchema,
  record<{ readonly text: string }, wire.DrainReply>(schemas.DrainReplySchema, {
    text: text(sentenceBytesMax),
  }),
);

/** Summaries of a push call. */
export const pushSummaryBytes = bytesCodec<PushSummary, data.PushSummary>(
  PushSummarySchema,
  record<PushSummary, data.PushSummary>(PushSummarySchema, {
    applied: count,
    duplicate: count,
    rejected: count,
    dropped: count,
    refused: count,
    nonfinite: count,
    detail: text(sentenceBytesMax),
  }),
);

/** Requests of a pull call. */
export const pullRequestBytes = bytesCodec<PullRequest, data.PullRequest>(
  PullRequestSchema,
  record<PullRequest, data.PullRequest>(PullRequestSchema, {
    run: text(runBytesMax),
    generation: small(),
    rank: small(-1, 2147483647),
    incarnation: count,
    fence: count,
    term: small(0, termMax),
    chunks: list(small(), pullChunksMax),
  }),
);
