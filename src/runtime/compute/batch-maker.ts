/**
 * Makes batches: reads a step's examples, or takes those that were sent, and turns their bytes into
 * values. The batch of a step that is likely to follow can be made ahead, while there is nothing
 * else to do; since a step's random choices come from a stream that is named by (seed, rank, epoch,
 * step), it has the same values whenever it is made.
 *
 * Invariant: a batch that was made ahead is given out for its very step and examples or not at all,
 * and what is wrong with its examples is said by the step that needs them.
 */
import { assert } from "../../assert.js";
import { InputPipeline } from "../../data/pipeline.js";
import type { Batch } from "../../nn/engine.js";
import type { StepRange } from "../../protocol/examples.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { Random } from "../../random.js";
import type { ExamplePlace, ExampleReader } from "./example-reader.js";
import type { SentBatch } from "./sent-examples.js";

/** A batch made ahead: whose, and when. Times are those of the clock given. */
interface Ahead {
  readonly rank: number;
  readonly about: StepRange;
  readonly startedMs: number;
  readonly endedMs: number;
}

/** A step's batch, and what it cost of the step's own time. */
export interface MadeBatch {
  readonly batch: Batch;
  /** When it began to be made, and when it was ready. */
  readonly startedMs: number;
  readonly endedMs: number;
  readonly isAhead: boolean;
}

/** Memory for one batch at a time, which the next one overwrites. */
export class BatchMaker {
  readonly #seed: number;
  readonly #reader: ExampleReader | null;
  readonly #pipeline: InputPipeline;
  readonly #nowMs: () => number;
  /** Bytes of a batch, its values and its labels. */
  readonly #pixels: Uint8Array;
  readonly #x: Float32Array;
  readonly #y: Int32Array;
  #ahead: Ahead | null = null;

  /** @param reader null where every batch is sent. */
  constructor(
    spec: Pick<RunSpec, "seed" | "input">,
    reader: ExampleReader | null,
    batchMax: number,
    nowMs: () => number,
  ) {
    this.#seed = spec.seed;
    this.#reader = reader;
    this.#pipeline = new InputPipeline(spec.input);
    this.#nowMs = nowMs;
    this.#pixels = new Uint8Array(batchMax * this.#pipeline.valueCount);
    this.#x = new Float32Array(batchMax * this.#pipeline.valueCount);
    this.#y = new Int32Array(batchMax);
  }

  /** Makes the batch of a step that may follow; nothing where its examples are to be sent. */
  makeAhead(about: StepRange, rank: number): void {
    if (this.#reader === null) return;
    this.#ahead = null;
    const startedMs = this.#nowMs();
    try {
      this.#fillStep(about, rank, null);
    } catch {
      // The step that needs these examples will meet the same and say so.
      return;
    }
    this.#ahead = { rank, about, startedMs, endedMs: this.#nowMs() };
  }

  /** The batch of a step. */
  ofStep(about: StepRange, rank: number, sent: SentBatch | null): MadeBatch {
    const ahead = this.#ahead;
    this.#ahead = null;
    const n = about.range.end - about.range.start;
    const batch = { x: this.#x, y: this.#y, n };
    if (ahead !== null && sent === null && ahead.rank === rank && isSame(ahead.about, about)) {
      const { startedMs, endedMs } = ahead;
      return { batch, startedMs, endedMs, isAhead: true };
    }
    const startedMs = this.#nowMs();
    this.#fillStep(about, rank, sent);
    return { batch, startedMs, endedMs: this.#nowMs(), isAhead: false };
  }

  /** Test examples [start, end). */
  ofTest(start: number, end: number, sent: SentBatch | null): Batch {
    this.#ahead = null;
    this.#fill({ split: "test", epoch: 0, start, end }, sent, null);
    return { x: this.#x, y: this.#y, n: end - start };
  }

  #fillStep({ step, epoch, range }: StepRange, rank: number, sent: SentBatch | null): void {
    const random = new Random("augment", this.#seed, rank, epoch, step);
    this.#fill({ split: "train", epoch, ...range }, sent, random);
  }

  #fill(place: ExamplePlace, sent: SentBatch | null, random: Random | null): void {
    const n = place.end - place.start;
    if (sent === null) {
      assert(this.#reader !== null, "examples are read or sent", { ...place });
      this.#reader.read(place, this.#pixels, this.#y);
    } else {
      assert(sent.labels.length === n, "a batch is sent whole", { ...place });
      this.#y.set(sent.labels);
    }
    this.#pipeline.fill(sent?.pixels ?? this.#pixels, n, this.#x, random);
  }
}

function isSame(left: StepRange, right: StepRange): boolean {
  return (
    left.step === right.step &&
    left.epoch === right.epoch &&
    left.range.start === right.range.start &&
    left.range.end === right.range.end
  );
}
