/**
 * When contributions came to the chunk that decides who is in a step, for a pace that goes by it:
 * of the last steps how long after the step before was sealed each came, also those that came too
 * late.
 *
 * Times are kept while the chunk is led here, and by nobody else: another primary begins anew, as
 * only how long a step stays open depends on them.
 */
import type { Gathering } from "../sync/pace.js";
import type { ChunkState } from "./chunk-state.js";

/** Steps that are remembered. */
const stepsMax = 16;

/** What is known where time does not count. */
export const untimed: Gathering = { nowMs: 0, heldSince: [], onTimeMs: null, recent: [] };

interface OpenedStep {
  readonly step: number;
  readonly atMs: number;
  /** Ascending. */
  readonly came: number[];
}

/** The times of one chunk. */
export class StepTimes {
  #steps: OpenedStep[] = [];

  /** A step is open from here on, or begins to count anew. */
  opened(step: number, nowMs: number): void {
    const before = this.#steps.filter((one) => one.step !== step);
    this.#steps = [...before, { step, atMs: nowMs, came: [] }].slice(-stepsMax);
  }

  /** A contribution to a step has come. */
  came(step: number, nowMs: number): void {
    const found = this.#steps.find((one) => one.step === step);
    found?.came.push(nowMs - found.atMs);
  }

  /** The chunk is led by another. */
  forget(): void {
    this.#steps = [];
  }

  /** What a pace may know. */
  gathering(state: ChunkState, nowMs: number): Gathering {
    const recent = this.#steps.map(({ came }) => came);
    return { nowMs, heldSince: state.heldSince(), onTimeMs: state.onTimeSince(), recent };
  }
}
