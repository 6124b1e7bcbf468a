/**
 * What the coordinator lets the world know while a run goes on: for the log, events.jsonl, the
 * progress display and the dashboard. Each event has one sentence that a person can read; the
 * fields beside it are for programs. A coordinator that serves says the same of its jobs, each of
 * which is a run.
 */
import type { MemberIdentity, MemberRole } from "./identity.js";
import type { ServerStatistics, WorkerStatistics } from "./messages.js";
import type { RunPhase } from "./plan/plan.js";
import type { FrameAddresses } from "./view.js";

/** Something that happened. */
export type RunEvent =
  | {
      readonly kind: "registered" | "lost" | "left";
      readonly role: MemberRole;
      readonly rank: number;
      readonly incarnation: number;
      readonly text: string;
    }
  | {
      readonly kind: "view";
      readonly number: number;
      readonly workers: readonly number[];
      readonly servers: readonly number[];
      readonly text: string;
    }
  | { readonly kind: "started" | "warning" | "info"; readonly text: string }
  | ({ readonly kind: "epoch"; readonly text: string } & EpochRecord)
  | ({ readonly kind: "evaluation"; readonly text: string } & EvaluationRecord)
  | { readonly kind: "checkpoint"; readonly step: number; readonly text: string }
  | { readonly kind: "ended"; readonly outcome: RunOutcome; readonly text: string };

/** How a run ended. */
export type RunOutcome = "done" | "failed" | "interrupted";

/** One epoch, as the workers went through it. */
export interface EpochRecord {
  readonly epoch: number;
  /** From the first assignment dealt to the last finished, evaluations aside. */
  readonly seconds: number;
  readonly examples: number;
  readonly skipped: number;
  /** Mean loss over the examples trained on. */
  readonly trainLoss: number;
  /** Percent of them whose label the model gave before it learned from them. */
  readonly trainAccuracyPercent: number;
  /** Per rank: seconds spent in steps. */
  readonly workerSeconds: Readonly<Record<number, number>>;
}

/** One evaluation of one version of the model on the whole test set. */
export interface EvaluationRecord {
  readonly epoch: number;
  readonly step: number;
  readonly final: boolean;
  readonly accuracyPercent: number;
  readonly loss: number;
  readonly examples: number;
  /** Which version of the whole model: see model-version.ts. Left out where it was not told. */
  readonly version?: string;
  /** Seconds since training began. */
  readonly atSeconds: number;
  /** Work done by then: training examples gone through. */
  readonly trainedExamples: number;
}

/** Everything that is known of a run when it has ended. */
export interface RunResult {
  readonly outcome: RunOutcome;
  /** A code of errors.ts, or null when the run is done. */
  readonly code: string | null;
  readonly reason: string;
  readonly trainingSeconds: number;
  readonly globalSteps: number;
  readonly tornSteps: number;
  readonly skippedExamples: number;
  readonly epochs: readonly EpochRecord[];
  readonly evaluations: readonly EvaluationRecord[];
  /** Ways to keep pace that it has entered, the latest last; left out where it has but one. */
  readonly phases?: readonly RunPhase[];
  readonly servers: Readonly<Record<number, ServerStatistics>>;
  /** By rank, over all its lives since the run began, also before it was resumed. */
  readonly workers: Readonly<Record<number, WorkerStatistics>>;
  /** Of these, what had been counted when the run was resumed. */
  readonly earlierWorkers?: Readonly<Record<number, WorkerStatistics>>;
}

/** What a member looks like from the coordinator, for status, cluster.json and the display. */
export interface MemberSnapshot extends MemberIdentity {
  readonly pid: number;
  readonly host: string;
  readonly address: string;
  /** Where a server takes frames besides; null for workers and where it speaks gRPC only. */
  readonly frames: FrameAddresses | null;
  readonly state: "alive" | "suspect" | "dead";
  /** A sentence about its liveness. */
  readonly reason: string;
  readonly activity: string;
  /** What a worker computes with; "" before it is ready, and of a server. */
  readonly engine: string;
  readonly inView: boolean;
  readonly server: ServerStatistics | null;
  readonly worker: WorkerStatistics | null;
}

/** The coordinator's present picture. */
export interface CoordinatorSnapshot {
  readonly run: string | null;
  readonly name: string | null;
  readonly phase: string;
  /** One sentence: what the coordinator waits for. */
  readonly activity: string;
  readonly epoch: number;
  readonly epochs: number;
  readonly globalSteps: number;
  readonly examples: number;
  readonly totalExamples: number;
  readonly members: readonly MemberSnapshot[];
  /** Chunks that are on their way to other servers, and how many these are in all. */
  readonly moves: { readonly left: number; readonly total: number };
  /** What the workers' engines chose that bits depend on, each line once. */
  readonly algorithms: readonly string[];
  readonly evaluations: readonly EvaluationRecord[];
}

/** A run that somebody asks a serving coordinator for. */
export interface Submission {
  /** Its configuration as YAML. */
  readonly config: string;
  /** Higher ones go first. */
  readonly priority: number;
  /** The process that asks. */
  readonly host: string;
  readonly pid: number;
}

/** Where a job stands. A queued one waits, for its turn or for members. */
export type JobState = "queued" | "running" | "done" | "failed" | "cancelled";

/** How a job has ended. */
export interface JobResult {
  /** What a process ends with that waits for it. */
  readonly exitCode: number;
  /** A code of errors.ts; null where the run is done. */
  readonly code: string | null;
  readonly globalSteps: number;
  /** Of the last evaluation; null where there was none. */
  readonly accuracyPercent: number | null;
  readonly loss: number | null;
  readonly seconds: number;
}

/** A job as `paceline jobs` shows it. */
export interface JobSummary {
  readonly id: number;
  readonly name: string;
  readonly state: JobState;
  /** What a queued one waits for, in a sentence; "" of others. */
  readonly waitsFor: string;
  readonly priority: number;
  /** Members that it starts with. */
  readonly workers: number;
  readonly servers: number;
  /** ISO 8601. */
  readonly submittedAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly submitter: { readonly host: string; readonly pid: number } | null;
  /** Why it is in its state, in a sentence; "" where nothing is to be said. */
  readonly reason: string;
  readonly result: JobResult | null;
}

/** What may be read of a job's run: what happened, its figures, its result, its options. */
export const jobRecords = ["events", "metrics", "result", "config"] as const;
/** One of them. */
export type JobRecord = (typeof jobRecords)[number];

/** Asks for what happened in a job, or another record of its run, from a byte of it on. */
export interface JobEventsRequest {
  readonly job: string;
  readonly from: number;
  /** Null for the events. */
  readonly record: JobRecord | null;
}

/** A part of a job's events, or of another record. */
export interface JobEvents {
  /** Whole lines of its file. */
  readonly text: string;
  /** Where the next part begins. */
  readonly next: number;
  /** The job has ended, and this part is the last. */
  readonly isOver: boolean;
}
