/**
 * From what the coordinator knows at the end of a run to result.json: the experiment file in its
 * published form, and the object `paceline` with what that form has no place for. Epochs count from
 * 1 in everything that is written.
 */
import type { ServerStatistics, WorkerStatistics } from "../../protocol/messages.js";
import { paceTaken, type RunPhase } from "../../protocol/plan/plan.js";
import type { CoordinatorSnapshot, RunOutcome, RunResult } from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import {
  type ExperimentFile,
  experimentFile,
  type ServerFinalMetrics,
  serverFinalMetrics,
  type WorkerFinalMetrics,
  workerFinalMetrics,
} from "./experiment-file.js";

/** Everything that result.json is made of. */
export interface RunFacts {
  readonly spec: RunSpec;
  readonly result: RunResult;
  readonly exitCode: number;
  /** Each rank's counts over all its lives. */
  readonly workerCounts: ReadonlyMap<number, WorkerStatistics>;
  /** Paceline's version. */
  readonly version: string;
  /** The commit that it was built from; null where that is not known. */
  readonly commit: string | null;
  /** One process computed for all workers. */
  readonly inOneProcess: boolean;
  /** More workers than cores ran on one machine. */
  readonly crowded: boolean;
  /** Everything that workers computed with. */
  readonly engines: readonly string[];
  /** What their engines chose, a line for each distinct shape. */
  readonly algorithms: readonly string[];
  /** What the coordinator's process ran on. */
  readonly machine: object;
  readonly nodeVersion: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly endedAt: string;
}

/** The object `paceline` of result.json. */
export interface PacelineResult {
  readonly version: string;
  readonly commit: string | null;
  /** How the workers kept pace: bsp, ssp, asp. */
  readonly protocol: string;
  readonly model: string;
  readonly data: string;
  readonly servers: number;
  readonly workers: number;
  readonly seed: number;
  readonly outcome: RunOutcome;
  readonly reason: string;
  readonly exitCode: number;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly trainingSeconds: number;
  readonly globalSteps: number;
  readonly evaluations: readonly {
    readonly step: number;
    readonly epoch: number;
    /** Percent of the test examples. */
    readonly accuracy: number;
    readonly loss: number;
    /** Since training began. */
    readonly seconds: number;
    /** Training examples gone through by then. */
    readonly examples: number;
    readonly final: boolean;
    /** Which version of the model: see model-version.ts; left out where it is not known. */
    readonly version?: string;
  }[];
  readonly epochs: readonly {
    readonly epoch: number;
    readonly seconds: number;
    readonly trainLoss: number;
    /** Percent of the examples whose label the model gave before it learned from them. */
    readonly trainAccuracy: number;
    readonly examples: number;
    readonly skipped: number;
  }[];
  /** Ways to keep pace that the run has entered, in their order. */
  readonly phases: readonly RunPhase[];
  readonly tornSteps: number;
  readonly skippedExamples: number;
  /** Over pushes applied on arrival, each counted once; `rejected` counts whole pushes. */
  readonly staleness: {
    readonly average: number;
    readonly max: number;
    readonly rejected: number;
    /** By staleness: index s counts those of staleness s, the last also those above. */
    readonly counts: readonly number[];
  };
  /** Means over the steps with examples of all workers; null where there was none. */
  readonly stepTimes: {
    readonly inputSeconds: number;
    readonly computeSeconds: number;
    readonly waitSeconds: number;
  } | null;
  /** True for a baseline: one process computed for all workers. */
  readonly inOneProcess: boolean;
  /** True where more workers than cores ran on the coordinator's machine. */
  readonly crowded: boolean;
  /** What the workers computed with: engine, version, instruction set, numbers, threads. */
  readonly engines: readonly string[];
  /** What their engines chose that bits depend on, a line for each distinct shape. */
  readonly algorithms: readonly string[];
  /** True where times are those of a virtual clock. */
  readonly simulated: boolean;
  /**
   * Of all servers together; null where the run went on from a checkpoint, as servers count what
   * went through them since.
   */
  readonly bytesIn: number | null;
  readonly bytesOut: number | null;
  readonly machine: object;
  readonly node: string;
  readonly spec: RunSpec;
}

