/**
 * What a worker counts of a run while it steps: for heartbeats (statistics) and for its final
 * metrics (record). Times are in milliseconds here and in seconds outside.
 */
import type { WorkerStatistics } from "../../protocol/messages.js";

/** What computing a step came to. */
export interface StepOutcome {
  /** The sum, not the mean, of the loss over the examples. */
  readonly lossSum: number;
  readonly correct: number;
  /** Of the time it took, that of getting and preparing the examples. */
  readonly inputSeconds: number;
  /** And that of waiting for parameters that had not come back from the servers. */
  readonly waitSeconds: number;
}

/** What a worker measured of the run, for its final metrics. */
export interface WorkerAccountRecord {
  readonly epochSeconds: readonly number[];
  readonly accuraciesPercent: readonly number[];
  readonly steps: number;
}

/** The account of one run. */
export class WorkerAccount {
  readonly #epochSeconds: number[] = [];
  readonly #accuraciesPercent: number[] = [];
  #steps = 0;
  #examples = 0;
  #lossSum = 0;
  #lossCount = 0;
  #correct = 0;
  #inputMs = 0;
  #computeMs = 0;
  #waitMs = 0;

  /** The last accuracy that was told; undefined before the first. */
  get lastAccuracyPercent(): number | undefined {
    return this.#accuraciesPercent.at(-1);
  }

  /** A step's gradients are done. */
  computed(examples: number, outcome: StepOutcome, durationMs: number): void {
    this.#lossSum += outcome.lossSum;
    this.#lossCount += examples;
    this.#correct += outcome.correct;
    const inputMs = Math.min(durationMs, 1000 * outcome.inputSeconds);
    const waitMs = Math.min(durationMs - inputMs, 1000 * outcome.waitSeconds);
    this.#inputMs += inputMs;
    this.#waitMs += waitMs;
    this.#computeMs += durationMs - inputMs - waitMs;
  }

  /** A step's chunks are all back; `waitMs` is how long nothing was computed meanwhile. */
  stepped(examples: number, waitMs: number): void {
    this.#examples += examples;
    this.#waitMs += waitMs;
    if (examples > 0) this.#steps++;
  }

  /** An assignment of an epoch is done. */
  spent(epoch: number, seconds: number): void {
    this.#epochSeconds[epoch] = (this.#epochSeconds[epoch] ?? 0) + seconds;
  }

  /** The cluster's model was evaluated. */
  evaluated(accuracyPercent: number): void {
    this.#accuraciesPercent.push(accuracyPercent);
  }

  /** Counts for heartbeats; `clock` is the number of steps completed. */
  statistics(clock: number): WorkerStatistics {
    return {
      clock,
      steps: this.#steps,
      examples: this.#examples,
      lossSum: this.#lossSum,
      lossCount: this.#lossCount,
      correct: this.#correct,
      inputSeconds: this.#inputMs / 1000,
      computeSeconds: this.#computeMs / 1000,
      waitSeconds: this.#waitMs / 1000,
    };
  }

  /** What the final metrics are made of; an epoch that it took no part in is left out. */
  record(): WorkerAccountRecord {
    return {
      epochSeconds: this.#epochSeconds.filter((seconds) => seconds !== undefined),
      accuraciesPercent: [...this.#accuraciesPercent],
      steps: this.#steps,
    };
  }
}
