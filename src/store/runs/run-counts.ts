/**
 * Running sums of what the members of a run report of themselves. A worker that is started again
 * counts from zero; here the counts of all its lives are added, so that no sum ever falls.
 */

import type { ServerStatistics, WorkerStatistics } from "../../protocol/messages.js";
import type { CoordinatorSnapshot, RunResult } from "../../protocol/run-events.js";
import { countedSince, idleWorker, sumOfLives } from "../../protocol/statistics.js";

/** One line of metrics.jsonl about the steps since the line before. */
export interface StepRow {
  readonly kind: "step";
  /** ISO 8601. */
  readonly time: string;
  /** Trained since the run began, as far as it was not given up. */
  readonly seconds: number;
  readonly step: number;
  /** Counted from 1. */
  readonly epoch: number;
  /** Examples gone through since the run began. */
  readonly examples: number;
  /** Mean training loss since the last row; null where no example was trained on. */
  readonly loss: number | null;
  readonly examplesPerSecond: number | null;
  /** Sums since the process began, all lives of a rank together; `clock` is the present life's. */
  readonly workers: readonly {
    readonly rank: number;
    readonly clock: number;
    readonly computeSeconds: number;
    readonly waitSeconds: number;
  }[];
  /** Mean staleness of the chunk pushes accepted since the last row; null where there is none. */
  readonly staleness: number | null;
}

/** How many of these members are workers on this host. */
export function workersOn(host: string, members: CoordinatorSnapshot["members"]): number {
  return members.filter((member) => member.role === "worker" && member.host === host).length;
}

interface Lives {
  incarnation: number;
  latest: WorkerStatistics;
  before: WorkerStatistics;
}

/** What was counted by some step. */
interface Picture {
  readonly step: number;
  readonly sums: Sums;
}

interface Sums {
  readonly ms: number;
  readonly examples: number;
  readonly lossSum: number;
  readonly lossCount: number;
  readonly stalenessSum: number;
  readonly stalenessCount: number;
}

const rateWindowMs = 10_000;

/** The sums of one run in one process. */
export class RunCounts {
  readonly #workers = new Map<number, Lives>();
  readonly #servers = new Map<number, ServerStatistics>();
  /** Examples of lives of the run before this process. */
  #examplesBefore = 0;
  /** The whole work: a life that redoes what was lost counts no further. */
  #examplesMax = 0;
  #beganMs: number | null = null;
  /** Trained before that. */
  #secondsBefore = 0;
  /** False until the training that is on has been seen. */
  #isOn = false;
  #goesOn: boolean;
  /** Of the checkpoint that the run went on from; 0 where it began. */
  #startStep = 0;
  /** True once the last counts are known. */
  #isOver = false;
  #lastRow: Sums | null = null;
  #lastRowStep = 0;
  /** The last picture that rows were asked for at. */
  #seen: Picture | null = null;
  #recent: Sums[] = [];

  /**
   * @param goesOn another process has seen the run up to here, with the lives that are on.
   * @param secondsBefore trained up to here.
   */
  constructor(goesOn = false, secondsBefore = 0) {
    this.#goesOn = goesOn;
    this.#secondsBefore = secondsBefore;
  }

  /** The run goes on from a checkpoint of this step, by which it had trained so long. */
  wentBack(step: number, secondsBefore: number): void {
    this.#giveUp();
    this.#goesOn = false;
    this.#beganMs = null;
    this.#secondsBefore = secondsBefore;
    this.#startStep = step;
  }

