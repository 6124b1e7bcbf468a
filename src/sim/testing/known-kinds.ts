/**
 * Kinds of violations that seeds are known to show, by mode: each line is a fault that is yet to be
 * mended, and goes away with it.
 */

const known: readonly { readonly kind: string; readonly modes: readonly string[] }[] = [
  // A lost worker's step without examples that some chunks have marked counts as torn.
  { kind: "empty steps told as torn", modes: ["bsp"] },
];

/** The kinds that are let pass for a mode. */
export function knownKinds(mode: string): readonly string[] {
  return known.filter(({ modes }) => modes.includes(mode)).map(({ kind }) => kind);
}
