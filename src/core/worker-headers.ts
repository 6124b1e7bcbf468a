/**
 * What a worker's pushes and pulls say of themselves: the tags by which a server knows run, view
 * and life, whatever became of the link in between.
 *
 * Invariant: the same view and the same step give the same header, so that a push which is sent
 * again is known as the one that was sent before.
 */
import { type ChunkHeader, emptyHeader } from "../contract/messages.js";
import type { View } from "../contract/view.js";

/** Whose life it is. */
export interface WorkerIdentity {
  readonly rank: number;
  readonly incarnation: number;
}

/** A push of one chunk's gradient. */
export interface PushFacts {
  readonly step: number;
  readonly chunk: number;
  /** Version of the weights that the gradient was computed with. */
  readonly version: number;
  readonly examples: number;
}

/** The header of a push. */
export function pushHeader(worker: WorkerIdentity, view: View, push: PushFacts): ChunkHeader {
  return { ...tagsOf(worker, view), ...push, kind: "push", wantsReply: true };
}

/** The header of a pull of a chunk to start a step with. */
export function pullHeader(
  worker: WorkerIdentity,
  view: View,
  pull: Pick<PushFacts, "step" | "chunk">,
): ChunkHeader {
  return { ...tagsOf(worker, view), ...pull, kind: "pull" };
}

function tagsOf({ rank, incarnation }: WorkerIdentity, view: View): ChunkHeader {
  const { run, generation, phase, number: fence } = view;
  return { ...emptyHeader, run, generation, rank, incarnation, phase, fence };
}
