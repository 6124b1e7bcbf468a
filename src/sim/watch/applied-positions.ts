/** Which positions of which epoch every chunk has applied, from a ledger's entries. */
import type { Ledger, LedgerEntry, LedgerStep } from "./ledger.js";

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

/** How many positions of an epoch some chunk has applied, or are among those of these steps. */
export function usedExamples(
  applied: AppliedPositions,
  epoch: number,
  rejected: Iterable<LedgerStep> = [],
): number {
  const counts = applied.get(epoch);
  let used = 0;
  if (counts !== undefined) for (const chunks of counts) if (chunks > 0) used++;
  const further = new Set<number>();
  for (const { epoch: own, range } of rejected) {
    if (own !== epoch) continue;
    for (let position = range.start; position < range.end; position++) {
      if ((counts?.[position] ?? 0) === 0) further.add(position);
    }
  }
  return used + further.size;
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
