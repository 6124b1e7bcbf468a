/**
 * `coordinator.json` in a run's folder: what a coordinator that carries the run on has to know of
 * the one before. The term is the least of it: an id is made of term and count, so that under a
 * higher term all ids are new (protocol/ids.ts).
 *
 * Invariant: the file is whole or not there, and what `writeCoordinatorState` has resolved on
 * survives a crash.
 */
import { join } from "node:path";
import type { z } from "zod";
import { PacelineError } from "../errors.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { View } from "../protocol/view.js";
import { isMissing } from "./file-errors.js";
import { diskFiles, type Files, readWhole, writeTextAtomically } from "./files.js";
import { isTooDeep, jsonDepthMax } from "./json-text.js";

/** What is kept. */
export interface CoordinatorState {
  /** The highest term under which the run was carried out. */
  readonly term: number;
  /** Names the start of the run that the rest is of. */
  readonly run: string;
  /** The last view that was kept; null before the first of the term. */
  readonly view: View | null;
  /** How far the run had come when that view was made; null as that. */
  readonly progress: z.core.util.JSONType;
  /** How often the run had gone back to a checkpoint. */
  readonly generation: number;
  /** What the run began with; null where the writer did not keep it. */
  readonly start: RunOrigin | null;
  /** What else a coordinator needs to go on in place; null as the view. */
  readonly rest: z.core.util.JSONType;
}

/** What a run began with. */
export interface RunOrigin {
  readonly spec: RunSpec;
  /** The folder of the checkpoint that it was resumed from, and its step; null if none was. */
  readonly resumedFrom: string | null;
  readonly resumedStep: number | null;
  readonly workersAtStart: number | null;
}

/** Raised when the file changes meaning. */
export const stateFormat = 1;
const fileName = "coordinator.json";
const bytesMax = 256 * 1024 * 1024;

/** Where the states of runs are kept, by the folder of the run. */
export interface CoordinatorStates {
  /** Null where there is none; one that is torn or not ours is a `storage` error. */
  read(folder: string): Promise<CoordinatorState | null>;
  /** Replaces it; resolves when it is durable. */
  write(folder: string, state: CoordinatorState): Promise<void>;
}

/** In the folders themselves. */
export const folderStates: CoordinatorStates = {
  read: (folder) => readCoordinatorState(folder),
  write: (folder, state) => writeCoordinatorState(folder, state),
};

/**
 * What the folder of a run has of its coordinator; null where it has nothing. A file that is torn
 * or not ours is a `storage` error.
 */
export async function readCoordinatorState(
  folder: string,
  files: Files = diskFiles,
): Promise<CoordinatorState | null> {
  const path = join(folder, fileName);
  let content: Buffer;
  try {
    content = await readWhole(files, path, bytesMax);
  } catch (thrown) {
    if (isMissing(thrown)) return null;
    throw thrown;
  }
  return coordinatorStateIn(content.toString("utf8"), path);
}

/** A state from its text; `path` names it in errors. */
export async function coordinatorStateIn(text: string, path: string): Promise<CoordinatorState> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unreadable(path, "is not JSON", cause);
  }
  if (isTooDeep(text)) throw unreadable(path, `is nested deeper than ${jsonDepthMax} levels`, null);
  const { stateSchema } = await import("./coordinator-form.js");
  const parsed = stateSchema.safeParse(value);
  if (parsed.success) {
    const { format: _, ...state } = parsed.data;
    return state;
  }
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") || "the whole";
  throw unreadable(
    path,
    `is not a coordinator's state (${where}: ${issue?.message})`,
    parsed.error,
  );
}

/** Replaces it; resolves when it is durable. */
export async function writeCoordinatorState(
  folder: string,
  state: CoordinatorState,
  files: Files = diskFiles,
): Promise<void> {
  await writeTextAtomically(files, join(folder, fileName), coordinatorStateText(state));
}

/** A state as text. */
export function coordinatorStateText(state: CoordinatorState): string {
  return `${JSON.stringify({ format: stateFormat, ...state })}\n`;
}

function unreadable(path: string, what: string, cause: unknown): PacelineError {
  const remedy = "resume a checkpoint under another --name, or remove the file if no run uses it";
  return new PacelineError("storage", `${path} ${what}: ${remedy}`, { cause });
}
