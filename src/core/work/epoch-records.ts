/**
 * The account of epochs: seconds, examples, loss, and each worker's own time. An epoch's clock
 * stands still while everybody waits for an evaluation or a checkpoint.
 */
import type { EpochRecord } from "../../protocol/run-events.js";
import type { OpenEpoch, TrainingSnapshot } from "./run-setup.js";

interface Timed extends OpenEpoch {
  /** When its clock was last started; null while it stands still. */
  startedMs: number | null;
}

/** What a worker tells of an assignment that is done. */
export interface AssignmentCounts {
  readonly examples: number;
  readonly lossSum: number;
  readonly correct: number;
  readonly seconds: number;
}

/** The account. */
export class EpochRecords {
  readonly #open = new Map<number, Timed>();
  /** The last one that is over, where a limit on steps ended it: a run resumed goes on with it. */
  #cut: Timed | null = null;
  #closed: EpochRecord[];
  #secondsBefore: number;
  #beganMs: number | null = null;

  constructor(resume: TrainingSnapshot | null) {
    this.#closed = [...(resume?.epochs ?? [])];
    this.#secondsBefore = resume?.seconds ?? 0;
    for (const open of resume?.openEpochs ?? []) {
      const workerSeconds = { ...open.workerSeconds };
      this.#open.set(open.epoch, { ...open, workerSeconds, startedMs: null });
    }
  }

  /** Training begins, or goes on after a checkpoint. */
  begin(nowMs: number): void {
    this.#beganMs = nowMs;
    this.resume(nowMs);
  }

  /** Epochs that are over. */
  get closed(): readonly EpochRecord[] {
    return this.#closed;
  }

  /** Seconds since training began, over all the lives of the run. */
  elapsedSeconds(nowMs: number): number {
    return this.#secondsBefore + (this.#beganMs === null ? 0 : (nowMs - this.#beganMs) / 1000);
  }

  /** An epoch's first work is about to be dealt. */
  openEpoch(epoch: number, nowMs: number): void {
    const fresh = { epoch, seconds: 0, examples: 0, lostExamples: 0, lossSum: 0, correct: 0 };
    this.#open.set(epoch, { ...fresh, workerSeconds: {}, startedMs: nowMs });
  }

  /** All clocks stand still. */
  interrupt(nowMs: number): void {
    for (const epoch of this.#open.values()) stop(epoch, nowMs);
  }

  /** All clocks go on. */
  resume(nowMs: number): void {
    for (const epoch of this.#open.values()) epoch.startedMs ??= nowMs;
  }

  /** Seconds of an epoch that is not over, so far. */
  openSeconds(epoch: number, nowMs: number): number {
    const open = this.#open.get(epoch);
    return open === undefined ? 0 : open.seconds + runningSeconds(open, nowMs);
  }

  /** A worker has finished an assignment. */
  addAssignment(epoch: number, rank: number, assignment: AssignmentCounts): void {
    const open = this.#open.get(epoch);
    if (open === undefined) return;
    open.examples += assignment.examples;
    open.lossSum += assignment.lossSum;
    open.correct += assignment.correct;
    open.workerSeconds[rank] = (open.workerSeconds[rank] ?? 0) + assignment.seconds;
  }

  /**
   * A lost worker had used this many examples of the assignment it did not finish; their loss is
   * not known.
   */
  addLost(epoch: number, examples: number): void {
    const open = this.#open.get(epoch);
    if (open === undefined) return;
    open.examples += examples;
    open.lostExamples += examples;
  }

  /** Closes an epoch, before its end where it is cut; null if it is closed already. */
  closeEpoch(epoch: number, skipped: number, nowMs: number, isCut = false): EpochRecord | null {
    const open = this.#open.get(epoch);
    if (open === undefined) return null;
    stop(open, nowMs);
    this.#open.delete(epoch);
    if (isCut) this.#cut = open;
    const { seconds, examples, lostExamples, lossSum, correct, workerSeconds } = open;
    const told = examples - lostExamples;
    const trainLoss = told === 0 ? 0 : lossSum / told;
    const trainAccuracyPercent = told === 0 ? 0 : (100 * correct) / told;
    const means = { trainLoss, trainAccuracyPercent };
    const record = { epoch, seconds, examples, skipped, ...means, workerSeconds };
    this.#closed.push(record);
    return record;
  }

  /** Examples gone through, in closed and open epochs. */
  examples(): number {
    const closed = this.#closed.reduce((sum, { examples }) => sum + examples, 0);
    return [...this.#open.values()].reduce((sum, { examples }) => sum + examples, closed);
  }

  /** What a checkpoint keeps. */
  snapshot(nowMs: number): Pick<TrainingSnapshot, "epochs" | "openEpochs" | "seconds"> {
    const cut = this.#cut === null ? [] : [this.#cut];
    const openEpochs = [...this.#open.values(), ...cut].map((open) => {
      const { epoch, examples, lostExamples, lossSum, correct, workerSeconds } = open;
      const seconds = open.seconds + runningSeconds(open, nowMs);
      const counts = { examples, lostExamples, lossSum, correct };
      // What is kept is of this moment, and training goes on.
      return { epoch, seconds, ...counts, workerSeconds: { ...workerSeconds } };
    });
    const epochs = this.#closed.filter(({ epoch }) => epoch !== this.#cut?.epoch);
    return { epochs, openEpochs, seconds: this.elapsedSeconds(nowMs) };
  }
}

function stop(epoch: Timed, nowMs: number): void {
  if (epoch.startedMs === null) return;
  epoch.seconds += runningSeconds(epoch, nowMs);
  epoch.startedMs = null;
}

function runningSeconds({ startedMs }: Timed, nowMs: number): number {
  return startedMs === null ? 0 : (nowMs - startedMs) / 1000;
}
