/**
 * What an embedder gets: the errors, the description of a run, and the pure pieces that say where
 * parameters lie and what a learning rate will be. Everything else is reached through the commands.
 */

export { type ErrorCode, errorCodes, PacelineError } from "./errors.js";
export { buildModel, modelList } from "./nn/models.js";
export { type Chunk, type Layout, layOut, type TensorSpec } from "./protocol/layout.js";
export { type Placement, type PlacementRequest, placeChunks } from "./protocol/placement.js";
export type { Protocol, RunSpec } from "./protocol/run-spec.js";
export { learningRate } from "./protocol/schedule.js";
export type { ScheduleSpec } from "./protocol/schedule-spec.js";
export type { UpdateRuleSpec } from "./protocol/update-rules.js";
