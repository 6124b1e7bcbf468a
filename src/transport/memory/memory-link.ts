/**
 * One connection inside a process: two ends, each with a queue of what it was sent. Items are
 * delivered in order, each in a task of the scheduler, so that a sender is never called back from
 * inside its own `send`.
 */
import { PacelineError } from "../../errors.js";

/** Runs a task later; the simulator passes its own to decide when. */
export type Schedule = (task: () => void) => void;

/** What an end does with what arrives. A PacelineError thrown by `onItem` breaks the link. */
export interface EndReceiver<Item> {
  onItem(item: Item): void;
  onClose(error: PacelineError): void;
}

interface Queued<Item> {
  /** Null ends the channel. */
  readonly item: Item | null;
  readonly sent: (() => void) | undefined;
}

/** One end; `In` arrives here and `Out` leaves. */
export class LinkEnd<In, Out> {
  /** What this end is called in messages to people. */
  readonly name: string;
  receiver: EndReceiver<In> | null = null;
  readonly #link: MemoryLink;
  readonly #inbox: Queued<In>[] = [];
  #other: LinkEnd<Out, In> | null = null;

  constructor(name: string, link: MemoryLink) {
    this.name = name;
    this.#link = link;
  }

  /** Joins two ends. */
  static join<Left, Right>(left: LinkEnd<Left, Right>, right: LinkEnd<Right, Left>): void {
    left.#other = right;
    right.#other = left;
  }

  /** Queues an item for the other end; `sent` is called when it was delivered, or can't be. */
  send(item: Out, sent: (() => void) | undefined): void {
    const other = this.#other;
    if (other === null || this.receiver === null) this.#link.schedule(() => sent?.());
    else other.enqueue({ item, sent });
  }

  /** Ends the link after what was sent; nothing is delivered to this end any more. */
  close(): void {
    if (this.receiver === null) return;
    this.receiver = null;
    this.#other?.enqueue({ item: null, sent: undefined });
  }

  /** Ends the link at once; this end hears the error unless it had closed. */
  fail(error: PacelineError): void {
    this.#other = null;
    const { receiver } = this;
    this.receiver = null;
    for (const { sent } of this.#inbox.splice(0)) this.#link.schedule(() => sent?.());
    if (receiver !== null) this.#link.schedule(() => receiver.onClose(error));
  }

  /** Takes what the other end sent. */
  enqueue(queued: Queued<In>): void {
    this.#inbox.push(queued);
    this.#link.schedule(() => this.#deliver());
  }

  #deliver(): void {
    const queued = this.#inbox.shift();
    if (queued === undefined) return;
    const { item, sent } = queued;
    if (item === null) {
      const name = this.#other?.name ?? "the other side";
      this.#link.break(new PacelineError("unavailable", `${name} closed the connection`));
      return;
    }
    this.#link.guard(() => this.receiver?.onItem(item));
    sent?.();
  }
}

/** The connection; breaking either end ends both. */
export class MemoryLink {
  readonly schedule: Schedule;
  /** Called once when the link is gone. */
  onEnd: () => void = () => {};
  readonly #ends: { fail(error: PacelineError): void }[] = [];
  #broken = false;

  constructor(schedule: Schedule) {
    this.schedule = schedule;
  }

  /** Makes the two ends of this link. */
  ends<Left, Right>(
    leftName: string,
    rightName: string,
  ): { left: LinkEnd<Left, Right>; right: LinkEnd<Right, Left> } {
    const left = new LinkEnd<Left, Right>(leftName, this);
    const right = new LinkEnd<Right, Left>(rightName, this);
    LinkEnd.join(left, right);
    this.#ends.push(left, right);
    return { left, right };
  }

  /** Runs a callback of a receiver; the link breaks with a PacelineError that it throws. */
  guard(callback: () => unknown): void {
    try {
      callback();
    } catch (thrown) {
      if (!(thrown instanceof PacelineError)) throw thrown;
      this.break(thrown);
    }
  }

  /** Ends both sides at once with an error; calling it again does nothing. */
  break(error: PacelineError): void {
    if (this.#broken) return;
    this.#broken = true;
    for (const end of this.#ends) end.fail(error);
    this.onEnd();
  }
}
