/**
 * One part of a simulated run, from a fresh start or a checkpoint to its end: a coordinator, its
 * members, a supervisor that starts processes again, and the faults that strike them.
 */
import type { CoordinatorRecord } from "../core/coordinator/coordinator-record.js";
import type { RunSetup } from "../core/work/run-setup.js";
import { CoordinatorHost } from "../host/coordinator-host.js";
import { CoordinatorPlaces } from "../host/session/coordinator-places.js";
import type { RunEvent, RunResult } from "../protocol/run-events.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { Random } from "../random.js";
import { type ClusterEnd, type ClusterPlan, simulatedTimes } from "./cluster-plan.js";
import type { EventTrace } from "./event-trace.js";
import type { KeptCheckpoints } from "./kept-checkpoints.js";
import { freshState, ledgerStartOf, type SavedCheckpoint } from "./saved-checkpoint.js";
import { toyExamples } from "./simulated-compute.js";
import {
  type MemberSurroundings,
  pidOf,
  type SimulatedMember,
  SimulatedServer,
  SimulatedWorker,
} from "./simulated-member.js";
import { SimulatedNetwork } from "./simulated-network.js";
import { SimulatedProcess } from "./simulated-process.js";
import { SimulatedTransport } from "./simulated-transport.js";
import { Strikes } from "./strikes.js";
import { VirtualTime } from "./virtual-time.js";
import { finalLossOf, type InvariantWatch } from "./watch/invariant-watch.js";
import type { Ledger } from "./watch/ledger.js";
import { RedundancyWatch } from "./watch/redundancy-watch.js";
import { ShortageWatch } from "./watch/shortage-watch.js";

/** What is durable of a coordinator. */
interface DurableState {
  readonly term: number;
  readonly generation: number;
  /** A `CoordinatorRecord` as text; null until training begins under the term. */
  readonly record: string | null;
}

/** The cluster. */
export class SimulatedCluster {
  readonly #plan: ClusterPlan;
  readonly #random: Random;
  readonly #trace: EventTrace;
  readonly #time = new VirtualTime();
  readonly #network: SimulatedNetwork;
  readonly #members = new Map<string, SimulatedMember>();
  readonly #lives = new Map<string, number>();
  readonly #refused = new Set<string>();
  /** Processes that are told to end, with the time until another takes the place of each. */
  readonly #signalled = new Map<SimulatedProcess, number | null>();
  readonly #events: RunEvent[] = [];
  readonly #eventsMs: number[] = [];
  readonly #checkpoints: SavedCheckpoint[] = [];
  readonly #watch: InvariantWatch;
  readonly #redundancy: RedundancyWatch;
  readonly #shortage: ShortageWatch;
  readonly #kept: KeptCheckpoints;
  readonly #from: SavedCheckpoint | null;
  /** What servers are loaded with. */
  #start: SavedCheckpoint | null;
  readonly #ledger: Ledger;
  #coordinator: CoordinatorHost | null = null;
  #coordinatorProcess: SimulatedProcess | null = null;
  /** What a coordinator that starts again reads. */
  #durable: DurableState;
  /** A coordinator's process is started again before long. */
  #isReturning = false;
  #isInterrupted = false;
  #result: RunResult | null = null;
  #strikes: Strikes | null = null;
  #failedSaves = 0;
  #isBroken = false;
  /** The last step of which a checkpoint is written, and when it was. */
  #progress = { step: -1, atMs: 0 };

