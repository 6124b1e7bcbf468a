/**
 * One seed from its schedule to its verdict: runs the parts one after the other, each from the last
 * checkpoint of those before, and says what did not hold. The same mode and seed give the same
 * trace, whatever else goes on.
 */
import { paceOf } from "../core/sync/modes.js";
import { pullsDifferences } from "../protocol/compression.js";
import { Random } from "../random.js";
import type { ClusterEnd, ClusterPlan } from "./cluster-plan.js";
import { EventTrace, type KeptLines } from "./event-trace.js";
import { endOfFaults } from "./fault-plan.js";
import { KeptCheckpoints } from "./kept-checkpoints.js";
import { ledgerStartOf, type SavedCheckpoint } from "./saved-checkpoint.js";
import { drawSchedule, type RunSchedule, type ScheduleLimits } from "./schedule.js";
import { SimulatedCluster } from "./simulated-cluster.js";
import { digestOf } from "./toy-model.js";
import { InvariantWatch, type Violation } from "./watch/invariant-watch.js";
import { judgeEnd } from "./watch/judge-end.js";
import { Ledger } from "./watch/ledger.js";

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
  /** Which lines of the trace are kept; none if left out. */
  readonly trace?: KeptLines;
}

/** Simulates the run that a seed stands for, in a mode or in that which it draws. */
export function simulateSeed(
  mode: string | null,
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
  const { meetsAtBoundaries, hasDecider } = paceOf(spec.protocol);
  const isAlike =
    meetsAtBoundaries &&
    !hasDecider &&
    spec.plan.length === 0 &&
    parts.every(({ faults }) => faults.every(({ kind }) => kind !== "switch")) &&
    parts.every(({ spec: { workersMax } }) => workersMax === spec.workersMax) &&
    parts.every(({ refusals }) => refusals === 0) &&
    !pullsDifferences(spec.compression);
  const isWhole = verdict.hadAllWorkers && verdict.outcomes.at(-1)?.startsWith("done");
  if (!isAlike || isWhole !== true || verdict.violations.length > 0) return null;
  const network = { ...last.network, delayMsMin: 0.1, delayMsMax: 1, beatMsMax: 0.1 };
  const lateMs = last.lateMs.map(() => 0);
  const alone = { workersAtStart: null, standbys: 0, leadMs: 0 };
  const calm = { network, lateMs, ...alone, faults: [], interruptMs: null };
  return { ...run, parts: [{ ...last, ...calm }] };
}

async function simulateParts(
  { mode, seed, parts }: RunSchedule,
  { trace: lines = "none" }: SimulationOptions,
): Promise<SeedVerdict> {
  const trace = new EventTrace(lines);
  const random = new Random("simulation", mode, seed);
  const outcomes: string[] = [];
  let hadAllWorkers = true;
  const kept = new KeptCheckpoints();
  let from: SavedCheckpoint | null = null;
  let violations: readonly Violation[] = [];
  for (const [index, part] of parts.entries()) {
    const about = describePart(part);
    await kept.open();
    trace.note(0, "part", `${index + 1} of ${parts.length}: ${about}`);
    const found = await simulatePart(part, { random, trace, from, kept });
    violations = found.watch.violations;
    const { result, checkpoints } = found.end;
    hadAllWorkers &&= found.end.hadAllWorkers;
    const none = found.end.isCutOff ? "cut off" : "none";
    outcomes.push(result === null ? none : `${result.outcome} (${result.reason})`);
    trace.note(found.end.endedMs, "part", `ended: ${outcomes.at(-1)}`);
    from = checkpoints.at(-1) ?? from;
    if (found.end.isCutOff) {
      from = await kept.afterCrash(new Random("crash", mode, seed, index), (kind, sentence) =>
        found.watch.violated(kind, sentence),
      );
    }
    if (violations.length > 0 || result?.outcome === "done") break;
  }
  for (const { kind, sentence } of violations) trace.note(0, "violation", `${kind}: ${sentence}`);
  const { hash } = trace;
  const weights = from?.state.weights ?? null;
  return {
    ...{ mode, seed, hash, violations, outcomes, hadAllWorkers, isCompared: false },
    ...{ trace: trace.lines, weights },
  };
}

async function simulatePart(
  part: ClusterPlan,
  parts: {
    readonly random: Random;
    readonly trace: EventTrace;
    readonly from: SavedCheckpoint | null;
    readonly kept: KeptCheckpoints;
  },
): Promise<{ end: ClusterEnd; watch: InvariantWatch }> {
  const { spec, layout, faults } = part;
  const { from } = parts;
  let watch: InvariantWatch | null = null;
  const complain = (what: string) => watch?.violated("entry", what);
  const ledger = new Ledger(spec, layout, ledgerStartOf(from, layout), complain);
  watch = new InvariantWatch(ledger, from);
  const cluster = new SimulatedCluster(part, { ...parts, watch, ledger });
  const latestMs = Math.max(part.interruptMs ?? 0, ...part.lateMs, endOfFaults(faults));
  const end = await cluster.run(latestMs);
  judgeEnd(part, end, ledger, watch, from);
  return { end, watch };
}

/** A part in one line. */
export function describePart(part: ClusterPlan): string {
  const { spec, workersAtStart, interruptMs, refusals, faults } = part;
  const { workersMax, servers, replicas, feed, epochs, trainExamples, batchSize, maxSteps } = spec;
  const { protocol, updateRule, compression, evaluateEvery, checkpointEvery } = spec;
  const about = {
    ...{
      protocol,
      workersMax,
      ...{ plan: spec.plan.map((phase) => `${phase.protocol.mode} to ${phase.end}`) },
      ...{ workersMin: spec.workersMin, workersAtStart },
      ...{ servers, standbys: part.standbys },
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
