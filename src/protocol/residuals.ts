/**
 * What workers' pushes have dropped so far, as it is kept in checkpoints and given back. Residuals
 * are f32 values of the chunks of weights, which lie first in the flat vector; where nothing was
 * dropped they are zero. They travel a chunk at a time, in calls of their own beside the session,
 * so that neither side ever holds a second copy of them all.
 *
 * Giving and reading are idempotent: doing either again after a broken link changes nothing.
 */
import type { WorkerIdentity } from "./identity.js";
import type { Layout } from "./layout.js";

/** Whose residual, and which chunk's. */
export interface ResidualPlace extends WorkerIdentity {
  readonly run: string;
  readonly chunk: number;
}

/** One chunk's residual, given at a checkpoint's barrier. */
export interface ResidualChunk extends ResidualPlace {
  /** Which barrier, as the coordinator numbers them. */
  readonly barrier: number;
  /** Little-endian f32 values, as many as the chunk has. */
  readonly values: Uint8Array;
}

/** All that one worker's pushes had dropped at a barrier. */
export interface Residuals {
  readonly rank: number;
  /** As long as all weights together. */
  readonly values: Float32Array;
}

/** How many values the chunks of weights have together. */
export function weightValues({ chunks }: Layout): number {
  return chunks.reduce((sum, { group, length }) => sum + (group === "weight" ? length : 0), 0);
}
