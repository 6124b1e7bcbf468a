/**
 * A run's result as lines of a log, for those who have nothing else of it: a container's folder
 * goes with the container, its log stays. The file is cut into parts that no collector of logs cuts
 * again (Docker does at 16 KiB) and that a pipe takes as one piece (4 KiB on Linux), so that no
 * other process writes into it. Each says its own length, and all say the sum of the whole, so that
 * a part that is cut off, or of another result, is noticed. What `aggregate` computes is left out
 * and computed again.
 */
import { createHash } from "node:crypto";
import { type ExperimentFile, experimentFile } from "./experiment-file.js";

/** What each line begins with. */
export const resultWord = "RESULT_JSON";

const partCharacters = 3500;
const sumCharacters = 12;

/** One line's part of a result. */
export interface ResultPart {
  /** The beginning of the SHA-256 of the whole text, which tells results apart. */
  readonly sum: string;
  /** From 1. */
  readonly number: number;
  readonly parts: number;
  readonly text: string;
}

/** The lines of a result: RESULT_JSON <sum> <part>/<parts> <characters>: <text>. */
export function resultLines(experiment: ExperimentFile): string[] {
  const { worker_metrics_aggregated: _, ...told } = experiment;
  // ASCII alone, so that characters are bytes whatever a collector takes them for.
  const text = JSON.stringify(told).replaceAll(
    /[\u007f-\uffff]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const sum = sumOf(text);
  const parts = Math.ceil(text.length / partCharacters);
  return Array.from({ length: parts }, (_, index) => {
    const part = text.slice(index * partCharacters, (index + 1) * partCharacters);
    return `${resultWord} ${sum} ${index + 1}/${parts} ${part.length}: ${part}`;
  });
}

const partHead = new RegExp(`^${resultWord} ([0-9a-f]{12}) (\\d+)/(\\d+) (\\d+): `);

/**
 * The part that a text begins with and how many characters of the text it takes; null where there
 * is none, or only a piece of one.
 */
export function resultPartIn(text: string): { part: ResultPart; characters: number } | null {
  const found = partHead.exec(text);
  if (found === null) return null;
  const [head, sum, number, parts, length] = found as unknown as [string, ...string[]];
  const characters = head.length + Number(length);
  if (characters > text.length || Number(number) < 1 || Number(number) > Number(parts)) return null;
  const part = text.slice(head.length, characters);
  return {
    part: { sum: sum!, number: Number(number), parts: Number(parts), text: part },
    characters,
  };
}

/**
 * The file of parts of one sum, in any order and however often each came; the numbers of those that
 * are missing where it is not whole. Null of a text whose sum is another.
 */
export function resultOfParts(
  given: readonly ResultPart[],
): { experiment: ExperimentFile } | { missing: readonly number[] } | null {
  const texts = new Map(given.map(({ number, text }) => [number, text]));
  const count = given[0]?.parts ?? 0;
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const missing = numbers.filter((number) => !texts.has(number));
  if (count === 0 || missing.length > 0) return { missing };
  const text = numbers.map((number) => texts.get(number)).join("");
  if (sumOf(text) !== given[0]!.sum) return null;
  const told = JSON.parse(text) as Omit<ExperimentFile, "worker_metrics_aggregated">;
  const { experiment_name: name, timestamp, server_metrics: server, paceline } = told;
  return {
    experiment: experimentFile({
      ...{ name, timestamp, server, paceline },
      workers: told.raw_worker_metrics,
    }),
  };
}

function sumOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, sumCharacters);
}
