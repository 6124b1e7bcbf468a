/**
 * What a coordinator asks of a server over a chunk channel, for loads and checkpoints, as the
 * machine hears it.
 */
import type { ShardEvent } from "../core/server/shard-events.js";
import type { ChunkHeader, ChunkKind } from "../protocol/messages.js";
import { readLimits, readMarks } from "./chunk-marks.js";

/** What a coordinator of a lower term may not say. */
export const transferKinds: ReadonlySet<ChunkKind> = new Set([
  ...(["load", "copy", "save", "discard", "mark", "cut"] as const),
]);

/** What the machine decides on; the host does the others by itself. */
export type TransferKind = "load" | "copy" | "mark" | "cut";

/**
 * The event that a message is.
 * @param slot of what was sent with it.
 * @throws PacelineError of code "protocol" where its detail can't be read.
 */
export function transferEvent(
  kind: TransferKind,
  { chunk, generation, part, detail }: ChunkHeader,
  slot: number,
  channel: number,
): ShardEvent {
  switch (kind) {
    case "load": {
      const marks = part === "weights" ? readMarks(detail, chunk) : null;
      return { type: kind, chunk, generation, part, slot, marks, channel };
    }
    case "copy":
    case "mark":
      return { type: kind, chunk, channel };
    case "cut":
      return { type: kind, chunk, channel, limits: readLimits(detail, chunk) };
    default:
      return kind satisfies never;
  }
}
