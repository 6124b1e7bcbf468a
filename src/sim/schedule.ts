/**
 * A whole simulated run as it follows from a mode and a seed: the run spec, its parts with their
 * numbers of workers and servers, where each is interrupted, what goes wrong in it.
 */

import { modes, paceOf, protocolOf } from "../core/sync/modes.js";
import type { Mode, PaceSettings } from "../core/sync/pace.js";
import {
  type Compression,
  codecs,
  feedbackCodecs,
  pullCompressions,
  uncompressed,
} from "../protocol/compression.js";
import { localStepsOf, outerOptimizers } from "../protocol/local/local-steps.js";
import type { Reduce } from "../protocol/reduction.js";
import { type Feed, feeds, type Protocol, type RunSpec, runFields } from "../protocol/run-spec.js";
import { scheduleFields } from "../protocol/schedule-spec.js";
import { defaultsOf } from "../protocol/spec-option.js";
import { updateRuleFields, updateRuleNames } from "../protocol/update-rules.js";
import { Random } from "../random.js";
import { type ClusterPlan, simulatedTimes } from "./cluster-plan.js";
import { drawStandbys } from "./coordinator/standby-plan.js";
import { drawSwitches, withPlan } from "./drawn-plan.js";
import { drawElasticity } from "./elastic-plan.js";
import {
  drawAmidSave,
  drawComings,
  drawFailOvers,
  drawFaults,
  drawLosses,
  drawMoments,
  drawServerFaults,
  type Fault,
  type FaultRole,
  type FaultScene,
} from "./fault-plan.js";
import type { NetworkSettings } from "./simulated-network.js";
import { drawStrangers } from "./stranger/stranger-plan.js";
import { toyLayout, toyModels, wideModels } from "./toy-model.js";

/** One run in parts; each but the last is interrupted, or may end before that. */
export interface RunSchedule {
  readonly mode: string;
  readonly seed: number;
  readonly parts: readonly ClusterPlan[];
}

/** What a schedule may have. */
export interface ScheduleLimits {
  /** Faults of each part; as the seed has it if left out. */
  readonly faultsMax?: number;
}

/** Every codec that changes what is sent. */
const pushWays: readonly Compression[] = codecs
  .slice(1)
  .map(({ name, hasShare }) => ({ codec: name, share: hasShare ? 0.2 : 1 }));
const pullWays = pushWays.filter(({ codec }) => pullCompressions.some((name) => name === codec));

/** Modes with these settings are drawn apart: what other seeds draw stays where one is added. */
const kindsApart = [
  { stream: "local", setting: "localSteps" },
  { stream: "quorum", setting: "quorumSize" },
  { stream: "dynamic", setting: "stalenessMin" },
] as const;

/** The mode that a seed draws. */
export function modeOfSeed(seed: number): string {
  const wanted = kindsApart.find(({ stream }) => new Random(stream, seed).below(8) === 0);
  const kindOf = ({ settings }: Mode) =>
    kindsApart.find(({ setting }) => settings.includes(setting));
  const all = modes().filter((mode) => kindOf(mode) === wanted);
  return all[new Random("mode", seed).below(all.length)]!.name;
}

/** Draws the schedule of a seed, in a mode or in that which the seed draws. */
export function drawSchedule(
  wantedMode: string | null,
  seed: number,
  { faultsMax = Number.POSITIVE_INFINITY }: ScheduleLimits = {},
): RunSchedule {
  const mode = wantedMode ?? modeOfSeed(seed);
  const random = new Random("schedule", mode, seed);
  const spec = drawSpec(random, mode, seed);
  const { isLong } = drawSize(mode, seed);
  const count = random.below(3) > 0 ? 1 : 2 + random.below(3);
  const parts = Array.from({ length: count }, (_, index) =>
    drawPart(
      random,
      { ...spec, run: `run-${index}` },
      {
        ...{ isLong, faultsMax, isLast: index === count - 1 },
      },
    ),
  );
  return { mode, seed, parts };
}

