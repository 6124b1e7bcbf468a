/**
 * Who straggles, judged while training goes on. A worker's throughput is what it does while it
 * waits for nobody: examples over the time in which no server waited for others than it. In step,
 * where all workers take as many steps, a slow one is thus told from those that wait for it,
 * whether its links or its computing are slow; where nobody waits it is examples a second.
 *
 * The rule is Sync-Switch's (Li et al., ICDCS 2021): a straggler is below the cluster's mean minus
 * one standard deviation in several windows running. As of workers that are alike some are always
 * below that by a little, it has to be below the mean by a margin too. It has recovered when it was
 * not in as many windows running.
 *
 * Everything it looks at the coordinator hears with heartbeats anyway: workers' counts and servers'
 * activity. A window slides by half its length; a half ends once it has lasted, and the fastest
 * worker has taken enough steps in it that counts tell something.
 *
 * Invariant: nobody is judged by a window that it was not in from end to end.
 */
import { awaitedWorkers } from "./awaited-workers.js";

/** The thresholds of the rule. */
export const detection = {
  /** How long half a window lasts at least. */
  halfWindowMs: 1000,
  /** Steps that the fastest worker takes in half a window at least. */
  halfWindowSteps: 5,
  /** Windows running that make a straggler, or a prompt worker again. */
  windowsRunning: 3,
  /** By so many standard deviations a straggler is below the mean. */
  deviations: 1,
  /** By so large a part of the mean it is below it at least. */
  marginShare: 0.2,
  /** Of fewer workers none is ever a standard deviation below the mean. */
  workersMin: 3,
  /** Servers' activity is looked at so often. */
  sampleMs: 250,
  /** Servers are seldom looked at: no worker counts as having waited for more than this part. */
  idleShareMax: 0.95,
} as const;

/** What a worker has counted in its present life. */
export interface WorkerReading {
  readonly rank: number;
  readonly incarnation: number;
  readonly steps: number;
  readonly examples: number;
}

/** What has been heard by now. */
export interface ClusterReading {
  /** Workers that take part, and have not been told to leave. */
  readonly workers: readonly WorkerReading[];
  /** What each server says that it does. */
  readonly activities: readonly string[];
}

/** A worker that straggles, with the sentence that says so. */
export interface FoundStraggler {
  readonly rank: number;
  /** Examples a second while it waits for nobody, in the last window. */
  readonly throughput: number;
  readonly reason: string;
}

/** What a window changed: a worker straggles from now on, or no more. */
export type StragglerNews = FoundStraggler & { readonly straggles: boolean };

/** All that is counted at the end of a half window. */
interface Mark {
  readonly ms: number;
  readonly samples: number;
  readonly workers: ReadonlyMap<number, WorkerReading & { readonly idle: number }>;
}

interface Judged {
  readonly rank: number;
  readonly throughput: number;
}

/** The detector of one run. */
export class StragglerDetector {
  readonly #found = new Map<number, FoundStraggler>();
  /** By rank: windows running that say the contrary of what holds. */
  readonly #contrary = new Map<number, number>();
  /** By incarnation: samples in which it waited for others. */
  readonly #idle = new Map<number, number>();
  #samples = 0;
  #sampledMs = Number.NEGATIVE_INFINITY;
  #marks: readonly Mark[] = [];

