/**
 * What one part of a simulated run is made of and comes to, and the times that its cluster keeps
 * to. The cluster itself is simulated-cluster.ts.
 */
import type { Layout } from "../protocol/layout.js";
import type { RunEvent, RunResult } from "../protocol/run-events.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { Fault } from "./fault-plan.js";
import type { SavedCheckpoint } from "./saved-checkpoint.js";
import type { NetworkSettings } from "./simulated-network.js";

/** Milliseconds that clusters of simulated worlds keep to. */
export const simulatedTimes = {
  heartbeatIntervalMs: 100,
  leaseMs: 1000,
  closedGraceMs: 800,
  rankGraceMs: 300,
  startTimeoutMs: 4000,
  stopTimeoutMs: 1500,
  ioTimeoutMs: 3000,
  /** How long a run may go on once everything is as it should be. */
  patienceMs: 60_000,
  serverGraceMs: 1500,
  waitForWorkersMs: 2500,
  /** How long a member that is to leave may take. */
  drainWithinMs: 1500,
  coordinatorGraceMs: 3000,
  /** The same where others stand by, the first of which leads seconds after a leader's silence. */
  standbyGraceMs: 30_000,
};

/** What a part of a run is made of. */
export interface ClusterPlan {
  readonly spec: RunSpec;
  readonly layout: Layout;
  readonly network: NetworkSettings;
  readonly stepMsMax: number;
  /** How many workers it waits for at the start; null for all. */
  readonly workersAtStart: number | null;
  /** By rank what a worker is slower by. */
  readonly slowness: readonly number[];
  /** Ranks that come later than the others. */
  readonly lateMs: readonly number[];
  readonly faults: readonly Fault[];
  /** How many coordinators stand by for the one that leads. */
  readonly standbys: number;
  /** How long the lease of one that leads lasts, where others stand by. */
  readonly leadMs: number;
  readonly interruptMs: number | null;
  /** How many batches are refused by a worker that is sent them, once each. */
  readonly refusals: number;
  /** How many checkpoints can't be written, before the last one. */
  readonly failedSaves: number;
  /** How long the disk takes for one thing. */
  readonly diskMsMax: number;
}

/** What a part of a run came to. */
export interface ClusterEnd {
  /** Null where it did not end in time, or was cut off. */
  readonly result: RunResult | null;
  /** The coordinator's process was killed, and with it the run. */
  readonly isCutOff: boolean;
  readonly events: readonly RunEvent[];
  /** When each of them was told. */
  readonly eventsMs: readonly number[];
  readonly checkpoints: readonly SavedCheckpoint[];
  /** Lives of workers that ended, or that a coordinator which came later did not know. */
  readonly lostWorkers: number;
  /** No worker was lost, and every view has as many as the spec wants. */
  readonly hadAllWorkers: boolean;
  readonly endedMs: number;
}