/** How large a run is: most are short, of few values; some are long, and have some thousand. */
interface RunSize {
  readonly isLong: boolean;
  readonly steps: number;
}

function drawSize(mode: string, seed: number): RunSize {
  const random = new Random("size", mode, seed);
  return { isLong: random.below(3) === 0, steps: 20 + random.below(81) };
}

function drawSpec(random: Random, mode: string, seed: number): RunSpec {
  const oneOf = <Item>(items: readonly Item[]): Item => items[random.below(items.length)]!;
  const { isLong, steps } = drawSize(mode, seed);
  const batchSize = 1 + random.below(6);
  const epochs = 1 + Math.floor(random.below(5) / 2);
  // About so many steps of four workers.
  const trainExamples = isLong ? Math.ceil((steps * batchSize * 4) / epochs) : 6 + random.below(40);
  const settings: PaceSettings = {
    staleness: random.below(4),
    stalenessRule: oneOf(["none", "none", "scale", "reject", "scale+reject"] as const),
    stalenessScale: 0.1,
    stalenessFloor: 0.1,
    stalenessMax: 2 + random.below(4),
    ...{ delayBound: 2 + (seed % 4), backupWorkers: 1 + (seed % 2) },
    ...drawApart(mode, seed),
  };
  const cadence = () =>
    random.below(3) === 0
      ? null
      : ({ unit: oneOf(["step", "epoch"] as const), count: 1 + random.below(5) } as const);
  const compression = {
    ...uncompressed,
    ...(random.below(5) === 0 ? { push: oneOf(pushWays) } : {}),
    ...(random.below(6) === 0 ? { pull: oneOf(pullWays) } : {}),
  };
  const [drawnRule, protocol] = [oneOf(updateRuleNames), protocolOf(mode, settings)];
  const isLocal = localStepsOf({ protocol }) !== null;
  // The toy's difference is a function of what it begins with: its own rule keeps nothing.
  const name = isLocal ? "sgd" : drawnRule;
  const drawn: RunSpec = {
    ...defaultsOf(runFields),
    plan: [],
    ...{
      run: "run",
      name: "run",
      seed,
      model: oneOf(isLong ? wideModels : toyModels),
      stem: null,
      data: "toy",
      engine: "reference",
      recordedAlgorithms: [],
    },
    ...{ trainExamples, testExamples: oneOf([0, 5, 20]), workersMin: 1, workersMax: 1 },
    ...{ servers: 1, serversMax: null },
    input: {
      ...{ classes: 10, shape: [1, 1, 1], mean: [0], std: [1], blockExamples: 0 },
      identity: null,
      augment: { cropPadding: 0, flip: false, standardise: false },
    },
    protocol,
    feed: feedOf(random.below(2) === 0 ? feeds[0] : oneOf(feeds), isLocal),
    updateRule: { ...defaultsOf(updateRuleFields), name, momentum: 0.9, weightDecayPlain: 0 },
    schedule: {
      ...{ ...defaultsOf(scheduleFields), milestones: [], totalExamples: epochs * trainExamples },
      ...{ lr: 0.02, name: oneOf(["constant", "cosine"] as const) },
    },
    ...{ epochs, batchSize, chunkValues: isLong ? 200 + random.below(400) : 4 + random.below(10) },
    ...{ virtualNodes: 4, loadBound: random.below(2) === 0 ? null : 1.25 },
    ...{ compression, evaluateEvery: cadence(), checkpointEvery: cadence(), threads: 1 },
    maxSteps: limitOf(random.below(4) === 0 ? 1 + random.below(isLong ? 100 : 20) : null, protocol),
    reduce: robustOr(oneOf(["mean", "mean", "sum"] as const), {
      mode,
      seed,
      protocol,
      compression,
    }),
    lrScaling: "none",
  };
  return { ...drawn, ...withPlan(new Random("plan", mode, seed), drawn, settings) };
}

