/**
 * What the roles say to each other. Two kinds of talk:
 *
 * - session messages between a member (server or worker) and the coordinator: small, typed, in
 *   order, over one registration and one long-lived stream a member;
 * - chunk messages between a worker (or the coordinator, when it loads and saves state) and a
 *   server: a flat header and a payload of raw little-endian values, at most one chunk long.
 *
 * Every transport carries exactly these. Wire formats live in `wire`, promises in ARCHITECTURE.md.
 */
import type { AssignmentReport, Departure } from "./assignment-report.js";
import type { StepTally, TallyOrder } from "./cut.js";
import type { MemberRole, ServerReach, WorkerIdentity } from "./identity.js";
import type { ModelLayout, TensorSpec } from "./layout.js";
import type { NormReport } from "./norms.js";
import type { RunSpec } from "./run-spec.js";
import type { FrameAddresses, View } from "./view.js";

/** Raised when messages change meaning; both sides of a registration must have the same. */
export const protocolVersion = 4;

/** First word of a process to the coordinator. */
export interface RegisterRequest {
  readonly protocol: number;
  readonly role: MemberRole;
  /** A rank (worker) or index (server) asked for, or null for the lowest free one. */
  readonly rank: number | null;
  /** Set when a process comes back after a broken link: the incarnation it was given. */
  readonly incarnation: number | null;
  readonly pid: number;
  readonly host: string;
  /** Where a server listens, as others reach it; "" for workers. */
  readonly address: string;
  /** Where a server takes frames besides; null for workers and where it speaks gRPC only. */
  readonly frames: FrameAddresses | null;
  /**
   * Names this try to become a member: who asks again in the same words, as it did not hear the
   * answer, is given the same. "" where nobody asks again.
   */
  readonly attempt: string;
}

/**
 * The coordinator's answer. `incarnation` names this life of the process in everything it says
 * later.
 */
export type RegisterReply =
  | {
      readonly accepted: true;
      readonly rank: number;
      readonly incarnation: number;
      /** The coordinator's; a member that knows a higher one ignores the reply. */
      readonly term: number;
      readonly heartbeatIntervalMs: number;
      readonly leaseMs: number;
      /** Whose members it joins where one address serves several runs: terms are of each; or "". */
      readonly run: string;
    }
  | {
      readonly accepted: false;
      readonly code: "refused" | "protocol" | "usage";
      readonly reason: string;
    };

/** A part of an epoch's examples dealt to one worker, with the steps to take on it. */
export interface Assignment {
  /** Grows with every assignment dealt in a run: see ids.ts. */
  readonly id: number;
  readonly epoch: number;
  /** Positions in the epoch's permutation: [start, end). May be empty. */
  readonly start: number;
  readonly end: number;
  /** Steps to take: [firstStep, lastStep). Steps beyond the examples push n = 0. */
  readonly firstStep: number;
  readonly lastStep: number;
}

/** Half-open range of positions. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** What a server counted; summed or maximised over servers by the coordinator. */
export interface ServerStatistics {
  /** Of the view that its chunks and their counts are of; 0 before the first. */
  readonly generation: number;
  /** Smallest and largest version over the `chunks` owned; all are 0 where none is owned. */
  readonly versionMin: number;
  readonly versionMax: number;
  readonly chunks: number;
  /** Pushes with examples that any one chunk has applied at most, since the run began. */
  readonly pushes: number;
  /** Chunk updates since the server has the job, and the seconds they took. */
  readonly updates: number;
  readonly updateSeconds: number;
  /** Over pushes applied on arrival, since the run began: each once, by the chunk that leads it. */
  readonly stalenessSum: number;
  readonly stalenessCount: number;
  readonly stalenessMax: number;
  /** By staleness: index s counts those of staleness s, the last also those above. */
  readonly stalenessCounts: readonly number[];
  /** Pushes that the staleness rule rejected, counted in the same way. */
  readonly rejected: number;
  /** Chunk pushes that had been seen before, since the server has the job. */
  readonly duplicates: number;
  readonly tornSteps: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Last learning rate applied. */
  readonly lr: number;
}

/** What a worker counted since it was given its incarnation. */
export interface WorkerStatistics {
  /** Steps completed: its clock. */
  readonly clock: number;
  /** Of these, steps with examples. */
  readonly steps: number;
  readonly examples: number;
  readonly lossSum: number;
  /** Examples that lossSum and correct are over. */
  readonly lossCount: number;
  /** Examples whose label the model gave before it learned from them. */
  readonly correct: number;
  /** Getting and preparing examples. */
  readonly inputSeconds: number;
  /** Forward and backward. */
  readonly computeSeconds: number;
  /** From the end of the backward pass until every new chunk was there. */
  readonly waitSeconds: number;
}

