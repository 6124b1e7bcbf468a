/**
 * The calls by which residuals travel <-> bytes: a chunk's values given at a checkpoint's barrier,
 * and a chunk's values asked for by a worker that goes on from one.
 *
 * Invariant: as in session-codec.ts, decoding validates and throws only "protocol" errors. Whether
 * chunk, life and barrier are present ones is for the coordinator to judge.
 */

import { PacelineError } from "../../errors.js";
import type { ResidualChunk, ResidualPlace } from "../../protocol/residuals.js";
import type { FieldCodec } from "./field-codec.js";
import { record, small, text, whole } from "./field-codec.js";
import type * as wire from "./generated-coordinator.js";
import * as schemas from "./generated-coordinator.js";
import { payloadBytesMax, runBytesMax } from "./limits.js";
import { bytesCodec } from "./session-codec.js";

/** Values of a chunk; their memory is that of the message. */
const values: FieldCodec<Uint8Array, Uint8Array> = {
  toWire: (bytes) => bytes,
  fromWire: (bytes, path) => {
    if (bytes.length % 4 === 0 && bytes.length <= payloadBytesMax) return bytes;
    const needed = `a multiple of 4 up to ${payloadBytesMax} is needed`;
    throw new PacelineError("protocol", `${path} has ${bytes.length} bytes, ${needed}`);
  },
};

const place = { run: text(runBytesMax), rank: small(), incarnation: whole(), chunk: small() };

/** Residuals that are given. */
export const keepResidualBytes = bytesCodec<ResidualChunk, wire.KeepResidualRequest>(
  schemas.KeepResidualRequestSchema,
  record<ResidualChunk, wire.KeepResidualRequest>(schemas.KeepResidualRequestSchema, {
    ...place,
    barrier: whole(),
    values,
  }),
);

/** Answers to them. */
export const keptResidualBytes = bytesCodec<object, wire.KeepResidualReply>(
  schemas.KeepResidualReplySchema,
  record<object, wire.KeepResidualReply>(schemas.KeepResidualReplySchema, {}),
);

/** Requests for residuals. */
export const readResidualBytes = bytesCodec<ResidualPlace, wire.ReadResidualRequest>(
  schemas.ReadResidualRequestSchema,
  record<ResidualPlace, wire.ReadResidualRequest>(schemas.ReadResidualRequestSchema, place),
);

/** Answers to them. */
export const residualBytes = bytesCodec<{ readonly values: Uint8Array }, wire.ReadResidualReply>(
  schemas.ReadResidualReplySchema,
  record<{ readonly values: Uint8Array }, wire.ReadResidualReply>(schemas.ReadResidualReplySchema, {
    values,
  }),
);
