/**
 * Finds METRICS_JSON and RESULT_JSON in what processes said, whatever a collector put before it.
 * Processes that share a pipe may write into each other's lines, and some collectors cut lines: a
 * text that is complete is taken out of the line that it stands in, and what is left of the line is
 * tried with the lines that follow it. What stays incomplete is told as cut.
 */
import { type ResultPart, resultPartIn, resultWord } from "../../store/runs/result-lines.js";
import type { LogEntry } from "./log-entries.js";

/** What was found. */
export type Finding =
  | { readonly kind: "metrics"; readonly value: Readonly<Record<string, unknown>> }
  | { readonly kind: "result"; readonly part: ResultPart }
  /** Begins as one of the two and has no end. */
  | { readonly kind: "cut"; readonly text: string };

/** A finding and where it stands. */
export interface Found {
  readonly finding: Finding;
  readonly entry: LogEntry;
}

const metricsWord = "METRICS_JSON:";
const markers = [metricsWord, `${resultWord} `] as const;
/** Lines of one process among which the rest of a cut one is looked for. */
const followingMax = 3;
const variantsMax = 8;

/** A beginning without an end. */
interface Beginning {
  readonly entry: LogEntry;
  /** What its line has before it. */
  readonly prefix: string;
  variants: readonly string[];
  left: number;
}

/** Takes the entries of one log in their order. */
export class MetricsScan {
  #open: Beginning[] = [];

  take(entry: LogEntry): Found[] {
    const hasMarker = markers.some((marker) => entry.text.includes(marker));
    if (!hasMarker && this.#open.length === 0) return [];
    const texts = hasMarker ? unquoted(entry.text) : [entry.text];
    return texts.flatMap((text) => this.#takeText(text, entry));
  }

  /** What has no end when the log has. */
  rest(): Found[] {
    const cut = this.#open.map(cutOf);
    this.#open = [];
    return cut;
  }

  #takeText(text: string, entry: LogEntry): Found[] {
    const found: Found[] = [];
    const begun: Beginning[] = [];
    const prefix = text.slice(0, firstMarker(text));
    let rest = text;
    for (let at = lastMarker(rest); at >= 0; at = lastMarker(rest)) {
      const whole = findingAt(rest.slice(at));
      if (whole === null) {
        begun.push({ entry, prefix, variants: [rest.slice(at)], left: followingMax });
      } else found.push({ finding: whole.finding, entry });
      rest = rest.slice(0, at) + (whole === null ? "" : rest.slice(at + whole.characters));
    }
    const told = this.#join(rest);
    this.#open.push(...begun.reverse());
    return [...told, ...found.reverse()];
  }

  /**
   * Tries what is left of a line as the rest of what has begun. Where several have, nobody can tell
   * whose rest it is, and numbers of two processes in one object would be nobody's.
   */
  #join(rest: string): Found[] {
    const found: Found[] = [];
    const isAlone = this.#open.length === 1;
    this.#open = this.#open.filter((one) => {
      if (!rest.startsWith(one.prefix) || rest === one.prefix) return true;
      if (!isAlone) one.left = Math.min(one.left, 1);
      const further = one.variants.map((variant) => variant + rest.slice(one.prefix.length));
      const whole = further.map(findingAt).find((each) => each !== null);
      if (isAlone && whole !== undefined && whole !== null) {
        found.push({ finding: whole.finding, entry: one.entry });
        return false;
      }
      one.variants = [...one.variants, ...further].slice(0, variantsMax);
      one.left -= 1;
      if (one.left === 0) found.push(cutOf(one));
      return one.left > 0;
    });
    return found;
  }
}

function cutOf({ entry, variants }: Beginning): Found {
  return { finding: { kind: "cut", text: variants[0]! }, entry };
}

function firstMarker(text: string): number {
  const places = markers.map((marker) => text.indexOf(marker)).filter((at) => at >= 0);
  return Math.min(text.length, ...places);
}

function lastMarker(text: string): number {
  return Math.max(...markers.map((marker) => text.lastIndexOf(marker)));
}

/** What a text begins with, and how many characters of it that takes. */
function findingAt(text: string): { finding: Finding; characters: number } | null {
  const result = resultPartIn(text);
  if (result !== null) {
    return { finding: { kind: "result", part: result.part }, characters: result.characters };
  }
  const head = /^METRICS_JSON:\s*(?=\{)/.exec(text)?.[0].length ?? 0;
  const end = head === 0 ? null : objectEnd(text, head);
  if (end === null) return null;
  try {
    const value = JSON.parse(text.slice(head, end)) as Record<string, unknown>;
    return { finding: { kind: "metrics", value }, characters: end };
  } catch {
    return null;
  }
}

/** Behind the brace that closes the object; null where none does. */
function objectEnd(text: string, start: number): number | null {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at++) {
    const one = text[at];
    if (one === "\\") at += 1;
    else if (one === '"') inString = !inString;
    else if (inString) continue;
    else if (one === "{") depth += 1;
    else if (one === "}" && --depth === 0) return at + 1;
  }
  return null;
}

const quotedOnce = /(?:METRICS_JSON:\s*\{|RESULT_JSON [^:]*: )[^"]{0,20}\\"/;

/** Texts that stand in the strings of a JSON log, as `aws logs filter-log-events` prints it. */
function unquoted(text: string): string[] {
  if (!quotedOnce.test(text)) return [text];
  const strings = [...text.matchAll(/"(?:[^"\\]|\\.)*"/g)].map(([one]) => one);
  const held = strings.filter((one) => markers.some((marker) => one.includes(marker)));
  if (held.length === 0) return [text.replaceAll('\\"', '"')];
  return held.map((one) => {
    try {
      return String(JSON.parse(one));
    } catch {
      return one;
    }
  });
}
