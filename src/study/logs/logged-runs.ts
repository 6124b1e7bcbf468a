/**
 * Everything that logs say of runs, put together by run: each worker once and the servers once,
 * however often a line came, and the whole result where the coordinator's lines of it are complete.
 * Lines of Paceline name their run; those of other systems do not, so that two runs in their logs
 * are noticed by what can't be of one: a worker, or the servers, with two sets of numbers.
 */
import type {
  ExperimentFile,
  ServerFinalMetrics,
  WorkerFinalMetrics,
} from "../../store/runs/experiment-file.js";
import { serverSchema, workerSchema } from "../../store/runs/experiment-schema.js";
import { type ResultPart, resultOfParts } from "../../store/runs/result-lines.js";
import type { LogEntry } from "./log-entries.js";
import type { Found } from "./metrics-scan.js";

/** Numbers and where they stand. */
export interface Told<Metrics> {
  readonly metrics: Metrics;
  readonly entry: LogEntry;
}

/** What logs say of one run. */
export interface LoggedRun {
  /** Null for lines that name none. */
  readonly run: string | null;
  /** The experiment's name, as far as the run's tells it. */
  readonly name: string | null;
  readonly servers: readonly Told<ServerFinalMetrics>[];
  /** By worker, all that differ, in the order in which they were read. */
  readonly workers: ReadonlyMap<number, readonly Told<WorkerFinalMetrics>[]>;
  /** The whole result; null where its lines are missing or incomplete. */
  readonly whole: ExperimentFile | null;
  readonly lastMs: number | null;
}

interface Gathered {
  readonly servers: Map<string, Told<ServerFinalMetrics>>;
  readonly workers: Map<number, Map<string, Told<WorkerFinalMetrics>>>;
  lastMs: number | null;
}

/** Gathers what scans find. */
export class LoggedRuns {
  readonly #byRun = new Map<string | null, Gathered>();
  readonly #parts = new Map<string, { parts: ResultPart[]; timeMs: number | null }>();
  readonly #cut: Found[] = [];
  readonly #foreign: { readonly problem: string; readonly entry: LogEntry }[] = [];

  take(found: Found): void {
    const { finding, entry } = found;
    if (finding.kind === "cut") this.#cut.push(found);
    else if (finding.kind === "result") {
      const { sum } = finding.part;
      const known = this.#parts.get(sum) ?? { parts: [], timeMs: null };
      known.parts.push(finding.part);
      known.timeMs = entry.timeMs ?? known.timeMs;
      this.#parts.set(sum, known);
    } else this.#takeMetrics(finding.value, entry);
  }

  /** Lines that begin as metrics and do not end. */
  get cut(): readonly Found[] {
    return this.#cut;
  }

  /** Lines of metrics that lack what the form asks for. */
  get foreign(): readonly { readonly problem: string; readonly entry: LogEntry }[] {
    return this.#foreign;
  }

  /** All runs, in the order in which their first lines were read. */
  runs(): LoggedRun[] {
    const wholes = new Map<string | null, { whole: ExperimentFile; timeMs: number | null }>();
    for (const { parts, timeMs } of this.#parts.values()) {
      const result = resultOfParts(parts);
      if (result === null || !("experiment" in result)) continue;
      wholes.set(runOf(result.experiment), { whole: result.experiment, timeMs });
    }
    const keys = new Set([...this.#byRun.keys(), ...wholes.keys()]);
    return [...keys].map((run) => {
      const gathered = this.#byRun.get(run);
      const whole = wholes.get(run)?.whole ?? null;
      const workers = [...(gathered?.workers ?? [])].sort(([left], [right]) => left - right);
      return {
        ...{ run, whole },
        name: whole?.experiment_name ?? (run === null ? null : nameOf(run)),
        servers: [...(gathered?.servers.values() ?? [])],
        workers: new Map(workers.map(([id, told]) => [id, [...told.values()]])),
        lastMs: gathered?.lastMs ?? wholes.get(run)?.timeMs ?? null,
      };
    });
  }

  #takeMetrics(value: Readonly<Record<string, unknown>>, entry: LogEntry): void {
    const { run: named, ...metrics } = value;
    const run = typeof named === "string" ? named : null;
    const { type } = metrics;
    const schema = type === "SERVER_FINAL_METRICS" ? serverSchema : workerSchema;
    const checked = schema.safeParse(metrics);
    if (!checked.success) {
      const issue = checked.error.issues[0]!;
      this.#foreign.push({ problem: `${issue.path.join(".")}: ${issue.message}`, entry });
      return;
    }
    const gathered = this.#gathered(run);
    gathered.lastMs = Math.max(entry.timeMs ?? 0, gathered.lastMs ?? 0) || null;
    const text = JSON.stringify(checked.data);
    if (checked.data.type === "SERVER_FINAL_METRICS") {
      keep(gathered.servers, text, checked.data as ServerFinalMetrics, entry);
      return;
    }
    const worker = checked.data as WorkerFinalMetrics;
    const told = gathered.workers.get(worker.worker_id) ?? new Map();
    gathered.workers.set(worker.worker_id, told);
    keep(told, text, worker, entry);
  }

  #gathered(run: string | null): Gathered {
    const known = this.#byRun.get(run) ?? { servers: new Map(), workers: new Map(), lastMs: null };
    this.#byRun.set(run, known);
    return known;
  }
}

function keep<Metrics>(
  among: Map<string, Told<Metrics>>,
  text: string,
  metrics: Metrics,
  entry: LogEntry,
): void {
  if (!among.has(text)) among.set(text, { metrics, entry });
}

function runOf({ experiment_name: name, paceline }: ExperimentFile): string {
  const { spec } = (paceline ?? {}) as { spec?: { run?: unknown } };
  return typeof spec?.run === "string" ? spec.run : name;
}

/** A run is called after its name, with eight digits that nobody else has drawn. */
function nameOf(run: string): string {
  return run.replace(/-[0-9a-f]{8}$/, "");
}
