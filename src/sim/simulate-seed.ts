/**
 * One seed from its schedule to its verdict: runs the parts one after the other, each from the last
 * checkpoint of those before, and says what did not hold. The same mode and seed give the same
 * trace, whatever else goes on.
 */
import { paceOf } from "../core/sync/modes.js";
import type { Pace } from "../core/sync/pace.js";
import { pullsDifferences } from "../protocol/compression.js";
import type { RunResult } from "../protocol/run-events.js";
import { feeds } from "../protocol/run-spec.js";
import { Random } from "../random.js";
import { countPositions, tornSteps, usedExamples } from "./applied-positions.js";
import { EventTrace } from "./event-trace.js";
import { endOfFaults } from "./fault-plan.js";
import { InvariantWatch, type Violation } from "./invariant-watch.js";
import { Ledger } from "./ledger.js";
import { ledgerStartOf, type SavedCheckpoint } from "./saved-checkpoint.js";
import { drawSchedule, type RunSchedule, type ScheduleLimits } from "./schedule.js";
import {
  type ClusterEnd,
  type ClusterPlan,
  SimulatedCluster,
  simulatedTimes,
} from "./simulated-cluster.js";
import { digestOf } from "./toy-model.js";

/** What a seed came to. */
export interface SeedVerdict {
  readonly mode: string;
  readonly seed: number;
  readonly hash: string;
  readonly violations: readonly Violation[];
  /** How each part ended. */
  readonly outcomes: readonly string[];
  /** In every part all workers were there from the start to the end. */
  readonly hadAllWorkers: boolean;
  /** Its bits were compared with those of an unbroken run. */
  readonly isCompared: boolean;
  /** Empty where no trace was asked for. */
  readonly trace: readonly string[];
  /** Of the last checkpoint; null where there is none. */
  readonly weights: Float32Array | null;
}

/** How to simulate. */
export interface SimulationOptions extends ScheduleLimits {
  /** Keeps the lines of the trace. */
  readonly trace?: boolean;
}

/** Simulates the run that a mode and a seed stand for. */
export function simulateSeed(
  mode: string,
  seed: number,
  options: SimulationOptions = {},
): Promise<SeedVerdict> {
  return simulateSchedule(drawSchedule(mode, seed, options), options);
}

/**
 * Simulates a schedule. Where everybody keeps one step and all workers were there from the start to
 * the end it is simulated again without a fault or an interruption, to end in the same bits.
 */
export async function simulateSchedule(
  schedule: RunSchedule,
  options: SimulationOptions = {},
): Promise<SeedVerdict> {
  const verdict = await simulateParts(schedule, options);
  const unbroken = unbrokenOf(schedule, verdict);
  if (unbroken === null) return verdict;
  const compared = { ...verdict, isCompared: true };
  const { weights } = await simulateParts(unbroken, {});
  if (weights !== null && digestOf(weights) === digestOf(verdict.weights!)) return compared;
  const sentence = "an unbroken run of the same workers ends in other bits";
  return { ...compared, violations: [...verdict.violations, { kind: "other bits", sentence }] };
}

/** The same run in one part and without trouble; null where other bits are right. */
function unbrokenOf({ parts, ...run }: RunSchedule, verdict: SeedVerdict): RunSchedule | null {
  const last = parts[verdict.outcomes.length - 1]!;
  const { spec } = last;
  const isAlike =
    paceOf(spec, 0).meetsAtBoundaries &&
    parts.every(({ spec: { workersMax } }) => workersMax === spec.workersMax) &&
    parts.every(({ refusals }) => refusals === 0) &&
    !pullsDifferences(spec.compression);
  const isWhole = verdict.hadAllWorkers && verdict.outcomes.at(-1)?.startsWith("done");
  if (!isAlike || isWhole !== true || verdict.violations.length > 0) return null;
  const network = { ...last.network, delayMsMin: 0.1, delayMsMax: 1, beatMsMax: 0.1 };
  const lateMs = last.lateMs.map(() => 0);
  return { ...run, parts: [{ ...last, network, lateMs, faults: [], interruptMs: null }] };
}

