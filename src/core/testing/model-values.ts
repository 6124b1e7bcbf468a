/**
 * What a model cluster has in place of tensors: a chunk's value is the list of everything that was
 * ever applied to it, and a gradient names its examples and the weights that it was computed on.
 * Two runs end in the same digests only if they did the same arithmetic in the same order.
 */
import assert from "node:assert/strict";

/** A gradient: whose, over which positions of which epoch, computed on which weights. */
export interface ModelGradient {
  readonly rank: number;
  readonly step: number;
  readonly epoch: number;
  readonly start: number;
  readonly end: number;
  /** Digest of all the weights that it was computed on. */
  readonly base: number;
}

/** One update of a chunk. */
export interface ModelUpdate {
  readonly gradients: readonly ModelGradient[];
  readonly lr: number;
  readonly scale: number;
}

/** The value of a chunk: its updates, the last first. */
export interface ModelValue {
  readonly digest: number;
  readonly update: ModelUpdate | null;
  readonly before: ModelValue | null;
}

/** A chunk that nothing has been applied to. */
export const initialValue: ModelValue = { digest: 0, update: null, before: null };

/** The value after an update. */
export function updated(before: ModelValue, update: ModelUpdate): ModelValue {
  return { digest: digestOf(`${before.digest}/${JSON.stringify(update)}`), update, before };
}

/** FNV-1a over the text's characters, 32 bits. */
export function digestOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

/** A chunk's updates, the first first. */
export function updatesOf(value: ModelValue): ModelUpdate[] {
  const updates: ModelUpdate[] = [];
  for (let at: ModelValue | null = value; at !== null; at = at.before) {
    if (at.update !== null) updates.push(at.update);
  }
  return updates.reverse();
}

/** Per epoch how often each position was applied to a chunk; fails on a second time. */
export function positionsUsed(value: ModelValue, examples: number): Map<number, Uint8Array> {
  const used = new Map<number, Uint8Array>();
  for (const { gradients } of updatesOf(value)) {
    for (const { epoch, start, end, rank, step } of gradients) {
      const counts = used.get(epoch) ?? new Uint8Array(examples);
      used.set(epoch, counts);
      for (let position = start; position < end; position++) {
        counts[position]!++;
        const what = `position ${position} of epoch ${epoch} by worker ${rank} at step ${step}`;
        assert.equal(counts[position], 1, `${what} is applied once`);
      }
    }
  }
  return used;
}
