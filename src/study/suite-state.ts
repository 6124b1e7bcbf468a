/**
 * What a suite keeps on the disk beside its results: `suite.json` with the state of each cell, in
 * `cells/` each cell's config and log, in `runs/` the folders of the runs. A cell's result, a file
 * in the published form, is what makes it finished; everything else may be lost without harm.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { PacelineError } from "../errors.js";
import { latestCheckpoint } from "../store/checkpoint/checkpoint-folder.js";
import { isMissing } from "../store/file-errors.js";
import { diskFiles, type Files, readWhole, writeTextAtomically } from "../store/files.js";
import type { Cell } from "./cells.js";
import { type ExperimentForm, readExperimentForm } from "./experiment-form.js";
import { studyResultOf } from "./read-results.js";
import type { StudyResult } from "./study-result.js";
import type { CellRecord, CellTraces } from "./suite-plan.js";

/** The content of suite.json. */
export interface SuiteState {
  /** The matrix that was run last; a whole path but in older files. */
  readonly matrix: string;
  /** The process that runs the suite, while one does. */
  readonly pid: number | null;
  /** In the names of its jobs on a cluster; "" where there were none. */
  readonly id: string;
  /** How many of these there were. */
  readonly jobs: number;
  readonly cells: Readonly<Record<string, CellRecord>>;
}

/** Of a folder in which no suite was run. */
export const nothingYet: SuiteState = { matrix: "", pid: null, id: "", jobs: 0, cells: {} };

/** Everything that is known of a cell. */
export interface CellOnDisk extends CellTraces {
  /** Its result, where its file could be read. */
  readonly study: StudyResult | null;
  /** Training examples in an epoch. */
  readonly epochExamples: number | null;
  /** The machine that it ran on. */
  readonly machine: Readonly<Record<string, unknown>> | null;
}

/** Where the things of a suite lie. */
export class SuiteFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get statePath(): string {
    return join(this.path, "suite.json");
  }

  get runsPath(): string {
    return join(this.path, "runs");
  }

  get reportPath(): string {
    return join(this.path, "report.md");
  }

  get chartsPath(): string {
    return join(this.path, "charts");
  }

  get cellsPath(): string {
    return join(this.path, "cells");
  }

  resultPath(name: string): string {
    return join(this.path, `${name}.json`);
  }

  runPath(name: string): string {
    return join(this.runsPath, name);
  }

  /** Absolute, so that it is known again on a command line. */
  configPath(name: string): string {
    return resolve(this.cellsPath, `${name}.yaml`);
  }

  logPath(name: string): string {
    return join(this.cellsPath, `${name}.log`);
  }
}

const stateBytesMax = 64 * 1024 * 1024;

const recordSchema = z.object({
  state: z.enum(["waiting", "running", "done", "failed", "interrupted"]),
  fingerprint: z.string(),
  matrix: z.string().optional(),
  attempts: z.int(),
  seconds: z.number(),
  runFolder: z.string(),
  crowded: z.boolean(),
  resumed: z.boolean(),
  error: z.string().nullable(),
  lastLines: z.array(z.string()),
  pid: z.int().nullable(),
  job: z.string().nullable().default(null),
  startedAt: z.string().nullable(),
});
const stateSchema = z.object({
  matrix: z.string(),
  pid: z.int().nullable(),
  id: z
    .string()
    .regex(/^[a-z0-9]*$/)
    .default(""),
  jobs: z.int().nonnegative().default(0),
  cells: z.record(z.string(), recordSchema),
});

/** Reads suite.json; a folder without one has an empty state. */
export async function readSuiteState(
  folder: SuiteFolder,
  files: Files = diskFiles,
): Promise<SuiteState> {
  const path = folder.statePath;
  let text: string;
  try {
    text = (await readWhole(files, path, stateBytesMax)).toString("utf8");
  } catch (thrown) {
    if (isMissing(thrown)) return nothingYet;
    throw thrown;
  }
  const checked = stateSchema.safeParse(parseJson(text));
  if (checked.success) return checked.data;
  const where = checked.error.issues[0]!.path.join(".") || "the whole";
  const remedy = "remove it: finished cells stay finished, half-finished ones start over";
  throw new PacelineError("usage", `${path} is damaged (${where}); ${remedy}`);
}

/** Replaces suite.json. */
export async function writeSuiteState(
  folder: SuiteFolder,
  state: SuiteState,
  files: Files = diskFiles,
): Promise<void> {
  const text = `${JSON.stringify(state, null, 2)}\n`;
  await writeTextAtomically(files, folder.statePath, text);
}

/** Looks at everything that there is of a cell. */
export async function lookAtCell(
  folder: SuiteFolder,
  cell: Pick<Cell, "name">,
  state: SuiteState,
  files: Files = diskFiles,
): Promise<CellOnDisk> {
  const { name } = cell;
  const record = state.cells[name] ?? null;
  const run = folder.runPath(name);
  const names = await files.list(run);
  const pid = record?.state === "running" ? record.pid : null;
  const checkpoint = names === null ? null : await latestCheckpoint(run, files);
  return {
    record,
    run: {
      exists: names !== null,
      outcome: (await formOfRun(run, files))?.paceline?.outcome ?? null,
      checkpointStep: checkpoint?.step ?? null,
      pid: pid !== null && isRunning(pid, folder.configPath(name)) ? pid : null,
    },
    ...(await readResult(folder.resultPath(name), files)),
  };
}

/**
 * True while a process lives whose command line has this word. Where command lines can't be read,
 * a living process is taken for the one that is meant.
 */
export function isRunning(pid: number, word: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(word);
  } catch {
    return process.platform !== "linux";
  }
}

type ResultOnDisk = Pick<CellOnDisk, "result" | "study" | "epochExamples" | "machine">;

async function readResult(path: string, files: Files): Promise<ResultOnDisk> {
  const nothing = { study: null, epochExamples: null, machine: null };
  try {
    const form = await readExperimentForm(path, files);
    const told = ownFields(form);
    const outcome = form.paceline?.outcome ?? null;
    const result = { kind: "file", fingerprint: told.fingerprint ?? null, outcome } as const;
    const epochExamples = told.spec?.trainExamples ?? null;
    const machine = told.machine ?? null;
    return { result, study: studyResultOf(form, path), epochExamples, machine };
  } catch (thrown) {
    if (isMissing(thrown)) return { result: { kind: "none" }, ...nothing };
    if (!(thrown instanceof PacelineError)) throw thrown;
    return { result: { kind: "unreadable", reason: thrown.message }, ...nothing };
  }
}

const ownSchema = z.object({
  fingerprint: z.string().optional().catch(undefined),
  machine: z.record(z.string(), z.unknown()).optional().catch(undefined),
  spec: z.object({ trainExamples: z.number() }).optional().catch(undefined),
});

function ownFields({ paceline }: ExperimentForm): z.infer<typeof ownSchema> {
  return paceline ? ownSchema.parse(paceline) : {};
}

/** Why a run ended, in its own words; null where it left none. */
export async function reasonOfRun(run: string, files: Files = diskFiles): Promise<string | null> {
  return (await formOfRun(run, files))?.paceline?.reason ?? null;
}

async function formOfRun(run: string, files: Files): Promise<ExperimentForm | null> {
  try {
    return await readExperimentForm(join(run, "result.json"), files);
  } catch (thrown) {
    if (thrown instanceof PacelineError) return null;
    throw thrown;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
