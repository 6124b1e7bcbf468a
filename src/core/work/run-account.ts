/**
 * What is known of a run's work as it goes on: which of it was dealt and used, what epochs came to,
 * and which steps only some chunks have applied.
 */
import type { AssignmentReport } from "../../protocol/assignment-report.js";
import { termOf } from "../../protocol/ids.js";
import type { Assignment, MemberMessage } from "../../protocol/messages.js";
import { EpochRecords } from "./epoch-records.js";
import type { TrainingSnapshot } from "./run-setup.js";
import type { WorkAccount } from "./work-floor.js";

/** A worker that is gone, over all servers. */
export interface DepartedWorker {
  readonly rank: number;
  /** The last of its steps that is used. */
  readonly lastStep: number;
  /** Only some chunks have that step. */
  readonly isTorn: boolean;
  /** Examples of its life that were used. */
  readonly used: number;
}

type Returned = MemberMessage & { readonly type: "returned" };

/** The account of one run. */
export class RunAccount {
  readonly work: WorkAccount;
  readonly epochs: EpochRecords;
  #tornSteps: number;
  /** By rank the assignment that did not reach it. */
  readonly #lost = new Map<number, number>();

  constructor(work: WorkAccount, resume: TrainingSnapshot | null) {
    this.work = work;
    this.epochs = new EpochRecords(resume);
    this.#tornSteps = resume?.tornSteps ?? 0;
  }

  /** Worker steps that only some chunks have applied. */
  get tornSteps(): number {
    return this.#tornSteps;
  }

  /** A worker says that an assignment is done; one that is not its any more changes nothing. */
  done(rank: number, report: AssignmentReport): void {
    const { assignment, skipped, dropped, statistics } = report;
    const epoch = this.work.finish(rank, assignment, skipped, dropped);
    if (epoch === null) return;
    this.work.comesTo(rank, statistics.clock);
    this.epochs.addAssignment(epoch, rank, report);
  }

  /**
   * A worker tells the coordinator of this term where it stands. One before may not have heard of
   * what is done, and what that dealt be lost: then it is to be given again.
   */
  returned(rank: number, { assignment, step, done }: Returned, term: number): void {
    if (done !== null) this.done(rank, done);
    const out = this.work.assignmentOut(rank);
    if (out === null && done !== null) this.work.restsBefore(rank, step);
    const isEarlier = out !== null && termOf(out.id) < term;
    if (isEarlier && out.id !== assignment) this.#lost.set(rank, out.id);
  }

  /** Assignments that are to be given again, once. */
  takeLost(): (readonly [rank: number, assignment: Assignment])[] {
    const lost = [...this.#lost].flatMap(([rank, id]) => {
      const out = this.work.assignmentOut(rank);
      return out?.id === id ? [[rank, out] as const] : [];
    });
    this.#lost.clear();
    return lost;
  }

  /** Servers have said how far these had come. */
  departed(workers: readonly DepartedWorker[]): void {
    for (const { rank, lastStep, isTorn, used } of workers) {
      if (isTorn) this.#tornSteps++;
      const lost = this.work.lose(rank, lastStep, used);
      if (lost !== null) this.epochs.addLost(lost.epoch, lost.examples);
    }
  }

  /** What a checkpoint keeps of it. */
  snapshot(
    nowMs: number,
  ): Pick<TrainingSnapshot, "cursor" | "epochs" | "openEpochs" | "seconds" | "tornSteps"> {
    const { tornSteps } = this;
    return { cursor: this.work.snapshot(), ...this.epochs.snapshot(nowMs), tornSteps };
  }
}
