/**
 * Has the faults of a plan strike a simulated cluster: at their time or, where a fault waits for a
 * moment, as a process sends the message that it names. A process may so end between any two things
 * that it does: what it has sent is on its way, what follows in the same event never happens.
 */
import type { SimulatedEtcd } from "./coordinator/simulated-etcd.js";
import type { EventTrace } from "./event-trace.js";
import { durationOf, type Fault, isOfStore, type StoreFault } from "./fault-plan.js";
import type { SimulatedNetwork } from "./simulated-network.js";
import type { SimulatedProcess } from "./simulated-process.js";
import { faultSentence } from "./story.js";
import type { StrangerFault } from "./stranger/stranger-plan.js";
import type { VirtualTime } from "./virtual-time.js";

/** What faults strike. */
export interface StruckCluster {
  readonly time: VirtualTime;
  readonly network: SimulatedNetwork;
  readonly etcd: SimulatedEtcd;
  readonly trace: EventTrace;
  processOf(node: string): SimulatedProcess | null | undefined;
  /** A process has been killed, and is started again after so long, or not at all. */
  onKilled(process: SimulatedProcess, restartMs: number | null, isTold: boolean): void;
  startWorker(rank: number): void;
  /** A stranger comes. */
  knock(fault: StrangerFault): void;
  startServer(index: number): void;
  drain(fault: Fault & { readonly kind: "drain" }): void;
  switchTo(mode: string): void;
  /** A member is told to end; another takes its place so long after it has, or none. */
  signal(node: string, restartMs: number | null): void;
  /** The nodes of workers. */
  workers(): readonly string[];
  /** A member is told an earlier view again. */
  repeatView(node: string): void;
}

type Moment = Fault & { readonly kind: "moment" };

/** The faults of one cluster. */
export class Strikes {
  readonly #cluster: StruckCluster;
  /** Moments that are waited for, and how many such messages there were. */
  readonly #armed = new Map<Moment, number>();
  /** Faults that wait for a part of a checkpoint to be sent. */
  readonly #amidSave: Fault[] = [];
  /** When everything that has struck is over. */
  overMs = 0;

  constructor(cluster: StruckCluster, faults: readonly Fault[]) {
    this.#cluster = cluster;
    for (const fault of faults) cluster.time.at(fault.atMs, () => this.#begin(fault));
    cluster.network.onAct = (process, kind, isDone) => this.acts(process, kind, isDone);
  }

  /** A process is about to do something that others notice, or has just done it. */
  acts(process: SimulatedProcess, kind: string, isDone: boolean): void {
    if (isDone && kind === "saved") {
      const { time } = this.#cluster;
      for (const fault of this.#amidSave.splice(0)) time.after(0, () => this.#strike(fault));
    }
    if (this.#armed.size === 0) return;
    const { role } = process;
    for (const [moment, count] of this.#armed) {
      const { message, nth, afterMs, node = process.node } = moment;
      const isHere = moment.role === role && node === process.node && message === kind;
      if (!isHere || afterMs >= 0 !== isDone) continue;
      this.#armed.set(moment, count + 1);
      if (count + 1 < nth) continue;
      this.#armed.delete(moment);
      const fault = { ...moment.strike, atMs: this.#cluster.time.nowMs, node: process.node };
      if (afterMs > 0) this.#cluster.time.after(afterMs, () => this.#strike(fault));
      else this.#strike(fault);
      for (const next of moment.then ?? []) {
        this.#cluster.time.after(next.atMs, () => this.#begin(next));
      }
      if (!process.isAlive) return;
    }
  }

  #begin(fault: Fault): void {
    if (fault.kind === "moment") this.#armed.set(fault, 0);
    else this.#strike(fault);
  }

  #strike(fault: Fault): void {
    const { network, time, trace, ...cluster } = this.#cluster;
    const place = (node: string) => this.#placeOf(node);
    trace.note(time.nowMs, "fault", faultSentence(fault));
    this.overMs = Math.max(this.overMs, time.nowMs + durationOf(fault));
    if (isOfStore(fault)) {
      this.#strikeStore(fault);
      return;
    }
    switch (fault.kind) {
      case "kill":
      case "freeze":
        this.#strikeProcess(fault);
        break;
      case "block":
        network.block(place(fault.from), place(fault.to), fault.durationMs);
        break;
      case "break":
        network.breakBetween(place(fault.left), place(fault.right));
        break;
      case "leaveBehind":
        network.leaveBehind(place(fault.from), place(fault.to), fault.lateMs);
        break;
      case "swallow":
        network.swallow(place(fault.from), place(fault.to));
        break;
      case "mute":
        for (const worker of cluster.workers()) network.swallow(fault.node, worker);
        break;
      case "loseAnswer":
        network.loseAnswers(fault.node, fault.count);
        break;
      case "repeat":
        network.repeat(fault.node, fault.durationMs);
        break;
      case "staleView":
        cluster.repeatView(fault.node);
        break;
      case "amidSave":
        this.#amidSave.push(fault.fault);
        break;
      case "joinServer":
        cluster.startServer(fault.index);
        break;
      case "drain":
        cluster.drain(fault);
        break;
      case "switch":
        cluster.switchTo(fault.mode);
        break;
      case "signal":
        cluster.signal(fault.node, fault.restartMs);
        break;
      case "stranger":
        cluster.knock(fault);
        break;
      case "lateWorker":
        cluster.startWorker(fault.rank);
        break;
      case "moment":
        break;
      default:
        fault satisfies never;
    }
  }

  #strikeProcess(fault: Fault & { readonly kind: "kill" | "freeze" }): void {
    const { network, time, ...cluster } = this.#cluster;
    const process = cluster.processOf(fault.node);
    if (process?.isAlive !== true) return;
    if (fault.kind === "kill") {
      process.end();
      network.ended(process, fault.isSilent, fault.lateMs);
      cluster.onKilled(process, fault.restartMs, !fault.isSilent);
    } else {
      process.freeze(fault.isSuspended);
      network.stoodStill(process);
      time.after(fault.durationMs, () => process.thaw());
    }
  }

  #strikeStore(fault: StoreFault): void {
    const { etcd } = this.#cluster;
    switch (fault.kind) {
      case "storeSlow":
        etcd.slowDown(fault.durationMs, fault.mostMs);
        break;
      case "storeAway":
        etcd.goAway(fault.durationMs);
        break;
      case "storeCut":
        etcd.cut(this.#placeOf(fault.node), fault.durationMs);
        break;
      case "storeLosesAnswers":
        etcd.loseAnswers(fault.count);
        break;
      default:
        fault satisfies never;
    }
  }

  /** Of several coordinators a fault strikes the one that leads. */
  #placeOf(node: string): string {
    return node === "coordinator" ? (this.#cluster.processOf(node)?.node ?? node) : node;
  }
}
