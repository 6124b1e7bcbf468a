/**
 * The run of one job: prepared anew, or continued from what its folder has, carried out by a
 * carrier of its own, and judged when it is over: is the job done, or does it wait to go on?
 */
import { join } from "node:path";
import type { Dataset } from "../../data/split.js";
import { type ErrorCode, PacelineError } from "../../errors.js";
import type { CoordinatorHost } from "../../host/coordinator-host.js";
import type { CoordinatorStates } from "../../store/coordinator-state.js";
import type { KeptJob } from "../../store/queue-state.js";
import type { RunEnd } from "../observer.js";
import {
  type CarrierParts,
  type CoordinatorSettings,
  RunCarrier,
  type RunRequest,
} from "../run-carrier.js";
import { loadRunDataset } from "../run-preparation.js";
import { prepareReturn, type ReturnedRun } from "../run-return.js";
import type { RunSettings } from "../run-settings.js";
import type { Needs } from "./job-policy.js";
import type { JobEnd } from "./job-queue.js";
import type { Seat } from "./member-places.js";

/** What a job's run asks of the queue. */
export interface JobRunParts {
  /** A durable term above this one, which nobody else has. */
  nextTerm(above: number): Promise<number>;
  /** True while no job waits, so that a run may have as many members as it takes. */
  isQueueEmpty(): boolean;
  /** The run goes on from what its folder has by now. */
  onGoesOn(): void;
  /** Where the states of runs are kept. */
  readonly states: CoordinatorStates;
}

/** Phases in which a run has members, or wants them. */
const wanting: ReadonlySet<string> = new Set(["forming", "preparing", "training", "rolling back"]);
/** How a run ends that has lost its members. */
const deserted: readonly (ErrorCode | string)[] = [
  "member_lost",
  "too_few_workers",
  "cluster_not_formed",
];

/** A job's run, as a place for members. */
export class JobRun implements Seat {
  readonly id: number;
  readonly name: string;
  readonly #job: KeptJob;
  readonly #folder: string;
  readonly #parts: JobRunParts;
  #request: RunRequest | null = null;
  #carrier: RunCarrier | null = null;
  #returned: ReturnedRun | null = null;
  #dataset: Dataset | null = null;
  #reopens = false;

  /** @param job as it was before it was begun. */
  constructor(job: KeptJob, runDir: string, parts: JobRunParts) {
    this.id = job.id;
    this.name = job.name;
    this.#job = job;
    this.#folder = join(runDir, job.name);
    this.#parts = parts;
  }

  /** True once it has a host. */
  get isPrepared(): boolean {
    return this.#carrier !== null;
  }

  /** Its host, once it is prepared. */
  get host(): CoordinatorHost {
    return this.#prepared().host;
  }

  get run(): string | null {
    return this.#carrier?.run ?? null;
  }

  /** Resolves when all that its folder was given is there, or could not be brought. */
  async flush(): Promise<void> {
    await this.#carrier?.flush();
  }

  get wants(): Needs {
    const { workers, servers } = this.#job;
    if (this.run === null) return { workers, servers };
    if (!wanting.has(this.host.snapshot().phase)) return { workers: 0, servers: 0 };
    return this.#parts.isQueueEmpty() ? this.ranks : { workers, servers };
  }

  get ranks(): Needs {
    const { workers, servers } = this.#request?.settings ?? {};
    if (workers === undefined || servers === undefined) return this.#job;
    return { workers: workers.max, servers: servers.max };
  }

  /**
   * Finds out where it begins: anew, in place where the coordinator before died, or from its last
   * checkpoint where it was stopped.
   * @throws PacelineError where it can't.
   */
  async prepare(
    request: RunRequest,
    settings: CoordinatorSettings,
    parts: Omit<CarrierParts, "nextTerm">,
  ): Promise<void> {
    const named = { ...request.settings, name: this.name };
    this.#request = { ...request, settings: named };
    const { hasBegun, isStopped } = this.#job;
    const state = hasBegun ? await this.#parts.states.read(this.#folder) : null;
    this.#reopens = hasBegun && state === null;
    if (state !== null) await this.#prepareReturn(named, request.configText, !isStopped, parts);
    const term = this.#returned?.term ?? (await this.#parts.nextTerm(0));
    const nextTerm = (above: number) => this.#parts.nextTerm(above);
    const { states } = this.#parts;
    this.#carrier = new RunCarrier(settings, { ...parts, states, nextTerm }, term);
  }

  async #prepareReturn(
    settings: RunSettings,
    configText: string,
    isInPlace: boolean,
    { log }: Pick<CarrierParts, "log">,
  ): Promise<void> {
    const nextTerm = (above: number) => this.#parts.nextTerm(above);
    const anew = { ...settings, resume: null };
    const { states } = this.#parts;
    const returned = await prepareReturn(anew, configText, { nextTerm, states, isInPlace });
    try {
      this.#dataset = settings.feed === "central" ? await loadRunDataset(settings, log) : null;
    } catch (thrown) {
      await returned.directory.close();
      throw thrown;
    }
    this.#returned = returned;
    this.#parts.onGoesOn();
  }

  /** Carries it out; resolves when its folder is whole. */
  carryOut(): Promise<RunEnd> {
    const carrier = this.#prepared();
    const request = this.#request!;
    if (this.#returned === null) return carrier.carryOut(request, this.#reopens);
    return carrier.goOn(request.settings, this.#returned, this.#dataset);
  }

  /** Has it saved and ended. */
  interrupt(reason: string): void {
    this.#carrier?.interrupt(reason);
  }

  /**
   * Why the job waits to be continued from its last checkpoint; null where it has ended: its
   * coordinator stops, or was away for so long that its members went home.
   * @param interruption why the coordinator stops; null while it does not.
   */
  stopOf({ result }: RunEnd, interruption: string | null): string | null {
    const { outcome, code, globalSteps, reason } = result;
    if (outcome === "interrupted" && interruption !== null) {
      return `stopped by ${interruption} at step ${globalSteps}`;
    }
    const isInPlace = (this.#returned?.record ?? null) !== null;
    if (!isInPlace || outcome !== "failed" || !deserted.includes(code ?? "")) return null;
    return `its members did not come back: ${reason}`;
  }

  /** What the job has come to. */
  endOf({ result, exitCode }: RunEnd, isCancelled: boolean): JobEnd {
    const { outcome, code, reason, globalSteps, evaluations, trainingSeconds } = result;
    const last = evaluations.at(-1);
    const isEnded = outcome === "interrupted" && isCancelled;
    return {
      state: outcome === "done" ? "done" : isEnded ? "cancelled" : "failed",
      reason: isEnded ? `cancelled at step ${globalSteps}` : reason,
      result: {
        ...{ exitCode, code, globalSteps, seconds: trainingSeconds },
        accuracyPercent: last?.accuracyPercent ?? null,
        loss: last?.loss ?? null,
      },
    };
  }

  /** What a job comes to that can't begin. */
  failureOf({ code, exitCode, message }: PacelineError): JobEnd {
    const nothing = { globalSteps: 0, accuracyPercent: null, loss: null, seconds: 0 };
    return { state: "failed", reason: message, result: { exitCode, code, ...nothing } };
  }

  #prepared(): RunCarrier {
    if (this.#carrier !== null) return this.#carrier;
    throw new PacelineError("internal", `job ${this.name} is not prepared`);
  }
}
