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
import type { RunSpec } from "../protocol/run-spec.js";
import type { View } from "../protocol/view.js";
import { diskFiles, type Files } from "./files.js";
import { type RecordForm, readRecord, writeRecord } from "./kept-record.js";
import type { Moment } from "./moment.js";

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
  /** When the progress was as told; left out where the writer did not note it. */
  readonly at?: Moment | undefined;
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

/** The form of a state, wherever it is kept. */
export const stateForm: RecordForm<CoordinatorState> = {
  what: "a coordinator's state",
  remedy: "resume a checkpoint under another --name, or remove the file if no run uses it",
  format: stateFormat,
  bytesMax: 256 * 1024 * 1024,
  schema: async () => (await import("./coordinator-form.js")).stateSchema,
};

/** Where the states of runs are kept, by the folder of the run. */
export interface CoordinatorStates {
  /** Null where there is none; one that is torn or not ours is a `storage` error. */
  read(folder: string): Promise<CoordinatorState | null>;
  /** Replaces it; resolves when it is durable. */
  write(folder: string, state: CoordinatorState): Promise<void>;
  /**
   * Where others may come to write them, and the runs' folders: resolves while this process is the
   * one to do so, else rejects with `refused`.
   */
  readonly confirm?: () => Promise<void>;
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
export function readCoordinatorState(
  folder: string,
  files: Files = diskFiles,
): Promise<CoordinatorState | null> {
  return readRecord(join(folder, fileName), stateForm, files);
}

/** Replaces it; resolves when it is durable. */
export function writeCoordinatorState(
  folder: string,
  state: CoordinatorState,
  files: Files = diskFiles,
): Promise<void> {
  return writeRecord(join(folder, fileName), state, stateForm, files);
}
