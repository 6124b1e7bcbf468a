/**
 * How much memory the processes of a run may take. "Parameters" are the bytes of everything that
 * servers hold of a model, in f32: weights and BatchNorm's statistics.
 */

/** One mebibyte. */
export const mebibyte = 2 ** 20;

/** A program without a model: Node, the code, what travels in buffers. */
const programBytes = 100 * mebibyte;
/** The same of the coordinator, which also carries the program of data sets and checkpoints. */
const coordinatorBytes = 128 * mebibyte;
/** Messages of residuals on their way to a checkpoint, and such as wait to be given back. */
const movingResidualBytes = 48 * mebibyte;
/** What gRPC lets a peer send before it is read, of each peer. */
const grpcWindowBytes = 16 * mebibyte;
/** Its buffers that wait to be given back. */
const grpcWaitingBytes = 32 * mebibyte;
/** The longest chunk, by which a server's share may exceed its part. */
const chunkBytes = mebibyte;
/** What the default of --load-bound lets a server hold beyond its part. */
const loadBound = 1.25;

/** What is limited. */
export interface RunSize {
  readonly parameterBytes: number;
  readonly workers: number;
  readonly servers: number;
  /** The peak of a process that does nothing but the engine's steps. */
  readonly engineBytes: number;
  /** Whether pushes drop values, which each worker keeps for its next push. */
  readonly keepsResiduals: boolean;
  /** Whether chunks travel over gRPC, whose messages are copied and wait in buffers. */
  readonly overGrpc: boolean;
  /** Whether replies carry differences, for which servers keep what they have sent. */
  readonly keepsSent: boolean;
}

/** The most bytes that a process of each kind may hold. */
export interface MemoryLimits {
  /** A server while steps are taken: weights and velocity, and a copy for each worker. */
  readonly server: number;
  /** The same when a checkpoint is written. */
  readonly serverCheckpoint: number;
  /** What of that are values. */
  readonly serverValues: number;
  /** A worker: the engine, and twice the parameters. */
  readonly worker: number;
  /** What a server, or a worker, may hold for moments beyond what is flat. */
  readonly serverPassing: number;
  readonly workerPassing: number;
  /**
   * The coordinator, which holds a model only while it is loaded or saved, and until a checkpoint
   * is written what each worker has kept.
   */
  readonly coordinator: number;
}

/** The limits of a run with momentum. */
export function memoryLimits(size: RunSize): MemoryLimits {
  const { parameterBytes, workers, servers, engineBytes } = size;
  const { keepsResiduals, keepsSent, overGrpc } = size;
  const part = parameterBytes / servers;
  const share = Math.min(parameterBytes, Math.max(loadBound * part, part + chunkBytes));
  const stepping = share * (2 + workers + (keepsSent ? 2 : 0));
  const serverValues = stepping + 2 * share;
  const ofGrpc = (peers: number) => (overGrpc ? peers * grpcWindowBytes + grpcWaitingBytes : 0);
  const moving = keepsResiduals ? movingResidualBytes : 0;
  const passing = overGrpc ? grpcWaitingBytes : 0;
  return {
    server: programBytes + stepping + ofGrpc(workers),
    serverCheckpoint: programBytes + serverValues + ofGrpc(workers),
    serverValues,
    serverPassing: passing,
    worker:
      engineBytes + parameterBytes * (2 + (keepsResiduals ? 1 : 0)) + moving + ofGrpc(servers),
    workerPassing: passing + moving,
    coordinator:
      coordinatorBytes +
      parameterBytes * (2 + (keepsResiduals ? workers : 0)) +
      moving +
      ofGrpc(servers),
  };
}