/** Member to coordinator, over the session. */
export type MemberMessage =
  | {
      readonly type: "heartbeat";
      /** Grows by one each time; the coordinator's answer repeats it. */
      readonly sequence: number;
      /**
       * Coordinator messages received in this incarnation, heartbeat answers aside; later ones are
       * sent again.
       */
      readonly received: number;
      /** The highest term that the member has heard of. */
      readonly term: number;
      /** What the member is doing, as a word or a sentence of reason. */
      readonly activity: string;
      readonly server: ServerStatistics | null;
      readonly worker: WorkerStatistics | null;
      /** The servers that the member has links to. */
      readonly reach: readonly ServerReach[];
    }
  /** The run has been prepared: model built, data found. */
  | {
      readonly type: "ready";
      readonly run: string;
      /** Of a worker's model; none of a server. */
      readonly tensors: readonly TensorSpec[];
      /** What a worker computes with, as bits depend on it; "" of a server. */
      readonly engine: string;
      /** What the engine chose that bits depend on, a line for each distinct shape. */
      readonly algorithms: readonly string[];
    }
  | {
      readonly type: "viewAck";
      readonly view: number;
      /** Highest step that any chunk of this server has sealed (BSP), -1 if none. */
      readonly sealedStep: number;
      /**
       * Lowest clock over chunks and workers of the view, joiners aside (SSP, ASP); 0 if it owns
       * nothing.
       */
      readonly clockMin: number;
      /** The lowest version of chunks that it leads; -1 where it leads none. */
      readonly version: number;
      /** Workers that this view removed, and how far each had come on this server's chunks. */
      readonly departed: readonly Departure[];
    }
  | ({ readonly type: "assignmentDone" } & AssignmentReport)
  /** The examples sent for an assignment are not what the run spec says; its step was not begun. */
  | { readonly type: "assignmentRefused"; readonly assignment: number; readonly reason: string }
  | {
      readonly type: "evaluated";
      readonly evaluation: number;
      readonly range: Range;
      readonly correct: number;
      readonly lossSum: number;
      /** By chunk: the version of the weights that it evaluated with. */
      readonly versions: readonly number[];
    }
  /**
   * Answer to `pause`: the step in which the worker is, or will be next; it does not go past it
   * unasked.
   */
  | { readonly type: "pausing"; readonly pause: number; readonly step: number }
  /** The worker rests with no push outstanding. */
  | {
      readonly type: "paused";
      readonly pause: number;
      /** First position of its assignment that it has not used; -1 where it had no assignment. */
      readonly position: number;
      readonly step: number;
    }
  /** Answer to `tally`, once the step is complete: what the assignment had come to by then. */
  | ({ readonly type: "tallied"; readonly cut: number } & StepTally)
  /** The worker hears another coordinator, which knows what was durable: how it stands. */
  | {
      readonly type: "returned";
      /** The assignment that it works on; 0 where it has none. */
      readonly assignment: number;
      /** The step before which it stands, if it has none. */
      readonly step: number;
      /** Its last one that is done; null before the first. */
      readonly done: AssignmentReport | null;
    }
  /** Answer to `barrier`: the worker stands as one that begins from the checkpoint would. */
  | {
      readonly type: "barrierReached";
      readonly barrier: number;
      /** Chunks whose residuals it has given; 0 where it has none. */
      readonly residuals: number;
      /** Why they could not be given; "" where they could. */
      readonly problem: string;
    }
  /**
   * A primary waits for a candidate from here on before an entry counts: the view may name it as
   * a backup.
   */
  | {
      readonly type: "caughtUp";
      readonly chunk: number;
      readonly server: number;
      readonly incarnation: number;
    }
  /** A server has measured norms, where the run watches them. */
  | ({ readonly type: "norms" } & NormReport)
  | { readonly type: "diverged"; readonly step: number; readonly what: string }
  /** The member can't go on; the code is an exit code's name. */
  | { readonly type: "failed"; readonly code: string; readonly reason: string }
  /** Its process is to end: it asks for `stop`, and again from time to time until it is told. */
  | { readonly type: "leaving"; readonly reason: string }
  | {
      readonly type: "leave";
      readonly reason: string;
      readonly server: ServerStatistics | null;
      readonly worker: WorkerStatistics | null;
    };

