/**
 * A process of a simulated world: everything that happens in it goes through `run`. A frozen one
 * has what comes wait, messages and timers alike, until it is thawed; then all comes at once, in
 * its order, and the process may act on what is long past. Its clock goes on meanwhile, or stands
 * still with it, as that of a machine that is suspended: then it knows nothing of the time that it
 * has lost. One that has ended hears nothing.
 */
import type { Clock, Timer } from "../host/clock.js";
import type { EventTrace } from "./event-trace.js";
import type { VirtualTime } from "./virtual-time.js";

/** What processes stand in. */
export interface ProcessSurroundings {
  readonly time: VirtualTime;
  readonly trace: EventTrace;
  /** Something in the process threw what it must not throw. */
  onCrash(process: SimulatedProcess, thrown: unknown): void;
}

/** One life of a process. */
export class SimulatedProcess {
  /** The machine that it runs on, by which links are cut: its role and rank. */
  readonly node: string;
  /** What the node's name begins with. */
  readonly role: string;
  /** The node with the number of the life. */
  readonly name: string;
  readonly clock: Clock;
  readonly #around: ProcessSurroundings;
  readonly #waiting: (() => void)[] = [];
  #isAlive = true;
  #isFrozen = false;
  /** How long its clock has stood still, and since when it does; null while it goes. */
  #lostMs = 0;
  #stoppedMs: number | null = null;

  constructor(node: string, life: number, around: ProcessSurroundings) {
    this.node = node;
    this.role = node.split("-")[0]!;
    this.name = life === 0 ? node : `${node}/${life}`;
    this.#around = around;
    this.clock = {
      nowMs: () => around.time.nowMs - this.#lostMs,
      after: (delayMs, action) => this.#after(delayMs, action),
    };
  }

  /** False once it has ended. */
  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** True where its clock has stood still for a while. */
  get hasLostTime(): boolean {
    return this.#lostMs > 0;
  }

  /** True while what comes waits. */
  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** Has something happen in the process: now, when it is thawed, or never. */
  run(action: () => void): void {
    if (!this.#isAlive) return;
    if (this.#isFrozen) {
      this.#waiting.push(action);
      return;
    }
    try {
      action();
    } catch (thrown) {
      this.#around.onCrash(this, thrown);
    }
  }

  /** Has it stand still, and its clock too if it is suspended. */
  freeze(isSuspended = false): void {
    this.#isFrozen = true;
    if (isSuspended) this.#stoppedMs ??= this.#around.time.nowMs;
  }

  /** Has it go on: with each thing that came meanwhile, then with what comes. */
  thaw(): void {
    if (!this.#isFrozen) return;
    this.#isFrozen = false;
    const { time } = this.#around;
    if (this.#stoppedMs !== null) this.#lostMs += time.nowMs - this.#stoppedMs;
    this.#stoppedMs = null;
    for (const action of this.#waiting.splice(0)) time.after(0, () => this.run(action));
  }

  /** Ends it at once. */
  end(): void {
    this.#isAlive = false;
    this.#waiting.length = 0;
  }

  /** Says in the trace that something came, as `EventTrace.event` does. */
  event(numbers: readonly number[], what: () => string): void {
    this.#around.trace.event(this.#around.time.nowMs, this.name, numbers, what);
  }

  /** Says something in the trace. */
  note(what: string): void {
    this.#around.trace.note(this.#around.time.nowMs, this.name, what);
  }

  /** A timer by its own clock, which may have stood still meanwhile. */
  #after(delayMs: number, action: () => void): Timer {
    const { time } = this.#around;
    const plannedLostMs = this.#lostMs;
    const dueMs = this.clock.nowMs() + delayMs;
    let isCancelled = false;
    const fire = () => {
      if (isCancelled) return;
      const leftMs = this.#lostMs === plannedLostMs ? 0 : dueMs - this.clock.nowMs();
      if (leftMs > 1e-6) timer = time.after(leftMs, () => this.run(fire));
      else action();
    };
    let timer = time.after(delayMs, () => this.run(fire));
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
    };
  }
}
