/**
 * One life of a simulated coordinator: the host of production in a process, with what it reads and
 * writes. Of several that live at a time the one of the highest term is the present one; what
 * another still says or writes is its own, and no account of the run.
 */
import type { CoordinatorRecord } from "../../core/coordinator/coordinator-record.js";
import type { RunSetup, SaveRequest } from "../../core/work/run-setup.js";
import type { CheckpointState } from "../../host/checkpoint-saver.js";
import { CoordinatorHost, type CoordinatorHostParts } from "../../host/coordinator-host.js";
import type { RunEvent, RunResult } from "../../protocol/run-events.js";
import type { Random } from "../../random.js";
import type { Files } from "../../store/files.js";
import { ledFiles } from "../../store/led-files.js";
import { type ClusterPlan, simulatedTimes } from "../cluster-plan.js";
import type { KeptCheckpoints } from "../kept-checkpoints.js";
import { freshState, ledgerStartOf, type SavedCheckpoint } from "../saved-checkpoint.js";
import { toyExamples } from "../simulated-compute.js";
import type { SimulatedNetwork } from "../simulated-network.js";
import type { SimulatedProcess } from "../simulated-process.js";
import { SimulatedTransport } from "../simulated-transport.js";
import { finalLossOf, type InvariantWatch } from "../watch/invariant-watch.js";

/** What is durable of a coordinator. */
export interface DurableState {
  readonly term: number;
  readonly generation: number;
  /** A `CoordinatorRecord` as text; null until training begins under the term. */
  readonly record: string | null;
}

/** Where that is kept. */
export interface DurableStates {
  /** Keeps a record; resolves when it is durable. */
  keep(state: DurableState): Promise<void>;
  /** Keeps that the run begins, or begins again, under a term. */
  begin(state: DurableState): Promise<void>;
  /** Where others may come to lead: as `CoordinatorStates` has it. */
  readonly confirm?: () => Promise<void>;
}

/** What coordinators of one cluster have in common. */
export interface CoordinatorWorld {
  readonly plan: ClusterPlan;
  readonly network: SimulatedNetwork;
  readonly random: Random;
  readonly watch: InvariantWatch;
  readonly kept: KeptCheckpoints;
  /** What the part of the run is resumed from. */
  readonly from: SavedCheckpoint | null;
  /** The checkpoints that were written, in their order. */
  readonly checkpoints: SavedCheckpoint[];
  /** What a run goes back to, which is of this generation from there on. */
  latest(files: Files, generation: number): Promise<SavedCheckpoint | null>;
  /** The disk as this process finds it as it begins to write. */
  mount(process: SimulatedProcess, why: SaveRequest["why"]): Files;
  spawn(node: string): SimulatedProcess;
  /** A process has ended by itself. */
  ended(process: SimulatedProcess): void;
  /** A process is about to do something that is no message, or has done it: it may end over it. */
  acts(process: SimulatedProcess, kind: string, isDone: boolean): void;
  isPresent(life: CoordinatorLife): boolean;
  onEvent(event: RunEvent): void;
  onEnded(result: RunResult): void;
  /** A checkpoint is being written for which everybody stands. */
  onStanding(): void;
}

/** What a life is given. */
export interface LifeParts {
  readonly process: SimulatedProcess;
  readonly address: string;
  /** The term that its host begins with. */
  readonly term: number;
  /** What servers are loaded with. */
  readonly start: SavedCheckpoint | null;
  readonly states: DurableStates;
}

/** The life. */
export class CoordinatorLife {
  readonly process: SimulatedProcess;
  readonly host: CoordinatorHost;
  readonly #world: CoordinatorWorld;
  readonly #states: DurableStates;
  readonly #address: string;
  readonly #transport: SimulatedTransport;
  readonly #residuals: Map<number, Float32Array>;
  #start: SavedCheckpoint | null;

  constructor(world: CoordinatorWorld, { process, address, term, start, states }: LifeParts) {
    this.#world = world;
    this.#states = states;
    this.#address = address;
    this.#start = start;
    this.process = process;
    this.#residuals = new Map(start?.state.residuals.map(({ rank, values }) => [rank, values]));
    this.#transport = new SimulatedTransport(world.network, process);
    this.host = this.#open(term);
  }

  /** Begins in its process, with what it is told first, and answers from there on. */
  begin(tell: (host: CoordinatorHost) => void): void {
    this.process.run(() => {
      tell(this.host);
      void this.#transport.serveCoordinator(this.#address, this.host);
    });
  }

