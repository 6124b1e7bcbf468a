/**
 * Experiment files that list one thing twice: a mean over such a list is of nobody's run, so the
 * file is refused and both entries are named.
 */
import { PacelineError } from "../../errors.js";

/** A list of a file and what tells its entries apart. */
export interface ListedOnce<Entry> {
  /** Where it stands. */
  readonly place: string;
  /** What an entry is: worker, epoch. */
  readonly what: string;
  readonly entries: readonly Entry[] | null | undefined;
  readonly key: (entry: Entry) => number | null | undefined;
  /** What two entries of one key may differ in, for the message. */
  readonly value: (entry: Entry) => unknown;
}

/**
 * Refuses a list with two entries of one key; those without a key go with anything.
 * @throws PacelineError `usage`.
 */
export function demandOnce<Entry>(path: string, list: ListedOnce<Entry>): void {
  const { place, what, entries, key, value } = list;
  const first = new Map<number, Entry>();
  for (const entry of entries ?? []) {
    const number = key(entry);
    if (number === null || number === undefined) continue;
    const before = first.get(number);
    if (before !== undefined) {
      const both = `with ${JSON.stringify(value(before))} and ${JSON.stringify(value(entry))}`;
      const sentence = `${path} lists ${what} ${number} twice in ${place}, ${both}`;
      throw new PacelineError("usage", `${sentence}; remove one of the two`);
    }
    first.set(number, entry);
  }
}

/** What both readers of experiment files look at of a worker. */
interface ListedWorker {
  readonly worker_id?: number | null | undefined;
  readonly final_test_accuracy_percent?: number | null | undefined;
  readonly total_training_time_seconds?: number | null | undefined;
}

/** Refuses a list with a worker twice. */
export function demandWorkersOnce(
  path: string,
  place: string,
  workers: readonly ListedWorker[] | null | undefined,
): void {
  demandOnce(path, {
    place,
    what: "worker",
    entries: workers,
    key: (worker) => worker.worker_id,
    value: ({ final_test_accuracy_percent, total_training_time_seconds }) => {
      return { final_test_accuracy_percent, total_training_time_seconds };
    },
  });
}
