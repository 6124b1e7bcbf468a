/**
 * What every transport does with a chunk message that has come: asks the receiver for memory, fills
 * it, and says that the message is whole; and what it does before there is a receiver: a data
 * channel opens with `hello`, whatever else comes first ends it.
 */
import { assert } from "../assert.js";
import { PacelineError } from "../errors.js";
import type { ChunkHeader } from "../protocol/messages.js";
import type { ChunkAcceptor, ChunkChannel, ChunkReceiver } from "./transport.js";

/**
 * Hands one message to its receiver; the payload is copied into the memory that the receiver
 * supplies.
 */
export function deliverChunk(
  receiver: ChunkReceiver,
  header: ChunkHeader,
  payload: Uint8Array | null,
): void {
  const payloadBytes = payload?.length ?? 0;
  const destination = receiver.onHeader(header, payloadBytes);
  if (destination !== null) {
    assert(destination.length === payloadBytes, "destination is as long as the payload", {
      destination: destination.length,
      payloadBytes,
    });
    if (payload !== null) destination.set(payload);
  }
  receiver.onChunk(header, destination);
}

/**
 * Calls the acceptor when a channel's first message is its hello; throws "protocol" when it is
 * another.
 */
export function acceptHello(
  accept: ChunkAcceptor,
  channel: ChunkChannel,
  first: ChunkHeader,
): ChunkReceiver {
  if (first.kind === "hello") return accept(channel);
  throw new PacelineError(
    "protocol",
    `the first message of a data channel must be hello, but ${channel.peer} sent ${first.kind}`,
  );
}
