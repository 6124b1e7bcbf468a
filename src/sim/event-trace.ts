/**
 * What happened in a simulated world, as lines with their time. Lines are kept where somebody wants
 * to read them: all, or those that tell the story without each message. A hash of all is kept
 * always, so that two runs of one seed can be compared.
 */

const prime = 0x01000193;

/** Which lines are kept. */
export type KeptLines = "none" | "story" | "all";

/** The trace of one world. */
export class EventTrace {
  readonly lines: string[] = [];
  readonly #kept: KeptLines;
  #hash = 0x811c9dc5;

  constructor(kept: KeptLines) {
    this.#kept = kept;
  }

  /** Of all lines so far. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** Something happened somewhere. */
  note(atMs: number, where: string, what: string): void {
    this.#mix(Math.round(atMs * 1000));
    this.#mixText(where);
    this.#mixText(what);
    if (this.#kept !== "none") this.lines.push(lineOf(atMs, where, what));
  }

  /** The same for what happens often: numbers stand for the sentence, made if it is read. */
  event(atMs: number, where: string, numbers: readonly number[], what: () => string): void {
    this.#mix(Math.round(atMs * 1000));
    this.#mixText(where);
    for (const number of numbers) this.#mix(number);
    if (this.#kept === "all") this.lines.push(lineOf(atMs, where, what()));
  }

  #mix(number: number): void {
    this.#hash = Math.imul(this.#hash ^ number, prime);
  }

  #mixText(text: string): void {
    let hash = this.#hash;
    for (let index = 0; index < text.length; index++) {
      hash = Math.imul(hash ^ text.charCodeAt(index), prime);
    }
    this.#hash = hash;
  }
}

function lineOf(atMs: number, where: string, what: string): string {
  return `${atMs.toFixed(3).padStart(11)} ${where}: ${what}`;
}