/** What the workers of a picture compute with, each engine once. */
export function enginesOf({ members }: Pick<CoordinatorSnapshot, "members">): string[] {
  return [...new Set(members.map(({ engine }) => engine).filter((engine) => engine !== ""))];
}

/** Builds the file. A run that never came to training has no server's and no workers' metrics. */
export function runExperiment(facts: RunFacts): ExperimentFile & { paceline: PacelineResult } {
  const { spec, result } = facts;
  const trained = result.globalSteps > 0 || result.trainingSeconds > 0;
  const paceline = pacelineResult(facts);
  const file = experimentFile({
    name: spec.name,
    timestamp: facts.endedAt,
    server: trained ? serverMetrics(spec, result) : null,
    workers: trained ? workerMetrics(facts) : [],
  });
  return { ...file, paceline };
}

/**
 * The run's line for all servers. An update of the whole vector is one update of each chunk, so its
 * time is the mean of a chunk's times the number of chunks: what one server alone would need.
 */
function serverMetrics(spec: RunSpec, result: RunResult): ServerFinalMetrics {
  const servers = Object.values(result.servers);
  const updates = sum(servers, (server) => server.updates);
  const chunks = sum(servers, (server) => server.chunks);
  const chunkSeconds = updates === 0 ? 0 : sum(servers, (one) => one.updateSeconds) / updates;
  const pushes = Math.max(0, ...servers.map((server) => server.pushes));
  return serverFinalMetrics({
    protocol: paceTaken(spec, result.phases ?? []),
    workers: spec.workersMax,
    trainingSeconds: result.trainingSeconds,
    globalSteps: result.globalSteps,
    parameterUpdates: result.globalSteps,
    pushes,
    updateSeconds: chunkSeconds * chunks * result.globalSteps,
    lr: spec.schedule.lr,
    asyncUpdates: pushes,
    ...staleness(servers),
  });
}

function workerMetrics({ spec, result, workerCounts }: RunFacts): WorkerFinalMetrics[] {
  const ranks = new Set(
    result.epochs.flatMap(({ workerSeconds }) => Object.keys(workerSeconds).map(Number)),
  );
  for (const [rank, { examples }] of workerCounts) if (examples > 0) ranks.add(rank);
  const accuraciesPercent = epochEndAccuracies(result);
  return [...ranks]
    .sort((left, right) => left - right)
    .map((rank) =>
      workerFinalMetrics({
        rank,
        workers: spec.workersMax,
        trainingSeconds: result.trainingSeconds,
        epochSeconds: secondsOf(rank, result),
        accuraciesPercent,
        steps: workerCounts.get(rank)?.steps ?? 0,
        batchSize: spec.batchSize,
        lr: spec.schedule.lr,
        epochs: spec.epochs,
      }),
    );
}

/** The time of each epoch that the worker has one of. */
function secondsOf(rank: number, { epochs }: RunResult): (number | null)[] {
  const seconds = epochs.map(({ epoch, workerSeconds }) => [epoch, workerSeconds[rank]] as const);
  return byPlace(new Map(seconds));
}

/** The accuracy of each epoch that is over, and the final one. */
function epochEndAccuracies({ epochs, evaluations }: RunResult): (number | null)[] {
  const over = new Set(epochs.map(({ epoch }) => epoch));
  const ended = evaluations.filter(({ epoch, final }) => over.has(epoch) || final);
  const last = [...lastOfEpochs(ended)];
  return byPlace(new Map(last.map(([epoch, { accuracyPercent }]) => [epoch, accuracyPercent])));
}

/**
 * The evaluation that an epoch's accuracy is of: the last one in it. One before the first step is
 * of no epoch.
 */
export function lastOfEpochs<
  Evaluation extends { readonly step: number; readonly epoch?: number | null | undefined },
