/**
 * Examples of a run by position: of an epoch's order, or of the test set's own. A worker that has
 * the files reads through it, and so does the coordinator for workers that have none; so both find
 * the same examples at the same positions.
 */

import { identityDifference } from "../../data/identity.js";
import { type EpochOrder, epochOrder } from "../../data/partition.js";
import type { Dataset } from "../../data/split.js";
import { PacelineError } from "../../errors.js";
import type { Examples, ExamplesRequest } from "../../protocol/examples.js";
import type { RunSpec } from "../../protocol/run-spec.js";

/** Where to read. */
export type ExamplePlace = Omit<ExamplesRequest, "run">;

/** Without barriers, workers may be in two epochs at a time. */
const keptOrdersMax = 2;

/** Reads a run's examples from its data set. */
export class ExampleReader {
  readonly #spec: RunSpec;
  readonly #dataset: Dataset;
  readonly #orders = new Map<number, EpochOrder>();

  /** @throws PacelineError `data` when the data set here is another than the run's. */
  constructor(spec: RunSpec, dataset: Dataset) {
    demandSameData(spec, dataset);
    this.#spec = spec;
    this.#dataset = dataset;
  }

  /**
   * Copies the examples at these positions: pixels, shape (end - start, C, H, W), one byte each,
   * and labels. Memory beyond them is left as it is.
   * @throws PacelineError `data` where the files turn out broken.
   */
  read(place: ExamplePlace, pixels: Uint8Array, labels: Int32Array): void {
    const { split, epoch, start, end } = place;
    const indices =
      split === "train" ? this.#orderOf(epoch).indices(start, end) : ascending(start, end);
    this.#dataset[split].read(indices, 0, end - start, pixels, labels);
  }

  /** The examples at these positions, in memory of their own, as they are sent. */
  copy(place: ExamplePlace): Examples {
    const { shape } = this.#spec.input;
    const count = place.end - place.start;
    const values = new Uint8Array(count * shape[0] * shape[1] * shape[2]);
    const labels = new Int32Array(count);
    this.read(place, values, labels);
    return { shape, dtype: "u8", labels, values };
  }

  #orderOf(epoch: number): EpochOrder {
    const kept = this.#orders.get(epoch);
    if (kept !== undefined) return kept;
    const { trainExamples: count, seed, input } = this.#spec;
    const order = epochOrder({ count, blockExamples: input.blockExamples, seed, epoch });
    this.#orders.set(epoch, order);
    const oldest = Math.min(...this.#orders.keys());
    if (this.#orders.size > keptOrdersMax) this.#orders.delete(oldest);
    return order;
  }
}

function ascending(start: number, end: number): Uint32Array {
  return Uint32Array.from({ length: end - start }, (_, at) => start + at);
}

const remedy = "give every member the same files";

function demandSameData(spec: RunSpec, dataset: Dataset): void {
  const { train, test, classes, shape, identity } = dataset;
  const { input } = spec;
  const facts = [
    ["training examples", train.count, spec.trainExamples],
    ["test examples", test.count, spec.testExamples],
    ["classes", classes, input.classes],
    ["channels, rows and columns", shape.join(" x "), input.shape.join(" x ")],
  ] as const;
  for (const [what, found, wanted] of facts) {
    if (found === wanted) continue;
    const here = `${spec.data} has ${found} ${what} here and the run expects ${wanted}`;
    throw new PacelineError("data", `${here}: ${remedy}`);
  }
  if (identity === undefined || input.identity === null) return;
  const difference = identityDifference(identity, input.identity);
  if (difference === null) return;
  throw new PacelineError("data", `${spec.data} here has ${difference} as the run's: ${remedy}`);
}
