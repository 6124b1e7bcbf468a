/**
 * The highest term of a coordinator that a process has heard of. There is one for a process: it
 * outlives sessions and registrations, so that a coordinator whose place another has taken is not
 * listened to, whichever comes last.
 */

/** What is known of terms. */
export class HeardTerm {
  #value = 0;

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
