/**
 * The dull part of a host: an event goes into the machine, its effects are performed in order, each
 * finished before the next begins, and only then does the next event have its turn.
 *
 * Effects that are done when their call returns cost no promise and no turn of the event loop: the
 * loop waits only where one returns a promise, and events that come meanwhile queue up.
 */

/** A machine and what performs its effects. */
export interface EffectLoopParts<Event, Effect> {
  step(event: Event): readonly Effect[];
  /**
   * Performs an effect. Where it takes time the promise is waited for, which never rejects: what
   * may go wrong with the effect is told the machine as an event.
   */
  perform(effect: Effect): Promise<void> | void;
}

/** The loop of one machine. */
export class EffectLoop<Event, Effect> {
  readonly #parts: EffectLoopParts<Event, Effect>;
  readonly #waiting: Event[] = [];
  #isBusy = false;
  #isEnded = false;

  constructor(parts: EffectLoopParts<Event, Effect>) {
    this.#parts = parts;
  }

  /** Takes an event in: at once, or when the effects of those before are performed. */
  take(event: Event): void {
    if (this.#isEnded) return;
    this.#waiting.push(event);
    if (!this.#isBusy) this.#run([], 0);
  }

  /** Takes nothing in any more; what waits is given up. */
  end(): void {
    this.#isEnded = true;
    this.#waiting.length = 0;
  }

  /** Performs the effects from this one on, then those of the events that wait. */
  #run(first: readonly Effect[], from: number): void {
    this.#isBusy = true;
    try {
      let effects = first;
      let next = from;
      while (!this.#isEnded) {
        while (next < effects.length && !this.#isEnded) {
          const performed = this.#parts.perform(effects[next++]!);
          if (performed === undefined) continue;
          void performed.then(() => this.#run(effects, next));
          return;
        }
        const event = this.#waiting.shift();
        if (event === undefined) break;
        effects = this.#parts.step(event);
        next = 0;
      }
    } catch (thrown) {
      this.#isBusy = false;
      throw thrown;
    }
    this.#isBusy = false;
  }
}
