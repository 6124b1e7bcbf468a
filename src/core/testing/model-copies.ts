/** What a model server keeps of its chunks for a cut. */
import type { ChunkHeader, ChunkMarks } from "../../protocol/messages.js";
import type { Entry } from "../server/entry.js";
import { type ModelGradient, type ModelValue, updated } from "./model-values.js";

/** What is kept of a chunk. */
export interface ModelCopy {
  value: ModelValue;
  /** True once it has all that belongs before its cut. */
  isWhole: boolean;
}

/** The copies of one server. */
export class ModelCopies {
  readonly #copies = new Map<number, ModelCopy>();
  /** By chunk who is told that its copy is whole. */
  readonly #waiting = new Map<number, (marks: ChunkMarks) => void>();

  /** What is kept of a chunk, if it is. */
  of(chunk: number): ModelCopy | undefined {
    return this.#copies.get(chunk);
  }

  /** Keeps a chunk as it is. */
  keep(chunk: number, value: ModelValue): void {
    this.#copies.set(chunk, { value, isWhole: false });
  }

  /** Moves what is kept. */
  apply({ chunk, lr, scale }: Entry, gradient: ModelGradient): void {
    const copy = this.#copies.get(chunk)!;
    copy.value = updated(copy.value, { gradients: [gradient], lr, scale });
  }

  /** What is kept is whole. */
  close({ chunk, detail }: ChunkHeader): void {
    this.#copies.get(chunk)!.isWhole = true;
    this.#waiting.get(chunk)?.(JSON.parse(detail) as ChunkMarks);
  }

  /** Tells once the copy of a chunk is whole. */
  whenWhole(chunk: number, tell: (marks: ChunkMarks) => void): void {
    this.#waiting.set(chunk, tell);
  }

  /** Nobody is told any more. */
  giveUp(): void {
    this.#waiting.clear();
  }
}
