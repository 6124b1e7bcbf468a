/** Training as a call: a whole run in this process, and what it came to. */
import { type ErrorCode, PacelineError } from "../errors.js";
import type { RunResult } from "../protocol/run-events.js";
import type { Observer } from "../runtime/observer.js";
import { trainHere } from "../runtime/train-here.js";
import { asFields, describeRun, type TrainSettings } from "./train-settings.js";

/** What is around a run. */
export interface TrainParts {
  /** Told of everything that happens. */
  readonly observer?: Observer;
  /** Told what servers and workers do, a sentence at a time. */
  readonly log?: (text: string) => void;
  /** Has the run saved and ended, as Ctrl-C does with a command's. */
  readonly signal?: AbortSignal;
}

/** A run that is done, or that was stopped. */
export interface TrainResult extends RunResult {
  readonly name: string;
  /** Its folder: checkpoints, events, metrics, result.json. */
  readonly folder: string;
  /** Percent of the test set, when it was evaluated last; null where it never was. */
  readonly accuracyPercent: number | null;
}

/**
 * Trains in this process: the coordinator, the servers and, each with a thread of its own, the
 * workers. Keeps the run's folder as `paceline train` does.
 * @throws PacelineError `usage` that names the field and the remedy; `data`, `checkpoint` and
 *   others with which a run can't begin; and the code of a run that failed.
 */
export async function train(settings: TrainSettings, parts: TrainParts = {}): Promise<TrainResult> {
  const request = describeRun(settings);
  const folder = { path: "", name: "" };
  const naming: Observer = { onBegin: (begin) => void Object.assign(folder, begin.folder) };
  const { observer, ...rest } = parts;
  const observers = observer === undefined ? [naming] : [naming, observer];
  const { result } = await trainHere(request, { ...rest, observers }).catch((thrown: unknown) => {
    throw asFields(thrown);
  });
  const { name, path } = folder;
  if (result.outcome === "failed") {
    const code = (result.code ?? "internal") as ErrorCode;
    throw new PacelineError(code, result.reason, { details: { folder: path } });
  }
  const accuracyPercent = result.evaluations.at(-1)?.accuracyPercent ?? null;
  return { ...result, name, folder: path, accuracyPercent };
}
