/**
 * The account that a checkpoint keeps where nobody stops for it. Servers have their chunks marked,
 * which gives each worker's limit (protocol/cut.ts); the account is written down as it is at these
 * limits, and each worker tells what its assignment had come to by then.
 *
 * Invariants: no work is dealt from the asking until the limits are known, so that a limit lies in
 * the assignment that was out; every example before the limits is counted once, none behind them
 * is. Of a worker that is lost first, or can't tell, the loss of its examples is not known.
 */
import type { CutLimit } from "../../protocol/cut.js";
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import type { View } from "../../protocol/view.js";
import type { OpenEpoch, TrainingSnapshot } from "../work/run-setup.js";
import type { CutAssignment, WorkAccount } from "../work/work-floor.js";
import type { TrainingPort } from "./training-port.js";

/** What training is to a cut. */
export interface CutFloor {
  /** What a checkpoint keeps of the coordinator. */
  snapshot(): TrainingSnapshot;
  readonly account: Pick<WorkAccount, "snapshotAt">;
  /** True while this life of a rank takes part. */
  isActive(rank: number, incarnation: number): boolean;
}

/** What a worker tells of its assignment up to its limit. */
export type Tally = MemberMessage & { readonly type: "tallied" };

/** An assignment of which its worker is yet to tell. */
interface Untold extends CutAssignment {
  readonly incarnation: number;
}

/** One cut. */
export class CheckpointCut {
  readonly id: number;
  readonly #floor: CutFloor;
  readonly #port: Pick<TrainingPort, "toWorker" | "countsAt">;
  readonly #lives: ReadonlyMap<number, number>;
  readonly #tornSteps: number;
  /** By rank. */
  readonly #untold = new Map<number, Untold>();
  #snapshot: TrainingSnapshot | null = null;
  #isCopied = false;

  /** @param view that stands when servers are asked. */
  constructor(
    id: number,
    view: View,
    floor: CutFloor,
    port: Pick<TrainingPort, "toWorker" | "countsAt">,
  ) {
    this.id = id;
    this.#floor = floor;
    this.#port = port;
    this.#lives = new Map(view.workers.map(({ rank, incarnation }) => [rank, incarnation]));
    // Whose loss comes to be known later has its torn step in the marks of the cut.
    this.#tornSteps = floor.snapshot().tornSteps;
  }

  /** True until the limits are known: no work is dealt. */
  get isMarking(): boolean {
    return this.#snapshot === null;
  }

  /** True until servers have all that belongs before the cut. */
  get isOpen(): boolean {
    return !this.#isCopied;
  }

  /** All chunks are marked. */
  settle(limits: readonly CutLimit[]): void {
    if (this.#snapshot !== null) return;
    const own = limits.filter(({ rank, incarnation }) => this.#lives.get(rank) === incarnation);
    const { work, out } = this.#floor.account.snapshotAt(
      new Map(own.map((limit) => [limit.rank, limit])),
    );
    const snapshot = { ...this.#floor.snapshot(), cursor: work, tornSteps: this.#tornSteps };
    this.#snapshot = snapshot;
    for (const assignment of out) {
      const { rank, assignment: id, examples } = assignment;
      const incarnation = this.#lives.get(rank) ?? -1;
      const limit = own.find((one) => one.rank === rank);
      if (limit === undefined || examples === 0) continue;
      this.#untold.set(rank, { ...assignment, incarnation });
      const order: CoordinatorMessage = {
        ...{ type: "tally", cut: this.id, assignment: id, step: limit.step },
      };
      if (this.#floor.isActive(rank, incarnation)) this.#port.toWorker(rank, order);
      else this.lost(rank);
    }
  }

  /** A worker tells. What does not have the examples that it has used is as good as nothing. */
  told({ rank, incarnation }: WorkerIdentity, tally: Tally): void {
    const untold = this.#untold.get(rank);
    if (tally.cut !== this.id || untold?.incarnation !== incarnation) return;
    if (tally.examples + tally.dropped !== untold.examples) {
      this.lost(rank);
      return;
    }
    this.#untold.delete(rank);
    untold.drop(tally.dropped);
    const open = this.#openEpoch(untold);
    if (open !== undefined) {
      open.examples += tally.examples;
      open.lossSum += tally.lossSum;
      open.correct += tally.correct;
      open.workerSeconds[rank] = (open.workerSeconds[rank] ?? 0) + tally.seconds;
    }
    const counts = this.#port.countsAt({ rank, incarnation }, tally.statistics);
    if (counts === null || this.#snapshot === null) return;
    this.#snapshot = { ...this.#snapshot, workers: { ...this.#snapshot.workers, [rank]: counts } };
  }

  /** A worker is gone, or can't tell. */
  lost(rank: number): void {
    const untold = this.#untold.get(rank);
    if (untold === undefined) return;
    this.#untold.delete(rank);
    const open = this.#openEpoch(untold);
    if (open === undefined) return;
    const used = untold.examples - untold.inVain;
    untold.drop(untold.inVain);
    open.examples += used;
    open.lostExamples += used;
  }

  #openEpoch({ epoch }: CutAssignment): OpenEpoch | undefined {
    return this.#snapshot?.openEpochs.find((one) => one.epoch === epoch);
  }

  /** Servers have all that belongs before the cut. */
  copied(): void {
    this.#isCopied = true;
  }

  /** What the checkpoint keeps of the coordinator; null while something is yet to be told. */
  get account(): TrainingSnapshot | null {
    return this.#isCopied && this.#untold.size === 0 ? this.#snapshot : null;
  }

  /** One sentence: what it waits for. */
  get activity(): string {
    if (this.isMarking) return "a checkpoint waits for servers to mark their chunks";
    if (this.isOpen) return "a checkpoint waits for pushes that belong to it";
    return `a checkpoint waits for worker ${[...this.#untold.keys()].join(", ")}`;
  }
}
