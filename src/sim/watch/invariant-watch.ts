/**
 * Looks at a simulated run while it goes on and says what does not hold: each violation has a kind,
 * by which many seeds are grouped, and a sentence with the numbers.
 *
 * What is looked at: every step's parameters are versions that servers had, in step where the pace
 * keeps step; no position is applied twice to a chunk; every checkpoint holds what the ledger says,
 * and the coordinator's account counts what was applied; a checkpoint for which nobody stands still
 * is of a consistent cut (cut-watch.ts); the parts of an evaluation are of one
 * model, those of the last one of the final weights.
 */
import type { Entry } from "../../core/server/entry.js";
import { paceOf } from "../../core/sync/modes.js";
import { isUnbounded, type Pace } from "../../core/sync/pace.js";
import type { SaveRequest, TrainingSnapshot } from "../../core/work/run-setup.js";
import type { CheckpointState } from "../../host/checkpoint-saver.js";
import type { MemberIdentity, WorkerIdentity } from "../../protocol/identity.js";
import { termOf } from "../../protocol/ids.js";
import type { ChunkHeader, ChunkMarks, MemberMessage } from "../../protocol/messages.js";
import type { RunEvent } from "../../protocol/run-events.js";
import type { View } from "../../protocol/view.js";
import type { SavedCheckpoint } from "../saved-checkpoint.js";
import type { ComputedStep } from "../simulated-compute.js";
import { digestOf, toyLoss } from "../toy-model.js";
import { countPositions, usedExamples } from "./applied-positions.js";
import { CopyWatch } from "./copy-watch.js";
import { coveredBy, inconsistency } from "./cut-watch.js";
import { FirstStepWatch } from "./first-step-watch.js";
import { GroupWatch } from "./group-watch.js";
import type { Ledger, LedgerEntry, LedgerStart, LedgerStep } from "./ledger.js";
import { PhaseWatch } from "./phase-watch.js";
import { QuorumWatch } from "./quorum-watch.js";

/** Something that does not hold. */
export interface Violation {
  readonly kind: string;
  readonly sentence: string;
}

/** How many steps a life of a worker has completed. */
export interface WorkerClock {
  readonly rank: number;
  readonly incarnation: number;
  readonly clock: number;
}

/** Looks at one part of a run. */
export class InvariantWatch {
  readonly violations: Violation[] = [];
  readonly #ledger: Ledger;
  readonly #pullsAreWhole: boolean;
  /** By step the versions that it was first computed with. */
  readonly #versions = new Map<number, readonly number[]>();
  /** By life of a worker the digest of the model that it evaluated last. */
  readonly #evaluated = new Map<number, number>();
  /** The last evaluation that results were told of, and the models that these were found with. */
  #evaluation = { id: -1, models: new Set<number>() };
  #lastLoss = Number.NaN;
  #workers: readonly number[] = [];
  /** By rank the life that has computed a step. */
  readonly #begun = new Map<number, number>();
  /** Lives of processes that are members no more. */
  readonly #gone = new Set<number>();
  /** The generation that servers apply under, and the term of lives that take part. */
  #present = { generation: 0, term: 0 };
  #clocks: () => readonly WorkerClock[] = () => [];
  #viewOf: (server: number) => View | null = () => null;
  readonly #copies: CopyWatch;
  readonly #quorums: QuorumWatch;
  readonly #groups: GroupWatch;
  readonly #firstSteps: FirstStepWatch;
  readonly #phases: PhaseWatch;

