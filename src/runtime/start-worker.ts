/** A worker: computes gradients for a coordinator's runs. */
import { demandDataFolder } from "../data/data-folder.js";
import type { PacelineError } from "../errors.js";
import { HeardTerm } from "../host/session/heard-term.js";
import type { SessionConfig } from "../host/session/member-session.js";
import { type WorkerEnd, WorkerHost } from "../host/worker-host.js";
import type { KernelsChoice } from "../kernels/choice.js";
import { faultText, type InjectedStraggler } from "../protocol/injected-fault.js";
import type { ViewServer } from "../protocol/view.js";
import { createRouter, withPatience } from "../transport/frames/routes.js";
import { createCentralCompute } from "./compute/central-compute.js";
import { createComputeThread } from "./compute/compute-thread.js";
import type { AskForExamples } from "./compute/sent-examples.js";
import {
  type MemberEnd,
  MemberPart,
  type MemberSettings,
  type RunningMember,
  registrationOf,
  sessionConfigOf,
} from "./member-part.js";
import { processClock } from "./process/process-clock.js";
import { type RoleParts, roleDefaults } from "./role-settings.js";
import { openTransport } from "./role-transport.js";
import { Straggling } from "./straggling/straggling.js";
import { type StragglerChange, straggledWords } from "./straggling/straggling-steps.js";
import { closeProcessTrace, computeSpansTo, openProcessTrace } from "./trace/process-trace.js";
import type { TraceFile } from "./trace/trace-file.js";

/** Whose runs a worker computes for, and from what. */
export interface WorkerSettings extends MemberSettings {
  /** Any that is free if left out. */
  readonly rank?: number | null;
  /** Compute threads; left to the run if left out. */
  readonly threads?: number | null;
  /** What codecs are written with; `auto` if left out. */
  readonly kernels?: KernelsChoice;
  /** A folder with the data set's files; they are fetched where it is left out. */
  readonly dataDir?: string | null;
  /** Where fetched data sets are kept; nothing is fetched where it is left out. */
  readonly cacheDir?: string | null;
  /** The file that spans of its pushes and layers go to; none if left out. */
  readonly traceFile?: string | null;
  /** Steps in which workers are slow on purpose; this one is where it has the rank. */
  readonly stragglers?: readonly InjectedStraggler[];
}

/** What is around a worker. */
export interface WorkerParts extends RoleParts {
  /** Told of each run that has ended; `rank` is the worker's in it. */
  readonly onRunEnd?: (rank: number, end: WorkerEnd) => void;
  /** Told when it begins to straggle on purpose, and when it is prompt again. */
  readonly onStraggling?: (change: StragglerChange) => void;
}

/**
 * Starts a worker: it registers, trying until the coordinator is there, and registers again when it
 * has been given up. Where it was as it could not go on itself, `ended` rejects with the reason,
 * unless its coordinator serves one job after the other.
 * @throws PacelineError `usage` where settings are wrong.
 */
export async function startWorker(
  settings: WorkerSettings,
  parts: WorkerParts = {},
): Promise<RunningMember> {
  const config = sessionConfigOf("worker", settings);
  await demandDataFolder(settings.dataDir);
  const trace = await openProcessTrace(settings.traceFile ?? null);
  return new StartedWorker(settings, parts, config, trace);
}

class StartedWorker implements RunningMember {
  readonly ended: Promise<MemberEnd>;
  readonly #settings: WorkerSettings;
  readonly #parts: WorkerParts;
  readonly #trace: TraceFile | null;
  readonly #setup: Omit<ConstructorParameters<typeof MemberPart>[0], "request">;
  readonly #route: (server: ViewServer) => string;
  #end: (end: MemberEnd) => void = () => {};
  #fail: (thrown: unknown) => void = () => {};
  #part: MemberPart | null = null;
  #host: WorkerHost | null = null;
  #isClosed = false;
  /** It has asked to be let go, and does not come again. */
  #isLeaving = false;

