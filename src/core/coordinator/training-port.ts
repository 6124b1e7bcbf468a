/**
 * What training is given: who takes part from the beginning, and the coordinator around it.
 * Training decides what is due in a run; the port's owner has it done, in the order of
 * the calls.
 */
import type { MemberIdentity, WorkerIdentity } from "../../protocol/identity.js";
import type {
  CoordinatorMessage,
  ServerStatistics,
  WorkerStatistics,
} from "../../protocol/messages.js";
import type { View } from "../../protocol/view.js";
import type { Member } from "../members/roster.js";
import type { RunSetup, SaveRequest, TrainingSnapshot } from "../work/run-setup.js";
import type { CoordinatorEffect } from "./coordinator-events.js";
import type { CoordinatorRecord } from "./coordinator-record.js";
import { dismissalOf } from "./draining.js";
import type { MemberCounts, WorkerCounts } from "./member-counts.js";
import type { ServersPort } from "./run-servers.js";

/** What training asks of the coordinator around it. */
export interface TrainingPort extends ServersPort {
  toWorker(rank: number, message: CoordinatorMessage): void;
  toServer(index: number, message: CoordinatorMessage): void;
  load(view: View): void;
  save(request: SaveRequest): void;
  /** What a cut keeps of the coordinator, once servers have copied theirs. */
  giveAccount(snapshot: TrainingSnapshot): void;
  /** Somebody waits for what is being saved. */
  hurrySave(): void;
  /** What is being saved can't be: a server that is asked for its part is gone. */
  abandonSave(): void;
  /** The servers' latest counts. */
  serverStatistics(): ServerStatistics[];
  /** A server is lost, and others have its chunks. */
  serverGone(server: MemberIdentity): void;
  /** What workers have counted since the run began, by rank. */
  workerCounts(): WorkerCounts;
  /** The same of one rank where its present life had counted so much; null of another life. */
  countsAt(worker: WorkerIdentity, counts: WorkerStatistics): WorkerStatistics | null;
}

/** A port whose owner performs effects. */
export function portOf(
  setup: RunSetup,
  counts: MemberCounts,
  perform: (effect: CoordinatorEffect) => void,
): TrainingPort {
  return {
    toWorker: (rank, message) => perform({ type: "send", role: "worker", rank, message }),
    toServer: (rank, message) => perform({ type: "send", role: "server", rank, message }),
    emit: (event) => perform({ type: "event", event }),
    dismiss: (member, text) => perform(dismissalOf(member, text)),
    load: (view) => perform({ type: "load", view, setup }),
    save: (request) => perform({ type: "save", request, setup }),
    giveAccount: (snapshot) => perform({ type: "giveAccount", snapshot }),
    hurrySave: () => perform({ type: "hurrySave" }),
    abandonSave: () => perform({ type: "abandonSave" }),
    serverStatistics: () => Object.values(counts.servers),
    serverGone: (server) => counts.serverLost(server),
    workerCounts: () => counts.workers,
    countsAt: (worker, told) => counts.at(worker, told),
  };
}

/** Who takes part from the beginning, and under which term. */
export interface TrainingMembers {
  readonly term: number;
  readonly servers: readonly Member[];
  readonly workers: readonly Member[];
  /** Where a run goes on in place; members are then as it has them. */
  readonly record?: CoordinatorRecord;
}
