/** Answers pushes as a server would, without a server's work. */
import { emptyHeader } from "../../protocol/messages.js";
import type { ChunkAcceptor } from "../../transport/transport.js";
import { payloadBytesMax } from "../../transport/wire/limits.js";

/** Reads chunks into memory of a model's size and sends those back that are of version 1. */
export class EchoAcceptor {
  readonly #memory: Uint8Array;

  constructor(bytes: number) {
    this.#memory = new Uint8Array(new SharedArrayBuffer(bytes));
  }

  /** For `serveChunks`. */
  readonly accept: ChunkAcceptor = (channel) => ({
    onHeader: ({ chunk }, payloadBytes) => {
      const start = chunk * payloadBytesMax;
      return this.#memory.subarray(start, start + payloadBytes);
    },
    onChunk: ({ kind, step, chunk, version, wantsReply }, payload) => {
      if (kind !== "push" || !wantsReply) return;
      const answer = { ...emptyHeader, kind: "reply", step, chunk, outcome: "applied" } as const;
      channel.send(answer, version === 1 ? payload : null);
    },
    onClose: () => {},
  });
}
