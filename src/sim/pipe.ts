/**
 * One direction of a connection: parcels arrive in the order in which they were sent, each after a
 * delay of chance, in one event or several. While the way between the two nodes is blocked what was
 * sent waits, as the packets of a connection do.
 */
import type { SimulatedProcess } from "./simulated-process.js";

/** Something on its way. */
export interface Parcel {
  /** What it is, for a reader, and numbers that stand for that. */
  label(): string;
  readonly numbers: readonly number[];
  /** In how many events it arrives. */
  readonly beats: number;
  /** True while its content still lies in the sender's memory. */
  readonly isLent: boolean;
  /** One of its events; happens in the receiving process. */
  arrive(beat: number): void;
  /** It will not arrive, or not any further. */
  lose(): void;
}

/** What pipes lie in. */
export interface PipeSurroundings {
  readonly nowMs: number;
  plan(atMs: number, action: () => void): void;
  /** How long the next parcel, or its next event, takes. */
  delayMs(): number;
  beatMs(): number;
  isBlocked(from: string, to: string): boolean;
  /** Has the pipe told by `flow` when its way is open again. */
  awaitOpen(pipe: Pipe): void;
}

interface Queued {
  readonly parcel: Parcel;
  readyMs: number;
  beat: number;
}

/** One direction. */
export class Pipe {
  readonly from: string;
  readonly #to: SimulatedProcess;
  readonly #around: PipeSurroundings;
  readonly #queue: Queued[] = [];
  #isPlanned = false;
  #notBeforeMs = 0;
  #isLeaking = false;

  constructor(from: string, to: SimulatedProcess, around: PipeSurroundings) {
    this.from = from;
    this.#to = to;
    this.#around = around;
  }

  /** Which way it goes, as a word. */
  get way(): string {
    return `${this.from}>${this.#to.node}`;
  }

  /** Puts a parcel on its way. */
  send(parcel: Parcel): void {
    const { nowMs } = this.#around;
    if (this.#isLeaking) {
      parcel.lose();
      return;
    }
    const readyMs = nowMs + this.#around.delayMs();
    this.#queue.push({ parcel, readyMs, beat: 0 });
    this.flow();
  }

  /** What is on its way, and what follows, arrives no sooner than after this time. */
  delay(durationMs: number): void {
    this.#notBeforeMs = Math.max(this.#notBeforeMs, this.#around.nowMs + durationMs);
  }

  /** The sender's memory is gone: what still lies there does not arrive, nor what follows it. */
  cutLent(): void {
    const first = this.#queue.findIndex(({ parcel }) => parcel.isLent);
    if (first >= 0) for (const { parcel } of this.#queue.splice(first)) parcel.lose();
  }

  /** Nothing of what is on its way arrives, nor of what follows. */
  swallow(): void {
    this.#isLeaking = true;
    this.drop();
  }

  /** Nothing of it arrives. */
  drop(): void {
    for (const { parcel } of this.#queue.splice(0)) parcel.lose();
  }

  /** Plans the next event, if there is one. */
  flow(): void {
    const [head] = this.#queue;
    if (this.#isPlanned || head === undefined) return;
    const around = this.#around;
    this.#isPlanned = true;
    around.plan(Math.max(head.readyMs, this.#notBeforeMs), () => {
      const isBlocked = around.isBlocked(this.from, this.#to.node);
      if (isBlocked || around.nowMs < this.#notBeforeMs) {
        this.#isPlanned = false;
        if (isBlocked) around.awaitOpen(this);
        else this.flow();
        return;
      }
      this.#to.run(() => this.#arrive());
    });
  }

  #arrive(): void {
    this.#isPlanned = false;
    const [head] = this.#queue;
    if (head === undefined) return;
    const { parcel } = head;
    const beat = head.beat++;
    if (head.beat === parcel.beats) this.#queue.shift();
    else head.readyMs = this.#around.nowMs + this.#around.beatMs();
    this.#to.event(parcel.numbers, () => {
      const part = parcel.beats === 1 ? "" : ` (${beat + 1} of ${parcel.beats})`;
      return `${parcel.label()}${part} from ${this.from}`;
    });
    try {
      parcel.arrive(beat);
    } finally {
      this.flow();
    }
  }
}
