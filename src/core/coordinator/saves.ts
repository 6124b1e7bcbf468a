/**
 * What is kept of a run while it trains: the checkpoint that is on its way, and what those before
 * it came to.
 *
 * Invariant: a checkpoint whose servers changed while they were asked for it is asked for anew, of
 * the servers that lead then, as nobody has gone on meanwhile.
 */
import type { RunEvent } from "../../protocol/run-events.js";
import type { BarrierRound } from "../work/barrier-round.js";
import type { SaveRequest } from "../work/run-setup.js";

/** What the writing of a checkpoint came to. */
export interface SaveEnd {
  readonly step: number;
  /** Updates that every chunk has; 0 where they could not be asked. */
  readonly version: number;
  readonly problem: string | null;
}

/** A checkpoint on its way. */
interface Writing {
  readonly why: SaveRequest["why"];
  readonly barrier: BarrierRound;
  stage: "begun" | "abandoned" | "due";
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
  reachedStep = 0;
  #writing: Writing | null = null;

  constructor(keptStep: number | null) {
    this.keptStep = keptStep;
  }

  /** True while what is being written is of finished work. */
  get isFinal(): boolean {
    return this.#writing?.why === "final";
  }

  /** What has to be asked for anew, if anything. */
  get due(): Pick<Writing, "why" | "barrier"> | null {
    return this.#writing?.stage === "due" ? this.#writing : null;
  }

  /** Servers are asked for their parts. */
  begin(why: SaveRequest["why"], barrier: BarrierRound): void {
    this.#writing = { why, barrier, stage: "begun" };
  }

  /** A server is gone; true where its part of a checkpoint was asked for. */
  abandon(): boolean {
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

  /** Takes what the last one came to: what is to be told of it. */
  keep({ step, problem }: SaveEnd, why: SaveRequest["why"], reachedStep: number): RunEvent {
    this.reachedStep = Math.max(this.reachedStep, reachedStep);
    this.finalSaved ||= why === "final";
    this.savedStep = step;
    if (why === "final") this.unsaved = problem;
    if (problem !== null) return { kind: "warning", text: `checkpoint failed: ${problem}` };
    this.keptStep = step;
    return { kind: "checkpoint", step, text: `checkpoint of step ${step} written` };
  }
}
