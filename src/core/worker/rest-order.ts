/**
 * An order to rest, as a worker keeps it. Asked to pause it says which step it is in and goes no
 * further unasked; told up to which step it may go, it rests behind that and says so once.
 *
 * One that is told to leave after its step begins no other, and leaves once that is complete.
 *
 * Invariant: while an order stands, no step past its limit is begun.
 */
import type { CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import type { WorkerState } from "./worker-state.js";

type PauseWord = CoordinatorMessage & { readonly type: "pause" | "pauseAt" | "resume" };
type StopOrder = CoordinatorMessage & { readonly type: "stop" };

/** True of what is said about a pause. */
export function isPauseWord(message: CoordinatorMessage): message is PauseWord {
  const { type } = message;
  return type === "pause" || type === "pauseAt" || type === "resume";
}

/** The order that stands, if any. */
export class RestOrder {
  #pause: { id: number; limit: number; isSettled: boolean; isTold: boolean } | null = null;
  #leave: StopOrder | null = null;

  /** True while the worker is to rest, or will be. */
  get stands(): boolean {
    return this.#pause !== null;
  }

  /**
   * The worker, which is in this step, is asked to go no further; or it is settled up to and
   * including which step it goes; or it may go on. What it has to answer; null for nothing.
   */
  hear(order: PauseWord, step: number): MemberMessage | null {
    const { type, pause: id } = order;
    if (type === "resume") this.lift(id);
    if (type === "pauseAt" && this.#pause?.id === id) {
      this.#pause = { id, limit: order.step, isSettled: true, isTold: false };
    }
    if (type !== "pause") return null;
    this.#pause = { id, limit: step, isSettled: false, isTold: false };
    return { type: "pausing", pause: id, step };
  }

  /** The worker is told to leave: true where it has a step to complete first. */
  leave(order: StopOrder, state: WorkerState["name"]): boolean {
    const isLater = order.afterStep && state === "stepping";
    this.#leave = isLater ? order : null;
    return isLater;
  }

  /** The order to leave, once, where the time for it has come. */
  takeLeave(state: WorkerState["name"]): StopOrder | null {
    if (state === "stepping") return null;
    const order = this.#leave;
    this.#leave = null;
    return order;
  }

  /** It may go on; null lifts whatever order stands. */
  lift(id: number | null): void {
    if (id === null || this.#pause?.id === id) this.#pause = null;
  }

  /** May this step not be begun? */
  forbids(step: number): boolean {
    return this.#leave !== null || (this.#pause !== null && step > this.#pause.limit);
  }

  /** The pause that the worker now rests for and has not said so of; null where there is none. */
  takeReached(): number | null {
    if (this.#pause === null || !this.#pause.isSettled || this.#pause.isTold) return null;
    this.#pause.isTold = true;
    return this.#pause.id;
  }
}
