/**
 * What must hold once a part of a simulated run has ended: why it may fail, what its result says
 * of work, steps and evaluations beside what the ledger knows.
 */
import { paceOf } from "../../core/sync/modes.js";
import type { Pace } from "../../core/sync/pace.js";
import type { RunResult } from "../../protocol/run-events.js";
import { feeds } from "../../protocol/run-spec.js";
import { type ClusterEnd, type ClusterPlan, simulatedTimes } from "../cluster-plan.js";
import { durationOf, type Fault, isOrderly } from "../fault-plan.js";
import type { SavedCheckpoint } from "../saved-checkpoint.js";
import { countPositions, rejectedExamples, tornSteps, usedExamples } from "./applied-positions.js";
import type { InvariantWatch } from "./invariant-watch.js";
import type { Ledger } from "./ledger.js";

/** Notes what does not hold. */
export function judgeEnd(
  part: ClusterPlan,
  end: ClusterEnd,
  ledger: Ledger,
  watch: InvariantWatch,
  from: SavedCheckpoint | null,
): void {
  const { result } = end;
  if (result === null) return;
  const { outcome, code, reason } = result;
  if (outcome === "failed" && !isExcused(part, end, code)) {
    watch.violated("failed", `${code}: ${reason}`);
  }
  if (outcome === "interrupted" && part.interruptMs === null) {
    watch.violated("interrupted", "nobody interrupted it");
  }
  if (code === "member_lost" && wasRedundant(end)) {
    watch.violated("lost though redundant", reason);
  }
  if (outcome !== "done") return;
  judgeDone(end, result, ledger, watch);
  // Ranges of ranks that a run is resumed without are skipped.
  const isResumed = from !== null && part.spec.feed === feeds[0];
  const mayDrop = ledger.phases.some(({ protocol }) => {
    const { hasDecider, late } = paceOf(protocol);
    return hasDecider && late === null;
  });
  if (end.lostWorkers === 0 && !isResumed && part.spec.maxSteps === null && !mayDrop) {
    const { skippedExamples } = result;
    const rejected = part.spec.feed === feeds[0] ? rejectedExamples(ledger) : 0;
    if (skippedExamples > rejected) {
      const sentence = `${skippedExamples} examples, of which ${rejected} were rejected`;
      watch.violated("skipped without a loss", sentence);
    }
  }
}

/** A run may fail where a server stays away, or too many workers, or where few come in time. */
function isExcused(part: ClusterPlan, end: ClusterEnd, code: string | null): boolean {
  const { faults, lateMs, spec } = part;
  const struck = faults.filter((fault) => !isOrderly(fault) || fault.kind === "signal");
  const strikes = struck.length > 0;
  if (code === "member_lost") return hasNoWayBack(struck, end);
  if (code === "too_few_workers") return strikes;
  // Who has come must still be accepted.
  const [lastMs = 0] = lateMs.toSorted((left, right) => left - right).slice(spec.workersMin - 1);
  const isLate = lastMs > 0.9 * simulatedTimes.startTimeoutMs;
  return code === "cluster_not_formed" && (strikes || isLate);
}

/**
 * True where a server may be away for longer than it is waited for, or is lost when there is
 * nothing to go back to: before training, or when the run is about to end.
 */
function hasNoWayBack(faults: readonly Fault[], { events }: ClusterEnd): boolean {
  const ofServers = faults
    .flatMap(flattened)
    .filter((fault) => /server/.test(JSON.stringify(fault)));
  const isGone = ofServers.some((fault) => restartOf(fault) === null);
  const awayMs = ofServers.reduce((sum, fault) => sum + durationOf(fault), 0);
  const began = events.findLastIndex(({ text }) => /^training starts/.test(text));
  const isEnding = events.slice(began).some(({ kind, text }) => {
    return kind === "evaluation" || /interrupt|SIGINT|writing|final|ends/.test(text);
  });
  return isGone || awayMs > simulatedTimes.serverGraceMs / 2 || began < 0 || isEnding;
}

function flattened(fault: Fault): Fault[] {
  return fault.kind === "moment" ? [fault, ...(fault.then ?? []).flatMap(flattened)] : [fault];
}

/** Undefined where the fault ends no process. */
function restartOf(fault: Fault): number | null | undefined {
  const strike = fault.kind === "moment" ? fault.strike : fault;
  return strike.kind === "kill" ? strike.restartMs : undefined;
}

/** True where every chunk had its replicas when the last server was lost. */
function wasRedundant({ events }: ClusterEnd): boolean {
  let isRedundant = false;
  let was = false;
  for (const event of events) {
    if ((event.kind === "lost" || event.kind === "left") && event.role === "server") {
      if (event.kind === "lost") was = isRedundant;
      isRedundant = false;
    }
    if (event.text.startsWith("redundant")) isRedundant = true;
    if (/^(some chunks lack|every chunk is on one)/.test(event.text)) isRedundant = false;
  }
  return was;
}

function judgeDone(
  { checkpoints }: ClusterEnd,
  result: RunResult,
  ledger: Ledger,
  watch: InvariantWatch,
): void {
  const { spec } = ledger;
  const last = checkpoints.at(-1);
  if (last?.why !== "final") {
    watch.violated("no final checkpoint", `the last one is ${last?.why} of step ${last?.step}`);
    return;
  }
  for (const chunk of ledger.layout.chunks) {
    const after = ledger.entriesOf(chunk.index).length - last.entries[chunk.index]!.length;
    if (after === 0) continue;
    const what = `chunk ${chunk.index} has applied ${after} entries after the final checkpoint`;
    watch.violated("applied after the end", what);
  }
  const { globalSteps } = result;
  if (globalSteps !== last.globalStep) {
    const sentence = `the result says ${globalSteps}, the checkpoint ${last.globalStep}`;
    watch.violated("global steps", sentence);
  }
  if (spec.testExamples > 0 && !result.evaluations.some(({ final }) => final)) {
    watch.violated("final evaluation", "there is none");
  }
  judgeWork(result, ledger, watch);
  // Where pushes are applied one by one, what is torn is not told by its step.
  const isOfSteps = ledger.phases.every(({ protocol }) => paceOf(protocol).globalStep === "step");
  if (isOfSteps) judgeTorn(paceOf(spec.protocol), result, ledger, watch);
}

function judgeWork({ epochs: records }: RunResult, ledger: Ledger, watch: InvariantWatch): void {
  const { trainExamples, epochs, maxSteps } = ledger.spec;
  const applied = countPositions(ledger, (what) => watch.violated("applied twice", what));
  for (const { epoch, examples, skipped } of records) {
    const used = usedExamples(applied, epoch);
    const sentence = `epoch ${epoch} has ${examples} used and ${skipped} skipped, ${used} applied`;
    if (used > examples) watch.violated("applied, not counted", sentence);
    if (used < examples) watch.violated("counted, not applied", sentence);
    if (maxSteps === null && examples + skipped !== trainExamples) {
      watch.violated("work unaccounted", `${sentence}, of ${trainExamples}`);
    }
  }
  if (maxSteps === null && records.length !== epochs) {
    watch.violated("work unaccounted", `${records.length} of ${epochs} epochs are recorded`);
  }
}

function judgeTorn(
  { globalStep }: Pace,
  { tornSteps: told }: RunResult,
  ledger: Ledger,
  watch: InvariantWatch,
): void {
  if (globalStep !== "step") return;
  const torn = tornSteps(ledger);
  if (torn === told) return;
  const kind = told < torn ? "torn steps" : "empty steps told as torn";
  watch.violated(kind, `the result says ${told}, there are ${torn}`);
}
