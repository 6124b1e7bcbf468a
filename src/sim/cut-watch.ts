/**
 * What must hold of a checkpoint for which nobody stood still: it is of a consistent cut. A push is
 * in it on all chunks or on none, unless its worker is lost; and a chunk's values are what it comes
 * to with the entries that its marks cover and no others, in the order in which it applied them.
 */
import type { ChunkMarks } from "../protocol/messages.js";
import type { LedgerEntry } from "./ledger.js";

/** The entries that a chunk's marks cover: all pushes of lives before, and those up to the mark. */
export function coveredBy({ applied }: ChunkMarks, entries: readonly LedgerEntry[]): LedgerEntry[] {
  const marks = new Map(applied.map((mark) => [mark.rank, mark]));
  return entries.filter(({ steps }) =>
    steps.every(({ rank, incarnation, step }) => {
      const mark = marks.get(rank);
      if (mark === undefined || mark.incarnation < incarnation) return false;
      return mark.incarnation > incarnation || step <= mark.step;
    }),
  );
}

/** Why chunks' marks are of no consistent cut; null where they are. `gone`: lives that are lost. */
export function inconsistency(
  chunks: readonly ChunkMarks[],
  gone: ReadonlySet<number>,
): string | null {
  // Of each rank the latest life: those before are lost, or ended with an earlier term.
  const lives = new Map<number, number>();
  for (const { rank, incarnation } of chunks.flatMap(({ applied }) => applied)) {
    lives.set(rank, Math.max(incarnation, lives.get(rank) ?? 0));
  }
  for (const [rank, incarnation] of lives) {
    if (gone.has(incarnation)) continue;
    const steps = chunks.map(({ applied }) => {
      return applied.find((mark) => mark.incarnation === incarnation)?.step ?? -1;
    });
    if (new Set(steps).size > 1) return `chunks have worker ${rank} up to steps ${steps}`;
  }
  return null;
}
