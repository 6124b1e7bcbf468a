/**
 * What a program gets: a run as a call, the three roles, observers and what they are told, models,
 * checkpoints, results, and the pure pieces that say where parameters lie and what a learning rate
 * will be.
 */

export { type ErrorCode, errorCodes, PacelineError } from "./errors.js";
export { exportModel } from "./library/export-model.js";
export { type TrainParts, type TrainResult, train } from "./library/train.js";
export { describeRun, type TrainSettings } from "./library/train-settings.js";
export { buildModel, modelList } from "./nn/models.js";
export { type Chunk, type Layout, layOut, type TensorSpec } from "./protocol/layout.js";
export {
  type Placement,
  type PlacementRequest,
  placeChunks,
} from "./protocol/placement/placement.js";
export type {
  CoordinatorSnapshot,
  EpochRecord,
  EvaluationRecord,
  RunEvent,
  RunResult,
} from "./protocol/run-events.js";
export type { Protocol, RunSpec } from "./protocol/run-spec.js";
export { learningRate } from "./protocol/schedule.js";
export type { ScheduleSpec } from "./protocol/schedule-spec.js";
export type { UpdateRuleSpec } from "./protocol/update-rules.js";
export type { MemberEnd, RunningMember } from "./runtime/member-part.js";
export type { Observer, RunBegin, RunEnd } from "./runtime/observer.js";
export type { RoleParts } from "./runtime/role-settings.js";
export type { CoordinatorSettings, RunRequest } from "./runtime/run-carrier.js";
export type { RunSettings } from "./runtime/run-settings.js";
export {
  type RunningServing,
  type ServingParts,
  type ServingSettings,
  startServing,
} from "./runtime/serving/start-serving.js";
export {
  type CoordinatorParts,
  type RunningCoordinator,
  startCoordinator,
} from "./runtime/start-coordinator.js";
export { type RunningServer, type ServerSettings, startServer } from "./runtime/start-server.js";
export { startWorker, type WorkerParts, type WorkerSettings } from "./runtime/start-worker.js";
export {
  type CheckpointContent,
  type CheckpointFacts,
  readCheckpoint,
  type StoredCheckpoint,
  writeCheckpoint,
} from "./store/checkpoint/checkpoint.js";
export type {
  ExportedModel,
  ExportKind,
  ExportRequest,
} from "./store/checkpoint/checkpoint-export.js";
export { listCheckpoints } from "./store/checkpoint/checkpoint-folder.js";
export { type ExperimentFile, readExperimentFile } from "./store/runs/experiment-file.js";
export { readStudyResult, readStudyResults } from "./study/read-results.js";
export type { StudyResult } from "./study/study-result.js";