/** Settings that came later, each with a stream of its own. */
function drawApart(mode: string, seed: number) {
  const drawnQuorum = drawQuorum(new Random("quorum", mode, seed));
  const groups = (["auto", "auto", 1, 2, 3] as const)[new Random("groups", mode, seed).below(5)]!;
  const drawnLocal = drawLocal(new Random("local steps", mode, seed));
  return { ...drawnQuorum, groups, stalenessMin: 0, ...drawnLocal };
}

function drawQuorum(random: Random): Pick<PaceSettings, "quorumSize" | "grace"> {
  const grace = ["auto", "auto", 0, 1 + random.below(20)][random.below(4)] as number | "auto";
  return { quorumSize: 1 + random.below(4), grace };
}

function drawLocal(random: Random) {
  return {
    localSteps: 1 + random.below(4),
    outerOptimizer: outerOptimizers[random.below(2)]!,
    outerLr: 0.7,
    outerMomentum: 0.9,
  };
}

/** Who is sent its examples takes no local steps. */
function feedOf(drawn: Feed, isLocal: boolean): Feed {
  return isLocal && drawn === "central" ? "leased" : drawn;
}

/** Of updates nobody knows in advance how many a limit leaves. */
function limitOf(drawn: number | null, protocol: Protocol): number | null {
  return paceOf(protocol).globalStep === "update" ? null : drawn;
}

/** Where the gradients of a step are put in order as a whole: by what a few can't carry off. */
function robustOr(
  plain: Reduce,
  run: Pick<RunSpec, "seed" | "protocol" | "compression"> & Pick<RunSchedule, "mode">,
): Reduce {
  const { mode, seed, protocol, compression } = run;
  const random = new Random("reduce", mode, seed);
  const isWhole = !feedbackCodecs.includes(compression.push.codec);
  const isStep = paceOf(protocol).globalStep === "step";
  if (!isStep || !isWhole || random.below(3) > 0) return plain;
  const robust = ["median", "trimmed:0.1", "trimmed:0.34"] as const;
  return robust[random.below(robust.length)]!;
}

/** Of which kind a part is. */
interface PartKind {
  readonly isLong: boolean;
  readonly isLast: boolean;
  readonly faultsMax: number;
}

function drawPart(random: Random, spec: RunSpec, kind: PartKind): ClusterPlan {
  const { isLong, isLast } = kind;
  const workersMax = isLong ? 3 + random.below(3) : 1 + random.below(5);
  const servers = isLong ? 3 + random.below(2) : [1, 2, 2, 3, 3, 4][random.below(6)]!;
  const replication = new Random("replication", spec.seed, spec.run);
  const isReplicated = servers > 1 && replication.below(2) === 0;
  const replicas = isReplicated ? 2 + replication.below(servers - 1) : 1;
  const wire = new Random("wire", spec.seed, spec.run).below(20);
  const network: NetworkSettings = {
    ...drawNetwork(random),
    wire: wire > 1 ? "objects" : wire === 1 ? "frames" : "grpc",
  };
  const stepMsMax = [2, 10, 30][random.below(3)]!;
  const steps = Math.ceil((spec.trainExamples * spec.epochs) / (spec.batchSize * workersMax));
  const lengthMs = 150 + steps * (stepMsMax + 3 * network.delayMsMax);
  const { leaseMs } = simulatedTimes;
  const scene = { workers: workersMax, servers, untilMs: lengthMs, leaseMs };
  const named = (purpose: string) => new Random(purpose, spec.seed, spec.run);
  const moments = named("moments");
  const streams = { random, replication, moments, named };
  const troubles = drawTroubles(streams, scene, { ...kind, replicas });
  const { elastic, comings, standby } = troubles;
  const switches = kind.faultsMax === 0 ? [] : drawSwitches(named("switches"), spec, lengthMs);
  const faults = [...troubles.faults, ...switches].sort((one, other) => one.atMs - other.atMs);
  return {
    spec: {
      ...{ ...spec, workersMax, servers, serversMax: comings.serversMax, replicas },
      workersMin: elastic.workersMin,
    },
    ...{ standbys: standby.standbys, leadMs: standby.leadMs },
    workersAtStart: elastic.workersAtStart,
    layout: toyLayout(spec),
    ...{ network, stepMsMax, faults },
    slowness: Array.from({ length: workersMax }, () => (random.below(4) === 0 ? 5 : 1)),
    lateMs: drawLateMs(random, lengthMs, elastic.crowdMs, workersMax),
    interruptMs: isLast ? null : random.float() * lengthMs,
    diskMsMax: [0.1, 0.1, 2, 20][moments.below(4)]!,
    failedSaves: random.below(6) === 0 ? 1 + random.below(2) : 0,
    refusals: spec.feed === "central" && random.below(2) === 0 ? 1 + random.below(3) : 0,
  };
}