  /** Takes the members' latest counts. */
  observe(snapshot: CoordinatorSnapshot, nowMs: number): void {
    if (snapshot.phase !== "training" && snapshot.phase !== "stopping") {
      // Behind a roll-back lives are others, and what they redo counts once.
      if (this.#isOn) this.#giveUp();
      return;
    }
    for (const { role, rank, incarnation, worker } of snapshot.members) {
      if (role === "worker" && worker !== null) this.#take(rank, incarnation, worker);
    }
    // Others have what was counted of the chunks of a server that is gone.
    if (snapshot.phase === "training" && !this.#isOver) this.#servers.clear();
    for (const { role, rank, server } of snapshot.members) {
      if (role === "server" && server !== null) this.#servers.set(rank, server);
    }
    const sums = this.#sums(nowMs);
    this.#examplesMax = snapshot.totalExamples;
    if (!this.#isOn) this.#begin(snapshot, sums);
    this.#recent.push(sums);
    while (this.#recent.length > 2 && nowMs - this.#recent[1]!.ms >= rateWindowMs) {
      this.#recent.shift();
    }
  }

  #begin({ examples, globalSteps }: CoordinatorSnapshot, sums: Sums): void {
    const isKnown = this.#goesOn && this.#beganMs === null;
    this.#isOn = true;
    this.#beganMs ??= sums.ms;
    this.#examplesBefore = Math.max(0, examples - sums.examples);
    // What servers count goes with their chunks over all lives of the run.
    const { ms, stalenessSum, stalenessCount } = sums;
    const isResumed = this.#startStep > 0;
    const before = isResumed ? { ...emptySums, stalenessSum, stalenessCount } : emptySums;
    this.#lastRow = isKnown ? sums : { ...before, ms };
    this.#lastRowStep = isKnown || sums.examples === 0 ? globalSteps : this.#startStep;
    this.#seen = { step: this.#lastRowStep, sums: this.#lastRow };
  }

  #giveUp(): void {
    this.#workers.clear();
    this.#servers.clear();
    this.#recent = [];
    this.#isOn = false;
  }

  /** Examples gone through since the run began, in lives of the run before this one too. */
  get examples(): number {
    return this.#examplesAt(this.#sums(0));
  }

  /** Examples a second over the last ten seconds; null before there is something to tell. */
  get examplesPerSecond(): number | null {
    const first = this.#recent[0];
    const last = this.#recent.at(-1);
    if (first === undefined || last === undefined || last.ms === first.ms) return null;
    return (1000 * (last.examples - first.examples)) / (last.ms - first.ms);
  }

  /** Mean training loss over the last ten seconds; null where no example was trained on. */
  get recentLoss(): number | null {
    const [first, last] = [this.#recent[0], this.#recent.at(-1)];
    if (first === undefined || last === undefined) return null;
    return ratio(last.lossSum - first.lossSum, last.lossCount - first.lossCount);
  }

  /** The row for the time since the last one; null before training has been observed. */
  row(snapshot: CoordinatorSnapshot, time: string, nowMs: number): StepRow | null {
    if (this.#beganMs === null) return null;
    return this.#rowAt({ step: snapshot.globalSteps, sums: this.#sums(nowMs) }, snapshot, time);
  }

  /**
   * A row for each multiple of `every` that the steps have reached since the last row. Steps are
   * faster than pictures come, so what was counted by a multiple is taken to lie between the two
   * pictures around it as the step does.
   */
  rowsAt(every: number, snapshot: CoordinatorSnapshot, time: string, nowMs: number): StepRow[] {
    const before = this.#seen;
    if (before === null) return [];
    const present = { step: snapshot.globalSteps, sums: this.#sums(nowMs) };
    this.#seen = present;
    const rows: StepRow[] = [];
    const first = every * (Math.floor(this.#lastRowStep / every) + 1);
    for (let step = first; step <= present.step; step += every) {
      rows.push(this.#rowAt({ step, sums: between(before, present, step) }, snapshot, time));
    }
    return rows;
  }

  #rowAt({ step, sums }: Picture, { epoch }: CoordinatorSnapshot, time: string): StepRow {
    const last = this.#lastRow ?? sums;
    this.#lastRow = sums;
    this.#lastRowStep = step;
    const seconds = (sums.ms - last.ms) / 1000;
    const workers = [...this.totals()].map(([rank, total]) => {
      const { clock, computeSeconds, waitSeconds } = total;
      return { rank, clock, computeSeconds, waitSeconds };
    });
    return {
      kind: "step",
      time,
      seconds: this.#secondsBefore + (sums.ms - (this.#beganMs ?? sums.ms)) / 1000,
      step,
      epoch: epoch + 1,
      examples: this.#examplesAt(sums),
      loss: ratio(sums.lossSum - last.lossSum, sums.lossCount - last.lossCount),
      examplesPerSecond: ratio(sums.examples - last.examples, seconds),
      workers,
      staleness: ratio(
        sums.stalenessSum - last.stalenessSum,
        sums.stalenessCount - last.stalenessCount,
      ),
    };
  }

  /** Takes the last counts, each of all lives of its rank: none is added to what was seen. */
  end(result: Pick<RunResult, "workers" | "servers" | "earlierWorkers">): void {
    const { workers, servers, earlierWorkers = {} } = result;
    this.#isOver = true;
    for (const [key, whole] of Object.entries(workers)) {
      const rank = Number(key);
      const latest = countedSince(earlierWorkers[rank] ?? idleWorker, whole);
      this.#workers.set(rank, { incarnation: -1, latest, before: idleWorker });
    }
    for (const [key, statistics] of Object.entries(servers)) {
      this.#servers.set(Number(key), statistics);
    }
  }

  /** Each rank's counts over all its lives. */
  totals(): ReadonlyMap<number, WorkerStatistics> {
    const lives = [...this.#workers].sort(([left], [right]) => left - right);
    return new Map(lives.map(([rank, { before, latest }]) => [rank, sumOfLives(before, latest)]));
  }

  #examplesAt({ examples }: Sums): number {
    return Math.min(this.#examplesMax, this.#examplesBefore + Math.round(examples));
  }

  #take(rank: number, incarnation: number, latest: WorkerStatistics): void {
    const lives = this.#workers.get(rank);
    if (lives === undefined) {
      this.#workers.set(rank, { incarnation, latest, before: idleWorker });
      return;
    }
    if (lives.incarnation !== incarnation) {
      lives.before = sumOfLives(lives.before, lives.latest);
      lives.incarnation = incarnation;
    }
    lives.latest = latest;
  }

  #sums(ms: number): Sums {
    const sums = { ...emptySums, ms };
    for (const { latest, before } of this.#workers.values()) {
      sums.examples += before.examples + latest.examples;
      sums.lossSum += before.lossSum + latest.lossSum;
      sums.lossCount += before.lossCount + latest.lossCount;
    }
    for (const { stalenessSum, stalenessCount } of this.#servers.values()) {
      sums.stalenessSum += stalenessSum;
      sums.stalenessCount += stalenessCount;
    }
    return sums;
  }
}

const emptySums: Sums = {
  ms: 0,
  examples: 0,
  lossSum: 0,
  lossCount: 0,
  stalenessSum: 0,
  stalenessCount: 0,
};

function between(before: Picture, after: Picture, step: number): Sums {
  const steps = after.step - before.step;
  const share = steps <= 0 ? 1 : Math.max(0, Math.min(1, (step - before.step) / steps));
  const at = (field: keyof Sums) =>
    before.sums[field] + share * (after.sums[field] - before.sums[field]);
  return {
    ms: at("ms"),
    examples: at("examples"),
    lossSum: at("lossSum"),
    lossCount: at("lossCount"),
    stalenessSum: at("stalenessSum"),
    stalenessCount: at("stalenessCount"),
  };
}

function ratio(dividend: number, divisor: number): number | null {
  return divisor > 0 ? dividend / divisor : null;
}
