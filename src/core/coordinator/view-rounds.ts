/**
 * How views come about. Changes are gathered: of workers, of the chunks' replicas, of phase and
 * generation. A round gives the next view to every server; when all have acknowledged it, the pace
 * weighs what they say: a joiner may not start with a step that some chunk has gone past. If it
 * would, a further view gives it a later first step. Only a view that stands is for the workers.
 *
 * Invariants: one round at a time; views reach servers before workers; a joiner that is told of its
 * view is ahead of every barrier; a chunk's fence is the number of the view that last changed its
 * primary, or raised the generation; a worker that a view takes out is in every view that follows
 * as departing, until all servers of one have answered how far it had come.
 */

import { assert } from "../../assert.js";
import type { Departure } from "../../protocol/assignment-report.js";
import type { WorkerIdentity } from "../../protocol/identity.js";
import { IdSource } from "../../protocol/ids.js";
import {
  type ChunkCandidate,
  type View,
  type ViewPhase,
  type ViewServer,
  type ViewWorker,
  workersGone,
} from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import type { Pace } from "../sync/pace.js";
import type { DepartedWorker } from "../work/run-account.js";

/** One server's answer to a view. */
export interface ViewAnswer {
  readonly sealedStep: number;
  readonly clockMin: number;
  /** The lowest of the chunks that it leads; -1 where it leads none. */
  readonly version: number;
  readonly departed: readonly Departure[];
}

/**
 * A removed worker, over all servers. Its torn step is the only one, however far behind some chunks
 * are: a step's pushes follow the answers to all of the step before, and those between are empty.
 */
export type Departed = DepartedWorker & WorkerIdentity;

/** What a finished round says. */
export interface RoundOutcome {
  readonly departed: readonly Departed[];
  /** The view stands and may go to the workers; otherwise another round is due. */
  readonly stands: boolean;
  /** Ranks that this view lets in for the first time. */
  readonly joined: readonly number[];
  /** The lowest version of all chunks. */
  readonly version: number;
}

/** What came of the views of a run. */
export interface ViewsStand {
  /** Ranks of the last view that may have been told of it, or of an earlier one. */
  readonly confirmed: readonly number[];
  /** Workers that earlier views had, and of which not all servers have said how far they came. */
  readonly departing: readonly ViewWorker[];
}

/** What the views of a run begin with: servers, by chunk which of them hold it, the phase. */
export type FirstView = Pick<View, "run" | "servers" | "replicas"> & { readonly phase: ViewPhase };

interface Round {
  readonly view: View;
  readonly answers: Map<number, ViewAnswer>;
}

/** The rounds of one run. */
export class ViewRounds {
  readonly #run: string;
  readonly #servers = new Map<number, ViewServer>();
  #pace: Pace;
  readonly #ids: IdSource;
  readonly #workers = new Map<number, ViewWorker>();
  /** The same in ascending rank, asked for with each event; null while it is to be made again. */
  #ascending: readonly ViewWorker[] | null = null;
  /** Lives of workers that have been told of a view. */
  readonly #confirmed = new Set<number>();
  readonly #replicas: (readonly number[])[];
  #candidates: readonly ChunkCandidate[] = [];
  /** Workers that views had and have no more, until all servers have said how far they had come. */
  readonly #departing = new Map<number, ViewWorker>();
  #generation: number;
  #phase: ViewPhase;
  #changed = true;
  /** The last view that was begun. */
  #begun: View | null = null;
  #round: Round | null = null;
  #standing: View | null = null;
  /** Of the last view that was given to the workers under this term; 0 before it. */
  #givenPhase = 0;
  /** The highest step that a server has told to be sealed. */
  #sealedStep = -1;

  /**
   * @param term of the coordinator, which is in the views' numbers.
   * @param generation to begin with.
   */
  constructor({ run, servers, replicas, phase }: FirstView, term: number, generation = 0) {
    this.#generation = generation;
    this.#run = run;
    for (const server of servers) this.#servers.set(server.index, server);
    this.#replicas = [...replicas];
    this.#phase = phase;
    this.#pace = paceOf(phase.protocol);
    this.#ids = new IdSource(term);
  }

  /** The last view that was given to the workers. */
  get standing(): View | null {
    return this.#standing;
  }

