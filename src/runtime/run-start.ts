/**
 * What training starts from: a checkpoint's values and account, or fresh ones. A run that goes back
 * while it is on reads the same as one that is resumed.
 */
import { dirname } from "node:path";
import { firstStand } from "../core/phases/plan-progress.js";
import type { RunSetup, TrainingSnapshot } from "../core/work/run-setup.js";
import type { ModelState } from "../host/state-transfer.js";
import type { PlannedRun } from "../protocol/plan/plan.js";
import { readCheckpoint, type StoredCheckpoint } from "../store/checkpoint/checkpoint.js";
import {
  latestCheckpoint,
  type ResumePoint,
  readSound,
  retireLater,
} from "../store/checkpoint/checkpoint-folder.js";
import { diskFiles, type Files } from "../store/files.js";
import { initialState } from "./compute/initial-state.js";

/** Values that members are given. */
export interface RunStart {
  readonly state: ModelState;
  /** By rank what pushes of workers had dropped; empty where it begins fresh. */
  readonly residuals: Map<number, Float32Array>;
}

/** A sentence for the user. */
export interface Notice {
  readonly kind: "info" | "warning";
  readonly text: string;
}

/** A run that goes back, and where to. */
export interface StartedAgain extends RunStart {
  readonly setup: RunSetup;
  readonly notices: readonly Notice[];
}

/** Where a run's checkpoints are. */
export interface RunPlaces {
  readonly directory: { readonly path: string };
  /** The folder of the checkpoint that it was resumed from; null where it began fresh. */
  readonly resumedFrom: string | null;
}

/**
 * What a run goes on from that goes back: its latest sound checkpoint, else the one that it was
 * resumed from, else its fresh start.
 * @throws PacelineError `checkpoint` where there are checkpoints and none can be read.
 */
export async function startAgain(
  before: RunSetup,
  { directory: { path }, resumedFrom }: RunPlaces,
  files: Files = diskFiles,
): Promise<StartedAgain> {
  const { spec, layout } = before;
  const latest = await latestCheckpoint(path, files);
  if (latest !== null) {
    const meant = { ...latest, runDirectory: path, skipped: [], isExact: false };
    const read = (checkpoint: string) => readCheckpoint(checkpoint, files);
    const { value, point } = await readSound(meant, read, "--resume", files);
    const retired = await retireNotices(path, point.step, files);
    const notices = [...skippedNotices(point), ...retired];
    return { ...fromCheckpoint(before, value, point.step), notices };
  }
  if (resumedFrom !== null) {
    const checkpoint = await readCheckpoint(resumedFrom);
    return { ...fromCheckpoint(before, checkpoint, before.resumedStep ?? 0), notices: [] };
  }
  const start = { state: initialState(spec, layout), residuals: new Map() };
  return { ...start, setup: { spec, layout, ...keptBy(start, null, null) }, notices: [] };
}

function fromCheckpoint(
  { spec, layout }: RunSetup,
  checkpoint: StoredCheckpoint,
  step: number,
): Omit<StartedAgain, "notices"> {
  const start = { state: stateOf(checkpoint), residuals: residualsOf(checkpoint) };
  const kept = keptBy(start, snapshotOf(checkpoint, spec), step);
  return { ...start, setup: { spec, layout, ...kept } };
}

/** The part of a setup that follows from what is started from; `step` is the checkpoint's. */
export function keptBy(
  { state, residuals }: RunStart,
  resume: TrainingSnapshot | null,
  step: number | null,
): Pick<RunSetup, "resume" | "sealedStep" | "resumedStep" | "residuals"> {
  const sealedStep = Math.max(-1, ...state.marks.map((marks) => marks.sealedStep));
  const from = step === null ? {} : { resumedStep: step };
  return { resume, sealedStep, ...from, residuals: [...residuals.keys()] };
}

/** What servers hold of a checkpoint. */
export function stateOf({ weights, state, manifest }: StoredCheckpoint): ModelState {
  return { weights, state, marks: manifest.chunks };
}

/** What a checkpoint has of the coordinator. */
export function snapshotOf(
  { manifest }: StoredCheckpoint,
  spec: PlannedRun,
): TrainingSnapshot | null {
  const kept = (manifest.cursor ?? null) as TrainingSnapshot | null;
  if (kept === null) return null;
  if (protocolsOf(manifest.spec) === protocolsOf(spec)) return atPlannedRate(kept, spec);
  // A run that keeps pace in other ways than before begins with the first of these.
  const version = Math.min(...manifest.chunks.map((marks) => marks.version));
  const { globalStep: step, examples } = manifest;
  const ground = { step, version, examples, evaluations: kept.evaluations.length };
  return { ...kept, plan: firstStand(spec, ground) };
}

/** What a plan says of rates may have changed since; what it does not say of stays. */
function atPlannedRate(kept: TrainingSnapshot, { plan }: PlannedRun): TrainingSnapshot {
  const stand = kept.plan;
  const planned = stand?.leftAt === null ? plan[stand.place] : undefined;
  if (stand === undefined || planned === undefined) return kept;
  const { lrFactor } = planned;
  const begun = stand.phase.momentum;
  const momentum = begun && planned.momentum && { ...begun, ...planned.momentum };
  return { ...kept, plan: { ...stand, phase: { ...stand.phase, lrFactor, momentum } } };
}

function protocolsOf({ protocol, plan }: PlannedRun): string {
  return JSON.stringify([protocol, ...plan.map((phase) => phase.protocol)]);
}

/** What a checkpoint has of the workers, by rank; nothing of none. */
export function residualsOf(checkpoint: StoredCheckpoint | undefined): Map<number, Float32Array> {
  return new Map(checkpoint?.residuals.map(({ rank, values }) => [rank, values] as const));
}

/** A warning of each checkpoint that was passed over. */
export function skippedNotices({ skipped }: Pick<ResumePoint, "skipped">): Notice[] {
  return skipped.map(({ path, reason }) => ({
    kind: "warning",
    text: `${path} is skipped: ${reason}`,
  }));
}

/** Moves away what came after this step in a run's folder, which is no part of it any more. */
export async function retireNotices(
  path: string,
  step: number,
  files: Files = diskFiles,
): Promise<Notice[]> {
  const retired = await retireLater(path, step, files);
  if (retired.length === 0) return [];
  const steps = retired.map((entry) => entry.step).join(", ");
  const text = `later checkpoints (step ${steps}) are moved to`;
  return [{ kind: "warning", text: `${text} ${dirname(retired[0]!.path)}` }];
}
