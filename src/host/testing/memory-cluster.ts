/**
 * A whole cluster in one process: the real hosts, over the memory transport or, addresses being
 * names, over any other, with whatever computes
 * and the reader of examples given by the test.
 */
import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import type { CoordinatorRecord } from "../../core/coordinator/coordinator-record.js";
import type { RunSetup, SaveRequest, TrainingSnapshot } from "../../core/work/run-setup.js";
import type { PacelineError } from "../../errors.js";
import { Arena } from "../../kernels/arena.js";
import type { KernelsChoice } from "../../kernels/choice.js";
import type { Examples, ExamplesRequest } from "../../protocol/examples.js";
import type { Layout } from "../../protocol/layout.js";
import { protocolVersion } from "../../protocol/messages.js";
import type { RunEvent, RunResult } from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { MemoryNetwork } from "../../transport/memory/memory.js";
import type { Transport } from "../../transport/transport.js";
import type { CheckpointState } from "../checkpoint-saver.js";
import type { Clock } from "../clock.js";
import type { ComputePort } from "../compute-port.js";
import { CoordinatorHost } from "../coordinator-host.js";
import { ServerHost } from "../server-host.js";
import { CoordinatorPlaces } from "../session/coordinator-places.js";
import { HeardTerm } from "../session/heard-term.js";
import { MemberSession } from "../session/member-session.js";
import type { ModelState } from "../state-transfer.js";
import type { Trace } from "../trace.js";
import { WorkerHost } from "../worker-host.js";

const clock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** What a run came to. */
export interface Outcome {
  readonly result: RunResult;
  readonly events: readonly RunEvent[];
  readonly weights: readonly number[];
  readonly saved: SavedRun;
  /** Every checkpoint, the last of which is `saved`. */
  readonly checkpoints: readonly SavedRun[];
  /** What the coordinator had made durable. */
  readonly records: readonly CoordinatorRecord[];
}

/** What a checkpoint keeps. */
export interface SavedRun {
  readonly step: number;
  readonly state: CheckpointState;
  readonly snapshot: TrainingSnapshot;
}

/** A cluster while it runs. */
export interface Toy {
  readonly network: MemoryNetwork;
  readonly coordinator: CoordinatorHost;
  readonly events: RunEvent[];
  /** Ends a server at once, as a supervisor sees it, or where nobody does. */
  kill(server: number, isSeen?: boolean): Promise<void>;
  /** Starts another in its place. */
  restart(server: number): Promise<void>;
}

/** What a cluster is made of. */
export interface ToyPlan {
  readonly spec: RunSpec;
  layoutOf(spec: RunSpec): Layout;
  /** Weights and state of a fresh start. */
  readonly fresh: Pick<ModelState, "weights" | "state">;
  /** The transport of a process, for which addresses are names; over memory if left out. */
  transportOf?(name: string): Transport;
  compute(transport: Transport, rank: number): ComputePort;
  /** What a member tells its spans to. */
  trace?(member: string): Trace | null;
  readExamples?(request: ExamplesRequest): Examples;
  /** The memory of a server in its next life; ample if left out. */
  openArena?(server: number): Arena;
  during?(toy: Toy): void;
  /**
   * Called while a checkpoint is written, once nothing is applied: at the next one, which waits for
   * it, or as the run ends with it. The run goes on when it is over.
   */
  quiet?(step: number, servers: readonly ServerHost[]): Promise<void>;
  /** How a checkpoint is written, beside training; rejects where it can't be. */
  writing?(request: SaveRequest, toy: Pick<Toy, "coordinator">): Promise<void>;
  /** Where to go on from. */
  readonly from?: SavedRun | null;
  /** How long a server that can't be spared is waited for; not at all if left out. */
  readonly serverGraceMs?: number;
  /** What workers write codecs with; `auto` if left out. */
  readonly kernels?: KernelsChoice;
  /** What workers say. */
  log?(text: string): void;
}

