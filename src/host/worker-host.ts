/**
 * A worker: performs the worker machine's effects with a client of the servers, a session with the
 * coordinator and something that computes. What takes its time ends as an event for the machine,
 * which alone decides what comes of it.
 */
import { Worker } from "../core/worker/worker.js";
import type { WorkerAccountRecord } from "../core/worker/worker-account.js";
import type { WorkerEffect, WorkerEvent } from "../core/worker/worker-events.js";
import { type ErrorCode, PacelineError, toPacelineError } from "../errors.js";
import type { KernelsChoice } from "../kernels/choice.js";
import type { WorkerIdentity } from "../protocol/identity.js";
import type { ChunkHeader, CoordinatorMessage, MemberMessage } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { ViewServer } from "../protocol/view.js";
import type { Transport } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import type { ComputeListener, ComputePort } from "./compute-port.js";
import { EffectLoop } from "./effect-loop.js";
import { openCodecs, ParameterClient } from "./parameter-client.js";
import { giveResiduals, inheritResiduals, piecesOf } from "./residual-transfer.js";
import type { HeartbeatBody, MemberSession } from "./session/member-session.js";
import type { Trace } from "./trace.js";

/** The end of a job, as the role sees it. */
export interface WorkerEnd {
  readonly outcome: "done" | "failed" | "interrupted";
  readonly reason: string;
  /** Another job may follow. */
  readonly stay: boolean;
  readonly spec: RunSpec | null;
  readonly record: WorkerAccountRecord;
  /** From the first view on. */
  readonly trainingSeconds: number;
}

/** What a worker needs around it. */
export interface WorkerHostParts extends WorkerIdentity {
  readonly transport: Transport;
  /** Where a server takes chunks; its address if left out. */
  readonly route?: (server: ViewServer) => string;
  readonly clock: Clock;
  /** Silence after which an open channel to a server is taken for dead; 30 s if left out. */
  readonly ioTimeoutMs?: number;
  readonly compute: ComputePort;
  /** What codecs are written with; `auto` if left out. */
  readonly kernels?: KernelsChoice;
  /** Told of each push, if given. */
  readonly trace?: Trace | null;
  /** Told of each answer with a chunk before the machine hears of it, if given. */
  onReply?(header: ChunkHeader): void;
  /** Told of each push before it leaves, if given. */
  onPush?(header: Pick<ChunkHeader, "step">): void;
  onFinish(end: WorkerEnd): void;
  log(text: string): void;
}

/** The host of one incarnation. */
export class WorkerHost {
  readonly #parts: WorkerHostParts;
  readonly #machine: Worker;
  readonly #loop: EffectLoop<WorkerEvent, WorkerEffect>;
  #session: MemberSession | null = null;
  /** By run; a preparation that a later job has overtaken adds one that nobody uses. */
  readonly #clients = new Map<string, ParameterClient>();
  /** By run what the rule of local steps keeps, in the pieces in which it travels. */
  readonly #localState = new Map<string, ReadonlyMap<number, Float32Array>>();
  #client: ParameterClient | null = null;
  #spec: RunSpec | null = null;
  #startedMs: number | null = null;
  #failure: PacelineError | null = null;

