/**
 * Many seeds, and what did not hold in them, grouped by kind: a fault shows in many seeds, and the
 * first of them is where to look.
 */
import { type SeedVerdict, type SimulationOptions, simulateSeed } from "./simulate-seed.js";

/** What did not hold, by its kind. */
export interface ViolatedKind {
  readonly kind: string;
  /** Ascending. */
  readonly seeds: readonly number[];
  /** Of the first seed. */
  readonly sentence: string;
}

/** What so many seeds came to. */
export interface SeedsReport {
  readonly count: number;
  /** By the word that a part's end begins with: how many parts. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** The most frequent first. */
  readonly kinds: readonly ViolatedKind[];
}

/** Which seeds, and in which mode: that which each draws where it is null. */
export interface SeedRange extends SimulationOptions {
  readonly mode: string | null;
  readonly from: number;
  readonly count: number;
  /** One of so many; each if left out. */
  readonly stride?: number;
}

/** What is told of a seed. */
export type ToldVerdict = Pick<SeedVerdict, "seed" | "outcomes" | "violations">;

/** Counts verdicts, in whatever order they come. */
export class SeedsTally {
  readonly #kinds = new Map<string, { seed: number; sentence: string }[]>();
  readonly #outcomes = new Map<string, number>();
  #count = 0;

  /** How many there were. */
  get count(): number {
    return this.#count;
  }

  /** Adds one. */
  add({ seed, outcomes, violations }: ToldVerdict): void {
    this.#count++;
    for (const outcome of outcomes) {
      const [word] = outcome.split(" ") as [string];
      this.#outcomes.set(word, (this.#outcomes.get(word) ?? 0) + 1);
    }
    for (const { kind, sentence } of violations) {
      this.#kinds.set(kind, [...(this.#kinds.get(kind) ?? []), { seed, sentence }]);
    }
  }

  /** What they came to. */
  report(): SeedsReport {
    const kinds = [...this.#kinds].map(([kind, found]) => {
      const sorted = found.toSorted((left, right) => left.seed - right.seed);
      return { kind, seeds: sorted.map(({ seed }) => seed), sentence: sorted[0]!.sentence };
    });
    kinds.sort((left, right) => right.seeds.length - left.seeds.length);
    return { count: this.#count, outcomes: this.#outcomes, kinds };
  }
}

/** Simulates seeds; ends early where `onSeed` says that it has seen enough. */
export async function simulateSeeds(
  { mode, from, count, stride = 1, ...options }: SeedRange,
  onSeed: (verdict: SeedVerdict) => boolean = () => false,
): Promise<SeedsReport> {
  const tally = new SeedsTally();
  for (let seed = from; seed < from + count; seed += stride) {
    const verdict = await simulateSeed(mode, seed, options);
    tally.add(verdict);
    if (onSeed(verdict)) break;
  }
  return tally.report();
}

/** A report in lines that a person reads. */
export function seedsText({ count, outcomes, kinds }: SeedsReport): string {
  const ends = [...outcomes].map(([word, parts]) => `${parts} ${word}`).join(", ");
  const failing = new Set(kinds.flatMap(({ seeds }) => seeds)).size;
  const lines = kinds.flatMap(({ kind, seeds, sentence }) => {
    const first = seeds.slice(0, 12).join(", ");
    return [`  ${kind}: ${seeds.length} seeds, of which ${first}`, `    ${sentence.slice(0, 600)}`];
  });
  return [`${failing} of ${count} seeds fail (parts: ${ends})`, ...lines].join("\n");
}