/** Carries a run out; fails if its final state is not saved, unless it failed itself. */
export async function runInMemory(plan: ToyPlan): Promise<Outcome> {
  const { spec, layoutOf, during, from = null } = plan;
  const network = new MemoryNetwork();
  const transportOf = plan.transportOf ?? ((name: string) => network.createTransport(name));
  const events: RunEvent[] = [];
  const closing: (() => unknown)[] = [];
  const servers: ServerHost[] = [];
  const checkpoints: SavedRun[] = [];
  const records: CoordinatorRecord[] = [];
  const layout = layoutOf(spec);
  const residuals = new Map(from?.state.residuals.map(({ rank, values }) => [rank, values]));
  const fresh: CheckpointState = {
    ...plan.fresh,
    residuals: [],
    marks: layout.chunks.map(() => ({ version: 0, examples: 0, sealedStep: -1, applied: [] })),
  };
  let start = from;
  const setupFrom = (spec: RunSpec): RunSetup => ({
    ...{ spec, layout, resume: start?.snapshot ?? null, residuals: [...residuals.keys()] },
    ...(start === null ? {} : { resumedStep: start.step }),
    sealedStep: Math.max(-1, ...(start?.state.marks.map(({ sealedStep }) => sealedStep) ?? [])),
  });
  const result = await new Promise<RunResult>((resolve, reject) => {
    const transport = transportOf("coordinator");
    const coordinator: CoordinatorHost = new CoordinatorHost({
      transport,
      clock,
      ioTimeoutMs: 5000,
      config: {
        term: 1,
        heartbeatIntervalMs: 20,
        leaseMs: 1000,
        closedGraceMs: 800,
        rankGraceMs: 0,
        startTimeoutMs: 5000,
        stopTimeoutMs: 1000,
        serverGraceMs: plan.serverGraceMs ?? 0,
        serve: false,
      },
      initialState: async () => start?.state ?? fresh,
      goBack: async ({ spec }) => {
        start = checkpoints.at(-1) ?? from;
        residuals.clear();
        for (const { rank, values } of start?.state.residuals ?? []) residuals.set(rank, values);
        return { setup: setupFrom(spec), term: coordinator.term + 1 };
      },
      saveCheckpoint: async (request, _job, state) => {
        if (plan.quiet !== undefined) await allStand(coordinator);
        await plan.quiet?.(request.step, servers);
        await plan.writing?.(request, { coordinator });
        const { step } = request;
        checkpoints.push({ step, state, snapshot: JSON.parse(JSON.stringify(request.snapshot)) });
        return step;
      },
      persist: async (record) => void records.push(record),
      inheritance: () => residuals,
      onEvent: (event) => events.push(event),
      onEnded: resolve,
      readExamples: plan.readExamples ?? (() => assert.fail("nobody asks for examples")),
    });
    closing.push(() => coordinator.close());
    const begin = async () => {
      const listener = await transport.serveCoordinator("coordinator", coordinator);
      closing.push(() => listener.close());
      const term = 1 + (from?.snapshot.term ?? 0);
      coordinator.tell({ type: "submit", setup: setupFrom(spec), term });
      const ends = new Map<number, () => unknown>();
      const restart = async (index: number) => {
        ends.set(index, await startServer(transportOf(`server-${index}`), index, plan, servers));
      };
      const kill = async (index: number, isSeen = true) => {
        await ends.get(index)?.();
        ends.delete(index);
        if (!isSeen) return;
        const process = { role: "server", rank: index, pid: 1, restarts: false } as const;
        coordinator.tell({ type: "exited", ...process, reason: "was killed" });
      };
      closing.push(() => Promise.all([...ends.values()].map((end) => end())));
      for (let index = 0; index < spec.servers; index++) await restart(index);
      for (let rank = 0; rank < spec.workersMax; rank++) {
        closing.push(await startWorker(transportOf(`worker-${rank}`), rank, plan));
      }
      during?.({ network, coordinator, events, kill, restart });
    };
    begin().catch(reject);
  });
  for (const close of closing) await close();
  const last = checkpoints.at(-1);
  assert.ok(last !== undefined || result.outcome === "failed", "the final state was saved");
  assert.equal(residuals.size, 0, "all residuals are taken over");
  const nothing = { step: -1, state: fresh, snapshot: null as unknown as TrainingSnapshot };
  const kept = last ?? nothing;
  return { result, events, weights: [...kept.state.weights], saved: kept, checkpoints, records };
}

