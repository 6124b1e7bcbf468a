/**
 * Gives servers the state that training starts from, chunk by chunk over one channel to each.
 */

import { PacelineError } from "../errors.js";
import { termOf } from "../protocol/ids.js";
import type { Layout } from "../protocol/layout.js";
import {
  type ChunkHeader,
  type ChunkMarks,
  chunkParts,
  emptyHeader,
} from "../protocol/messages.js";
import { chunksOfServer, type View, type ViewServer } from "../protocol/view.js";
import type { Transport } from "../transport/transport.js";
import { AwakeTime, type Clock } from "./clock.js";
import { ServerLink } from "./server-link.js";

/** Everything that servers hold of a model. Flat vectors of f32 values, in the layout's order. */
export interface ModelState {
  readonly weights: Float32Array;
  /** As many as the update rule keeps. */
  readonly state: readonly Float32Array[];
  /** By chunk. */
  readonly marks: readonly ChunkMarks[];
}

/** What a transfer needs. */
export interface TransferParts {
  readonly transport: Transport;
  /** Where a server takes chunks; its address if left out. */
  readonly route?: (server: ViewServer) => string;
  readonly clock: Clock;
  /** Silence of a server after which the transfer has failed. */
  readonly ioTimeoutMs: number;
  /** Ends the transfer, which fails then. */
  readonly signal?: AbortSignal;
}

/** Gives every server of the view its chunks. */
export async function loadState(
  parts: TransferParts,
  view: View,
  state: ModelState,
  layout: Layout,
): Promise<void> {
  await wholly(
    view.servers.map((server) =>
      talk(parts, view, server, {
        say: (chunk, send) => {
          const { offset, length } = layout.chunks[chunk]!;
          const marks = state.marks[chunk]!;
          const { run, generation } = view;
          const header = { ...emptyHeader, kind: "load", run, generation, chunk } as const;
          state.state.forEach((vector, index) => {
            const part = chunkParts[index + 1]!;
            send({ ...header, part }, bytesOf(vector, offset, length));
          });
          const detail = JSON.stringify(marks);
          const weights = bytesOf(state.weights, offset, length);
          send({ ...header, version: marks.version, detail }, weights);
        },
        answersPerChunk: 1 + state.state.length,
      }),
    ),
  );
}

interface Dialogue {
  /** Says what is to be said of one chunk. */
  say(chunk: number, send: (header: ChunkHeader, payload: Uint8Array | null) => void): void;
  readonly answersPerChunk: number;
}

/** A dialogue with one server that is going on. */
interface Talk {
  readonly ended: Promise<void>;
  /** Gives it up, if it is still going on. */
  stop(): void;
}

/** Waits for all; once one has failed the others are given up, as nothing waits for them. */
async function wholly(talks: readonly Talk[]): Promise<void> {
  try {
    await Promise.all(talks.map(({ ended }) => ended));
  } finally {
    for (const { stop } of talks) stop();
  }
}

/** Chunks whose answers are awaited at one time. */
const chunksInFlight = 16;
/** How often it is looked whether the other is silent. */
const lookMs = 250;

/** Says something of each chunk that the server holds, and waits for all answers. */
function talk(parts: TransferParts, view: View, server: ViewServer, dialogue: Dialogue): Talk {
  const chunks = chunksOfServer(view, server.index);
  if (chunks.length === 0) return { ended: Promise.resolve(), stop: () => {} };
  const identity = { run: view.run, rank: -1, incarnation: 0 };
  const term = termOf(view.number);
  let stop = () => {};
  const ended = new Promise<void>((resolve, reject) => {
    let next = 0;
    let answers = 0;
    const awake = new AwakeTime(parts.clock, 2 * lookMs);
    let heardMs = awake.nowMs();
    const end = (error: PacelineError | null) => {
      watch.cancel();
      link.close();
      if (error === null) resolve();
      else reject(error);
    };
    const sayMore = () => {
      const done = Math.floor(answers / dialogue.answersPerChunk);
      while (next < chunks.length && next < done + chunksInFlight) {
        dialogue.say(chunks[next++]!, (header, payload) => link.send({ ...header, term }, payload));
      }
    };
    const find = () => parts.route?.(server) ?? server.address;
    const link = new ServerLink(parts, find, identity, {
      onOpen: () => {
        next = 0;
        answers = 0;
        sayMore();
      },
      onHeader: () => null,
      onChunk: (header) => {
        heardMs = awake.nowMs();
        if (header.kind === "reply") {
          end(new PacelineError("refused", `server-${server.index} refused: ${header.detail}`));
          return;
        }
        answers++;
        if (answers === chunks.length * dialogue.answersPerChunk) end(null);
        else sayMore();
      },
      onTrouble: () => {},
    });
    let watch = parts.clock.after(lookMs, look);
    stop = () => end(null);
    parts.signal?.addEventListener("abort", () => {
      end(new PacelineError("unavailable", `server-${server.index} is asked no more`));
    });
    function look(): void {
      const silentMs = awake.nowMs() - heardMs;
      if (silentMs >= parts.ioTimeoutMs) {
        const silence = `${(silentMs / 1000).toFixed(0)} s`;
        const name = `server-${server.index} at ${server.address}`;
        end(new PacelineError("timeout", `${name} has not answered for ${silence}`));
        return;
      }
      watch = parts.clock.after(lookMs, look);
    }
  });
  return { ended, stop: () => stop() };
}

/** The bytes of so many values of a flat vector. */
export function bytesOf(vector: Float32Array, offset: number, length: number): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset + offset * 4, length * 4);
}