  constructor(
    plan: ClusterPlan,
    parts: {
      readonly random: Random;
      readonly trace: EventTrace;
      readonly watch: InvariantWatch;
      readonly ledger: Ledger;
      readonly from: SavedCheckpoint | null;
      readonly kept: KeptCheckpoints;
    },
  ) {
    this.#kept = parts.kept;
    this.#plan = plan;
    this.#random = parts.random;
    this.#trace = parts.trace;
    this.#watch = parts.watch;
    const violated = parts.watch.violated.bind(parts.watch);
    this.#redundancy = new RedundancyWatch(violated);
    this.#shortage = new ShortageWatch(plan.spec, violated);
    this.#ledger = parts.ledger;
    this.#from = parts.from;
    this.#start = parts.from;
    const term = 1 + (parts.from?.snapshot.term ?? 0);
    this.#durable = { term, generation: 0, record: null };
    this.#network = new SimulatedNetwork(this.#time, parts.random, plan.network);
    this.#network.onSent = (header, from) => this.#watch.sent(header, from);
    this.#watch.readViews((server) => {
      const member = this.#members.get(`server-${server}`);
      return member instanceof SimulatedServer ? member.view : null;
    });
    this.#network.onSaid = (member, message) => this.#watch.said(member, message);
    this.#watch.readClocks(() =>
      [...this.#members.values()].flatMap((member) =>
        member instanceof SimulatedWorker ? (member.clock ?? []) : [],
      ),
    );
  }

  /** Runs it to its end, or until so long after the last of these moments and faults. */
  async run(latestMs: number): Promise<ClusterEnd> {
    this.#open();
    const isLate = () => {
      const overMs = Math.max(latestMs, this.#strikes?.overMs ?? 0, this.#progress.atMs);
      return this.#time.nextMs > overMs + simulatedTimes.patienceMs;
    };
    while (this.#result === null && !this.#isBroken && !this.#isCutOff && !isLate()) {
      if (!this.#time.move()) break;
      await settled();
    }
    if (this.#result === null && !this.#isBroken && !this.#isCutOff) this.#standsStill();
    const endedMs = this.#time.nowMs;
    this.#redundancy.ended(endedMs, this.#strikes?.overMs ?? 0);
    const isCutOff = this.#isCutOff;
    for (const { process } of this.#members.values()) process.end();
    this.#coordinator?.close();
    this.#coordinatorProcess?.end();
    const [events, checkpoints, result] = [this.#events, this.#checkpoints, this.#result];
    const eventsMs = this.#eventsMs;
    const isGone = (event: RunEvent) =>
      (event.kind === "lost" || event.kind === "left") && event.role === "worker";
    const lost = events.filter(isGone);
    const isFull = events.every(
      (event) => event.kind !== "view" || event.workers.length === this.#plan.spec.workersMax,
    );
    const [hadAllWorkers, lostWorkers] = [lost.length === 0 && isFull, lost.length];
    const told = { events, eventsMs, checkpoints };
    return { result, isCutOff, ...told, lostWorkers, hadAllWorkers, endedMs };
  }

  get #isCutOff(): boolean {
    return this.#coordinatorProcess?.isAlive === false && !this.#isReturning;
  }

  #standsStill(): void {
    const doing = [...this.#members.values()].map((member) => {
      const state = member.process.isAlive ? member.activity() : "gone";
      return `${member.process.name}: ${state}`;
    });
    const coordinator = this.#coordinator?.snapshot();
    const stand = [`coordinator: ${coordinator?.phase}, ${coordinator?.activity}`, ...doing];
    this.#watch.violated("stands still", `after ${this.#time.nowMs} ms; ${stand.join("; ")}`);
  }

  #spawn(node: string): SimulatedProcess {
    const life = this.#lives.get(node) ?? 0;
    this.#lives.set(node, life + 1);
    return new SimulatedProcess(node, life, {
      time: this.#time,
      trace: this.#trace,
      onCrash: (process, thrown) => {
        this.#isBroken = true;
        const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
        this.#watch.violated("crash", `${process.name}: ${text}`);
      },
    });
  }

  #open(): void {
    const { spec, interruptMs } = this.#plan;
    this.#startCoordinator(1, (coordinator) => {
      const setup = this.#setupFrom(spec, this.#from);
      coordinator.tell({ type: "submit", setup, term: this.#durable.term });
    });
    for (let index = 0; index < spec.servers; index++) this.#startServer(index);
    for (let rank = 0; rank < spec.workersMax; rank++) {
      this.#time.at(this.#plan.lateMs[rank] ?? 0, () => this.#startWorker(rank));
    }
    this.#strikes = this.#openStrikes();
    if (interruptMs === null) return;
    this.#time.at(interruptMs, () => {
      this.#isInterrupted = true;
      this.#interrupt();
    });
  }

  #interrupt(): void {
    const interrupt = { type: "interrupt", reason: "SIGINT" } as const;
    this.#coordinatorProcess?.run(() => this.#coordinator?.tell(interrupt));
  }

  #startCoordinator(term: number, begin: (coordinator: CoordinatorHost) => void): void {
    const process = this.#spawn("coordinator");
    this.#coordinatorProcess = process;
    const transport = new SimulatedTransport(this.#network, process);
    const residuals = new Map(
      this.#start?.state.residuals.map(({ rank, values }) => [rank, values]),
    );
    const coordinator = this.#openCoordinator(process, transport, residuals, term);
    this.#coordinator = coordinator;
    process.run(() => {
      begin(coordinator);
      void transport.serveCoordinator("coordinator", coordinator);
    });
  }

  /**
   * Its supervisor starts a coordinator in the place of one that was killed: it goes on in place
   * where training had begun, else from the last checkpoint.
   */
  #returnCoordinator(): void {
    this.#isReturning = false;
    const { spec } = this.#plan;
    const { record: text, generation } = this.#durable;
    const record = text === null ? null : (JSON.parse(text) as CoordinatorRecord);
    const term = this.#durable.term + 1;
    this.#startCoordinator(term, (coordinator) => {
      this.#durable = { ...this.#durable, term };
      if (record?.stand.isLoaded === true) {
        const setup = this.#setupFrom(spec, this.#from);
        coordinator.tell({ type: "return", setup, term, record });
      } else {
        this.#start = this.#checkpoints.at(-1) ?? this.#from;
        const setup = { ...this.#setupFrom(spec, this.#start), generation: generation + 1 };
        this.#durable = { term, generation: generation + 1, record: null };
        coordinator.tell({ type: "submit", setup, term });
      }
    });
    if (this.#isInterrupted) this.#interrupt();
  }

  #openStrikes(): Strikes {
    const cluster = {
      time: this.#time,
      network: this.#network,
      trace: this.#trace,
      processOf: (node: string) =>
        node === "coordinator" ? this.#coordinatorProcess : this.#members.get(node)?.process,
      onKilled: (process: SimulatedProcess, restartMs: number | null, isTold: boolean) => {
        if (process === this.#coordinatorProcess) {
          this.#isReturning = restartMs !== null;
          if (restartMs !== null) this.#time.after(restartMs, () => this.#returnCoordinator());
        } else if (isTold || restartMs !== null) {
          this.#supervise(process, restartMs, "was killed");
        }
      },
      startWorker: (rank: number) => this.#startWorker(rank),
      workers: () => [...this.#members.keys()].filter((node) => node.startsWith("worker")),
      startServer: (index: number) => this.#startServer(index),
      // Who is not there, or can't be spared, stays.
      drain: (fault: Parameters<CoordinatorHost["drain"]>[0]) =>
        this.#coordinatorProcess?.run(() => {
          this.#coordinator?.drain(fault).catch((thrown: Error) => {
            this.#trace.note(this.#time.nowMs, "drain", thrown.message);
          });
        }),
      repeatView: (node: string) => this.#members.get(node)?.repeatView(),
      signal: (node: string, restartMs: number | null) => {
        const member = this.#members.get(node);
        if (member?.process.isAlive !== true || this.#signalled.has(member.process)) return;
        this.#signalled.set(member.process, restartMs);
        member.signal();
      },
    };
    return new Strikes(cluster, this.#plan.faults);
  }

  #diskMs(): number {
    return this.#random.float() * this.#plan.diskMsMax;
  }

  /** The coordinator does something that is no message, over which it may end. */
  #does(process: SimulatedProcess, kind: string, isDone: boolean): void {
    if (process.isAlive) this.#strikes?.acts(process, kind, isDone);
  }

  #openCoordinator(
    process: SimulatedProcess,
    transport: SimulatedTransport,
    residuals: Map<number, Float32Array>,
    term: number,
  ): CoordinatorHost {
    const { layout } = this.#plan;
    const pause = (msMax = 20) =>
      new Promise<void>((resolve) => process.clock.after(this.#random.float() * msMax, resolve));
    const { ioTimeoutMs } = simulatedTimes;
    const coordinator: CoordinatorHost = new CoordinatorHost({
      ...{ transport, clock: process.clock, ioTimeoutMs },
      config: { ...simulatedTimes, term, serve: false },
      initialState: async ({ generation = 0 }) => {
        // No server applies anything of an earlier generation from here on.
        if (generation > 0) {
          const start = ledgerStartOf(this.#start, layout);
          this.#watch.wentBack(start, finalLossOf(this.#start), generation, coordinator.term);
        }
        return this.#start?.state ?? freshState(layout);
      },
      goBack: async ({ spec, generation = 0 }) => {
        await pause();
        this.#start = this.#checkpoints.at(-1) ?? this.#from;
        residuals.clear();
        for (const { rank, values } of this.#start?.state.residuals ?? []) {
          residuals.set(rank, values);
        }
        const term = coordinator.term + 1;
        this.#durable = { term, generation: generation + 1, record: null };
        return { setup: this.#setupFrom(spec, this.#start), term };
      },
      saveCheckpoint: async (request, _setup, state) => {
        const saved = this.#watch.saved(request, state);
        const stands = request.why !== "checkpoint";
        if (stands && this.#plan.faults.length === 0) this.#weighMemory();
        this.#does(process, "write", false);
        // Training goes on beside it for many steps.
        await pause(stands ? undefined : 400);
        await this.#keep(process, saved);
        this.#does(process, "write", true);
        return saved.globalStep;
      },
      persist: async (record) => {
        this.#does(process, "persist", false);
        await pause();
        this.#durable = durableOf(record);
        this.#does(process, "persist", true);
      },
      inheritance: () => residuals,
      onEvent: (event) => {
        if (!process.isAlive) return;
        process.note(event.text);
        this.#events.push(event);
        this.#eventsMs.push(this.#time.nowMs);
        if (event.kind === "checkpoint" && event.step > this.#progress.step) {
          this.#progress = { step: event.step, atMs: this.#time.nowMs };
        }
        this.#watch.told(event);
        this.#shortage.told(event, this.#time.nowMs);
        this.#redundancy.told(event.text, this.#time.nowMs, this.#strikes?.overMs ?? 0);
      },
      onEnded: (result) => {
        if (process.isAlive) this.#result = result;
      },
      readExamples: toyExamples,
    });
    return coordinator;
  }

  async #keep(process: SimulatedProcess, saved: SavedCheckpoint): Promise<void> {
    const { spec, layout, failedSaves } = this.#plan;
    const { disk } = this.#kept;
    disk.pause = () => new Promise((done) => void process.clock.after(this.#diskMs(), done));
    const isFull = saved.why === "checkpoint" && this.#failedSaves < failedSaves;
    if (isFull) this.#failedSaves++;
    disk.writesLeft = isFull ? this.#random.below(8) : Number.POSITIVE_INFINITY;
    await this.#kept.keep(saved, spec, layout);
    this.#checkpoints.push(saved);
  }

  #setupFrom(spec: RunSpec, from: SavedCheckpoint | null): RunSetup {
    const { layout, workersAtStart } = this.#plan;
    const residuals = from?.state.residuals.map(({ rank }) => rank) ?? [];
    const start = workersAtStart === null ? {} : { workersAtStart };
    return { spec, layout, resume: from?.snapshot ?? null, residuals, ...start };
  }

  /** At rest, and where nothing was lost on the way, servers hold the chunks and nothing else. */
  #weighMemory(): void {
    const { compression } = this.#plan.spec;
    if (compression.push.codec !== "none" || compression.pull.codec !== "none") return;
    // Copies are held besides, and come and go beside a save.
    if (this.#plan.spec.replicas > 1) return;
    for (const member of this.#members.values()) {
      if (!(member instanceof SimulatedServer)) continue;
      const slots = member.host?.memory()?.slots ?? 0;
      const chunks = member.host?.heartbeat().server?.chunks ?? 0;
      const wanted = chunks * this.#ledger.partCount;
      if (slots === wanted) continue;
      const sentence = `${member.process.name} holds ${slots} slots for ${chunks} chunks`;
      this.#watch.violated("held at a save", `${sentence} instead of ${wanted}`);
    }
  }

  #around(process: SimulatedProcess): MemberSurroundings {
    const transport = new SimulatedTransport(this.#network, process);
    const { startTimeoutMs, ioTimeoutMs, coordinatorGraceMs } = simulatedTimes;
    const times = { startTimeoutMs, ioTimeoutMs, coordinatorGraceMs };
    const config = { coordinator: new CoordinatorPlaces("coordinator"), ...times };
    const exit = (why: string) => {
      if (!process.isAlive) return;
      process.note(`ends: ${why}`);
      process.end();
      this.#network.ended(process, false);
      const restartMs = this.#signalled.get(process);
      if (restartMs === undefined && why !== "it was stopped") this.#supervise(process, 200, why);
      else if (restartMs != null) this.#time.after(restartMs, () => this.#startNode(process.node));
    };
    return { process, transport, config, exit };
  }

  #startServer(index: number): void {
    if (this.#members.get(`server-${index}`)?.process.isAlive === true) return;
    const process = this.#spawn(`server-${index}`);
    process.run(() => {
      const server = new SimulatedServer(this.#around(process), index, (...applied) => {
        if (!process.isAlive) return;
        this.#watch.applied(process.name, ...applied);
        this.#watch.holds(process.name, server.host?.memory()?.slots ?? 0);
      });
      this.#members.set(process.node, server);
    });
  }

  #startWorker(rank: number): void {
    const node = `worker-${rank}`;
    if (this.#members.get(node)?.process.isAlive === true) return;
    const process = this.#spawn(node);
    this.#shortage.started(rank);
    const { stepMsMax, slowness, spec, refusals } = this.#plan;
    const compute = {
      coordinator: "coordinator",
      random: this.#random,
      stepMsMax: stepMsMax * (slowness[rank] ?? 1),
      refuses: (of: number, epoch: number, start: number) => {
        const key = `${epoch}/${start}`;
        const isRefused = refusals > 0 && spec.workersMax > 1 && (start + epoch + of) % 7 === 0;
        if (!isRefused || this.#refused.has(key) || this.#refused.size >= refusals) return false;
        this.#refused.add(key);
        return true;
      },
      onComputed: (...about: Parameters<InvariantWatch["computed"]>) => {
        if (process.isAlive) this.#watch.computed(...about);
      },
      onEvaluated: this.#watch.evaluated.bind(this.#watch),
    };
    process.run(() => {
      this.#members.set(node, new SimulatedWorker(this.#around(process), rank, compute));
    });
  }

  /** A process has ended: the coordinator is told, and it is started again. */
  #supervise(process: SimulatedProcess, restartMs: number | null, why: string): void {
    const [role, number] = process.node.split("-") as ["server" | "worker", string];
    const exited = {
      ...({ type: "exited", role, rank: Number(number), pid: pidOf(process) } as const),
      ...{ reason: why, restarts: restartMs !== null },
    };
    if (role === "worker") this.#shortage.exited(Number(number), exited.restarts);
    this.#time.after(10, () => {
      this.#coordinatorProcess?.run(() => this.#coordinator?.tell(exited));
    });
    if (restartMs === null) return;
    this.#time.after(restartMs, () => this.#startNode(process.node));
  }

  #startNode(node: string): void {
    const [role, number] = node.split("-");
    if (role === "worker") this.#startWorker(Number(number));
    else this.#startServer(Number(number));
  }
}

function durableOf(record: CoordinatorRecord): DurableState {
  const { term, view } = record;
  return { term, generation: view.generation, record: JSON.stringify(record) };
}

/** Resolves once no promise has anything left to do. */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}
