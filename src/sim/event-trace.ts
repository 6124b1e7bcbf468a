/**
 * What happened in a simulated world, as lines with their time. Lines are kept where somebody wants
 * to read them; a hash of all of them is kept always, so that two runs of one seed can be compared.
 */

const prime = 0x01000193;

/** The trace of one world. */
export class EventTrace {
  /** Null where nobody reads them. */
  readonly lines: string[] | null;
  #hash = 0x811c9dc5;

  constructor(keepsLines: boolean) {
    this.lines = keepsLines ? [] : null;
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
    this.lines?.push(lineOf(atMs, where, what));
  }

  /** The same for what happens often: numbers stand for the sentence, made if it is read. */
  event(atMs: number, where: string, numbers: readonly number[], what: () => string): void {
    this.#mix(Math.round(atMs * 1000));
    this.#mixText(where);
    for (const number of numbers) this.#mix(number);
    this.lines?.push(lineOf(atMs, where, what()));
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