  constructor(parts: WorkerHostParts) {
    this.#parts = parts;
    this.#machine = new Worker({ rank: parts.rank, incarnation: parts.incarnation });
    this.#loop = new EffectLoop<WorkerEvent, WorkerEffect>({
      step: (event) => this.#machine.step(event, parts.clock.nowMs()),
      perform: (effect) => this.#perform(effect),
    });
  }

  /** The session to speak by; set before the first message. */
  attach(session: MemberSession): void {
    this.#session = session;
  }

  /** What it has said that it can't go on with, in the job that is on; null where nothing. */
  get failure(): PacelineError | null {
    return this.#failure;
  }

  /** What the session sends each interval. */
  heartbeat(): HeartbeatBody {
    const worker = this.#machine.statistics();
    const reach = this.#client?.reach() ?? [];
    return { activity: this.#machine.activity(), server: null, worker, reach };
  }

  /** The coordinator has said something. */
  onMessage(message: CoordinatorMessage): void {
    this.#step({ type: "message", message });
  }

  /** Another coordinator has taken the place of the one before. */
  onReturned(): void {
    this.#step({ type: "returned" });
  }

  /** Gives everything up. */
  async close(): Promise<void> {
    this.#loop.end();
    this.#closeClients();
    await this.#parts.compute.close();
  }

  #step(event: WorkerEvent): void {
    this.#loop.take(event);
  }

  #perform(effect: WorkerEffect): void {
    switch (effect.type) {
      case "tell":
        this.#tell(effect.message);
        break;
      case "prepare":
        this.#spec = effect.spec;
        this.#failure = null;
        this.#startedMs = null;
        this.#closeClients();
        void this.#endAsEvent(this.#prepare(effect), effect.spec.run);
        break;
      case "connect":
        this.#startedMs ??= this.#parts.clock.nowMs();
        this.#client = this.#clients.get(effect.view.run) ?? null;
        this.#client?.follow(effect.view);
        break;
      case "pull":
        this.#client?.pull(effect.header);
        break;
      case "push":
        this.#parts.onPush?.(effect.header);
        this.#client?.push(effect.header);
        break;
      case "compute":
        this.#client?.stepBegins();
        this.#parts.compute.compute(effect);
        break;
      case "arrived":
        this.#parts.compute.arrived(effect.chunk);
        break;
      case "evaluate":
        this.#parts.compute.evaluate(effect.range);
        break;
      case "layAside":
        this.#client?.layAside();
        break;
      case "takeBack":
        this.#client?.takeBack();
        break;
      case "giveResiduals":
        void this.#endAsEvent(this.#giveResiduals(effect.barrier), this.#spec?.run ?? "");
        break;
      case "log":
        this.#parts.log(effect.text);
        break;
      case "finish":
        this.#finish(effect);
        break;
      default:
        effect satisfies never;
    }
  }

  #tell(message: MemberMessage): void {
    if (message.type === "failed") {
      this.#failure = new PacelineError(message.code as ErrorCode, message.reason);
    }
    this.#session?.send(message);
  }

  #finish({ outcome, reason, stay }: WorkerEffect & { readonly type: "finish" }): void {
    this.#client?.close();
    this.#failure = null;
    const nowMs = this.#parts.clock.nowMs();
    const trainingSeconds = (nowMs - (this.#startedMs ?? nowMs)) / 1000;
    const record = this.#machine.record();
    this.#parts.onFinish({ outcome, reason, stay, spec: this.#spec, record, trainingSeconds });
  }

  /** What an effect that takes its time comes to is told to the machine, whatever it is. */
  async #endAsEvent(end: Promise<WorkerEvent>, run: string): Promise<void> {
    this.#step(await end.catch((thrown: unknown) => failureOf(run, thrown)));
  }

  async #prepare({
    spec,
    residuals,
  }: WorkerEffect & { readonly type: "prepare" }): Promise<WorkerEvent> {
    const { run } = spec;
    const { rank, kernels = "auto", log, compute } = this.#parts;
    const listener: ComputeListener = {
      onChunkReady: (step, chunk) => this.#step({ type: "chunkReady", step, chunk }),
      onComputed: (step, outcome) => this.#step({ type: "computed", step, outcome }),
      onRefused: (step, reason) => this.#step({ type: "refused", step, reason }),
      onEvaluated: (correct, lossSum) => this.#step({ type: "evaluated", correct, lossSum }),
      onFailed: (error) => this.#step(failureOf(run, error)),
    };
    const prepared = await compute.prepare(spec, rank, listener);
    const { layout, engine, algorithms, kept } = prepared;
    const codecs = openCodecs({ spec, layout }, kernels, log);
    const { allocate } = codecs;
    const session = this.#session;
    const inherited = residuals
      ? await inheritResiduals({ session, spec, layout, allocate, kept, log })
      : new Map<number, Float32Array>();
    const memory = { spec, ...prepared, codecs, inherited };
    const client = new ParameterClient(this.#parts, memory, {
      onOpen: (server) => this.#step({ type: "channelOpen", server }),
      onReply: (header) => {
        this.#parts.onReply?.(header);
        this.#step({ type: "reply", header });
      },
      onFailed: (error) => this.#step(failureOf(run, error)),
    });
    this.#clients.set(run, client);
    this.#localState.set(run, piecesOf(kept, { spec, layout }));
    return { type: "prepared", run, layout, engine, algorithms };
  }

  async #giveResiduals(barrier: number): Promise<WorkerEvent> {
    const run = this.#spec?.run ?? "";
    const own = [...(this.#client?.residuals ?? []), ...(this.#localState.get(run) ?? [])];
    const given = await giveResiduals(this.#session, { run, barrier }, new Map(own));
    return { type: "residualsGiven", barrier, ...given };
  }

  #closeClients(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
    this.#localState.clear();
    this.#client = null;
  }
}

function failureOf(run: string, thrown: unknown): WorkerEvent {
  const { code, message: reason } = toPacelineError(thrown);
  return { type: "failed", run, code, reason };
}
