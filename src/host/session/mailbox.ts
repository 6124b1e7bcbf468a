/**
 * What one side of a session has said and the other may not have heard. Streams deliver in order
 * while they last, so a count of messages received is all that the two sides tell each other; after
 * a broken link the rest is sent again.
 */
import { assert } from "../../assert.js";

/** Messages kept for one peer; more mean that it has stopped listening. */
export const mailboxMessagesMax = 100_000;

/** An outgoing queue. */
export class Mailbox<Message> {
  #kept: Message[] = [];
  #first = 0;

  /** Keeps a message until it is known to have arrived. */
  add(message: Message): void {
    assert(!this.isFull, "a peer takes its messages in", {
      kept: this.#kept.length,
    });
    this.#kept.push(message);
  }

  /** True where one more would be too many. */
  get isFull(): boolean {
    return this.#kept.length >= mailboxMessagesMax;
  }

  /** The other side has received this many in all. */
  acknowledge(received: number): void {
    const done = Math.min(Math.max(0, received - this.#first), this.#kept.length);
    if (done === 0) return;
    this.#kept.splice(0, done);
    this.#first += done;
  }

  /** Messages not known to have arrived, in order. */
  unacknowledged(): readonly Message[] {
    return this.#kept;
  }
}
