/**
 * The row of metrics.jsonl that says from where a run goes on, when it is resumed or has gone back
 * to a checkpoint: rows before it of later steps tell of work that was given up.
 */

/** One such row. */
export interface ResumedRow {
  readonly kind: "resumed";
  /** ISO 8601. */
  readonly time: string;
  /** Of the checkpoint; 0 where the run begins anew. */
  readonly step: number;
  /** Epochs that were over by then. */
  readonly epochs: number;
  /** Seconds trained by then. */
  readonly seconds: number;
}

/** What a checkpoint knows of the work before it. */
export interface WorkBefore {
  readonly seconds: number;
  readonly epochs: readonly unknown[];
}

/** The row for a checkpoint; of none where the run begins anew. */
export function resumedRow(time: string, step: number, before: WorkBefore | null): ResumedRow {
  const { seconds, epochs } = before ?? { seconds: 0, epochs: [] };
  return { kind: "resumed", time, step, epochs: epochs.length, seconds };
}

/**
 * Which rows of steps count, given all rows in their order: a row is given up where the run goes on
 * from an earlier step later, or where a later row is of the same step or an earlier one, as in
 * files of versions that wrote no rows of resuming.
 */
export class GivenUpRows {
  /** Ascending by place; of two marks the later has the higher step, else the former is none. */
  readonly #marks: { readonly place: number; readonly step: number }[] = [];
  #lastStep = 0;
  #place = 0;

  /** Takes the next row. */
  take(row: { readonly kind: string; readonly step: number }): void {
    if (row.kind === "resumed") this.#mark(row.step);
    else if (row.step <= this.#lastStep) this.#mark(row.step - 1);
    this.#lastStep = row.step;
    this.#place += 1;
  }

  #mark(step: number): void {
    while ((this.#marks.at(-1)?.step ?? -1) >= step) this.#marks.pop();
    this.#marks.push({ place: this.#place, step });
  }

  /** True for a row, by its place among those taken, that a later one gives up. */
  isGivenUp(place: number, step: number): boolean {
    // The first mark behind it has the lowest step of all that follow.
    const mark = this.#marks.find((one) => one.place > place);
    return mark !== undefined && step > mark.step;
  }
}
