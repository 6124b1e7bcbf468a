/**
 * An order to stand at a checkpoint's barrier, as a worker keeps it: it takes whole weights first
 * where replies are differences, then it gives its residuals, once.
 *
 * Invariant: residuals that are on their way are of the order that stands.
 */
import type { WorkerEffect, WorkerEvent } from "./worker-events.js";

/** What a worker of one run does at barriers. */
export class BarrierStand {
  readonly #emit: (effect: WorkerEffect) => void;
  #order: { readonly id: number; isWhole: boolean; isGiving: boolean } | null = null;

  constructor(emit: (effect: WorkerEffect) => void) {
    this.#emit = emit;
  }

  /** It is told to stand at this barrier. */
  hear(id: number): void {
    this.#order = { id, isWhole: false, isGiving: false };
  }

  /** Another coordinator has come: it tells of its own barrier where it wants one. */
  returned(): void {
    if (this.#order?.isGiving === false) this.#order = null;
  }

  /** True while an order stands. */
  get stands(): boolean {
    return this.#order !== null;
  }

  /** True once its residuals are on their way to the coordinator. */
  get isGiving(): boolean {
    return this.#order?.isGiving === true;
  }

  /** True the first time: it has to have whole weights before it gives. */
  takesWhole(): boolean {
    if (this.#order === null || this.#order.isWhole) return false;
    this.#order.isWhole = true;
    return true;
  }

  /** Its residuals are given. */
  give(): void {
    if (this.#order === null) return;
    this.#order.isGiving = true;
    this.#emit({ type: "giveResiduals", barrier: this.#order.id });
  }

  /** The same for one whose weights come whole as they are pulled, if it has not given yet. */
  giveWhilePulling(): void {
    if (this.#order !== null && !this.#order.isWhole && !this.#order.isGiving) this.give();
  }

  /** They are there, or can't be; of another barrier than the one that stands nothing is said. */
  given(event: WorkerEvent & { readonly type: "residualsGiven" }): void {
    const { barrier, chunks: residuals, problem } = event;
    if (this.#order?.id !== barrier || !this.#order.isGiving) return;
    this.#order = null;
    const message = { type: "barrierReached", barrier, residuals, problem } as const;
    this.#emit({ type: "tell", message });
  }
}