/** Resolves when everybody waits for what is being written. */
async function allStand(coordinator: CoordinatorHost): Promise<void> {
  const untilMs = performance.now() + 10_000;
  while (!/a checkpoint( waits until|$)/.test(coordinator.snapshot().activity)) {
    assert.ok(performance.now() < untilMs, coordinator.snapshot().activity);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function startServer(
  transport: Transport,
  index: number,
  plan: ToyPlan,
  servers: ServerHost[],
): Promise<() => unknown> {
  const address = `server-${index}`;
  let host: ServerHost | null = null;
  const listener = await transport.serveChunks(address, (channel) => host!.accept(channel));
  const session = await join(transport, "server", index, address, (_incarnation, heard) => {
    host = new ServerHost({
      transport,
      clock,
      index,
      heard,
      openArena: () => plan.openArena?.(index) ?? new Arena(1 << 22),
      layoutOf: plan.layoutOf,
      trace: plan.trace?.(address) ?? null,
      onStop: () => {},
      log: () => {},
    });
    servers.push(host);
    return host;
  });
  return () => {
    session.close();
    host?.close();
    return Promise.all([listener.close(), transport.close()]);
  };
}

async function startWorker(
  transport: Transport,
  rank: number,
  plan: ToyPlan,
): Promise<() => unknown> {
  let host: WorkerHost | null = null;
  let isOver = false;
  let session: MemberSession;
  const open = (incarnation: number) => {
    const compute = plan.compute(transport, rank);
    const trace = plan.trace?.(`worker-${rank}`) ?? null;
    const onFinish = () => {};
    const log = (text: string) => plan.log?.(text);
    const kernels = plan.kernels ?? "auto";
    const own = { transport, clock, rank, incarnation, compute, kernels };
    host = new WorkerHost({ ...own, trace, onFinish, log });
    return host;
  };
  const live = async () => {
    session = await join(transport, "worker", rank, "", open, async ({ code }) => {
      await host?.close();
      if (code === "refused" && !isOver) await live();
    });
  };
  await live();
  return async () => {
    isOver = true;
    session.close();
    await host?.close();
    await transport.close();
  };
}

async function join(
  transport: Transport,
  role: "server" | "worker",
  rank: number,
  address: string,
  make: (incarnation: number, heard: HeardTerm) => ServerHost | WorkerHost,
  onLost: (error: PacelineError) => unknown = () => {},
): Promise<MemberSession> {
  const reply = await transport.register("coordinator", {
    protocol: protocolVersion,
    role,
    rank,
    incarnation: null,
    pid: 1,
    host: "here",
    address,
    frames: null,
    attempt: "",
  });
  assert.ok(reply.accepted);
  const { incarnation } = reply;
  const heard = new HeardTerm();
  const host = make(incarnation, heard);
  const session = new MemberSession(
    {
      transport,
      clock,
      config: {
        coordinator: new CoordinatorPlaces("coordinator"),
        startTimeoutMs: 5000,
        ioTimeoutMs: 5000,
        coordinatorGraceMs: 5000,
      },
      handler: {
        onMessage: (message) => host.onMessage(message),
        heartbeat: () => host.heartbeat(),
        onReturned: () => "onReturned" in host && host.onReturned(),
        onLost: (error) => void onLost(error),
        log: () => {},
      },
      heard,
    },
    { role, rank, incarnation },
    reply.heartbeatIntervalMs,
  );
  host.attach(session);
  return session;
}