  constructor(
    settings: WorkerSettings,
    parts: WorkerParts,
    config: SessionConfig,
    trace: TraceFile | null,
  ) {
    this.#settings = settings;
    this.#parts = parts;
    this.#trace = trace;
    const { clock = processClock, log = () => {} } = parts;
    const { ioTimeoutMs } = config;
    const transport = parts.transport ?? openTransport("worker", settings, log);
    this.#setup = { transport, clock, config, heard: new HeardTerm(), log };
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    const route = createRouter(settings.transport ?? roleDefaults.transport, log);
    const patience = { patienceMs: ioTimeoutMs, nowMs: () => clock.nowMs(), end: this.#fail };
    this.#route =
      parts.transport === undefined ? withPatience(route, patience) : ({ address }) => address;
    this.#live(settings.rank ?? null);
  }

  interrupt(reason: string): boolean {
    return this.#part?.leave(reason) ?? false;
  }

  drain(reason: string): boolean {
    this.#isLeaving = this.#part?.drain(reason) ?? false;
    return this.#isLeaving;
  }

  isMember(): boolean {
    return this.#part?.isMember() ?? false;
  }

  takesPart(): boolean {
    return this.#part?.takesPart() ?? false;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#end({ outcome: "left", reason: "closed" });
    this.#part?.close();
    await this.#host?.close();
    await closeProcessTrace(this.#trace, this.#setup.log);
    if (this.#parts.transport === undefined) await this.#setup.transport.close();
  }

  /** Begins an incarnation. */
  #live(rank: number | null): void {
    const part = new MemberPart({ ...this.#setup, request: registrationOf("worker", rank) });
    this.#part = part;
    const joined = part.join((given, incarnation, _heard, pool) => {
      const host = this.#openHost(given, incarnation);
      this.#host = host;
      return {
        host,
        onLost: (error) => void this.#onLost(error, host, given, pool !== ""),
        onLeft: (reason) => this.#end({ outcome: "left", reason }),
        onMoved: (reason) => void this.#registerAgain(reason, host, rank),
      };
    });
    joined.catch(this.#fail);
  }

  async #onLost(
    error: PacelineError,
    host: WorkerHost,
    rank: number,
    servesSeveral: boolean,
  ): Promise<void> {
    if (error.code !== "refused") {
      this.#fail(error);
      return;
    }
    if (this.#isLeaving) {
      this.#end({ outcome: "left", reason: error.message });
      return;
    }
    const { failure } = host;
    // What stays would have each later life fail too, and a process that ends is seen and counted.
    // Where jobs come and go the next one may be sound: the coordinator ends this one.
    if (failure?.retryable === false && !servesSeveral) this.#fail(failure);
    else await this.#registerAgain(error.message, host, rank);
  }

  async #registerAgain(reason: string, host: WorkerHost, rank: number | null): Promise<void> {
    this.#setup.log(`${reason}; registering again`);
    await host.close();
    if (!this.#isClosed) this.#live(rank);
  }

  #openHost(rank: number, incarnation: number): WorkerHost {
    const { kernels = "auto", threads = null, dataDir = null } = this.#settings;
    const { onRunEnd, onChunkStep } = this.#parts;
    const trace = this.#trace;
    const { transport, clock, config, log } = this.#setup;
    const cacheDir = this.#settings.cacheDir ?? null;
    const ask: AskForExamples = (request, onBlock) =>
      transport.readExamples(config.coordinator.present, request, onBlock);
    const thread = createComputeThread({
      ...{ dataDir, cacheDir, threads, log },
      ...computeSpansTo(trace),
    });
    const central = createCentralCompute(thread, { ask, ioTimeoutMs: config.ioTimeoutMs });
    const straggling = this.#stragglingOf(rank);
    return new WorkerHost({
      ...{ transport, clock, rank, incarnation, kernels, trace, log },
      route: straggling?.route ?? this.#route,
      ioTimeoutMs: config.ioTimeoutMs,
      compute: straggling?.around(central) ?? central,
      onReply: ({ version }) => {
        straggling?.steps.heard(version);
        onChunkStep?.(version);
      },
      ...(straggling === null ? {} : { onPush: straggling.onPush }),
      onFinish: (end) => {
        onRunEnd?.(rank, end);
        const { outcome, reason, stay } = end;
        if (!stay) void this.#part?.finish().then(() => this.#end({ outcome, reason }));
      },
    });
  }

  /** What makes the worker of this rank slow; null where nothing does. */
  #stragglingOf(rank: number): Straggling | null {
    const stragglers = this.#settings.stragglers?.filter((one) => one.rank === rank) ?? [];
    if (stragglers.length === 0) return null;
    const { clock, log } = this.#setup;
    const { transport = roleDefaults.transport, tls = null } = this.#settings;
    const way = { transport, tls: tls !== null };
    return new Straggling(stragglers, way, {
      nowMs: () => clock.nowMs(),
      tell: (change) => {
        log(straggledWords(change, faultText(change.straggler)));
        this.#parts.onStraggling?.(change);
      },
    });
  }
}