>(evaluations: readonly Evaluation[]): Map<number, Evaluation> {
  const last = new Map<number, Evaluation>();
  for (const evaluation of evaluations) {
    if (evaluation.epoch != null && evaluation.step > 0) last.set(evaluation.epoch, evaluation);
  }
  return last;
}

/** A list by epoch, counted from 0; null for an epoch that has no number. */
function byPlace(numbers: ReadonlyMap<number, number | undefined>): (number | null)[] {
  const places = [...numbers.keys()].reduce((most, epoch) => Math.max(most, epoch + 1), 0);
  return Array.from({ length: places }, (_, epoch) => numbers.get(epoch) ?? null);
}

function pacelineResult(facts: RunFacts): PacelineResult {
  const { spec, result } = facts;
  const servers = Object.values(result.servers);
  const { stalenessSum, stalenessCount, stalenessMax } = staleness(servers);
  const isWhole = Object.keys(result.earlierWorkers ?? {}).length === 0;
  return {
    version: facts.version,
    commit: facts.commit,
    protocol: paceTaken(spec, result.phases ?? []),
    model: spec.model,
    data: spec.data,
    servers: spec.servers,
    workers: spec.workersMax,
    seed: spec.seed,
    outcome: result.outcome,
    reason: result.reason,
    exitCode: facts.exitCode,
    startedAt: facts.startedAt,
    endedAt: facts.endedAt,
    trainingSeconds: result.trainingSeconds,
    globalSteps: result.globalSteps,
    evaluations: result.evaluations.map(
      ({ step, epoch, accuracyPercent, loss, atSeconds, trainedExamples, final, version }) => ({
        step,
        epoch: epoch + 1,
        accuracy: accuracyPercent,
        loss,
        seconds: atSeconds,
        examples: trainedExamples,
        final,
        ...(version === undefined ? {} : { version }),
      }),
    ),
    epochs: result.epochs.map((record) => ({
      epoch: record.epoch + 1,
      seconds: record.seconds,
      trainLoss: record.trainLoss,
      trainAccuracy: record.trainAccuracyPercent,
      examples: record.examples,
      skipped: record.skipped,
    })),
    phases: result.phases ?? [],
    tornSteps: result.tornSteps,
    skippedExamples: result.skippedExamples,
    staleness: {
      average: stalenessCount === 0 ? 0 : stalenessSum / stalenessCount,
      max: stalenessMax,
      rejected: sum(servers, ({ rejected }) => rejected),
      counts: countsOver(servers.map((server) => server.stalenessCounts)),
    },
    stepTimes: stepTimes([...facts.workerCounts.values()]),
    inOneProcess: facts.inOneProcess,
    crowded: facts.crowded,
    engines: facts.engines,
    algorithms: facts.algorithms,
    simulated: false,
    bytesIn: isWhole ? sum(servers, ({ bytesIn }) => bytesIn) : null,
    bytesOut: isWhole ? sum(servers, ({ bytesOut }) => bytesOut) : null,
    machine: facts.machine,
    node: facts.nodeVersion,
    spec,
  };
}

function staleness(servers: readonly ServerStatistics[]) {
  return {
    stalenessSum: sum(servers, (server) => server.stalenessSum),
    stalenessCount: sum(servers, (server) => server.stalenessCount),
    stalenessMax: Math.max(0, ...servers.map((server) => server.stalenessMax)),
  };
}

/** Adds histograms place by place; the shorter ones are zero where they end. */
function countsOver(histograms: readonly (readonly number[])[]): number[] {
  const places = Math.max(0, ...histograms.map((counts) => counts.length));
  return Array.from({ length: places }, (_, place) => sum(histograms, (one) => one[place] ?? 0));
}

function stepTimes(workers: readonly WorkerStatistics[]): PacelineResult["stepTimes"] {
  const steps = sum(workers, (worker) => worker.steps);
  if (steps === 0) return null;
  return {
    inputSeconds: sum(workers, (worker) => worker.inputSeconds) / steps,
    computeSeconds: sum(workers, (worker) => worker.computeSeconds) / steps,
    waitSeconds: sum(workers, (worker) => worker.waitSeconds) / steps,
  };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
