/**
 * What a coordinator asks of a server over a chunk channel, for loads and checkpoints, as the
 * machine hears it.
 */
import type { ShardEvent } from "../core/server/shard-events.js";
import type { ChunkHeader, ChunkKind } from "../protocol/messages.js";
import type { View } from "../protocol/view.js";
import { readLimits, readMarks } from "./chunk-marks.js";

/** What the run's coordinator alone says: a copy that another has kept takes the place of its. */
const transferKinds: ReadonlySet<ChunkKind> = new Set([
  ...(["load", "copy", "save", "discard", "mark", "cut"] as const),
]);

/**
 * Why a message is not the coordinator's of the present term and generation, or null. That it is of
 * the run has been found out before; pushes and pulls are for the machine to judge.
 * @param heard the term of the coordinator that this server is with.
 */
export function transferObjection(
  { kind, term, generation }: ChunkHeader,
  heard: number,
  view: View | null,
): string | null {
  if (!transferKinds.has(kind)) return null;
  if (term < heard) return `term ${term} is out of date: this is term ${heard}`;
  if (term > heard) return `term ${term} has not been heard of here: this is term ${heard}`;
  // A load may be ahead of its view; the machine compares it with the chunk.
  if (kind === "load" || generation === view?.generation) return null;
  if (view === null) return `${kind} of generation ${generation} comes before any view`;
  const present = `this is generation ${view.generation}`;
  const isBack = generation < view.generation;
  return `generation ${generation} ${isBack ? "has been rolled back" : "is not known"}: ${present}`;
}

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
