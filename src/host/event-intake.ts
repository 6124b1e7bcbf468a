/**
 * How many events may wait for their turn while something is made durable: so many in all, and of
 * one sender. A disk that stands still then fills no memory, whatever is sent meanwhile.
 *
 * Members send four heartbeats a second and little besides, so that the limit of one sender is a
 * quarter of an hour of them, and that of all eleven minutes where there are 25 members.
 */
import { PacelineError } from "../errors.js";

/** Events that wait in all. */
export const waitingMax = 65_536;
/** Events of one sender that wait. */
export const waitingOfSenderMax = 4096;

/** Counts what waits. */
export class EventIntake {
  readonly #waiting = new Map<string, number>();
  #total = 0;

  /** True where one more event of this sender may wait. */
  admits(sender: string): boolean {
    return this.#total < waitingMax && (this.#waiting.get(sender) ?? 0) < waitingOfSenderMax;
  }

  /** Throws "unavailable" where none may, after which the sender tries again. */
  demandRoom(sender: string): void {
    if (this.admits(sender)) return;
    const waiting = `${this.#total} events, ${this.#waiting.get(sender) ?? 0} of ${sender}`;
    throw new PacelineError(
      "unavailable",
      `the coordinator waits for its disk with ${waiting}: try again`,
    );
  }

  /** An event of the sender has come. */
  add(sender: string): void {
    this.#total++;
    this.#waiting.set(sender, (this.#waiting.get(sender) ?? 0) + 1);
  }

  /** An event of the sender has its turn. */
  done(sender: string): void {
    this.#total--;
    const left = this.#waiting.get(sender)! - 1;
    if (left > 0) this.#waiting.set(sender, left);
    else this.#waiting.delete(sender);
  }
}
