/**
 * The sentences that training says, each with its numbers. People read them in logs and tests
 * compare them, so each is made in one place.
 */
import type { Assignment, Range } from "../../protocol/messages.js";
import type { TimedCadence } from "../../protocol/plan/cadence.js";
import { refusalsMax } from "../work/batch-pool.js";
import type { RefusedAssignment } from "../work/work-floor.js";
import type { MoveCount } from "./replication.js";

/** Who takes part. */
export function headCount({
  views,
  servers,
}: {
  readonly views: { workers(): readonly unknown[] };
  readonly servers: { readonly count: number };
}): string {
  return `${counted(views.workers().length, "worker")} and ${counted(servers.count, "server")}`;
}

/** Fewer workers are there than the run asks for, and so long it waits for others. */
export function shortageOf(present: number, workersMin: number, limitMs: number): string {
  const are = `${counted(present, "worker")} ${present === 1 ? "is" : "are"} there`;
  const missing = `up to ${timeOf(limitMs)} for ${workersMin - present} more`;
  return `${are} and at least ${workersMin} must be: training waits ${missing}`;
}

/** A time in words: seconds below two minutes, then minutes. */
export function timeOf(ms: number): string {
  if (ms < 120_000) return `${Number((ms / 1000).toFixed(1))} s`;
  return `${Number((ms / 60_000).toFixed(1))} min`;
}

/** Another coordinator carried the run out, which ended. */
export function returnWords(term: number, members: number): string {
  const why = `the coordinator was started again, under term ${term}`;
  return `${why}: the run goes on in place, with ${counted(members, "member")} to come back`;
}

/** A worker has refused examples: in words, and whether it was so often that the run ends. */
export function refusalOf(
  rank: number,
  { epoch, range, refusals }: RefusedAssignment,
  reason: string,
): { readonly text: string; readonly isLast: boolean } {
  const text = `worker-${rank} refused ${examplesOf(epoch, range)}: ${reason}`;
  const isLast = refusals >= refusalsMax;
  const last = `that was time ${refusals}, look at the data set`;
  return { text: `${text}; ${isLast ? last : "they are dealt again"}`, isLast };
}

/** A worker is dealt what another left. */
export function dealtAgain(rank: number, leftBy: number, dealt: Assignment): string {
  const examples = `${examplesOf(dealt.epoch, dealt)}, left by worker-${leftBy}`;
  return `${examples}, are dealt again to worker-${rank}`;
}

/** A server was to leave, and others that were counted on are gone. */
export function drainEnded(name: string): string {
  return `${name} stays: too few servers are left to drain it, ask again when others have come`;
}

/** So many chunks. */
export function chunkCount(chunks: number): string {
  return counted(chunks, "chunk");
}

/** How far chunks that move have come. */
export function movesBegun({ left, total }: MoveCount): string {
  return `chunk moves: ${left} of ${total} left`;
}

/** All chunks are where they are wanted. */
export function movesDone(total: number, time: string): string {
  return `chunk moves: ${total} done in ${time}`;
}

/** A checkpoint had to wait for the one before. */
export function lateSaveWords(waitedMs: number, cadence: TimedCadence | null): string {
  const often =
    cadence === null ? "" : `, at present every ${counted(cadence.count, cadence.unit)}`;
  const remedy = `give a longer --checkpoint-every${often}, or a faster disk`;
  const seconds = (waitedMs / 1000).toFixed(1);
  return `a checkpoint was due and waited ${seconds} s for the one before to be written: ${remedy}`;
}

function examplesOf(epoch: number, { start, end }: Range): string {
  return `examples ${start} to ${end} of epoch ${epoch + 1}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
