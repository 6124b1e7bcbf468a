/**
 * The addresses at which a coordinator may be found: one that leads and those that stand by, of
 * which any may lead next. All that a member says to its coordinator goes to the present one; where
 * that does not answer the next is tried, and after the last the first again.
 */

/** The addresses, and which is the present one. */
export class CoordinatorPlaces {
  readonly #addresses: readonly string[];
  #index = 0;

  /** @param text one address, or several with commas between. */
  constructor(text: string) {
    this.#addresses = text.split(",");
  }

  get present(): string {
    return this.#addresses[this.#index]!;
  }

  /** How many there are. */
  get count(): number {
    return this.#addresses.length;
  }

  /** The present one does not answer, or is not the one that leads. */
  turn(): void {
    this.#index = (this.#index + 1) % this.#addresses.length;
  }

  /** All of them, for messages. */
  toString(): string {
    return this.#addresses.join(", ");
  }
}