  /**
   * A step that no chunk has sealed, once nobody has a push on its way. It is past what servers
   * have told, and not before all workers' first steps, as what is before those is sealed at once.
   */
  get openStep(): number {
    const workers = this.#standing?.workers ?? [];
    return Math.max(this.#sealedStep + 1, firstStepMin(workers));
  }

  /** The last view, null before the first; who may have heard of one, and who is departing. */
  record(): { readonly view: View | null } & ViewsStand {
    const told = this.#begun?.workers.filter((one) => this.#confirmed.has(one.incarnation)) ?? [];
    const confirmed = told.map(({ rank }) => rank);
    return { view: this.#begun, confirmed, departing: [...this.#departing.values()] };
  }

  /**
   * Goes on from the last view of an earlier term, which some may have heard of. The next view says
   * the same, without candidates: what primaries had said of those may not have been heard.
   */
  restore(view: View, { confirmed, departing }: ViewsStand): void {
    for (const worker of view.workers) {
      this.#put(worker);
      if (confirmed.includes(worker.rank)) this.#confirmed.add(worker.incarnation);
    }
    for (const worker of departing) this.#departing.set(worker.incarnation, worker);
    const { phase, phaseFromStep, protocol, lrFactor, momentum } = view;
    this.#phase = { phase, phaseFromStep, protocol, lrFactor, momentum };
    this.#pace = paceOf(protocol);
    this.#begun = view;
    this.#standing = view;
  }

  /** True while a change is not yet in a standing view. */
  get busy(): boolean {
    return this.#changed || this.#round !== null;
  }

  /** The worker of this rank in the view to come. */
  worker(rank: number): ViewWorker | undefined {
    return this.#workers.get(rank);
  }

  /** Workers of the view to come, ascending. */
  workers(): readonly ViewWorker[] {
    this.#ascending ??= [...this.#workers.values()].sort((left, right) => left.rank - right.rank);
    return this.#ascending;
  }

  #put(worker: ViewWorker): void {
    this.#workers.set(worker.rank, worker);
    this.#ascending = null;
  }

  /**
   * True when the worker has been told of a view that has it, in the present phase: what one before
   * this coordinator had said of that may not have been heard.
   */
  isConfirmed(rank: number): boolean {
    const worker = this.#workers.get(rank);
    const isGiven = this.#givenPhase >= this.#phase.phase;
    return isGiven && worker !== undefined && this.#confirmed.has(worker.incarnation);
  }

  /** Asks for a worker to be let in, from its `fromStep` or, where that has passed, later. */
  admit(worker: ViewWorker): void {
    this.#put(worker);
    this.#confirmed.delete(worker.incarnation);
    this.#changed = true;
  }

  /** Asks for a worker to be taken out; true if it was in. */
  remove(rank: number): boolean {
    if (!this.#workers.delete(rank)) return false;
    this.#ascending = null;
    this.#changed = true;
    return true;
  }

  /**
   * Asks for a chunk to be held by these servers, its primary first, then its in-sync backups. The
   * chunk's values are not moved by it.
   */
  place(chunk: number, servers: readonly number[]): void {
    const known = servers.every((index) => this.#servers.has(index));
    const sound = servers.length > 0 && known && new Set(servers).size === servers.length;
    assert(sound && chunk in this.#replicas, "members hold a chunk", { chunk, servers });
    this.#replicas[chunk] = [...servers];
    this.#changed = true;
  }

  /** Asks for these servers to be brought up to hold chunks. */
  nominate(candidates: readonly ChunkCandidate[]): void {
    this.#candidates = candidates;
    this.#changed = true;
  }

  /** Asks for a server to be let in, which holds nothing yet. */
  admitServer(server: ViewServer): void {
    this.#servers.set(server.index, server);
    this.#changed = true;
  }

  /**
   * Asks for a server to be taken out, which leads nothing any more. The round that is under way
   * would wait for it: another takes its place.
   */
  removeServer(index: number): void {
    this.#servers.delete(index);
    this.#round = null;
    this.#changed = true;
  }

  /** True while the view to come has this life of a server. */
  hasServer({ index, incarnation }: Pick<ViewServer, "index" | "incarnation">): boolean {
    return this.#servers.get(index)?.incarnation === incarnation;
  }

  /** Servers of the view to come, ascending. */
  servers(): ViewServer[] {
    return [...this.#servers.values()].sort((left, right) => left.index - right.index);
  }

  /**
   * Asks for another phase: workers, who rest, stand before this step by rank, also one that has
   * taken no step and was to take its first one later.
   */
  enter(phase: ViewPhase, startOf: (rank: number) => number): void {
    this.#phase = phase;
    this.#pace = paceOf(phase.protocol);
    for (const worker of this.workers()) {
      this.#put({ ...worker, fromStep: startOf(worker.rank) });
    }
    this.#changed = true;
  }

  /** Asks for a round that changes nothing, for what servers say in it. */
  ask(): void {
    this.#changed = true;
  }

  /** Asks for the next generation: what was said under earlier fences is refused everywhere. */
  raiseGeneration(): void {
    this.#generation++;
    this.#changed = true;
  }

  /**
   * Begins a round if something has changed and none is under way: the view to give to the servers.
   */
  begin(): View | null {
    if (!this.#changed || this.#round !== null) return null;
    this.#changed = false;
    const number = this.#ids.next();
    const generation = this.#generation;
    const replicas = [...this.#replicas];
    const before = this.#begun?.generation === generation ? this.#begun : null;
    for (const worker of workersGone(this.#begun, this.workers())) {
      this.#departing.set(worker.incarnation, worker);
      this.#confirmed.delete(worker.incarnation);
    }
    const view: View = {
      run: this.#run,
      number,
      generation,
      ...this.#phase,
      servers: this.servers(),
      workers: this.workers(),
      replicas,
      fences: replicas.map((servers, chunk) => {
        const isLed = before !== null && before.replicas[chunk]![0] === servers[0];
        return isLed ? before.fences[chunk]! : number;
      }),
      candidates: this.#candidates,
      departing: [...this.#departing.values()],
    };
    this.#begun = view;
    this.#round = { view, answers: new Map() };
    return view;
  }

  /** Takes a server's answer; the outcome when it was the last one missing. */
  answer(server: number, view: number, answer: ViewAnswer): RoundOutcome | null {
    const round = this.#round;
    if (round === null || round.view.number !== view) return null;
    round.answers.set(server, answer);
    this.#sealedStep = Math.max(this.#sealedStep, answer.sealedStep);
    if (round.answers.size < round.view.servers.length) return null;
    this.#round = null;
    return this.#conclude(round);
  }

  #conclude(round: Round): RoundOutcome {
    const answers = [...round.answers.values()];
    const departed = sumUp(answers);
    for (const { incarnation } of round.view.departing) this.#departing.delete(incarnation);
    const sealedStep = Math.max(...answers.map((answer) => answer.sealedStep));
    const clockMin = Math.max(
      firstStepMin(
        round.view.workers.filter(({ incarnation }) => this.#confirmed.has(incarnation)),
      ),
      ...answers.map((answer) => answer.clockMin),
    );
    const joiners = round.view.workers.filter(
      ({ incarnation }) => !this.#confirmed.has(incarnation),
    );
    let late = false;
    for (const joiner of joiners) {
      // No barrier has passed before workers were told of a view.
      if (this.#standing === null) break;
      const fromStep = this.#pace.laterStart(joiner, { sealedStep, clockMin });
      if (fromStep === null) continue;
      late = true;
      if (this.#workers.get(joiner.rank)?.incarnation !== joiner.incarnation) continue;
      this.#put({ ...joiner, fromStep });
      this.#changed = true;
    }
    const versions = answers.flatMap(({ version }) => (version < 0 ? [] : [version]));
    const version = Math.min(...versions);
    if (late) return { departed, stands: false, joined: [], version };
    this.#standing = round.view;
    this.#givenPhase = round.view.phase;
    const joined: number[] = [];
    for (const { rank, incarnation } of joiners) {
      if (this.#workers.get(rank)?.incarnation !== incarnation) continue;
      this.#confirmed.add(incarnation);
      joined.push(rank);
    }
    return { departed, stands: true, joined, version };
  }
}

/**
 * No worker's clock is below its first step, also while servers have not heard of it: then it may
 * be in that step already.
 */
function firstStepMin(workers: readonly ViewWorker[]): number {
  return workers.length === 0 ? 0 : Math.min(...workers.map(({ fromStep }) => fromStep));
}

/**
 * No push of a step leaves a worker before every chunk has answered those of the step before: so
 * one step at most is torn, however many without examples lie before it.
 */
function sumUp(answers: readonly ViewAnswer[]): Departed[] {
  const byIncarnation = new Map<number, { rank: number; min: number; max: number; used: number }>();
  for (const { departed } of answers) {
    for (const { rank, incarnation, stepMin, stepMax, used } of departed) {
      const known = byIncarnation.get(incarnation);
      byIncarnation.set(incarnation, {
        rank,
        min: known === undefined ? stepMin : Math.min(known.min, stepMin),
        max: known === undefined ? stepMax : Math.max(known.max, stepMax),
        used: Math.max(known?.used ?? 0, used),
      });
    }
  }
  return [...byIncarnation].map(([incarnation, { rank, min, max, used }]) => ({
    rank,
    incarnation,
    lastStep: max,
    isTorn: min < max,
    used,
  }));
}