/** Coordinator to member, over the session. */
export type CoordinatorMessage =
  | {
      readonly type: "heartbeatAck";
      readonly sequence: number;
      /** Member messages received, heartbeats aside; later ones are sent again. */
      readonly received: number;
      /** The coordinator's; the first answer of a stream says whose words those behind it are. */
      readonly term: number;
      /**
       * The term under which the coordinator's process began: a higher one than in the answers
       * before says that another has taken its place, which has received and sent nothing yet.
       */
      readonly sinceTerm: number;
      /** Why the member has nothing to do; "" where it has, or nobody says. */
      readonly note: string;
    }
  /** Register again at the same address: another run wants the member, or none. */
  | { readonly type: "move"; readonly reason: string }
  | {
      readonly type: "prepare";
      readonly spec: RunSpec;
      /** True where the resumed checkpoint has residuals for this life of the worker. */
      readonly residuals: boolean;
      /** For programs that can't derive it from the spec; Paceline's own members do. */
      readonly layout: ModelLayout;
    }
  | { readonly type: "view"; readonly view: View }
  | { readonly type: "work"; readonly assignment: Assignment }
  /** Pull all weights as they are, go through these test examples with them, say `evaluated`. */
  | { readonly type: "evaluate"; readonly evaluation: number; readonly range: Range }
  | { readonly type: "pause"; readonly pause: number }
  /** Go on up to and including this step, then rest and say `paused`. */
  | { readonly type: "pauseAt"; readonly pause: number; readonly step: number }
  | { readonly type: "resume"; readonly pause: number }
  /** A checkpoint is of a cut behind a step: say `tallied` once that is complete, and go on. */
  | ({ readonly type: "tally" } & TallyOrder)
  /**
   * A checkpoint is about to be written, and all rest: take whole weights where replies are
   * differences, give residuals where there are any, then say `barrierReached`.
   */
  | { readonly type: "barrier"; readonly barrier: number }
  /** Results of an evaluation, so that every worker can report the cluster's accuracy. */
  | {
      readonly type: "evaluation";
      readonly epoch: number;
      readonly final: boolean;
      readonly accuracyPercent: number;
      readonly loss: number;
    }
  /** The run is over; the member answers `leave` with its statistics, and rests if `stay`. */
  | {
      readonly type: "stop";
      readonly reason: string;
      readonly outcome: "done" | "failed" | "interrupted";
      readonly stay: boolean;
      /** A worker completes the step that it is in first. */
      readonly afterStep: boolean;
    };

/** What a chunk message is. The order is the wire value. */
export const chunkKinds = [
  "hello",
  "welcome",
  "refusal",
  "push",
  "pull",
  "reply",
  "load",
  "loaded",
  "save",
  "saved",
  "follow",
  "snapshot",
  "entry",
  "received",
  "copy",
  "copied",
  "discard",
  "mark",
  "cut",
  "watch",
  "sealed",
] as const;
/** One of the kinds. */
export type ChunkKind = (typeof chunkKinds)[number];

/** The outcome of a push. The order is the wire value. */
export const pushOutcomes = [
  "none",
  "applied",
  "duplicate",
  "rejected",
  "dropped",
  "refused",
  "nonfinite",
] as const;
/** One of the outcomes. */
export type PushOutcome = (typeof pushOutcomes)[number];

/** Which values of a chunk a payload holds. The order is the wire value. */
export const chunkParts = ["weights", "state1", "state2"] as const;
/** One of the parts. */
export type ChunkPart = (typeof chunkParts)[number];

/**
 * Header of a chunk message; which fields count depends on `kind`, the others are 0 or "".
 *
 * - hello (opens a channel; payload empty): run, generation, rank, incarnation; welcome / refusal
 *   answer it (detail: reason)
 * - push: every tag, payload = gradient in `codec`; `version` is the base version; `wantsReply`
 *   asks for the new chunk; of the chunks of one step the one pushed first `leads`, the others
 *   carry in `scale` what its answer said; a push that was rejected has no payload
 * - pull: chunk, to start `step` with; a step of -1 starts none and asks for the weights as they
 *   are, at once and uncompressed, which changes nothing; answered by reply with step -1 and the
 *   same `pull`
 * - reply: chunk, step, pull, outcome, version, staleness, scale, detail = reason; payload =
 *   weights unless refused, nonfinite or !wantsReply
 * - load: chunk, part, version, payload = values, detail = ChunkMarks as JSON with the weights;
 *   loaded answers each
 * - copy: the coordinator has the chunk kept as it is, for this channel, while it is trained on;
 *   answered by copied, whose `step` is the seq and whose `version` the version of the copy
 * - save: chunk; answered by one saved message a part, with which the copy is given up
 * - discard: the copy of the chunk is not wanted; no answer
 * - mark: as copy, of a chunk whose primary has pushes to it wait until cut; copied has in detail
 *   the ChunkMarks of the copy as JSON
 * - cut: detail = the CutLimits as JSON (cut.ts): the chunk goes on, and its copy takes the pushes
 *   within them; answered by copied when it has them all
 * - follow: a server asks a chunk's primary for all its entries; rank = its index, `step` = the seq
 *   that it has, -1 for none, fence = the view that it stands on, which all answers repeat
 * - snapshot: chunk, part, payload = values, `step` = seq, detail = ChunkMarks as JSON with the
 *   weights, which come last: what the follower goes on from
 * - entry: `step` = seq, version, examples, payload = the gradient as raw f32, if there is one,
 *   detail = all else of the entry as JSON
 * - received: answers a snapshot and an entry; `step` = the seq that the follower now has
 * - watch: a server asks the primary of the chunk that decides who is in a step to be told; rank =
 *   its index, fence = the view that it stands on
 * - sealed: answers a watch, and again with each step; `step` = the last step that the chunk has
 *   sealed, detail = the incarnations whose contributions are in it, as JSON
 */