  /** Those that straggle at present, in ascending rank. */
  get present(): readonly FoundStraggler[] {
    return [...this.#found.values()].sort((left, right) => left.rank - right.rank);
  }

  /** Takes what has been heard, as often as anybody likes; what follows from a window that ends. */
  observe(reading: ClusterReading, nowMs: number): readonly StragglerNews[] {
    if (nowMs - this.#sampledMs < detection.sampleMs) return [];
    this.#sampledMs = nowMs;
    this.#keepOnly(reading.workers);
    for (const activity of reading.activities) this.#sample(activity, reading.workers);
    const last = this.#marks.at(-1);
    const mark = this.#mark(reading, nowMs);
    if (last !== undefined && !isHalfOver(last, mark)) return [];
    this.#marks = [...this.#marks.slice(-2), mark];
    const [first] = this.#marks;
    return this.#marks.length < 3 || first === undefined ? [] : this.#judge(first, mark);
  }

  #sample(activity: string, workers: readonly WorkerReading[]): void {
    this.#samples++;
    const awaited = awaitedWorkers(activity);
    if (awaited.length === 0) return;
    for (const { rank, incarnation } of workers) {
      if (awaited.includes(rank)) continue;
      this.#idle.set(incarnation, (this.#idle.get(incarnation) ?? 0) + 1);
    }
  }

  /** Who is gone is judged no more, and a later life of its rank anew. */
  #keepOnly(workers: readonly WorkerReading[]): void {
    const last = this.#marks.at(-1)?.workers;
    for (const rank of [...this.#found.keys(), ...this.#contrary.keys()]) {
      const present = workers.find((one) => one.rank === rank);
      const known = last?.get(rank)?.incarnation ?? present?.incarnation;
      if (present !== undefined && present.incarnation === known) continue;
      this.#found.delete(rank);
      this.#contrary.delete(rank);
    }
    for (const incarnation of this.#idle.keys()) {
      if (!workers.some((one) => one.incarnation === incarnation)) this.#idle.delete(incarnation);
    }
  }

  #mark({ workers }: ClusterReading, ms: number): Mark {
    const byRank = workers.map(
      (one) => [one.rank, { ...one, idle: this.#idle.get(one.incarnation) ?? 0 }] as const,
    );
    return { ms, samples: this.#samples, workers: new Map(byRank) };
  }

  #judge(first: Mark, last: Mark): readonly StragglerNews[] {
    const judged = throughputsBetween(first, last);
    if (judged.length < detection.workersMin) return [];
    const { mean, deviation } = spreadOf(judged.map(({ throughput }) => throughput));
    const floor = mean - detection.deviations * deviation;
    const limit = Math.min(floor, (1 - detection.marginShare) * mean);
    const windowMs = last.ms - first.ms;
    return judged.flatMap((one) => {
      const isBelow = one.throughput < limit;
      const words = { ...one, mean, deviation, floor, windowMs, workers: judged.length };
      if (isBelow && this.#found.has(one.rank)) {
        const { throughput, rank } = one;
        this.#found.set(rank, { rank, throughput, reason: stragglesWords(words) });
      }
      if (isBelow === this.#found.has(one.rank)) {
        this.#contrary.delete(one.rank);
        return [];
      }
      const running = (this.#contrary.get(one.rank) ?? 0) + 1;
      this.#contrary.set(one.rank, running);
      return running < detection.windowsRunning ? [] : [this.#turn(words, isBelow)];
    });
  }

  #turn(words: WindowWords, straggles: boolean): StragglerNews {
    const { rank, throughput } = words;
    this.#contrary.delete(rank);
    const reason = straggles ? stragglesWords(words) : recoveredWords(words);
    if (straggles) this.#found.set(rank, { rank, throughput, reason });
    else this.#found.delete(rank);
    return { rank, throughput, reason, straggles };
  }
}

function isHalfOver(before: Mark, now: Mark): boolean {
  if (now.ms - before.ms < detection.halfWindowMs) return false;
  const steps = [...now.workers.values()].map((one) => {
    const earlier = before.workers.get(one.rank);
    return earlier?.incarnation === one.incarnation ? one.steps - earlier.steps : 0;
  });
  return Math.max(0, ...steps) >= detection.halfWindowSteps;
}

function throughputsBetween(first: Mark, last: Mark): Judged[] {
  const seconds = (last.ms - first.ms) / 1000;
  const samples = last.samples - first.samples;
  return [...last.workers.values()].flatMap(({ rank, incarnation, examples, idle }) => {
    const before = first.workers.get(rank);
    if (before?.incarnation !== incarnation) return [];
    const idleShare = samples === 0 ? 0 : (idle - before.idle) / samples;
    const busySeconds = seconds * (1 - Math.min(detection.idleShareMax, idleShare));
    return [{ rank, throughput: (examples - before.examples) / busySeconds }];
  });
}

function spreadOf(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / values.length) };
}

interface WindowWords extends Judged {
  readonly mean: number;
  readonly deviation: number;
  readonly floor: number;
  readonly windowMs: number;
  readonly workers: number;
}

function stragglesWords(words: WindowWords): string {
  const { rank, throughput, mean, deviation, floor } = words;
  const share = Math.round(100 * (1 - throughput / mean));
  const limit = `mean ${mean.toFixed(1)} - standard deviation ${deviation.toFixed(1)}`;
  const below = `below ${floor.toFixed(1)} (${limit} of ${words.workers} workers)`;
  const what = `${rate(throughput)}, ${below} and ${share} % below the mean`;
  return `worker-${rank} straggles: ${what}${windows(words)}`;
}

function recoveredWords(words: WindowWords): string {
  const { rank, throughput, mean } = words;
  const beside = `beside a mean of ${mean.toFixed(1)} over ${words.workers} workers`;
  return `worker-${rank} straggles no more: ${rate(throughput)}, ${beside}${windows(words)}`;
}

function rate(throughput: number): string {
  return `${throughput.toFixed(1)} examples/s while it waits for nobody`;
}

function windows({ windowMs }: WindowWords): string {
  const running = `in ${detection.windowsRunning} windows running`;
  return `, ${running}, the last of ${(windowMs / 1000).toFixed(1)} s`;
}