async function simulateParts(
  { mode, seed, parts }: RunSchedule,
  { trace: keepsTrace = false }: SimulationOptions,
): Promise<SeedVerdict> {
  const trace = new EventTrace(keepsTrace);
  const random = new Random("simulation", mode, seed);
  const outcomes: string[] = [];
  let hadAllWorkers = true;
  let from: SavedCheckpoint | null = null;
  let violations: readonly Violation[] = [];
  for (const [index, part] of parts.entries()) {
    const about = describePart(part);
    trace.note(0, "part", `${index + 1} of ${parts.length}: ${about}`);
    const found = await simulatePart(part, { random, trace, from });
    violations = found.watch.violations;
    const { result, checkpoints } = found.end;
    hadAllWorkers &&= found.end.hadAllWorkers;
    outcomes.push(result === null ? "none" : `${result.outcome} (${result.reason})`);
    trace.note(found.end.endedMs, "part", `ended: ${outcomes.at(-1)}`);
    from = checkpoints.at(-1) ?? from;
    if (violations.length > 0 || result?.outcome === "done") break;
  }
  for (const { kind, sentence } of violations) trace.note(0, "violation", `${kind}: ${sentence}`);
  const { hash, lines } = trace;
  const weights = from?.state.weights ?? null;
  return {
    ...{ mode, seed, hash, violations, outcomes, hadAllWorkers, isCompared: false },
    ...{ trace: lines ?? [], weights },
  };
}

async function simulatePart(
  part: ClusterPlan,
  { random, trace, from }: { random: Random; trace: EventTrace; from: SavedCheckpoint | null },
): Promise<{ end: ClusterEnd; watch: InvariantWatch }> {
  const { spec, layout, faults } = part;
  let watch: InvariantWatch | null = null;
  const complain = (what: string) => watch?.violated("entry", what);
  const ledger = new Ledger(spec, layout, ledgerStartOf(from, layout), complain);
  watch = new InvariantWatch(ledger, from);
  const cluster = new SimulatedCluster(part, { random, trace, watch, ledger, from });
  const latestMs = Math.max(part.interruptMs ?? 0, ...part.lateMs, endOfFaults(faults));
  const end = await cluster.run(latestMs + simulatedTimes.patienceMs);
  judgeEnd(part, end, ledger, watch, from);
  return { end, watch };
}

/** What must hold once a part has ended. */
function judgeEnd(
  part: ClusterPlan,
  end: ClusterEnd,
  ledger: Ledger,
  watch: InvariantWatch,
  from: SavedCheckpoint | null,
): void {
  const { result } = end;
  if (result === null) return;
  const { outcome, code, reason } = result;
  if (outcome === "failed" && !isExcused(part, code)) {
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
  if (end.lostWorkers === 0 && !isResumed && part.spec.maxSteps === null) {
    const { skippedExamples } = result;
    if (skippedExamples > 0) {
      watch.violated("skipped without a loss", `${skippedExamples} examples`);
    }
  }
}

/** A run may fail where a server is lost, or all of the workers, or where none comes in time. */
function isExcused({ faults, lateMs }: ClusterPlan, code: string | null): boolean {
  const strikesServer = faults.some((fault) => /server/.test(JSON.stringify(fault)));
  const strikes = faults.some(({ kind }) => kind !== "lateWorker");
  if (code === "member_lost") return strikesServer;
  if (code === "too_few_workers") return strikes;
  // Who has come must still be accepted.
  const isLate = Math.min(...lateMs) > 0.9 * simulatedTimes.startTimeoutMs;
  return code === "cluster_not_formed" && (strikes || isLate);
}

/** True where every chunk had its replicas when the last server was lost. */
function wasRedundant({ events }: ClusterEnd): boolean {
  let isRedundant = false;
  let was = false;
  for (const event of events) {
    if (event.kind === "lost" && event.role === "server") {
      was = isRedundant;
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
  judgeTorn(paceOf(spec, 0), result, ledger, watch);
}

function judgeWork({ epochs: records }: RunResult, ledger: Ledger, watch: InvariantWatch): void {
  const { trainExamples, epochs, maxSteps } = ledger.spec;
  const applied = countPositions(ledger, (what) => watch.violated("applied twice", what));
  for (const { epoch, examples, skipped } of records) {
    const used = usedExamples(applied, epoch, ledger.rejected);
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

/** A part in one line. */
export function describePart({ spec, interruptMs, refusals, faults }: ClusterPlan): string {
  const { workersMax, servers, replicas, feed, epochs, trainExamples, batchSize, maxSteps } = spec;
  const { protocol, updateRule, compression, evaluateEvery, checkpointEvery } = spec;
  const about = {
    ...{
      protocol,
      workersMax,
      servers,
      replicas,
      feed,
      epochs,
      trainExamples,
      batchSize,
      maxSteps,
    },
    ...{ rule: updateRule.name, push: compression.push.codec, pull: compression.pull.codec },
    ...{ evaluateEvery, checkpointEvery, interruptMs, refusals, faults: faults.length },
  };
  return JSON.stringify(about);
}
