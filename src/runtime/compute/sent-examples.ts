/**
 * A worker's examples where it has no files: asked for at the coordinator, batch by batch, asked
 * for again after a broken link, and checked against the run before anything is computed with them.
 */

import { PacelineError, toPacelineError } from "../../errors.js";
import type { ExamplesBlock, ExamplesRequest } from "../../protocol/examples.js";
import type { RunSpec } from "../../protocol/run-spec.js";

/** Asks the coordinator; as Transport.readExamples. */
export type AskForExamples = (
  request: ExamplesRequest,
  onBlock: (block: ExamplesBlock) => void,
) => Promise<void>;

/** Whom to ask, and how long to try. */
export interface ExampleSource {
  readonly ask: AskForExamples;
  readonly ioTimeoutMs: number;
}

/** A batch as it was sent: pixels, shape (n, C, H, W), and labels. */
export interface SentBatch {
  readonly pixels: Uint8Array;
  readonly labels: Int32Array;
}

/** Examples came that are not the run's; the message says what is wrong with them. */
export class ExamplesRefused extends PacelineError {
  constructor(message: string) {
    super("data", message);
  }
}

const retryDelayMs = 100;

/** The examples of one run. */
export class SentExamples {
  readonly #spec: RunSpec;
  readonly #source: ExampleSource;
  #closed = false;

  constructor(spec: RunSpec, source: ExampleSource) {
    this.#spec = spec;
    this.#source = source;
  }

  /**
   * Has a batch sent.
   * @throws ExamplesRefused where it is not what the run says.
   * @throws PacelineError where it can't be had, also with patience.
   */
  async fetch(place: Omit<ExamplesRequest, "run">): Promise<SentBatch> {
    const request = { run: this.#spec.run, ...place };
    const startedMs = performance.now();
    for (;;) {
      const batch = new Arriving(this.#spec, place.end - place.start);
      try {
        await this.#source.ask(request, (block) => batch.take(block));
        return batch.whole();
      } catch (thrown) {
        const error = toPacelineError(thrown);
        const late = performance.now() - startedMs >= this.#source.ioTimeoutMs;
        if (!error.retryable || late || this.#closed) throw error;
        await new Promise((resolve) => setTimeout(resolve, retryDelayMs));
      }
    }
  }

  /** Asks no more. */
  close(): void {
    this.#closed = true;
  }
}

/** Blocks put together, and checked as they come. */
class Arriving {
  readonly #spec: RunSpec;
  readonly #count: number;
  readonly #pixels: Uint8Array;
  readonly #labels: Int32Array;
  #pixelsTaken = 0;
  #labelsTaken = 0;

  constructor(spec: RunSpec, count: number) {
    const [channels, height, width] = spec.input.shape;
    this.#spec = spec;
    this.#count = count;
    this.#pixels = new Uint8Array(count * channels * height * width);
    this.#labels = new Int32Array(count);
  }

  take(block: ExamplesBlock): void {
    const { labels, values } = block;
    this.#demandFacts(block);
    if (this.#labelsTaken + labels.length > this.#count) this.#refuse("more labels arrived");
    if (this.#pixelsTaken + values.length > this.#pixels.length) this.#refuse("more bytes arrived");
    const { classes } = this.#spec.input;
    const wrong = labels.find((label) => label < 0 || label >= classes);
    if (wrong !== undefined) {
      throw new ExamplesRefused(`label ${wrong} is not one of 0 to ${classes - 1}`);
    }
    this.#labels.set(labels, this.#labelsTaken);
    this.#pixels.set(values, this.#pixelsTaken);
    this.#labelsTaken += labels.length;
    this.#pixelsTaken += values.length;
  }

  whole(): SentBatch {
    if (this.#labelsTaken < this.#count) this.#refuse(`only ${this.#labelsTaken} labels arrived`);
    if (this.#pixelsTaken < this.#pixels.length)
      this.#refuse(`only ${this.#pixelsTaken} bytes arrived`);
    return { pixels: this.#pixels, labels: this.#labels };
  }

  #demandFacts({ count, shape, dtype }: Omit<ExamplesBlock, keyof SentBatch | "values">): void {
    const wanted = this.#spec.input.shape.join(" x ");
    if (count !== this.#count) {
      throw new ExamplesRefused(`${count} examples arrived and ${this.#count} were requested`);
    }
    if (dtype !== "u8") throw new ExamplesRefused(`values are "${dtype}" and must be bytes, "u8"`);
    if (shape.join(" x ") === wanted) return;
    throw new ExamplesRefused(`an example is ${shape.join(" x ")} and the run's are ${wanted}`);
  }

  #refuse(what: string): never {
    const { length } = this.#pixels;
    throw new ExamplesRefused(`${what} for ${this.#count} examples of ${length} bytes in all`);
  }
}
