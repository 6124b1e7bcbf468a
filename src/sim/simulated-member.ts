/**
 * Servers and workers of a simulated cluster: the hosts of production behind a session of theirs,
 * each life in a process of its own. A worker that was given up registers again, as its role in
 * production does; a process whose session can't go on ends.
 */
import type { Entry } from "../core/server/entry.js";
import type { PacelineError } from "../errors.js";
import { ServerHost } from "../host/server-host.js";
import { HeardTerm } from "../host/session/heard-term.js";
import {
  type HeartbeatBody,
  MemberSession,
  register,
  type SessionConfig,
} from "../host/session/member-session.js";
import { WorkerHost } from "../host/worker-host.js";
import { Arena } from "../kernels/arena.js";
import type { MemberRole, WorkerIdentity } from "../protocol/identity.js";
import {
  type CoordinatorMessage,
  emptyHeader,
  protocolVersion,
  type RegisterRequest,
} from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { View } from "../protocol/view.js";
import type { ChunkChannel, ChunkReceiver, Transport } from "../transport/transport.js";
import { simulatedTimes } from "./cluster-plan.js";
import { type ComputeSurroundings, SimulatedCompute } from "./simulated-compute.js";
import type { SimulatedProcess } from "./simulated-process.js";
import { toyLayout } from "./toy-model.js";
import type { WorkerClock } from "./watch/invariant-watch.js";

/** What is around a simulated member. */
export interface MemberSurroundings {
  readonly process: SimulatedProcess;
  readonly transport: Transport;
  readonly config: SessionConfig;
  /** Its process ends, as it would by itself. */
  exit(why: string): void;
}

/** How long a goodbye may take. */
const goodbyeMs = 2000;
/** Why a process ends that was told to. */
const leftUnasked = "it was told to end";
/** An arena in which the toy model has room for all that can wait. */
const openArena = () => new Arena(65_536);

/** A member's process while it lives. */
export interface SimulatedMember {
  readonly role: MemberRole;
  readonly rank: number;
  readonly process: SimulatedProcess;
  /** What it says that it is doing. */
  activity(): string;
  /** Has it be told an earlier view than its last again. */
  repeatView(): void;
  /** Its process is told to end: it asks to be let go, and leaves unasked after a while. */
  signal(): void;
}

/** What a member's life has to do with its session. */
interface Hearing {
  readonly heard: HeardTerm;
  readonly told: ToldViews;
  readonly leave: Departure;
}

/** How a member's process ends in order. */
class Departure {
  readonly #around: MemberSurroundings;
  #session: MemberSession | null = null;
  #counts: () => HeartbeatBody | null = () => null;
  /** Called when a worker that was told to stop has completed its step. */
  finished: () => void = () => {};
  isAsked = false;

  constructor(around: MemberSurroundings) {
    this.#around = around;
  }

  /** A life has a session. */
  joined(session: MemberSession, counts: () => HeartbeatBody | null): void {
    this.#session = session;
    this.#counts = counts;
  }

  /** The process is told to end. */
  ask(): void {
    const { process, exit } = this.#around;
    const session = this.#session;
    this.isAsked = true;
    if (session === null) {
      exit(leftUnasked);
      return;
    }
    session.askToLeave("SIGTERM");
    process.clock.after(simulatedTimes.drainWithinMs, () => {
      const { server = null, worker = null } = this.#counts() ?? {};
      session.send({ type: "leave", reason: "SIGTERM", server, worker });
      void session.drain(goodbyeMs).then(() => exit(leftUnasked));
    });
  }
}

/** The views that a member was told; who asked for it hears of work as well. */
class ToldViews {
  readonly #onWork: () => void;
  #first: CoordinatorMessage | null = null;
  #count = 0;
  last: View | null = null;

  constructor(onWork: () => void = () => {}) {
    this.#onWork = onWork;
  }

  /** Takes note of what a member is told. */
  heard(message: CoordinatorMessage): void {
    if (message.type === "work") this.#onWork();
    if (message.type !== "view") return;
    this.#first ??= message;
    this.last = message.view;
    this.#count++;
  }

  /** The first, where it is not the last; else null. */
  get earlier(): CoordinatorMessage | null {
    return this.#count > 1 ? this.#first : null;
  }
}

