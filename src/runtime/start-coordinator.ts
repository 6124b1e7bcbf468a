/**
 * A coordinator of one run: listens, takes the run, keeps its folder and its checkpoints, and tells
 * observers. Who its members are it learns when they register. One that serves is in
 * serving/start-serving.ts.
 */
import type { CoordinatorEvent } from "../core/coordinator/coordinator-events.js";
import type { Dataset } from "../data/split.js";
import { joinHostPort } from "../protocol/host-port.js";
import type { CoordinatorSnapshot } from "../protocol/run-events.js";
import type { CoordinatorStates } from "../store/coordinator-state.js";
import type { Listener, Transport } from "../transport/transport.js";
import type { Observer, RunEnd } from "./observer.js";
import { processClock } from "./process/process-clock.js";
import {
  demandLoopback,
  type ListenSettings,
  type RoleParts,
  roleDefaults,
} from "./role-settings.js";
import { openTransport } from "./role-transport.js";
import { type CoordinatorSettings, RunCarrier, type RunRequest } from "./run-carrier.js";
import { loadRunDataset, type PreparedRun } from "./run-preparation.js";
import { prepareReturn, type ReturnedRun } from "./run-return.js";
import type { RunSettings } from "./run-settings.js";

/** What is around a coordinator. */
export interface CoordinatorParts extends RoleParts {
  readonly observers?: readonly Observer[];
  /** Where the run's state is kept; in its folder if left out. */
  readonly states?: CoordinatorStates;
  /** Called when members may come, with the folder that a run has got. */
  readonly onPrepared?: (directory: PreparedRun["directory"]) => void;
}

/** The end of a member's process, as its supervisor saw it. */
export type MemberExited = Omit<CoordinatorEvent & { readonly type: "exited" }, "type">;

/** A coordinator that runs. */
export interface RunningCoordinator {
  /** host:port bound. */
  readonly address: string;
  /**
   * Carries one run out; resolves when its folder is whole. Rejects where it can't begin, such as
   * with a PacelineError `usage` or `checkpoint`; a run that fails later has its `RunEnd`.
   */
  run(request: RunRequest): Promise<RunEnd>;
  /** The run is saved and ended; true if it was the first time. */
  interrupt(reason: string): boolean;
  /** A member's process is gone: it need not be waited for. */
  memberExited(exit: MemberExited): void;
  /** The present picture. */
  snapshot(): CoordinatorSnapshot;
  /** Resolves when all that the run's folder was given is there, or could not be brought. */
  flush(): Promise<void>;
  /** Stops listening and ends every session. */
  close(): Promise<void>;
}

/**
 * Starts a coordinator; resolves once it listens.
 * @throws PacelineError `usage` where settings are wrong or the port can't be had.
 */
export async function startCoordinator(
  settings: CoordinatorSettings = {},
  parts: CoordinatorParts = {},
): Promise<RunningCoordinator> {
  if (parts.transport === undefined) demandLoopback(settings, parts.log);
  const coordinator = new StartedCoordinator(settings, parts);
  try {
    await coordinator.listen();
  } catch (thrown) {
    await coordinator.close();
    throw thrown;
  }
  return coordinator;
}

/** A coordinator that goes on with a run. */
export interface ReturnedCoordinator {
  readonly coordinator: RunningCoordinator;
  /** As `RunningCoordinator.run`. */
  readonly ended: Promise<RunEnd>;
}

/**
 * Starts a coordinator in the place of one that has ended, for the run that `name` says; it has the
 * run before it listens.
 * @throws PacelineError as `startCoordinator`, and where the run can't go on.
 */
export async function returnCoordinator(
  settings: CoordinatorSettings,
  parts: CoordinatorParts,
  { settings: run, configText }: RunRequest,
): Promise<ReturnedCoordinator> {
  if (parts.transport === undefined) demandLoopback(settings, parts.log);
  const returned = await prepareReturn(run, configText, { states: parts.states });
  const coordinator = new StartedCoordinator(settings, parts, returned.term);
  try {
    const dataset = run.feed === "central" ? await loadRunDataset(run, parts.log) : null;
    const ended = coordinator.goOn(run, returned, dataset);
    // Where it can't listen that is told.
    ended.catch(() => {});
    await coordinator.listen();
    return { coordinator, ended };
  } catch (thrown) {
    await coordinator.close();
    await returned.directory.close();
    throw thrown;
  }
}

/** Where a coordinator listens, or will. */
export function wantedAddress(settings: ListenSettings): string {
  const { host = roleDefaults.host, port = roleDefaults.coordinatorPort } = settings;
  return joinHostPort(host, port);
}

/** Of a coordinator that has no run yet. */
const firstTerm = 1;

class StartedCoordinator implements RunningCoordinator {
  readonly #settings: CoordinatorSettings;
  readonly #parts: CoordinatorParts;
  readonly #transport: Transport;
  readonly #carrier: RunCarrier;
  #listener: Listener | null = null;

  constructor(settings: CoordinatorSettings, parts: CoordinatorParts, term: number = firstTerm) {
    this.#settings = settings;
    this.#parts = parts;
    const { clock = processClock, log = () => {}, observers = [], onPrepared } = parts;
    const isGiven = parts.transport !== undefined;
    this.#transport = parts.transport ?? openTransport("coordinator", settings, parts.log);
    const around = { transport: this.#transport, isGiven, clock, serve: false, observers, log };
    const address = () => this.address || wantedAddress(settings);
    this.#carrier = new RunCarrier(
      settings,
      { ...around, onPrepared, address, states: parts.states },
      term,
    );
  }

  get address(): string {
    return this.#listener?.address ?? "";
  }

  async listen(): Promise<void> {
    const address = wantedAddress(this.#settings);
    this.#listener = await this.#transport.serveCoordinator(address, this.#carrier.host);
  }

  run(request: RunRequest): Promise<RunEnd> {
    // A leader before may have made the folder and come no further.
    return this.#carrier.carryOut(request, request.settings.takeOver === "elected");
  }

  goOn(settings: RunSettings, returned: ReturnedRun, dataset: Dataset | null): Promise<RunEnd> {
    return this.#carrier.goOn(settings, returned, dataset);
  }

  interrupt(reason: string): boolean {
    return this.#carrier.interrupt(reason);
  }

  memberExited(exit: MemberExited): void {
    this.#carrier.host.tell({ type: "exited", ...exit });
  }

  snapshot(): CoordinatorSnapshot {
    return this.#carrier.host.snapshot();
  }

  flush(): Promise<void> {
    return this.#carrier.flush();
  }

  async close(): Promise<void> {
    this.#carrier.close();
    await this.#listener?.close();
    if (this.#parts.transport === undefined) await this.#transport.close();
  }
}
