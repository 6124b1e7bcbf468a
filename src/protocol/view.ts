/**
 * A view: a numbered, immutable statement of who is a member and which server holds which chunk.
 * Servers hear of a view before workers do; a member with a newer one refuses what an older one
 * implies.
 */
import type { WorkerIdentity } from "./identity.js";
import type { BegunMomentum } from "./plan/phase-momentum.js";
import type { PlannedPhase } from "./plan/plan.js";
import type { Protocol } from "./run-spec.js";

/** What a process may be told to take for chunks: the best way there is, or this one only. */
export const transportChoices = ["auto", "grpc", "tcp", "unix"] as const;
/** One of them. */
export type TransportChoice = (typeof transportChoices)[number];

/** Where a server takes frames, which Paceline's own processes prefer to gRPC for chunks. */
export interface FrameAddresses {
  /** host:port; "" where there is none. */
  readonly tcp: string;
  /** Path of a Unix socket; "" where there is none. */
  readonly unix: string;
  /** Names its computer and that computer's present start: the Unix socket is there only. */
  readonly machine: string;
}

/** A server in a view. */
export interface ViewServer {
  readonly index: number;
  readonly incarnation: number;
  readonly address: string;
  /** Null where it speaks gRPC only. */
  readonly frames: FrameAddresses | null;
}

/** A worker in a view. */
export interface ViewWorker extends WorkerIdentity {
  /** First step for which barriers count this worker, and the clock it starts with. */
  readonly fromStep: number;
}

/** A server that is brought up to hold a chunk, and does not count yet. */
export interface ChunkCandidate {
  readonly chunk: number;
  readonly server: number;
}

/** Where a run stands in its plan of protocols. */
export interface ViewPhase {
  /** Counted from 0; raised with each switch. */
  readonly phase: number;
  /** The first step that belongs to the phase: no worker takes one before it any more. */
  readonly phaseFromStep: number;
  /** How workers keep pace in it. */
  readonly protocol: Protocol;
  /** Times the learning rate of the schedule. */
  readonly lrFactor: number;
  /** The momentum coefficient; null where the run's own holds. */
  readonly momentum: BegunMomentum | null;
}

/** The phase that a run begins with. */
export function firstPhase(
  protocol: Protocol,
  { lrFactor, momentum }: Pick<PlannedPhase, "lrFactor" | "momentum"> = plainPhase,
): ViewPhase {
  const begun = momentum === null ? null : { ...momentum, fromExamples: 0 };
  return { phase: 0, phaseFromStep: 0, protocol, lrFactor, momentum: begun };
}

/** What holds where a run has no plan. */
const plainPhase = { lrFactor: 1, momentum: null };

/** The view itself. */
export interface View extends ViewPhase {
  readonly run: string;
  /** Its id, which holds the coordinator's term: see ids.ts. */
  readonly number: number;
  /** Raised by every roll-back. */
  readonly generation: number;
  /** In ascending index. */
  readonly servers: readonly ViewServer[];
  /** In ascending rank. */
  readonly workers: readonly ViewWorker[];
  /** Per chunk the indices of the servers that hold it: its primary, then its in-sync backups. */
  readonly replicas: readonly (readonly number[])[];
  /** Per chunk its fence: the number of the view that last changed its primary. */
  readonly fences: readonly number[];
  /** In ascending chunk. */
  readonly candidates: readonly ChunkCandidate[];
  /** Workers that are gone, and of whom it is yet to be told how far they had come. */
  readonly departing: readonly ViewWorker[];
}

/** What a server is to a chunk. */
export type ReplicaRole = "primary" | "backup" | "candidate";

/** True when `left` supersedes `right`. */
export function supersedes(left: View, right: View): boolean {
  return left.number > right.number;
}

/** The worker of this rank, if the view has one. */
export function workerOfRank(view: View, rank: number): ViewWorker | undefined {
  return view.workers.find((worker) => worker.rank === rank);
}

/** Lives of workers that a view has and a later one has not. */
export function workersGone(before: View | null, workers: readonly ViewWorker[]): ViewWorker[] {
  const present = new Set(workers.map(({ incarnation }) => incarnation));
  return (before?.workers ?? []).filter(({ incarnation }) => !present.has(incarnation));
}

/** The index of the server that leads a chunk; undefined where there is no such chunk. */
export function primaryOf(view: View, chunk: number): number | undefined {
  return view.replicas[chunk]?.[0];
}

/** The chunks that a server has anything to do with, and what it is to each. */
export function rolesOfServer(view: View, index: number): Map<number, ReplicaRole> {
  const roles = new Map<number, ReplicaRole>();
  view.replicas.forEach((servers, chunk) => {
    const place = servers.indexOf(index);
    if (place >= 0) roles.set(chunk, place === 0 ? "primary" : "backup");
  });
  for (const { chunk, server } of view.candidates) {
    if (server === index && !roles.has(chunk)) roles.set(chunk, "candidate");
  }
  return roles;
}

/** What a server is to one chunk; null for nothing. */
export function roleOfServer(view: View, index: number, chunk: number): ReplicaRole | null {
  const place = view.replicas[chunk]?.indexOf(index) ?? -1;
  if (place >= 0) return place === 0 ? "primary" : "backup";
  const isNamed = view.candidates.some((one) => one.chunk === chunk && one.server === index);
  return isNamed ? "candidate" : null;
}

/** The server of this index, if the view has it. */
export function serverOfIndex(view: View, index: number): ViewServer | undefined {
  return view.servers.find((server) => server.index === index);
}

/** The chunks whose primary is the server of this index, ascending. */
export function chunksOfServer(view: View, index: number): number[] {
  const chunks: number[] = [];
  view.replicas.forEach(([primary], chunk) => {
    if (primary === index) chunks.push(chunk);
  });
  return chunks;
}