  /** The run as this life begins it. */
  setup(): RunSetup {
    return setupFrom(this.#world.plan, this.#start);
  }

  #pause(msMax = 20): Promise<void> {
    const delayMs = this.#world.random.float() * msMax;
    return new Promise((resolve) => this.process.clock.after(delayMs, resolve));
  }

  #open(term: number): CoordinatorHost {
    const { ioTimeoutMs } = simulatedTimes;
    const { process } = this;
    const around: Pick<CoordinatorHostParts, "transport" | "clock" | "ioTimeoutMs" | "config"> = {
      ...{ transport: this.#transport, clock: process.clock, ioTimeoutMs },
      config: { ...simulatedTimes, term, serve: false },
    };
    return new CoordinatorHost({
      ...around,
      initialState: async (setup) => this.#initialState(setup),
      goBack: (setup) => this.#goBack(setup),
      saveCheckpoint: (request, _setup, state) => this.#save(request, state),
      persist: async (record) => {
        this.#world.acts(process, "persist", false);
        await this.#states.keep(durableOf(record));
        this.#world.acts(process, "persist", true);
      },
      inheritance: () => this.#residuals,
      onEvent: (event) => {
        if (!process.isAlive) return;
        process.note(event.text);
        if (this.#isPresent) this.#world.onEvent(event);
      },
      onEnded: (result) => {
        if (process.isAlive && this.#isPresent) this.#world.onEnded(result);
      },
      readExamples: toyExamples,
    });
  }

  get #isPresent(): boolean {
    return this.#world.isPresent(this);
  }

  #initialState({ generation = 0 }: RunSetup): CheckpointState {
    const { layout } = this.#world.plan;
    // No server applies anything of an earlier generation from here on.
    if (generation > 0 && this.#isPresent) {
      const start = ledgerStartOf(this.#start, layout);
      const { term } = this.host;
      this.#world.watch.wentBack(start, finalLossOf(this.#start), generation, term);
    }
    return this.#start?.state ?? freshState(layout);
  }

  async #goBack({ generation = 0 }: RunSetup) {
    await this.#pause();
    const files = ledFiles(this.#world.mount(this.process, "final"), this.#states.confirm);
    this.#start = await this.#world.latest(files, generation + 1);
    this.#residuals.clear();
    for (const { rank, values } of this.#start?.state.residuals ?? []) {
      this.#residuals.set(rank, values);
    }
    const term = this.host.term + 1;
    await this.#states.begin({ term, generation: generation + 1, record: null });
    return { setup: this.setup(), term };
  }

  async #save(request: SaveRequest, state: CheckpointState): Promise<number> {
    const world = this.#world;
    const { plan, kept } = world;
    const saved = world.watch.saved(request, state, this.#isPresent);
    const stands = request.why !== "checkpoint";
    if (stands && plan.faults.length === 0) world.onStanding();
    world.acts(this.process, "write", false);
    // Training goes on beside it for many steps.
    await this.#pause(stands ? undefined : 400);
    const files = ledFiles(world.mount(this.process, request.why), this.#states.confirm);
    await kept.keep(saved, plan, files, () => this.#isPresent);
    if (this.#isPresent) world.checkpoints.push(saved);
    world.acts(this.process, "write", true);
    return saved.globalStep;
  }
}

/** A run that begins with what a checkpoint has. */
export function setupFrom(plan: ClusterPlan, from: SavedCheckpoint | null): RunSetup {
  const { spec, layout, workersAtStart } = plan;
  const residuals = from?.state.residuals.map(({ rank }) => rank) ?? [];
  const start = workersAtStart === null ? {} : { workersAtStart };
  const back = from === null ? {} : { resumedStep: from.globalStep };
  return { spec, layout, resume: from?.snapshot ?? null, residuals, ...start, ...back };
}

function durableOf(record: CoordinatorRecord): DurableState {
  const { term, view } = record;
  return { term, generation: view.generation, record: JSON.stringify(record) };
}

/** The record from which a run goes on in place; null where its servers were not loaded yet. */
export function recordIn({ record }: DurableState): CoordinatorRecord | null {
  const found = record === null ? null : (JSON.parse(record) as CoordinatorRecord);
  return found?.stand.isLoaded === true ? found : null;
}
