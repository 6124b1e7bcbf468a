/**
 * What a worker's pushes and pulls say of themselves: the tags by which a server knows run, view
 * and life, even after the link was lost in between; and to whom they go.
 *
 * Invariant: the same view and the same step give the same header, so that a push which is sent
 * again is known as the one that was sent before.
 */

import { assert } from "../../assert.js";
import type { WorkerIdentity } from "../../protocol/identity.js";
import { termOf } from "../../protocol/ids.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { primaryOf, type View } from "../../protocol/view.js";
import type { WorkerEffect } from "./worker-events.js";

/** A request with the server that it goes to. */
export type RequestTo<Type extends "push" | "pull"> = WorkerEffect & { readonly type: Type };

/** A push of one chunk's gradient. */
export interface PushFacts {
  readonly step: number;
  readonly chunk: number;
  /** Version of the weights that the gradient was computed with. */
  readonly version: number;
  readonly examples: number;
  /** True for the step's first push, which stands for the whole. */
  readonly leads: boolean;
  /** What the first was answered; null where nobody judges, and of the first. */
  readonly scale: number | null;
}

/** Has a gradient sent to the chunk's primary. */
export function pushTo(
  worker: WorkerIdentity,
  view: View | null,
  push: PushFacts,
): RequestTo<"push"> {
  const { server, tags } = placeOf(worker, view, push.chunk);
  return { type: "push", server, header: { ...tags, ...push, kind: "push", wantsReply: true } };
}

/** Asks the chunk's primary for its weights, to start a step with; of step -1 for what they are. */
export function pullFrom(
  worker: WorkerIdentity,
  view: View | null,
  pull: Pick<ChunkHeader, "step" | "chunk" | "pull">,
): RequestTo<"pull"> {
  const { server, tags } = placeOf(worker, view, pull.chunk);
  return { type: "pull", server, header: { ...tags, ...pull, kind: "pull" } };
}

function placeOf(worker: WorkerIdentity, view: View | null, chunk: number) {
  assert(view !== null, "pushes and pulls belong to a view", { chunk });
  const server = primaryOf(view, chunk);
  assert(server !== undefined, "every chunk has a primary", { chunk });
  return { server, tags: tagsOf(worker, view) };
}

function tagsOf({ rank, incarnation }: WorkerIdentity, view: View): ChunkHeader {
  const { run, generation, phase, number: fence } = view;
  const term = termOf(fence);
  return { ...emptyHeader, run, generation, term, rank, incarnation, phase, fence };
}
