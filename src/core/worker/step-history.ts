/**
 * What a worker's assignment had come to after each of its latest steps, so that it can tell of one
 * that lies behind it: a checkpoint's cut is known to the coordinator a moment after the worker has
 * gone on.
 *
 * Invariant: whatever is asked is answered once, as soon as the step is complete; with nothing
 * where it lies too far behind.
 */
import type { StepTally, TallyOrder } from "../../protocol/cut.js";
import type { WorkerStatistics } from "../../protocol/messages.js";
import { idleWorker } from "../../protocol/statistics.js";
import type { WorkerEffect } from "./worker-events.js";
import type { Work } from "./worker-state.js";

interface CompletedStep {
  readonly assignment: number;
  readonly step: number;
  readonly tally: StepTally;
}

/** Steps that are kept. */
const keptMax = 256;

const unknown: StepTally = {
  ...{ examples: 0, dropped: 0, lossSum: 0, correct: 0, seconds: 0 },
  statistics: idleWorker,
};

/** The history of one job. */
export class StepHistory {
  readonly #emit: (effect: WorkerEffect) => void;
  readonly #kept: CompletedStep[] = [];
  /** Asked for, and not complete. */
  #asked: TallyOrder[] = [];

  /** @param emit has the host do something. */
  constructor(emit: (effect: WorkerEffect) => void) {
    this.#emit = emit;
  }

  /** A step of the work is complete. */
  completed(work: Work, step: number, statistics: WorkerStatistics): void {
    const { assignment, examples, dropped, lossSum, correct, seconds } = work;
    const tally = { examples, dropped, lossSum, correct, seconds, statistics };
    this.#kept.push({ assignment: assignment.id, step, tally });
    if (this.#kept.length > keptMax) this.#kept.shift();
    const asked = this.#asked;
    this.#asked = [];
    for (const order of asked) this.ask(order);
  }

  /** The coordinator wants to know what an assignment comes to with a step. */
  ask(order: TallyOrder): void {
    const { cut, assignment, step } = order;
    const last = this.#kept.at(-1);
    const isAhead =
      last === undefined ||
      last.assignment < assignment ||
      (last.assignment === assignment && last.step < step);
    if (isAhead) {
      this.#asked.push(order);
      return;
    }
    const found = this.#kept.find((one) => one.assignment === assignment && one.step === step);
    const message = { type: "tallied", cut, ...(found?.tally ?? unknown) } as const;
    this.#emit({ type: "tell", message });
  }
}