  /** @param from what the run is resumed from. */
  constructor(ledger: Ledger, from: Pick<SavedCheckpoint, "snapshot" | "globalStep"> | null) {
    this.#ledger = ledger;
    this.#copies = new CopyWatch({
      viewOf: (server) => this.#viewOf(server),
      seen: (chunk) => ledger.seen(chunk),
      violated: (kind, sentence) => this.violated(kind, sentence),
    });
    this.#lastLoss = finalLossOf(from);
    this.#pullsAreWhole = ledger.spec.compression.pull.codec === "none";
    const common = {
      isGone: (life: number) => this.#gone.has(life) || this.#isOver(life),
      violated: (kind: string, sentence: string) => this.violated(kind, sentence),
    };
    const knowsVersions = ledger.knowsValues && this.#pullsAreWhole;
    this.#quorums = new QuorumWatch({ ledger, knowsVersions, ...common });
    this.#groups = new GroupWatch({ workersMax: ledger.spec.workersMax, ...common });
    this.#firstSteps = new FirstStepWatch(ledger, common.violated);
    this.#phases = new PhaseWatch(ledger, from?.globalStep ?? 0, common.violated);
  }

  /** Has the clocks of workers read from there on. */
  readClocks(clocks: () => readonly WorkerClock[]): void {
    this.#clocks = clocks;
  }

  /** Has the views of servers read from there on. */
  readViews(viewOf: (server: number) => View | null): void {
    this.#viewOf = viewOf;
  }

  /** The run has gone back: what earlier lives and generations do from here on does not count. */
  wentBack(start: LedgerStart, final: number, generation: number, term: number): void {
    this.#ledger.goBack(start);
    this.#copies.wentBack();
    this.#quorums.wentBack();
    this.#groups.wentBack();
    this.#firstSteps.wentBack();
    this.#phases.wentBack();
    this.#versions.clear();
    this.#lastLoss = final;
    this.#present = { generation, term };
  }

  #isOver(incarnation: number): boolean {
    return termOf(incarnation) < this.#present.term;
  }

  /** Notes a violation; of each kind the first is enough. */
  violated(kind: string, sentence: string): void {
    if (!this.violations.some((known) => known.kind === kind)) {
      this.violations.push({ kind, sentence });
    }
  }

  /** A chunk message has been sent: where pushes are held for their step, none comes too late. */
  sent(header: ChunkHeader, from: string): void {
    const { kind, outcome, incarnation, step, rank, chunk, version, detail } = header;
    const isPresent = header.generation === this.#present.generation;
    const server = "server-";
    if (isPresent && from.startsWith(server)) {
      this.#copies.sent(Number(from.slice(server.length)), header);
    }
    if (kind !== "reply" || outcome === "refused" || this.#isOver(incarnation)) return;
    this.#ledger.sent(chunk, version);
    const computed = this.#ledger.stepOf(incarnation, step);
    if (computed === undefined) return;
    if (outcome === "rejected") this.#ledger.rejected.add(computed);
    const { hasDecider, late } = this.#paceAt(step);
    if (outcome !== "dropped" || (hasDecider && late === null)) return;
    const whose = `push of chunk ${chunk} from worker ${rank} at step ${step}`;
    this.violated("dropped", `${whose}, with examples, is dropped: ${detail}`);
  }

  /** A server has written a line into its log. */
  logged(server: string, text: string): void {
    this.#groups.logged(server, text);
  }

  /** A server has applied an entry, by which a chunk has these weights and this state. */
  applied(server: string, entry: Entry, generation: number, values: readonly Float32Array[]): void {
    if (generation !== this.#present.generation) return;
    const index = Number(server.split("-")[1]);
    this.#follow(index);
    this.#phases.reached(entry.sealedStep);
    const isCopy = this.#ledger.applied(entry);
    this.#copies.applied(server, entry, values, isCopy);
    if (this.#paceAt(entry.marks[0]?.step ?? -1).groups !== null) {
      const isPrimary = this.#viewOf(index)?.replicas[entry.chunk]?.[0] === index;
      this.#groups.applied(server, entry, isPrimary);
      return;
    }
    const { hasDecider, late } = this.#paceAt(entry.sealedStep);
    if (hasDecider) this.#quorums.applied(entry, late !== null);
  }

  /**
   * A server holds so many slots: at most each part of each chunk as it is, as a write still reads
   * it and as a snapshot brings it, and of each chunk what each worker has pushed, once held, once
   * kept until its time comes and once on its way, and an entry.
   */
  holds(server: string, slots: number): void {
    const { layout, spec, partCount } = this.#ledger;
    const most = layout.chunks.length * (3 * partCount + 4 * spec.workersMax + 4);
    if (slots <= most) return;
    this.violated("memory", `${server} holds ${slots} slots, ${most} are enough`);
  }

  /** The coordinator has said something. */
  told(event: RunEvent): void {
    if (event.kind === "view") this.#workers = event.workers;
    if (event.kind === "lost" && event.role === "server") this.#copies.lost(event.incarnation);
    if (event.kind === "lost" || event.kind === "left") this.#gone.add(event.incarnation);
    if (event.kind !== "evaluation") return;
    const models = this.#evaluation.models.size;
    if (models > 1) {
      const which = event.final ? "the final evaluation" : "an evaluation";
      const sentence = `${which} of step ${event.step} is of ${models} models`;
      this.violated("evaluation of several models", sentence);
    }
    this.#lastLoss = event.final ? event.loss : Number.NaN;
  }

  /** A worker that had all its weights has heard of work. */
  heardWork({ incarnation }: WorkerIdentity): void {
    this.#firstSteps.heardWork(incarnation);
  }

  /** A worker has evaluated a part of the test set. */
  evaluated({ incarnation }: WorkerIdentity, parameters: Float32Array): void {
    this.#evaluated.set(incarnation, digestOf(parameters));
  }

  /**
   * A member has said something to the coordinator. What a worker that was given up says of an
   * evaluation before the present one is part of none.
   */
  said({ incarnation }: MemberIdentity, message: MemberMessage): void {
    if (!this.#isOver(incarnation)) this.#phases.said(message);
    if (message.type === "caughtUp") this.#copies.caughtUp(incarnation, message);
    if (message.type !== "evaluated" || message.evaluation < this.#evaluation.id) return;
    const isFirst = message.evaluation > this.#evaluation.id;
    if (isFirst) this.#evaluation = { id: message.evaluation, models: new Set() };
    const model = this.#evaluated.get(incarnation);
    if (model !== undefined) this.#evaluation.models.add(model);
  }

  /** A worker has computed a step. */
  computed(
    { rank, incarnation }: WorkerIdentity,
    { step, epoch, range, gradients, parameters }: ComputedStep,
  ): void {
    if (this.#isOver(incarnation)) return;
    const { servers, serversMax } = this.#ledger.spec;
    for (let index = 0; index < (serversMax ?? servers); index++) {
      this.#follow(index);
    }
    this.#phases.reached(step);
    const known = { rank, incarnation, step, epoch, range, gradients };
    const computed = this.#ledger.computed(known, parameters);
    const { versions } = computed;
    this.#begun.set(rank, incarnation);
    this.#weighBound(rank, step);
    if (!this.#ledger.knowsValues || !this.#pullsAreWhole) return;
    const torn = versions.indexOf(-1);
    const who = `worker ${rank} at step ${step}`;
    if (torn >= 0) {
      this.violated("parameters of no version", `${who} has chunk ${torn} as no server had it`);
      return;
    }
    // Where a step goes on without some, these may have weights of a later one.
    const { meetsAtBoundaries, hasDecider } = this.#paceAt(step);
    if (meetsAtBoundaries && !hasDecider) this.#compareInStep(who, step, versions);
    this.#firstSteps.computed(computed, isUnbounded(this.#paceAt(step)));
  }

  #follow(server: number): void {
    this.#ledger.follow(this.#viewOf(server));
    this.#phases.look(this.#ledger.phases);
  }

  #paceAt(step: number): Pace {
    return paceOf(this.#ledger.phaseOf(step).protocol);
  }

  /** Where everybody keeps one step, all take it with the same parameters. */
  #compareInStep(who: string, step: number, versions: readonly number[]): void {
    const first = this.#versions.get(step) ?? versions;
    this.#versions.set(step, first);
    if (first.join() === versions.join()) return;
    const sentence = `${who} computes with versions ${versions}, others did with ${first}`;
    this.violated("parameters out of step", sentence);
  }

  /**
   * A worker is at most so many steps ahead of the slowest of the view. The others' own clocks may
   * lag behind what servers know by the step whose answers are on their way.
   */
  #weighBound(rank: number, step: number): void {
    const { staleness } = this.#ledger.phaseOf(step).protocol;
    if (typeof staleness !== "number") return;
    for (const { rank: other, incarnation, clock: own } of this.#clocks()) {
      const clock = Math.max(own, this.#ledger.startOf(incarnation));
      const isThere = this.#workers.includes(other) && this.#begun.get(other) === incarnation;
      if (!isThere || other === rank || step - clock - 1 <= staleness) continue;
      const behind = `worker ${other} has completed ${clock}`;
      this.violated("staleness bound", `worker ${rank} computes step ${step} while ${behind}`);
    }
  }

  /**
   * A checkpoint is about to be written. Servers may have gone on since they copied for it: what it
   * has to be is what they had at the versions that it names or, of a cut, what its marks cover.
   * @param isPresent false where a coordinator writes it whose place another has taken: what it
   *   writes may be of long ago, and is not compared.
   */
  saved(request: SaveRequest, state: CheckpointState, isPresent = true): SavedCheckpoint {
    const { step, why, isCut, view, stepsAhead } = request;
    const { generation } = view;
    const snapshot = JSON.parse(JSON.stringify(request.snapshot)) as TrainingSnapshot;
    const entries = this.#ledger.layout.chunks.map(({ index }) => {
      const all = this.#ledger.entriesOf(index);
      const marks = state.marks[index]!;
      return isCut ? coveredBy(marks, all) : all.slice(0, marks.version);
    });
    if (isPresent) this.#noteRejected(state.marks);
    const rejected = rejectedBy(this.#ledger.rejected, state.marks);
    if (isPresent) this.#compareSaved(request, state, { snapshot, entries });
    const applied = Math.min(...state.marks.map((marks) => marks.version));
    const globalStep = stepsAhead === null ? step : applied + stepsAhead;
    const about = { why, step, globalStep, generation };
    return { ...about, state: copyOf(state), snapshot, entries, rejected };
  }

  #compareSaved(
    request: SaveRequest,
    state: CheckpointState,
    saved: Pick<SavedCheckpoint, "snapshot" | "entries">,
  ): void {
    const { step, why, isCut } = request;
    const where = `checkpoint of step ${step} (${why})`;
    for (const { index } of this.#ledger.layout.chunks) {
      this.#compareChunk(where, index, state, request, saved.entries);
    }
    // Of lives that ended with an earlier part, or before the run went back, marks may be torn.
    const lives = [...this.#begun].map(([rank, incarnation]) => ({ rank, incarnation }));
    const present = lives.filter(({ incarnation: life }) => {
      return !this.#gone.has(life) && !this.#isOver(life);
    });
    const torn = isCut ? inconsistency(state.marks, present) : null;
    if (torn !== null) this.violated("inconsistent cut", `${where}: ${torn}`);
    // A step that a lost worker tore is sealed by some chunks only.
    const sealedStep = Math.max(...state.marks.map((marks) => marks.sealedStep));
    const { protocol, workers } = request.view;
    // With nobody in the view, steps that nobody was left to take are sealed when somebody comes.
    const isBehind = sealedStep < step - 1 && workers.length > 0;
    if (paceOf(protocol).meetsAtBoundaries && (isBehind || sealedStep > step - 1)) {
      this.violated("checkpoint step", `the ${where} has sealed step ${sealedStep}`);
    }
    this.#compareAccount(where, saved);
    this.#compareFinal(where, request, state);
  }

  /** A worker that is lost before its push is answered is never told that it was rejected. */
  #noteRejected(marks: readonly ChunkMarks[]): void {
    for (const { incarnation, step, outcome } of marks.flatMap(({ applied }) => applied)) {
      const computed = this.#ledger.stepOf(incarnation, step);
      if (outcome === "rejected" && computed !== undefined) this.#ledger.rejected.add(computed);
    }
  }

  #compareChunk(
    where: string,
    chunk: number,
    state: CheckpointState,
    { why, isCut }: Pick<SaveRequest, "why" | "isCut">,
    applies: readonly (readonly LedgerEntry[])[],
  ): void {
    const { version, examples } = state.marks[chunk]!;
    const own = applies[chunk]!;
    const entries = this.#ledger.entriesOf(chunk);
    this.#ledger.sent(chunk, entries.lastIndexOf(own.at(-1)!) + 1);
    if (why !== "checkpoint") this.#ledger.atRest(chunk, version);
    const place = `chunk ${chunk} of the ${where}`;
    const isAtRest = why !== "checkpoint";
    if (version !== own.length || (isAtRest && version !== entries.length)) {
      this.violated("checkpoint version", `${place} is of ${version}, not ${entries.length}`);
    }
    const applied = own.reduce((sum, entry) => sum + entry.examples, 0);
    if (examples !== applied) {
      this.violated("checkpoint examples", `${place} has ${examples} examples, not ${applied}`);
    }
    if (!this.#ledger.knowsValues) return;
    const { offset, length } = this.#ledger.layout.chunks[chunk]!;
    const vectors = [state.weights, ...state.state];
    const known = isCut
      ? this.#ledger.valuesWith(chunk, own)
      : this.#ledger.valuesAt(chunk, version);
    for (let part = 0; part < this.#ledger.partCount; part++) {
      const found = vectors[part]!.subarray(offset, offset + length);
      const wanted = known[part];
      if (wanted !== undefined && digestOf(found) === digestOf(wanted)) continue;
      this.violated("checkpoint values", `${place}, part ${part}, has other bits than the ledger`);
    }
  }

  /** What the coordinator counts as used is what some chunk has applied. */
  #compareAccount(
    where: string,
    { snapshot, entries }: Pick<SavedCheckpoint, "snapshot" | "entries">,
  ): void {
    const complain = (what: string) => this.violated("applied twice", what);
    const applied = countPositions(this.#ledger, complain, (chunk) => entries[chunk]!);
    for (const { epoch, examples } of [...snapshot.epochs, ...snapshot.openEpochs]) {
      const used = usedExamples(applied, epoch);
      if (used === examples) continue;
      const sentence = `${where}: epoch ${epoch} counts ${examples} examples, ${used} are applied`;
      this.violated(used < examples ? "counted, not applied" : "applied, not counted", sentence);
    }
  }

  #compareFinal(where: string, { why }: SaveRequest, state: CheckpointState): void {
    if (why !== "final" || !this.#pullsAreWhole || this.#ledger.spec.testExamples === 0) return;
    const loss = toyLoss(state.weights);
    if (Math.abs(loss - this.#lastLoss) < 1e-9 * Math.max(1, Math.abs(loss))) return;
    const sentence = `${where}: the final evaluation has ${this.#lastLoss}, the weights ${loss}`;
    this.violated("final evaluation", sentence);
  }
}

/** Those of the rejected steps that marks know of: of earlier lives all, else up to their step. */
function rejectedBy(rejected: Iterable<LedgerStep>, marks: readonly ChunkMarks[]): LedgerStep[] {
  return [...rejected].filter(({ rank, incarnation, step }) =>
    marks.some(({ applied }) =>
      applied.some(
        (mark) =>
          mark.rank === rank &&
          (mark.incarnation > incarnation ||
            (mark.incarnation === incarnation && mark.step >= step)),
      ),
    ),
  );
}

/** The loss of a checkpoint's final evaluation; not a number where it has none. */
export function finalLossOf(from: Pick<SavedCheckpoint, "snapshot"> | null): number {
  return from?.snapshot.evaluations.find(({ final }) => final)?.loss ?? Number.NaN;
}

function copyOf(state: CheckpointState): CheckpointState {
  return {
    weights: state.weights.slice(),
    state: state.state.map((vector) => vector.slice()),
    marks: structuredClone(state.marks),
    residuals: state.residuals.map(({ rank, values }) => ({ rank, values: values.slice() })),
  };
}
