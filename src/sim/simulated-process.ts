/**
 * A process of a simulated world: everything that happens in it goes through `run`. A frozen one
 * has what comes wait, messages and timers alike, until it is thawed; then all comes at once, in
 * its order, and the process may act on what is long past. One that has ended hears nothing.
 */
import type { Clock } from "../host/clock.js";
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

  constructor(node: string, life: number, around: ProcessSurroundings) {
    this.node = node;
    this.role = node.split("-")[0]!;
    this.name = life === 0 ? node : `${node}/${life}`;
    this.#around = around;
    const { time } = around;
    this.clock = {
      nowMs: () => time.nowMs,
      after: (delayMs, action) => {
        let isCancelled = false;
        const timer = time.after(delayMs, () => this.run(() => isCancelled || action()));
        return {
          cancel: () => {
            isCancelled = true;
            timer.cancel();
          },
        };
      },
    };
  }

  /** False once it has ended. */
  get isAlive(): boolean {
    return this.#isAlive;
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

  /** Has it stand still. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** Has it go on: with each thing that came meanwhile, then with what comes. */
  thaw(): void {
    if (!this.#isFrozen) return;
    this.#isFrozen = false;
    const { time } = this.#around;
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
}
