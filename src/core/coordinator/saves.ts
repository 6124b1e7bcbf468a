/**
 * What is kept of a run while it trains: the checkpoint that is on its way, and what those before
 * it came to. Servers are asked for one and copy their chunks; from then on it is written beside
 * training, unless it is one that the run ends with.
 *
 * Invariants: one at a time. A checkpoint whose servers changed before all had copied is asked for
 * anew, of the servers that lead then, as nobody has gone on meanwhile. One that was lost later, or
 * for which nobody stood, is taken again at the next moment, once.
 */
import type { RunEvent } from "../../protocol/run-events.js";
import type { BarrierRound } from "../work/barrier-round.js";
import type { SaveRequest } from "../work/run-setup.js";

/** What the writing of a checkpoint came to. */
export interface SaveEnd {
  readonly step: number;
  /** Updates that every chunk has in it; 0 where there is a problem. */
  readonly version: number;
  readonly problem: string | null;
  /** True where copies were lost after training had gone on; false if left out. */
  readonly isLost?: boolean;
}

/** A checkpoint on its way. */
interface Writing {
  readonly why: SaveRequest["why"];
  /** At which all stood; null where it is of a cut, for which nobody does. */
  readonly barrier: BarrierRound | null;
  stage: "begun" | "copied" | "abandoned" | "due";
}

/** What a coordinator that starts again knows of checkpoints. */
export interface KeptSaves {
  readonly savedStep: number | null;
  readonly keptStep: number | null;
  readonly reachedStep: number;
  /** One was on its way, which has to be begun anew. */
  readonly isDue: boolean;
}

/** The checkpoints of one run. */
export class Saves {
  /** The step of the last one that was tried. */
  savedStep: number | null = null;
  finalSaved = false;
  /** The step of the last one there is; null where there is none. */
  keptStep: number | null;
  /** Why the last one, of finished work, was not written. */
  unsaved: string | null = null;
  /** Global steps of the last one. */
  reachedStep: number;
  #writing: Writing | null = null;
  /** True while the next one stands for one that was lost. */
  #isSecond = false;

  constructor(keptStep: number | null) {
    this.keptStep = keptStep;
    this.reachedStep = keptStep ?? 0;
  }

  /** What is known of checkpoints; what is being written is not there yet. */
  record(): KeptSaves {
    const { keptStep, reachedStep } = this;
    const isDue = this.#writing !== null;
    return { savedStep: isDue ? null : this.savedStep, keptStep, reachedStep, isDue };
  }

  /** Goes on from what an earlier coordinator knew. */
  restore({ savedStep, keptStep, reachedStep }: KeptSaves): void {
    [this.savedStep, this.keptStep, this.reachedStep] = [savedStep, keptStep, reachedStep];
  }

  /** True while what is being written is of finished work. */
  get isFinal(): boolean {
    return this.#writing?.why === "final";
  }

  /** What the one on its way is for; null where none is. */
  get why(): SaveRequest["why"] | null {
    return this.#writing?.why ?? null;
  }

  /** True while one is written beside training. */
  get isBeside(): boolean {
    return this.#writing?.stage === "copied";
  }

  /** What has to be asked for anew, if anything. */
  get due(): Pick<Writing, "why" | "barrier"> | null {
    return this.#writing?.stage === "due" ? this.#writing : null;
  }

  /**
   * Servers are asked for their parts, all of which have sealed what is before this step. Without a
   * barrier it is written beside training from here on.
   */
  begin(why: SaveRequest["why"], barrier: BarrierRound | null, step: number): void {
    this.#writing = { why, barrier, stage: barrier === null ? "copied" : "begun" };
    this.savedStep = step;
  }

  /** Servers have copied theirs; true where training goes on. */
  copied(): boolean {
    if (this.#writing?.why !== "checkpoint") return false;
    this.#writing.stage = "copied";
    return true;
  }

  /** A server is gone; true where what it was asked for may not come any more. */
  abandon(): boolean {
    if (this.isBeside) return true;
    if (this.#writing?.stage !== "begun") return false;
    this.#writing.stage = "abandoned";
    return true;
  }

  /** The asking has failed, as a server was gone: true where it is to be done anew. */
  isDueAgain({ problem }: SaveEnd): boolean {
    const isAgain = problem !== null && this.#writing?.stage === "abandoned";
    if (isAgain && this.#writing !== null) this.#writing.stage = "due";
    else this.#writing = null;
    return isAgain;
  }

  /** True where another is to be taken at once in the place of one that was lost. */
  isTakenAgain({ isLost = false }: SaveEnd): boolean {
    this.#isSecond = isLost && !this.#isSecond;
    return this.#isSecond;
  }

  /** Takes what the last one came to: what is to be told of it. */
  keep({ step, problem }: SaveEnd, why: SaveRequest["why"], reachedStep: number): RunEvent {
    this.reachedStep = Math.max(this.reachedStep, reachedStep);
    this.finalSaved ||= why === "final";
    if (why === "final") this.unsaved = problem;
    if (problem !== null) return { kind: "warning", text: `checkpoint failed: ${problem}` };
    this.keptStep = step;
    return { kind: "checkpoint", step, text: `checkpoint of step ${step} written` };
  }
}
