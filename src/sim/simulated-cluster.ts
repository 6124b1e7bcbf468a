/**
 * One part of a simulated run, from a fresh start or a checkpoint to its end: a coordinator, its
 * members, a supervisor that starts processes again, and the faults that strike them.
 */
import { protocolOf } from "../core/sync/modes.js";
import type { SaveRequest } from "../core/work/run-setup.js";
import { CoordinatorPlaces } from "../host/session/coordinator-places.js";
import type { MemberPlace } from "../protocol/identity.js";
import type { RunEvent, RunResult } from "../protocol/run-events.js";
import type { View } from "../protocol/view.js";
import type { Random } from "../random.js";
import type { Files } from "../store/files.js";
import { type ClusterEnd, type ClusterPlan, simulatedTimes } from "./cluster-plan.js";
import type { CoordinatorWorld } from "./coordinator/coordinator-life.js";
import type { Coordinators } from "./coordinator/coordinators.js";
import { SimulatedEtcd } from "./coordinator/simulated-etcd.js";
import { SoleCoordinator } from "./coordinator/sole-coordinator.js";
import { StandbyCoordinators } from "./coordinator/standby-coordinators.js";
import { switchedSettings } from "./drawn-plan.js";
import type { EventTrace } from "./event-trace.js";
import type { KeptCheckpoints } from "./kept-checkpoints.js";
import type { SavedCheckpoint } from "./saved-checkpoint.js";
import {
  type MemberSurroundings,
  type OnApplied,
  pidOf,
  type SimulatedMember,
  SimulatedServer,
  SimulatedWorker,
} from "./simulated-member.js";
import { SimulatedNetwork } from "./simulated-network.js";
import { SimulatedProcess } from "./simulated-process.js";
import { SimulatedTransport } from "./simulated-transport.js";
import { knock, type StrangerScene } from "./stranger/stranger.js";
import type { StrangerFault } from "./stranger/stranger-plan.js";
import { Strikes } from "./strikes.js";
import { VirtualTime } from "./virtual-time.js";
import type { InvariantWatch } from "./watch/invariant-watch.js";
import type { Ledger } from "./watch/ledger.js";
import { RedundancyWatch } from "./watch/redundancy-watch.js";
import { ShortageWatch } from "./watch/shortage-watch.js";

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
  readonly #ledger: Ledger;
  readonly #etcd: SimulatedEtcd;
  readonly #coordinators: Coordinators;
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
    this.#redundancy = new RedundancyWatch(violated, plan.leadMs);
    this.#shortage = new ShortageWatch(plan.spec, violated);
    this.#ledger = parts.ledger;
    this.#network = new SimulatedNetwork(this.#time, parts.random, plan.network);
    this.#network.onSent = (header, from) => this.#watch.sent(header, from);
    this.#watch.readViews((server) => this.#viewOf(server));
    this.#network.onSaid = (member, message) => this.#watch.said(member, message);
    this.#watch.readClocks(() =>
      [...this.#members.values()].flatMap((member) =>
        member instanceof SimulatedWorker ? (member.clock ?? []) : [],
      ),
    );
    this.#etcd = new SimulatedEtcd(this.#time, parts.random);
    const world = this.#coordinatorWorld(parts.from);
    this.#coordinators =
      plan.standbys > 0
        ? new StandbyCoordinators(world, this.#time, this.#etcd)
        : new SoleCoordinator(world, this.#time);
  }

  /** Runs it to its end, or until so long after the last of these moments and faults. */
  async run(latestMs: number): Promise<ClusterEnd> {
    this.#open();
    const isLate = () => {
      const overMs = Math.max(latestMs, this.#strikes?.overMs ?? 0, this.#progress.atMs);
      return this.#time.nextMs > overMs + simulatedTimes.patienceMs;
    };
    const goesOn = () => this.#result === null && !this.#isBroken && !this.#coordinators.isCutOff;
    while (goesOn() && !isLate()) {
      if (!this.#time.move()) break;
      await settled();
    }
    if (goesOn()) this.#standsStill();
    const endedMs = this.#time.nowMs;
    this.#redundancy.ended(endedMs, this.#strikes?.overMs ?? 0);
    const { isCutOff } = this.#coordinators;
    for (const { process } of this.#members.values()) process.end();
    this.#coordinators.close();
    const [events, checkpoints, result] = [this.#events, this.#checkpoints, this.#result];
    const eventsMs = this.#eventsMs;
    const isGone = (event: RunEvent) =>
      (event.kind === "lost" || event.kind === "left") && event.role === "worker";
    const lost = events.filter(isGone);
    // A coordinator that goes on knows who was in a view; all others come to it anew.
    const comings = events.flatMap((event) =>
      event.kind === "registered" && event.role === "worker" ? [event.rank] : [],
    );
    const cameAnew = comings.length - new Set(comings).size;
    const isFull = events.every(
      (event) => event.kind !== "view" || event.workers.length === this.#plan.spec.workersMax,
    );
    const hadAllWorkers = lost.length === 0 && isFull;
    const lostWorkers = Math.max(lost.length, cameAnew);
    const told = { events, eventsMs, checkpoints, lostWorkers, hadAllWorkers };
    return { result, isCutOff, ...told, endedMs };
  }

  #standsStill(): void {
    const doing = [...this.#members.values()].map((member) => {
      const state = member.process.isAlive ? member.activity() : "gone";
      return `${member.process.name}: ${state}`;
    });
    const coordinator = this.#coordinators.present?.host.snapshot();
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
    this.#coordinators.open();
    for (let index = 0; index < spec.servers; index++) this.#startServer(index);
    for (let rank = 0; rank < spec.workersMax; rank++) {
      this.#time.at(this.#plan.lateMs[rank] ?? 0, () => this.#startWorker(rank));
    }
    this.#strikes = this.#openStrikes();
    if (interruptMs === null) return;
    this.#time.at(interruptMs, () => this.#coordinators.interrupt());
  }

  #openStrikes(): Strikes {
    const cluster = {
      time: this.#time,
      network: this.#network,
      etcd: this.#etcd,
      trace: this.#trace,
      processOf: (node: string) =>
        node.startsWith("coordinator")
          ? this.#coordinators.processOf(node)
          : this.#members.get(node)?.process,
      onKilled: (process: SimulatedProcess, restartMs: number | null, isTold: boolean) => {
        if (process.node.startsWith("coordinator")) {
          this.#coordinators.killed(process, restartMs);
        } else if (isTold || restartMs !== null) {
          this.#supervise(process, restartMs, "was killed");
        }
      },
      startWorker: (rank: number) => this.#startWorker(rank),
      knock: (fault: StrangerFault) => knock(this.#strangerScene(), fault),
      workers: () => [...this.#members.keys()].filter((node) => node.startsWith("worker")),
      startServer: (index: number) => this.#startServer(index),
      // Who is not there, or can't be spared, stays.
      drain: (member: MemberPlace) => {
        const { present } = this.#coordinators;
        present?.process.run(() => {
          present.host.drain(member).catch((thrown: Error) => {
            this.#trace.note(this.#time.nowMs, "drain", thrown.message);
          });
        });
      },
      // What they keep to already, and what is asked for too early or too late, changes nothing.
      switchTo: (mode: string) => {
        const { present } = this.#coordinators;
        const protocol = protocolOf(mode, switchedSettings);
        present?.process.run(() => {
          present.host.switchTo({ protocol, run: "" }).catch((thrown: Error) => {
            this.#trace.note(this.#time.nowMs, "switch", thrown.message);
          });
        });
      },
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

  #strangerScene(): StrangerScene {
    const { spec, layout } = this.#plan;
    return {
      ...{ network: this.#network, spec, layout },
      coordinator: this.#coordinators.processOf("coordinator")?.node ?? "coordinator",
      spawn: (node) => this.#spawn(node),
      viewOf: (server) => this.#viewOf(server),
      clockOf: (rank) => {
        const member = this.#members.get(`worker-${rank}`);
        return member instanceof SimulatedWorker ? (member.clock?.clock ?? null) : null;
      },
      violated: this.#watch.violated.bind(this.#watch),
    };
  }

  #viewOf(server: number): View | null {
    const member = this.#members.get(`server-${server}`);
    return member instanceof SimulatedServer ? member.view : null;
  }

  #coordinatorWorld(from: SavedCheckpoint | null): CoordinatorWorld {
    const checkpoints = this.#checkpoints;
    const hasOthers = this.#plan.standbys > 0;
    const complain = this.#watch.violated.bind(this.#watch);
    return {
      ...{ plan: this.#plan, network: this.#network, random: this.#random, watch: this.#watch },
      ...{ kept: this.#kept, from, checkpoints },
      spawn: (node) => this.#spawn(node),
      ended: (process) => this.#network.ended(process, false),
      acts: (process, kind, isDone) => {
        if (process.isAlive) this.#strikes?.acts(process, kind, isDone);
      },
      isPresent: (life) => life === this.#coordinators.present,
      latest: async (files, generation) => {
        if (!hasOthers) return checkpoints.at(-1) ?? from;
        return (await this.#kept.latest(generation, files, complain)) ?? from;
      },
      mount: (process, why) => this.#mount(process, why),
      onEvent: (event) => this.#told(event),
      onEnded: (result) => {
        this.#result = result;
      },
      onStanding: () => this.#weighMemory(),
    };
  }

  #mount(process: SimulatedProcess, why: SaveRequest["why"]): Files {
    const { failedSaves, diskMsMax } = this.#plan;
    const isFull = why === "checkpoint" && this.#failedSaves < failedSaves;
    if (isFull) this.#failedSaves++;
    const writesLeft = isFull ? this.#random.below(8) : Number.POSITIVE_INFINITY;
    const pause = () => {
      const delayMs = this.#random.float() * diskMsMax;
      return new Promise<void>((done) => void process.clock.after(delayMs, done));
    };
    return this.#kept.disk.mount({ pause, writesLeft });
  }

  /** The present coordinator has said something. */
  #told(event: RunEvent): void {
    const { nowMs } = this.#time;
    this.#events.push(event);
    this.#eventsMs.push(nowMs);
    const isOfStep = event.kind === "checkpoint" || event.kind === "evaluation";
    if (isOfStep && event.step > this.#progress.step) {
      this.#progress = { step: event.step, atMs: nowMs };
    }
    this.#watch.told(event);
    this.#shortage.told(event, nowMs);
    this.#redundancy.told(event.text, nowMs, this.#strikes?.overMs ?? 0);
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
    const { startTimeoutMs, ioTimeoutMs, coordinatorGraceMs, standbyGraceMs } = simulatedTimes;
    const graceMs = this.#plan.standbys > 0 ? standbyGraceMs : coordinatorGraceMs;
    const times = { startTimeoutMs, ioTimeoutMs, coordinatorGraceMs: graceMs };
    const config = { coordinator: new CoordinatorPlaces(this.#coordinators.places), ...times };
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
      const onApplied: OnApplied = (...applied) => {
        if (!process.isAlive) return;
        this.#watch.applied(process.name, ...applied);
        this.#watch.holds(process.name, server.host?.memory()?.slots ?? 0);
      };
      const onLog = (text: string) => this.#watch.logged(process.name, text);
      const server = new SimulatedServer(this.#around(process), index, onApplied, onLog);
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
      onWork: this.#watch.heardWork.bind(this.#watch),
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
    this.#time.after(10, () => this.#coordinators.tell(exited));
    if (restartMs === null) return;
    this.#time.after(restartMs, () => this.#startNode(process.node));
  }

  #startNode(node: string): void {
    const [role, number] = node.split("-");
    if (role === "worker") this.#startWorker(Number(number));
    else this.#startServer(Number(number));
  }
}

/** Resolves once no promise has anything left to do. */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}
