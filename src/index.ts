/**
 * What an embedder gets: the errors, the description of a run, and the pure pieces that say where
 * parameters lie and what a learning rate will be. Everything else is reached through the commands.
 */

export { type Chunk, type Layout, layOut, type TensorSpec } from "./contract/layout.js";
export { type Placement, type PlacementRequest, placeChunks } from "./contract/placement.js";
export type { Protocol, RunSpec, ScheduleSpec, UpdateRuleSpec } from "./contract/run-spec.js";
export { learningRate } from "./contract/schedule.js";
export { type ErrorCode, errorCodes, PacelineError } from "./errors.js";
export { buildModel, modelList } from "./nn/models.js";
