/**
 * Carries checkpoints out for the coordinator's host, one at a time: has the servers copy their
 * chunks, says so, collects the copies and has them written. What is collected lies in the
 * coordinator's memory until it is written. One of a cut waits for the account that belongs to it.
 */
import type { CoordinatorEvent } from "../core/coordinator/coordinator-events.js";
import type { RunSetup, SaveRequest, TrainingSnapshot } from "../core/work/run-setup.js";
import { PacelineError, toPacelineError } from "../errors.js";
import { statePartCount } from "../kernels/update-rule.js";
import { type CutLimit, tornAt } from "../protocol/cut.js";
import { servedRule } from "../protocol/local/local-steps.js";
import type { ChunkMarks } from "../protocol/messages.js";
import { modelVersion } from "../protocol/model-version.js";
import type { Residuals } from "../protocol/residuals.js";
import { BackgroundPace } from "./background-pace.js";
import type { GivenResidualStore } from "./given-residuals.js";
import { collectState } from "./state-collection.js";
import type { ModelState, TransferParts } from "./state-transfer.js";

/** All values that a checkpoint keeps. */
export interface CheckpointState extends ModelState {
  /** Of the workers that have any, by ascending rank. */
  readonly residuals: readonly Residuals[];
}

/** What a saver needs around it. */
export interface SaverParts extends TransferParts {
  /**
   * Writes a checkpoint, at this pace where that is beside training, else null; resolves to the
   * step it is of.
   */
  saveCheckpoint(
    request: SaveRequest,
    setup: RunSetup,
    state: CheckpointState,
    beside: BackgroundPace | null,
  ): Promise<number>;
}

/** The checkpoints of one coordinator. */
export class CheckpointSaver {
  readonly #parts: SaverParts;
  readonly #given: GivenResidualStore;
  readonly #tell: (event: CoordinatorEvent) => void;
  /** Ends the asking for the last one. */
  #abandoned = new AbortController();
  #pace: BackgroundPace | null = null;
  /** Takes the account that belongs to the one of a cut. */
  #giveAccount: (snapshot: TrainingSnapshot) => void = () => {};
  #last: Promise<void> = Promise.resolve();

  /** @param tell takes `copied` and `saved`. */
  constructor(
    parts: SaverParts,
    given: GivenResidualStore,
    tell: (event: CoordinatorEvent) => void,
  ) {
    this.#parts = parts;
    this.#given = given;
    this.#tell = tell;
  }

  /** Resolves once the last one is written, or has failed. */
  get settled(): Promise<void> {
    return this.#last;
  }

  /** Begins one. */
  begin(request: SaveRequest, setup: RunSetup): void {
    this.#abandoned = new AbortController();
    const isBeside = request.why === "checkpoint";
    this.#pace = isBeside ? new BackgroundPace(this.#parts.clock, request.leisureMs) : null;
    this.#last = this.#save(request, setup, this.#abandoned.signal, this.#pace);
  }

  /** This is what the one of a cut keeps of the coordinator. */
  account(snapshot: TrainingSnapshot): void {
    this.#giveAccount(snapshot);
  }

  /** Somebody waits for the one that is being written. */
  hurry(): void {
    this.#pace?.hurry();
  }

  /** Has what is asked of servers given up; what has been collected is written all the same. */
  abandon(): void {
    this.#abandoned.abort();
  }

  #accountOf(signal: AbortSignal): Promise<TrainingSnapshot> {
    const account = new Promise<TrainingSnapshot>((resolve, reject) => {
      this.#giveAccount = resolve;
      signal.addEventListener("abort", () => {
        reject(new PacelineError("unavailable", "the account of the cut is waited for no more"));
      });
    });
    // It may be given up before it is waited for.
    account.catch(() => {});
    return account;
  }

  async #save(
    request: SaveRequest,
    setup: RunSetup,
    signal: AbortSignal,
    beside: BackgroundPace | null,
  ): Promise<void> {
    const about = { run: setup.spec.run, generation: request.view.generation };
    let residuals: readonly Residuals[] | null = null;
    let isCopied = request.isCut;
    let isCollected = false;
    const account = request.isCut ? this.#accountOf(signal) : request.snapshot;
    const order = {
      ...{ view: request.view, layout: setup.layout, beside },
      stateParts: statePartCount(servedRule(setup.spec)),
      onMarked: request.isCut
        ? (limits: readonly CutLimit[]) => this.#tell({ type: "marked", ...about, limits })
        : null,
      onCopied: () => {
        if (beside === null) return;
        // Workers may give others as soon as they go on.
        residuals = this.#given.take(request.residuals);
        isCopied = true;
        this.#tell({ type: "copied", ...about });
      },
    };
    try {
      const state = await collectState({ ...this.#parts, signal }, order);
      const snapshot = await account;
      isCollected = true;
      demandVersion(request, state.marks);
      // At rest the asking may be repeated, and they are given once.
      const values = { ...state, residuals: residuals ?? this.#given.take(request.residuals) };
      const torn = tornIn(request, state.marks);
      const kept = { ...snapshot, tornSteps: snapshot.tornSteps + torn };
      const whole = { ...request, snapshot: kept };
      const step = await this.#parts.saveCheckpoint(whole, setup, values, beside);
      const version = Math.min(...state.marks.map((marks) => marks.version));
      this.#tell({ type: "saved", ...about, step, version, problem: null });
    } catch (thrown) {
      const problem = toPacelineError(thrown).message;
      const isLost = isCopied && !isCollected;
      this.#tell({ type: "saved", ...about, step: request.step, version: 0, problem, isLost });
    }
  }
}

/** Who is lost amid a cut may have torn a step that the account does not know of. */
function tornIn({ isCut, view }: SaveRequest, marks: readonly ChunkMarks[]): number {
  if (!isCut) return 0;
  const applied = marks.map((chunk) => chunk.applied);
  return tornAt(view.workers, applied);
}

/** What is saved at the end is what was evaluated. */
function demandVersion({ version }: SaveRequest, marks: readonly ChunkMarks[]): void {
  const held = modelVersion(marks.map((chunk) => chunk.version));
  if (version === null || version === held) return;
  const sentence = `servers have version ${held} of the model, ${version} was evaluated`;
  throw new PacelineError("protocol", `${sentence} at the end: it changed in between`);
}
