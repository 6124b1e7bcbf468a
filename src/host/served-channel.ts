/**
 * A data channel as a server sees it: what it has been answered and has not taken yet is counted.
 * Weights that wait to be sent keep their memory, so a peer that asks and does not read would fill
 * the server with copies; past the limits it is let go instead, and asks again when it reads.
 */

import { PacelineError } from "../errors.js";
import { type ChunkHeader, chunkParts } from "../protocol/messages.js";
import type { ChunkChannel } from "../transport/transport.js";

/** Answers of any kind that may wait, beyond some for each chunk. */
const answersMin = 1024;
/** Bytes of weights that may wait, beyond some models. */
const bytesMin = 16777216;
/** How often all of a model may wait: each resend after a view may be answered once more. */
const modelsMax = 4;

/** What the limits follow from. */
export interface ServedModel {
  readonly values: number;
  readonly chunks: readonly unknown[];
}

/** One channel of a server. */
export class ServedChannel {
  readonly #channel: ChunkChannel;
  #answers = 0;
  #bytes = 0;

  constructor(channel: ChunkChannel) {
    this.#channel = channel;
  }

  /** As a channel's. */
  send(header: ChunkHeader, payload: Uint8Array | null, sent: () => void = () => {}): void {
    const bytes = payload?.length ?? 0;
    this.#answers++;
    this.#bytes += bytes;
    this.#channel.send(header, payload, () => {
      this.#answers--;
      this.#bytes -= bytes;
      sent();
    });
  }

  /** As a channel's. */
  close(): void {
    this.#channel.close();
  }

  /** Throws "protocol" where the peer must take answers before it may ask for more. */
  demandRoom({ values, chunks }: ServedModel): void {
    const answersMax = answersMin + modelsMax * chunks.length * chunkParts.length;
    const bytesMax = bytesMin + modelsMax * values * Float32Array.BYTES_PER_ELEMENT;
    if (this.#answers <= answersMax && this.#bytes <= bytesMax) return;
    const waiting = `${this.#answers} answers with ${this.#bytes} bytes`;
    const allowed = `at most ${answersMax} with ${bytesMax} may wait`;
    throw new PacelineError(
      "protocol",
      `${this.#channel.peer} has not taken ${waiting} and asks for more; ${allowed}`,
    );
  }
}
