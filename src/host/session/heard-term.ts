/**
 * The highest term of a coordinator that a process has heard of. There is one for a process: it
 * outlives sessions and registrations, so that a coordinator whose place another has taken is not
 * listened to, whichever comes last.
 */

/** So many runs are told apart; of others nothing has been heard. */
const runsMax = 64;

/** What is known of terms. */
export class HeardTerm {
  #value = 0;
  readonly #runs = new Map<string, HeardTerm>();

  /**
   * What is known of the coordinator of one run, where an address serves several: terms of
   * different runs are not compared. Itself where no run is named.
   */
  of(run: string): HeardTerm {
    if (run === "") return this;
    const known = this.#runs.get(run) ?? new HeardTerm();
    this.#runs.delete(run);
    this.#runs.set(run, known);
    const [oldest] = this.#runs.keys();
    if (this.#runs.size > runsMax) this.#runs.delete(oldest!);
    return known;
  }

  /** The highest one; 0 before the first. */
  get value(): number {
    return this.#value;
  }

  /** Takes note of a coordinator's term; false where it is not to be listened to. */
  hear(term: number): boolean {
    if (term < this.#value) return false;
    this.#value = term;
    return true;
  }

  /** What is wrong with a coordinator of this term, as a sentence. */
  objection(coordinator: string, term: number): string {
    const terms = `is of term ${term}, and term ${this.#value} has been heard of`;
    return `the coordinator at ${coordinator} ${terms}: another has taken its place`;
  }
}
