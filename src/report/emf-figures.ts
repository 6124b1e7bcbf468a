/**
 * A coordinator's figures as CloudWatch's embedded metric format has them: a line of JSON in a log
 * that becomes metrics there, without an agent and without credentials. Counts are of the time
 * since the last line, the rest is of the moment. Alarms, the dashboard and the scaler of
 * terraform/ know the figures by these names.
 */
import type {
  CoordinatorSnapshot,
  JobSummary,
  MemberSnapshot,
  RunEvent,
} from "../protocol/run-events.js";
import type { Observer, RunBegin, RunEnd } from "../runtime/observer.js";

/** What a coordinator looks like at the moment of a line. */
export interface FiguresPicture {
  readonly members: readonly Pick<MemberSnapshot, "role" | "state">[];
  /** Of one that serves: jobs that run and that wait, and how many may run at a time. */
  readonly jobs?: readonly Pick<JobSummary, "state" | "workers">[];
  readonly jobsMax?: number;
}

type Unit = "Count" | "Count/Second" | "Seconds" | "Percent" | "None";
type Figures = Record<string, readonly [value: number | null, unit: Unit]>;

/** What is counted of one run while it is on. */
interface RunningRun {
  /** Workers that it takes at most. */
  readonly workersMax: number;
  /** As the last snapshot had them; null before the first, as a run may be a resumed one. */
  seen: { readonly steps: number; readonly examples: number } | null;
  steppedMs: number;
}

/** Collects from the observers of runs, and writes lines. */
export class EmfFigures {
  readonly #namespace: string;
  readonly #clock: { nowMs(): number };
  readonly #runs = new Set<RunningRun>();
  #lineMs: number;
  #counts = noCounts();
  #trainLoss: number | null = null;
  #testLoss: number | null = null;
  #testAccuracyPercent: number | null = null;

  /** @param clock monotonic. */
  constructor(namespace: string, clock: { nowMs(): number }) {
    this.#namespace = namespace;
    this.#clock = clock;
    this.#lineMs = clock.nowMs();
  }

  /** An onlooker of one run after the other. */
  observer(): Observer {
    let run: RunningRun | null = null;
    return {
      onBegin: (begin) => {
        run = this.#begin(begin);
      },
      onEvent: (event) => this.#onEvent(event),
      onSnapshot: (snapshot) => this.#onSnapshot(run, snapshot),
      onEnd: (end) => {
        this.#onEnd(run, end);
        run = null;
      },
    };
  }

  /**
   * A line of what was counted since the last one.
   * @param epochMs milliseconds since 1970, by which CloudWatch sorts.
   */
  line(picture: FiguresPicture, epochMs: number): string {
    const figures = Object.entries(this.#figures(picture)).filter(
      ([, [value]]) => value !== null && Number.isFinite(value),
    );
    const metrics = figures.map(([name, [, unit]]) => ({ Name: name, Unit: unit }));
    const directive = { Namespace: this.#namespace, Dimensions: [["Role"]], Metrics: metrics };
    return JSON.stringify({
      _aws: { Timestamp: Math.floor(epochMs), CloudWatchMetrics: [directive] },
      Role: "coordinator",
      ...Object.fromEntries(figures.map(([name, [value]]) => [name, rounded(value)])),
    });
  }

  #figures({ members, jobs = [], jobsMax = 1 }: FiguresPicture): Figures {
    const nowMs = this.#clock.nowMs();
    const seconds = (nowMs - this.#lineMs) / 1000;
    const { steps, examples, ...counts } = this.#counts;
    const present = (role: string) =>
      members.filter((member) => member.role === role && member.state !== "dead").length;
    const runs = [...this.#runs];
    const queued = jobs.filter(({ state }) => state === "queued");
    // What waits for its turn wants nothing yet: it takes the members of those before.
    const next = queued.slice(0, Math.max(0, jobsMax - runs.length));
    const wanted =
      runs.reduce((sum, { workersMax }) => sum + workersMax, 0) +
      next.reduce((sum, { workers }) => sum + workers, 0);
    const silences = runs.map(({ steppedMs }) => (nowMs - steppedMs) / 1000);
    this.#lineMs = nowMs;
    this.#counts = noCounts();
    return {
      Workers: [present("worker"), "Count"],
      Servers: [present("server"), "Count"],
      WorkersWanted: [wanted, "Count"],
      WorkerDemand: [wanted / Math.max(1, present("worker")), "None"],
      JobsRunning: [runs.length, "Count"],
      JobsQueued: [queued.length, "Count"],
      MembersLost: [counts.lost, "Count"],
      RunsDone: [counts.done, "Count"],
      RunsFailed: [counts.failed, "Count"],
      RunsDiverged: [counts.diverged, "Count"],
      Steps: [steps, "Count"],
      ExamplesPerSecond: [seconds > 0 ? examples / seconds : null, "Count/Second"],
      SecondsWithoutStep: [Math.max(0, ...silences), "Seconds"],
      TrainLoss: [this.#trainLoss, "None"],
      TestLoss: [this.#testLoss, "None"],
      TestAccuracyPercent: [this.#testAccuracyPercent, "Percent"],
    };
  }

  #begin({ spec }: RunBegin): RunningRun {
    const { workersMax } = spec;
    const run = { workersMax, seen: null, steppedMs: this.#clock.nowMs() };
    this.#runs.add(run);
    this.#trainLoss = null;
    this.#testLoss = null;
    this.#testAccuracyPercent = null;
    return run;
  }

  #onEvent(event: RunEvent): void {
    if (event.kind === "lost") this.#counts.lost += 1;
    if (event.kind === "epoch") this.#trainLoss = event.examples > 0 ? event.trainLoss : null;
    if (event.kind !== "evaluation") return;
    this.#testLoss = event.loss;
    this.#testAccuracyPercent = event.accuracyPercent;
  }

  #onSnapshot(run: RunningRun | null, { globalSteps, examples }: CoordinatorSnapshot): void {
    if (run === null) return;
    // A run that goes back to a checkpoint counts fewer for a while: it is no progress, nor a loss.
    const before = run.seen ?? { steps: globalSteps, examples };
    if (globalSteps !== before.steps) run.steppedMs = this.#clock.nowMs();
    this.#counts.steps += Math.max(0, globalSteps - before.steps);
    this.#counts.examples += Math.max(0, examples - before.examples);
    run.seen = { steps: globalSteps, examples };
  }

  #onEnd(run: RunningRun | null, { result: { outcome, code, globalSteps } }: RunEnd): void {
    if (run !== null) this.#runs.delete(run);
    // A short run may take its last steps, or all of them, between two snapshots.
    this.#counts.steps += Math.max(0, globalSteps - (run?.seen?.steps ?? globalSteps));
    if (outcome === "done") this.#counts.done += 1;
    if (outcome === "failed") this.#counts.failed += 1;
    if (code === "diverged") this.#counts.diverged += 1;
  }
}

function noCounts() {
  return { lost: 0, done: 0, failed: 0, diverged: 0, steps: 0, examples: 0 };
}

/** Six digits are enough for a chart. */
function rounded(value: number | null): number {
  return Number((value ?? 0).toPrecision(6));
}
