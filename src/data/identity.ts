/**
 * What tells one data set from another of the same counts and shapes: what its labels stand for,
 * and a fingerprint of each split: a SHA-256 over the content of its files in the order of the
 * examples, with their labels; where the files lie, their times and modes and how
 * they are packed do not matter. It is of the whole split: limits are counts of their own.
 */
import { createHash } from "node:crypto";

/** The identity of a data set. */
export interface DataIdentity {
  /** What the labels 0, 1, ... stand for. */
  readonly classNames: readonly string[];
  /** In hexadecimal. */
  readonly trainFingerprint: string;
  readonly testFingerprint: string;
}

/** The fingerprint of a split that these lines describe; none of them holds a line break. */
export function fingerprintOf(lines: readonly string[]): string {
  const hash = createHash("sha256");
  for (const line of lines) hash.update(`${line}\n`);
  return hash.digest("hex");
}

/** A fingerprint as a sentence shows it. */
export function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, 16);
}

/** The first difference between the classes here and those that are wanted, or null. */
export function classesDifference(
  here: readonly string[],
  wanted: readonly string[],
): string | null {
  if (here.length !== wanted.length) return `${here.length} classes, not ${wanted.length}`;
  const label = here.findIndex((name, at) => name !== wanted[at]);
  if (label < 0) return null;
  const [found, due] = [here[label], wanted[label]].map((name) => JSON.stringify(name));
  return `label ${label} for ${found}, not for ${due}`;
}

/** What differs between the data here and the data that is wanted, or null. */
export function identityDifference(
  here: DataIdentity,
  wanted: DataIdentity,
  splits: readonly ("train" | "test")[] = ["train", "test"],
): string | null {
  const classes = classesDifference(here.classNames, wanted.classNames);
  if (classes !== null) return classes;
  const words = { train: "training", test: "test" } as const;
  for (const split of splits) {
    const [found, due] = [here[`${split}Fingerprint`], wanted[`${split}Fingerprint`]];
    if (found === due) continue;
    const [short, shortDue] = [found, due].map(shortFingerprint);
    return `${words[split]} examples of fingerprint ${short}, not ${shortDue}`;
  }
  return null;
}
