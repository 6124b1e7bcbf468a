/**
 * What must hold of a checkpoint for which nobody stood still: it is of a consistent cut. A push is
 * in it on all chunks or on none, unless its worker is lost; and a chunk's values are what it comes
 * to with the entries that its marks cover and no others, in the order in which it applied them.
 */
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { ChunkMarks } from "../../protocol/messages.js";
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

/** Why chunks' marks are of no consistent cut; null where they are. `lives`: of who is there. */
export function inconsistency(
  chunks: readonly ChunkMarks[],
  lives: readonly WorkerIdentity[],
): string | null {
  for (const { rank, incarnation } of lives) {
    const steps = chunks.map(({ applied }) => {
      return applied.find((mark) => mark.incarnation === incarnation)?.step ?? -1;
    });
    if (new Set(steps).size > 1) return `chunks have worker ${rank} up to steps ${steps}`;
  }
  return null;
}
