/**
 * Quiet moments: everybody rests between two steps and nothing is in flight, so that one version of
 * the whole model can be looked at. What is wished for waits for the next one: an evaluation, then
 * a save; one pause (pause.ts) serves both, and ends with the last of them.
 *
 * Invariant: while a moment is quiet no step is begun, so what is evaluated in it is what is saved.
 */
import type { IdSource } from "../../protocol/ids.js";
import type { CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import { Pause } from "./pause.js";
import type { SaveRequest } from "./run-setup.js";
import type { EvaluationWish } from "./work-floor.js";

type Said<Type extends MemberMessage["type"]> = MemberMessage & { readonly type: Type };

/** The quiet moments of one run. */
export class QuietMoments {
  readonly #ids: IdSource;
  readonly #hasBarriers: boolean;
  readonly #toWorker: (rank: number, message: CoordinatorMessage) => void;
  #pause: Pause | null = null;
  #save: Exclude<SaveRequest["why"], "final"> | null = null;
  #evaluation: EvaluationWish | null = null;

  /** @param ids of pauses. `hasBarriers`: whoever is in a step may need the others' pushes. */
  constructor(
    ids: IdSource,
    hasBarriers: boolean,
    toWorker: (rank: number, message: CoordinatorMessage) => void,
  ) {
    this.#ids = ids;
    this.#hasBarriers = hasBarriers;
    this.#toWorker = toWorker;
  }

  /** The last step of those who are brought to rest, -1 until it is known; null without a pause. */
  get limit(): number | null {
    return this.#pause?.limit ?? null;
  }

  /** True when everybody rests. */
  get isQuiet(): boolean {
    return this.#pause?.quiet === true;
  }

  /** Wishes for a save; an interrupt takes the place of a checkpoint. */
  wantSave(why: "checkpoint" | "interrupt"): void {
    if (why === "interrupt" || this.#save === null) this.#save = why;
  }

  /** Wishes for an evaluation; a later one takes its place. */
  wantEvaluation(wish: EvaluationWish): void {
    this.#evaluation = wish;
  }

  /** The evaluation wished for, which is the taker's to carry out; null where there is none. */
  takeEvaluation(): EvaluationWish | null {
    const wish = this.#evaluation;
    this.#evaluation = null;
    return wish;
  }

  /** The same of a save. */
  takeSave(): "checkpoint" | "interrupt" | null {
    const why = this.#save;
    this.#save = null;
    return why;
  }

  /** Asks these to rest, if something is wished for that they can do and they are not asked yet. */
  begin(ranks: readonly number[]): void {
    const reason =
      this.#save ?? (this.#evaluation !== null && ranks.length > 0 ? "evaluation" : null);
    if (this.#pause !== null || reason === null) return;
    this.#pause = new Pause(this.#ids.next(), reason, this.#hasBarriers, ranks);
    const pause = this.#pause.id;
    for (const rank of ranks) this.#toWorker(rank, { type: "pause", pause });
  }

  /** A worker says in which step it is. */
  answered(rank: number, { pause, step }: Said<"pausing">): void {
    if (this.#pause?.id === pause) this.#tellLimits(this.#pause.answered(rank, step));
  }

  /** A worker rests; true if it was asked to. */
  rested(rank: number, { pause }: Said<"paused">): boolean {
    if (this.#pause?.id !== pause) return false;
    this.#pause.rested(rank);
    return true;
  }

  /** A worker is gone. */
  lost(rank: number): void {
    this.#tellLimits(this.#pause?.lost(rank) ?? []);
  }

  /** The moment is over; these may go on. */
  end(ranks: readonly number[]): void {
    const pause = this.#pause?.id;
    this.#pause = null;
    if (pause === undefined) return;
    for (const rank of ranks) this.#toWorker(rank, { type: "resume", pause });
  }

  #tellLimits(limits: readonly { readonly rank: number; readonly step: number }[]): void {
    const pause = this.#pause?.id;
    if (pause === undefined) return;
    for (const { rank, step } of limits) this.#toWorker(rank, { type: "pauseAt", pause, step });
  }
}