export interface ChunkHeader {
  readonly kind: ChunkKind;
  readonly run: string;
  readonly generation: number;
  /** The term of the view that the sender holds; 0 in hello and its answers. */
  readonly term: number;
  /** The worker's rank, -1 for the coordinator; between servers the index of the follower. */
  readonly rank: number;
  readonly incarnation: number;
  readonly phase: number;
  readonly step: number;
  readonly chunk: number;
  readonly version: number;
  readonly fence: number;
  /** Of a push; in a reply those that the chunk has applied since the run began. */
  readonly examples: number;
  /** Wire id of the codec; 0 is raw f32. */
  readonly codec: number;
  readonly part: ChunkPart;
  readonly outcome: PushOutcome;
  readonly staleness: number;
  /**
   * The verdict on a push, which is one for all its chunks: 0 rejects it, anything above is what
   * the gradient is multiplied by, an f32 number of at most 1; null where nobody judges, or has.
   */
  readonly scale: number | null;
  /** True for the first chunk of a step that its worker pushes: it stands for the whole push. */
  readonly leads: boolean;
  /**
   * Which of its sender's pulls of the chunk a pull is, and a reply answers: another number each
   * time that the chunk is wanted anew, the same where it is asked for again; 0 in all else. A pull
   * that was sent twice is answered twice, and the second answer is not one to the next pull.
   */
  readonly pull: number;
  readonly wantsReply: boolean;
  readonly detail: string;
}

/** A header with every field at rest; spread it and set what counts. */
export const emptyHeader: ChunkHeader = {
  kind: "hello",
  run: "",
  generation: 0,
  term: 0,
  rank: -1,
  incarnation: 0,
  phase: 0,
  step: -1,
  chunk: 0,
  version: 0,
  fence: 0,
  examples: 0,
  codec: 0,
  part: "weights",
  outcome: "none",
  staleness: 0,
  scale: null,
  leads: false,
  pull: 0,
  wantsReply: false,
  detail: "",
};

/** The last push of a worker's life that was decided on. */
export interface AppliedMark extends WorkerIdentity {
  readonly step: number;
  /** Left out where it was applied; a push that comes again is answered with the same. */
  readonly outcome?: PushOutcome | undefined;
  /** What the staleness rule said; left out where nothing judged it. */
  readonly scale?: number | undefined;
  /**
   * The step that it was folded with, below 0 where it was in an update of late pushes alone, which
   * the number names; left out where it was in time for its own.
   */
  readonly inStep?: number | undefined;
  /** The last step with examples that was applied; left out where that is `step`. */
  readonly usedStep?: number | undefined;
  /** Examples of this life up to that step that were applied; left out where none were. */
  readonly used?: number | undefined;
}

/**
 * What a chunk's log position consists of besides values: kept in checkpoints, loaded with the
 * weights.
 */
export interface ChunkMarks {
  readonly version: number;
  /** Examples applied: the work that schedules follow. */
  readonly examples: number;
  /** The last BSP step sealed, -1 if none. */
  readonly sealedStep: number;
  /** Per rank the last push that was decided on. */
  readonly applied: readonly AppliedMark[];
  /** Over the whole run; left out where the writer did not count. */
  readonly counts?: PushCounts | undefined;
}

/** What a chunk has counted of pushes with examples, since the run began. */
export interface PushCounts {
  /** Applied to this chunk. */
  readonly pushes: number;
  /** Of those that lead their push: rejected by the staleness rule. */
  readonly rejected: number;
  /** Of those that lead and were applied on arrival: the sum of staleness, and the most. */
  readonly stalenessSum: number;
  readonly stalenessMax: number;
  /** The same by staleness: index s counts those of staleness s, the last also those above. */
  readonly stalenessCounts: readonly number[];
}