/** Each kind of trouble has a stream of its own, so that another kind changes no other. */
interface Streams {
  readonly random: Random;
  readonly replication: Random;
  readonly moments: Random;
  named(purpose: string): Random;
}

/** All that goes wrong in a part. */
function drawTroubles(
  { random, replication, moments, named }: Streams,
  scene: FaultScene,
  { isLong, isLast, faultsMax, replicas }: PartKind & { readonly replicas: number },
) {
  const few = [0, 0, 1, 2, 3 + random.below(4), 6 + random.below(8)][random.below(6)]!;
  const wanted = isLong ? 3 * few : few;
  const drawn: Fault[] = drawFaults(random, scene, Math.min(wanted, faultsMax));
  const strikes =
    replicas > 1
      ? drawServerFaults(replication, scene, faultsMax)
      : drawLosses(named("losses"), scene, faultsMax);
  const drawMany = (role: FaultRole, count: number, restarts = true) =>
    drawMoments(moments, scene, { role, count: Math.min(faultsMax, count), restarts });
  const most = isLong ? 6 : 3;
  const isCutOff = !isLast && moments.below(3) === 0;
  const returns = named("returns");
  const losses = returns.below(3) === 0 ? 1 + returns.below(most) : 0;
  const mayLose = replicas > 1 || strikes.length > 0;
  const amidSave = drawAmidSave(named("amid save"), scene, mayLose);
  const elastic = drawElasticity(named("elastic"), scene, faultsMax);
  const comings = drawComings(named("comings"), scene, faultsMax);
  const standby = drawStandbys(named("standbys"), scene, faultsMax);
  const faults = [
    ...[...standby.faults, ...drawStrangers(named("strangers"), scene, faultsMax)],
    ...[...drawn, ...strikes, ...comings.faults, ...(faultsMax === 0 ? [] : amidSave)],
    ...elastic.faults,
    ...drawMany("worker", moments.below(3) === 0 ? 1 + moments.below(most) : 0),
    ...drawMany("server", moments.below(replicas > 1 ? 2 : 6) === 0 ? 1 + moments.below(most) : 0),
    ...(replicas > 1 && moments.below(2) === 0
      ? drawFailOvers(moments, scene, Math.min(faultsMax, 1 + moments.below(most)))
      : []),
    ...drawMany("coordinator", isCutOff ? 1 : 0, false),
    ...drawMoments(returns, scene, {
      ...{ role: "coordinator", restarts: true },
      count: Math.min(faultsMax, losses),
    }),
  ].sort((left, right) => left.atMs - right.atMs);
  return { elastic, comings, standby, faults };
}

/** By rank when a worker comes: as its crowd does, or some later than the others. */
function drawLateMs(
  random: Random,
  lengthMs: number,
  crowdMs: readonly number[],
  count: number,
): number[] {
  return Array.from({ length: count }, (_, rank) => {
    const lateMs = random.below(8) === 0 ? random.float() * lengthMs : 0;
    return crowdMs[rank] || lateMs;
  });
}

function drawNetwork(random: Random): NetworkSettings {
  const [delayMsMin, delayMsMax] = [
    [0.05, 0.5],
    [0.5, 4],
    [0.1, 20],
  ][random.below(3)] as [number, number];
  const beatMsMax = [0.05, 0.5, 5][random.below(3)]!;
  return { delayMsMin, delayMsMax, beatMsMax, ioTimeoutMs: simulatedTimes.ioTimeoutMs };
}
