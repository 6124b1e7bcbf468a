/**
 * Kinds of violations that seeds are known to show, by mode: each line is a fault that is yet to be
 * mended, and goes away with it.
 */

const known: readonly { readonly kind: string; readonly modes: readonly string[] }[] = [
  // The result's global steps come from the servers' last heartbeats, and leave empty and torn
  // steps out, which a checkpoint's step counts.
  { kind: "global steps", modes: ["bsp", "ssp", "asp"] },
  // A worker that still pulls never stands at a checkpoint's barrier, or one that is told of it.
  { kind: "stands still", modes: ["bsp", "ssp", "asp"] },
  // A lost worker's step without examples that some chunks have marked counts as torn.
  { kind: "empty steps told as torn", modes: ["bsp"] },
  // Workers evaluate what each of them has, which differs where replies are differences.
  { kind: "evaluation of several models", modes: ["bsp", "ssp", "asp"] },
  { kind: "final evaluation", modes: ["ssp", "asp"] },
  // A run may end while a returned worker still has a share of an epoch before the last.
  { kind: "work unaccounted", modes: ["ssp", "asp"] },
  // An epoch is closed before servers have said how far a lost worker had come.
  { kind: "applied, not counted", modes: ["ssp", "asp"] },
];

/** The kinds that are let pass for a mode. */
export function knownKinds(mode: string): readonly string[] {
  return known.filter(({ modes }) => modes.includes(mode)).map(({ kind }) => kind);
}