/** A server has applied an entry, by which its chunk has these weights and this state. */
export type OnApplied = (entry: Entry, generation: number, values: readonly Float32Array[]) => void;

/** A server. */
export class SimulatedServer implements SimulatedMember {
  readonly role = "server";
  readonly rank: number;
  readonly process: SimulatedProcess;
  host: ServerHost | null = null;
  readonly #told = new ToldViews();
  readonly #leave: Departure;

  constructor(
    around: MemberSurroundings,
    rank: number,
    onApplied: OnApplied,
    onLog: (text: string) => void,
  ) {
    this.rank = rank;
    this.process = around.process;
    this.#leave = new Departure(around);
    const { transport, process } = around;
    const address = process.node;
    const heard = new HeardTerm();
    const log = (text: string) => {
      process.note(text);
      onLog(text);
    };
    const accept = (channel: ChunkChannel) => this.host?.accept(channel) ?? refuseAll(channel);
    const open = () => {
      this.host = new ServerHost({
        transport: around.transport,
        ioTimeoutMs: around.config.ioTimeoutMs,
        ...{ clock: process.clock, index: rank, heard, openArena, kernels: "scalar", log },
        layoutOf: (spec: RunSpec) => toyLayout(spec),
        onApplied,
        onStop: () => {},
      });
      return this.host;
    };
    const fail = (thrown: Error) => around.exit(thrown.message);
    const live = async (life: number): Promise<void> => {
      const onLost = (error: PacelineError) => {
        if (error.code !== "refused" || this.#leave.isAsked) return fail(error);
        this.host?.close();
        live(life + 1).catch(fail);
      };
      const hears = { heard, told: this.#told, leave: this.#leave };
      await join(around, requestOf(around, "server", rank, life), hears, open, onLost);
    };
    const begin = async () => {
      await transport.serveChunks(address, accept);
      await live(0);
    };
    begin().catch(fail);
  }

  activity(): string {
    return this.host?.heartbeat().activity ?? "registering";
  }

  /** The last view that it was told. */
  get view(): View | null {
    return this.#told.last;
  }

  repeatView(): void {
    const view = this.#told.earlier;
    if (view !== null) this.process.run(() => this.host?.onMessage(view));
  }

  signal(): void {
    this.process.run(() => this.#leave.ask());
  }
}

/** What a worker computes with, but for what its own life says. */
export type WorkerCompute = Pick<ComputeSurroundings, "random" | "stepMsMax"> & {
  refuses(rank: number, epoch: number, start: number): boolean;
  onComputed(life: WorkerIdentity, ...about: Parameters<ComputeSurroundings["onComputed"]>): void;
  onEvaluated(life: WorkerIdentity, ...about: Parameters<ComputeSurroundings["onEvaluated"]>): void;
  /** A life that had all its weights has heard of work. */
  onWork(life: WorkerIdentity): void;
};

/** A worker. */
export class SimulatedWorker implements SimulatedMember {
  readonly role = "worker";
  readonly rank: number;
  readonly process: SimulatedProcess;
  readonly #around: MemberSurroundings;
  readonly #compute: WorkerCompute;
  readonly #heard = new HeardTerm();
  #host: WorkerHost | null = null;
  #incarnation = 0;
  #lives = 0;
  #told = new ToldViews();
  readonly #leave: Departure;

  constructor(around: MemberSurroundings, rank: number, compute: WorkerCompute) {
    this.rank = rank;
    this.#leave = new Departure(around);
    this.process = around.process;
    this.#around = around;
    this.#compute = compute;
    this.#live();
  }

  activity(): string {
    return this.#host?.heartbeat().activity ?? "registering";
  }

  repeatView(): void {
    const view = this.#told.earlier;
    if (view !== null) this.process.run(() => this.#host?.onMessage(view));
  }

  signal(): void {
    this.process.run(() => this.#leave.ask());
  }

  /** How far its present life has come; null before it has one. */
  get clock(): WorkerClock | null {
    const clock = this.#host?.heartbeat().worker?.clock;
    if (clock === undefined || !this.process.isAlive) return null;
    return { rank: this.rank, incarnation: this.#incarnation, clock };
  }

  #live(): void {
    const around = this.#around;
    const onLost = async (error: PacelineError) => {
      if (error.code !== "refused" || this.#leave.isAsked) {
        around.exit(error.message);
        return;
      }
      this.process.note("was given up and registers again");
      await this.#host?.close();
      this.#live();
    };
    const request = requestOf(around, "worker", this.rank, this.#lives++);
    const open = (rank: number, incarnation: number) => this.#open(rank, incarnation);
    this.#told = new ToldViews(() => {
      const isReady = this.#host?.heartbeat().activity === "waiting for work";
      const { rank } = this;
      if (isReady) this.#compute.onWork({ rank, incarnation: this.#incarnation });
    });
    const hears = { heard: this.#heard, told: this.#told, leave: this.#leave };
    join(around, request, hears, open, (error) => void onLost(error)).catch((thrown: Error) =>
      around.exit(thrown.message),
    );
  }

  #open(rank: number, incarnation: number): WorkerHost {
    const { process, transport, config } = this.#around;
    const compute = this.#compute;
    const host = new WorkerHost({
      ...{ transport, clock: process.clock, rank, incarnation, kernels: "scalar" },
      compute: new SimulatedCompute({
        ...compute,
        ...{ process, transport, coordinator: config.coordinator },
        refuses: (epoch, { start }) => compute.refuses(rank, epoch, start),
        onComputed: (step) => compute.onComputed({ rank, incarnation }, step),
        onEvaluated: (parameters) => compute.onEvaluated({ rank, incarnation }, parameters),
      }),
      onFinish: () => this.#leave.finished(),
      log: (text) => process.note(text),
    });
    this.#host = host;
    this.#incarnation = incarnation;
    return host;
  }
}

function requestOf(
  { process }: MemberSurroundings,
  role: MemberRole,
  rank: number,
  attempt: number,
): RegisterRequest {
  return {
    ...{ protocol: protocolVersion, role, rank, incarnation: null, frames: null },
    ...{ pid: pidOf(process), host: process.node },
    address: role === "server" ? process.node : "",
    attempt: `${process.name}, ${attempt}`,
  };
}

/** Which process of its node it is. */
export function pidOf({ name }: SimulatedProcess): number {
  return Number(name.split("/")[1] ?? 0);
}

/** Registers, and begins the session of the host that is opened then. */
async function join(
  { process, transport, config, exit }: MemberSurroundings,
  request: RegisterRequest,
  { heard, told, leave }: Hearing,
  open: (rank: number, incarnation: number) => ServerHost | WorkerHost,
  onLost: (error: PacelineError) => void,
): Promise<void> {
  const log = (text: string) => process.note(text);
  const { clock } = process;
  const reply = await register(transport, clock, config, request, log, heard);
  const { rank, incarnation, heartbeatIntervalMs } = reply;
  const host = open(rank, incarnation);
  let isOver = false;
  const end = () => {
    isOver = true;
    void session.drain(goodbyeMs).then(() => exit("it was stopped"));
  };
  const session: MemberSession = new MemberSession(
    {
      ...{ transport, clock, config, heard },
      handler: {
        onMessage: (message) => {
          told.heard(message);
          const stop = message.type === "stop" && !message.stay ? message : null;
          // One that has a step to complete first says goodbye then.
          if (stop?.afterStep === true) leave.finished = end;
          host.onMessage(message);
          if (stop?.afterStep === false) end();
        },
        heartbeat: () => host.heartbeat(),
        onReturned: () => "onReturned" in host && host.onReturned(),
        onLost: (error) => {
          if (!isOver) onLost(error);
          isOver = true;
        },
        log,
      },
    },
    { role: request.role, rank, incarnation },
    heartbeatIntervalMs,
  );
  host.attach(session);
  leave.joined(session, () => host.heartbeat());
}

/** A server that has no rank yet serves no run. */
function refuseAll(channel: ChunkChannel): ChunkReceiver {
  const detail = "this server is not registered yet";
  return {
    onHeader: () => null,
    onChunk: () => channel.send({ ...emptyHeader, kind: "refusal", detail }, null),
    onClose: () => {},
  };
}
