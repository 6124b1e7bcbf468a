/** Which positions of which epoch every chunk has applied, from a ledger's entries. */
import type { Ledger, LedgerEntry } from "./ledger.js";

/** By epoch and position, how many chunks have applied it. */
export type AppliedPositions = ReadonlyMap<number, Uint16Array>;

/**
 * Counts; complains where a chunk has applied a position a second time. `entriesOf`: what of its
 * entries counts; all if left out.
 */
export function countPositions(
  ledger: Ledger,
  complain: (what: string) => void,
  entriesOf: (chunk: number) => readonly LedgerEntry[] = (chunk) => ledger.entriesOf(chunk),
): AppliedPositions {
  const { layout, spec } = ledger;
  const counts = new Map<number, Uint16Array>();
  for (const { index } of layout.chunks) {
    const own = new Uint8Array((1 + spec.epochs) * spec.trainExamples);
    for (const { steps } of entriesOf(index)) {
      for (const { epoch, range, rank, step } of steps) {
        const ofEpoch = counts.get(epoch) ?? new Uint16Array(spec.trainExamples);
        counts.set(epoch, ofEpoch);
        for (let position = range.start; position < range.end; position++) {
          const key = epoch * spec.trainExamples + position;
          if (own[key] === 1) {
            const what = `position ${position} of epoch ${epoch}`;
            complain(`chunk ${index} has ${what} again by worker ${rank} at step ${step}`);
            continue;
          }
          own[key] = 1;
          ofEpoch[position]!++;
        }
      }
    }
  }
  return counts;
}

/** How many positions of an epoch some chunk has applied. */
export function usedExamples(applied: AppliedPositions, epoch: number): number {
  let used = 0;
  for (const chunks of applied.get(epoch) ?? []) if (chunks > 0) used++;
  return used;
}

/** Examples of steps that servers said to be too stale. */
export function rejectedExamples({ rejected }: Ledger): number {
  return [...rejected].reduce((sum, { range }) => sum + range.end - range.start, 0);
}

/** Steps of workers that some chunks have applied and some have not. */
export function tornSteps(ledger: Ledger): number {
  const chunks = new Map<object, number>();
  for (const { index } of ledger.layout.chunks) {
    for (const { steps } of ledger.entriesOf(index)) {
      for (const step of steps) chunks.set(step, (chunks.get(step) ?? 0) + 1);
    }
  }
  return [...chunks.values()].filter((count) => count < ledger.layout.chunks.length).length;
}
