/**
 * A whole run in this process: coordinator, servers and workers over a network in memory. Each
 * worker still computes in a thread of its own. Nobody is started again here: a worker that can't
 * go on is lost, as a process would be.
 */
import { toPacelineError } from "../errors.js";
import { MemoryNetwork } from "../transport/memory/memory.js";
import type { RunningMember } from "./member-part.js";
import type { Observer, RunEnd } from "./observer.js";
import type { RunRequest } from "./run-carrier.js";
import { type RunningCoordinator, startCoordinator } from "./start-coordinator.js";
import { startServer } from "./start-server.js";
import { startWorker } from "./start-worker.js";

/** What is around a run in this process. */
export interface TrainHereParts {
  readonly observers?: readonly Observer[];
  /** Told what the members do, a sentence at a time; nobody if left out. */
  readonly log?: (text: string) => void;
  /** Has the run saved and ended. */
  readonly signal?: AbortSignal;
}

/** What a program that asks a run to stop is quoted with. */
const abortReason = "the program asked to stop";
/** Members can't be lost but by their own word: one that is silent waits for this process. */
const leaseMs = 3_600_000;
const coordinatorName = { host: "coordinator", port: 0 };

/**
 * Carries the run out; resolves when its folder is whole and all that it took is given back.
 * @throws PacelineError where the run can't begin; one that fails later has its `RunEnd`.
 */
export async function trainHere(request: RunRequest, parts: TrainHereParts = {}): Promise<RunEnd> {
  const { observers = [], log = () => {}, signal } = parts;
  const cluster = new ClusterHere(request, log);
  const running = await startCoordinator(
    { ...coordinatorName, leaseMs },
    {
      transport: cluster.network.createTransport("coordinator"),
      observers,
      log,
      onPrepared: () => void cluster.startMembers(running),
    },
  );
  const abort = () => void running.interrupt(abortReason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (signal?.aborted === true) abort();
    return await running.run(request);
  } finally {
    signal?.removeEventListener("abort", abort);
    await cluster.close();
    await running.close();
  }
}

class ClusterHere {
  readonly network = new MemoryNetwork();
  readonly #request: RunRequest;
  readonly #log: (text: string) => void;
  readonly #members: Promise<RunningMember>[] = [];

  constructor(request: RunRequest, log: (text: string) => void) {
    this.#request = request;
    this.#log = log;
  }

  startMembers(coordinator: RunningCoordinator): void {
    const { servers, workers, threads, dataDir, cacheDir } = this.#request.settings;
    const reach = { coordinator: coordinator.address };
    for (let rank = 0; rank < servers.min; rank++) {
      const settings = { ...reach, rank, host: `server-${rank}`, port: 0 };
      this.#add("server", rank, coordinator, startServer(settings, this.#partsOf("server", rank)));
    }
    for (let rank = 0; rank < workers.max; rank++) {
      const settings = { ...reach, rank, threads, dataDir, cacheDir };
      this.#add("worker", rank, coordinator, startWorker(settings, this.#partsOf("worker", rank)));
    }
  }

  async close(): Promise<void> {
    const members = await Promise.allSettled(this.#members);
    for (const member of members) {
      if (member.status === "fulfilled") await member.value.close();
    }
  }

  #partsOf(role: "server" | "worker", rank: number) {
    const name = `${role}-${rank}`;
    const log = (text: string) => this.#log(`${name}: ${text}`);
    return { transport: this.network.createTransport(name), log };
  }

  /** A member that can't go on is one that the coordinator need not wait for. */
  #add(
    role: "server" | "worker",
    rank: number,
    coordinator: RunningCoordinator,
    starting: Promise<RunningMember>,
  ): void {
    this.#members.push(starting);
    starting
      .then((member) => member.ended)
      .catch((thrown: unknown) => {
        const { code, message: reason } = toPacelineError(thrown);
        const { pid } = process;
        coordinator.memberExited({ role, rank, pid, reason, restarts: false, code });
      });
  }
}
