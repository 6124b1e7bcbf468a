/**
 * The calls about jobs of a serving coordinator <-> bytes: one is submitted, shown, cancelled, or
 * followed through its events.
 *
 * Invariant: as in session-codec.ts, decoding validates and throws only "protocol" errors.
 */
import {
  type JobEvents,
  type JobEventsRequest,
  jobRecords,
  type Submission,
} from "../../protocol/run-events.js";
import { flag, optional, record, small, text, whole, word } from "./field-codec.js";
import type * as wire from "./generated-coordinator.js";
import * as schemas from "./generated-coordinator.js";
import { documentBytesMax, nameBytesMax, priorityMax, sentenceBytesMax } from "./limits.js";
import { bytesCodec } from "./session-codec.js";

/** A run for a serving coordinator. */
export const submitRequestBytes = bytesCodec<Submission, wire.SubmitRequest>(
  schemas.SubmitRequestSchema,
  record<Submission, wire.SubmitRequest>(schemas.SubmitRequestSchema, {
    config: text(documentBytesMax),
    priority: small(-priorityMax, priorityMax),
    host: text(nameBytesMax),
    pid: small(),
  }),
);

/** The name of the run that was taken. */
export const submitReplyBytes = bytesCodec<{ readonly run: string }, wire.SubmitReply>(
  schemas.SubmitReplySchema,
  record<{ readonly run: string }, wire.SubmitReply>(schemas.SubmitReplySchema, {
    run: text(nameBytesMax),
  }),
);

interface NamedJob {
  readonly job: string;
}

/** Requests for jobs: one, or all where none is named. */
export const jobsRequestBytes = bytesCodec<NamedJob, wire.JobsRequest>(
  schemas.JobsRequestSchema,
  record<NamedJob, wire.JobsRequest>(schemas.JobsRequestSchema, { job: text(nameBytesMax) }),
);

/** The jobs as JSON. */
export const jobsReplyBytes = bytesCodec<{ readonly json: string }, wire.JobsReply>(
  schemas.JobsReplySchema,
  record<{ readonly json: string }, wire.JobsReply>(schemas.JobsReplySchema, {
    json: text(documentBytesMax),
  }),
);

/** A job that is to end. */
export const cancelJobRequestBytes = bytesCodec<NamedJob, wire.CancelJobRequest>(
  schemas.CancelJobRequestSchema,
  record<NamedJob, wire.CancelJobRequest>(schemas.CancelJobRequestSchema, {
    job: text(nameBytesMax),
  }),
);

/** What follows. */
export const cancelJobReplyBytes = bytesCodec<{ readonly text: string }, wire.CancelJobReply>(
  schemas.CancelJobReplySchema,
  record<{ readonly text: string }, wire.CancelJobReply>(schemas.CancelJobReplySchema, {
    text: text(sentenceBytesMax),
  }),
);

/** Requests for events. */
export const jobEventsRequestBytes = bytesCodec<JobEventsRequest, wire.JobEventsRequest>(
  schemas.JobEventsRequestSchema,
  record<JobEventsRequest, wire.JobEventsRequest>(schemas.JobEventsRequestSchema, {
    job: text(nameBytesMax),
    from: whole(),
    record: optional(word(...jobRecords)),
  }),
);

/** Parts of a job's events. */
export const jobEventsReplyBytes = bytesCodec<JobEvents, wire.JobEventsReply>(
  schemas.JobEventsReplySchema,
  record<JobEvents, wire.JobEventsReply>(schemas.JobEventsReplySchema, {
    text: text(documentBytesMax),
    next: whole(),
    isOver: flag,
  }),
);
