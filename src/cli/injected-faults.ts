/**
 * The faults that are to come upon one process, each when the run reaches its step. Who counts the
 * steps says when: a member does so itself, so that it stops at that step and not a message later.
 */
import type { SuddenFault } from "../protocol/injected-fault.js";

/** A list of faults, each of which comes once. */
export class InjectedFaults {
  readonly #suffer: (fault: SuddenFault, step: number) => void;
  #left: readonly SuddenFault[] = [];

  /** @param suffer what is done when a fault is due; it may not return. */
  constructor(suffer: (fault: SuddenFault, step: number) => void) {
    this.#suffer = suffer;
  }

  /** Those that have not come. */
  get left(): readonly SuddenFault[] {
    return this.#left;
  }

  /** Has further faults come. */
  expect(faults: readonly SuddenFault[]): void {
    this.#left = [...this.#left, ...faults].sort((first, second) => first.at - second.at);
  }

  /** The run is at this step. */
  reached(step: number): void {
    while (this.#left[0] !== undefined && this.#left[0].at <= step) {
      const [due, ...left] = this.#left;
      this.#left = left;
      this.#suffer(due, step);
    }
  }
}
