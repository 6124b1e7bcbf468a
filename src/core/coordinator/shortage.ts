/**
 * May a run go on with the workers that are left? Below its minimum it waits, as spot machines are
 * replaced and pods are moved: nobody trains on meanwhile, servers keep what they have. It ends,
 * with a checkpoint, when nobody has come for as long as it is to wait, or at once where nobody
 * will: a supervisor has said of so many that it starts them no more.
 */
import type { RunSpec } from "../../protocol/run-spec.js";
import { shortageOf, timeOf } from "./training-words.js";

/** How long is waited, and for whom. */
export interface Patience {
  /** For workers, once fewer are there than must be; 0 waits for none. */
  readonly waitForWorkersMs: number;
  /** Beyond that, for workers that have come and prepare themselves. */
  readonly startTimeoutMs: number;
}

/** Workers at this moment. */
export interface WorkersPresent {
  /** Those who take part, or may from the next view on. */
  readonly ready: number;
  /** Those who have come and prepare themselves. */
  readonly preparing: number;
  /** True while a life of this rank is one of the two. */
  has(rank: number): boolean;
}

/** What follows from the numbers. */
export interface ShortageVerdict {
  /** That training waits, once; null where it does not, or that was told. */
  readonly news: string | null;
  /** Why the run can't go on; null where it can. */
  readonly ending: string | null;
}

const enough: ShortageVerdict = { news: null, ending: null };

/** Watches whether enough workers are there. */
export class Shortage {
  readonly #patience: Patience;
  #sinceMs: number | null = null;
  /** Ranks for which a supervisor starts no process any more. */
  readonly #givenUp = new Set<number>();

  constructor(patience: Patience) {
    this.#patience = patience;
  }

  /** No process of this rank is started any more. */
  giveUp(rank: number): void {
    this.#givenUp.add(rank);
  }

  /** The rank has a process, or will. */
  expect(rank: number): void {
    this.#givenUp.delete(rank);
  }

  /** Looks at the numbers. */
  judge(
    { workersMin, workersMax }: Pick<RunSpec, "workersMin" | "workersMax">,
    workers: WorkersPresent,
    nowMs: number,
  ): ShortageVerdict {
    const { ready } = workers;
    if (ready >= workersMin) {
      this.#sinceMs = null;
      return enough;
    }
    const isNew = this.#sinceMs === null;
    this.#sinceMs ??= nowMs;
    const { waitForWorkersMs, startTimeoutMs } = this.#patience;
    const waitedMs = nowMs - this.#sinceMs;
    const isComing = ready + workers.preparing >= workersMin;
    const limitMs = waitForWorkersMs + (isComing ? startTimeoutMs : 0);
    const left = `${ready} worker${ready === 1 ? " is" : "s are"} left`;
    const must = `${left} and at least ${workersMin} must be`;
    if (this.#possible(workersMax, workers) < workersMin) return { news: null, ending: must };
    if (waitedMs >= limitMs) {
      const after = waitForWorkersMs > 0 ? `, after ${timeOf(waitForWorkersMs)} of waiting` : "";
      return { news: null, ending: `${must}${after}` };
    }
    const news = isNew ? shortageOf(ready, workersMin, limitMs) : null;
    return { news, ending: null };
  }

  /** How many may be there yet. */
  #possible(workersMax: number, { has }: WorkersPresent): number {
    let count = 0;
    for (let rank = 0; rank < workersMax; rank++) {
      if (has(rank) || !this.#givenUp.has(rank)) count++;
    }
    return count;
  }
}
