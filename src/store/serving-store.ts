/**
 * Where a serving coordinator keeps what another one goes on from: its queue and the states of its
 * runs, in the folder of runs or in etcd.
 */
import { join } from "node:path";
import { type CoordinatorStates, folderStates } from "./coordinator-state.js";
import { type QueueState, queueName, readQueueState, writeQueueState } from "./queue-state.js";

/** The queue and the states of runs. */
export interface ServingStore {
  readonly states: CoordinatorStates;
  /** Where the queue is, for messages. */
  readonly where: string;
  /** Null where there is none; one that is torn or not ours is a `storage` error. */
  readQueue(): Promise<QueueState | null>;
  /** Replaces it; resolves when it is durable. */
  writeQueue(state: QueueState): Promise<void>;
  /** Nobody goes on any more with the run of a folder. */
  forget(folder: string): Promise<void>;
}

/** In the folder of runs; each run's state is in its own. */
export function folderServingStore(runDir: string): ServingStore {
  return {
    states: folderStates,
    where: join(runDir, queueName),
    readQueue: () => readQueueState(runDir),
    writeQueue: (state) => writeQueueState(runDir, state),
    forget: async () => {},
  };
}
