/**
 * Many seeds of one mode, and what did not hold in them, grouped by kind: a fault shows in many
 * seeds, and the first of them is where to look.
 */
import { type SeedVerdict, type SimulationOptions, simulateSeed } from "./simulate-seed.js";

/** What did not hold, by its kind. */
export interface ViolatedKind {
  readonly kind: string;
  readonly seeds: readonly number[];
  /** Of the first seed. */
  readonly sentence: string;
}

/** What so many seeds came to. */
export interface SeedsReport {
  readonly mode: string;
  readonly count: number;
  /** By the word that a part's end begins with: how many parts. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** The most frequent first. */
  readonly kinds: readonly ViolatedKind[];
}

/** Simulates seeds [from, from + count). */
export async function simulateSeeds(
  mode: string,
  {
    from,
    count,
    ...options
  }: SimulationOptions & { readonly from: number; readonly count: number },
  onSeed: (verdict: SeedVerdict) => void = () => {},
): Promise<SeedsReport> {
  const kinds = new Map<string, { seeds: number[]; sentence: string }>();
  const outcomes = new Map<string, number>();
  for (let seed = from; seed < from + count; seed++) {
    const verdict = await simulateSeed(mode, seed, options);
    for (const outcome of verdict.outcomes) {
      const [word] = outcome.split(" ") as [string];
      outcomes.set(word, (outcomes.get(word) ?? 0) + 1);
    }
    for (const { kind, sentence } of verdict.violations) {
      const known = kinds.get(kind) ?? { seeds: [], sentence };
      known.seeds.push(seed);
      kinds.set(kind, known);
    }
    onSeed(verdict);
  }
  const sorted = [...kinds].sort(([, left], [, right]) => right.seeds.length - left.seeds.length);
  return { mode, count, outcomes, kinds: sorted.map(([kind, found]) => ({ kind, ...found })) };
}

/** A report in lines that a person reads. */
export function seedsText({ mode, count, outcomes, kinds }: SeedsReport): string {
  const ends = [...outcomes].map(([word, parts]) => `${parts} ${word}`).join(", ");
  const failing = new Set(kinds.flatMap(({ seeds }) => seeds)).size;
  const lines = kinds.flatMap(({ kind, seeds, sentence }) => {
    const first = seeds.slice(0, 12).join(", ");
    return [`  ${kind}: ${seeds.length} seeds, of which ${first}`, `    ${sentence.slice(0, 600)}`];
  });
  return [`${mode}: ${failing} of ${count} seeds fail (parts: ${ends})`, ...lines].join("\n");
}
