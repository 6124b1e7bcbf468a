/**
 * A worker: performs the worker machine's effects with links to the servers, a session with the
 * coordinator and something that computes. Replies are read straight into the parameters; pushes go
 * out straight from the gradients.
 */
import { AutoCompression } from "../compression/auto-compression.js";
import { PushEncoder } from "../compression/push-encoder.js";
import { RunCodecs } from "../compression/run-codecs.js";
import { Worker, type WorkerRecord } from "../core/worker/worker.js";
import type { WorkerEffect, WorkerEvent } from "../core/worker/worker-events.js";
import { PacelineError, toPacelineError } from "../errors.js";
import { Arena } from "../kernels/arena.js";
import { createConversions, type KernelsChoice } from "../kernels/choice.js";
import { scalarConversions } from "../kernels/scalar-conversions.js";
import type { ChunkHeader, CoordinatorMessage } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { primaryOf, type View, type ViewServer } from "../protocol/view.js";
import type { Transport } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import type { ComputeListener, ComputePort, PreparedCompute } from "./compute-port.js";
import type { HeartbeatBody, MemberSession } from "./member-session.js";
import { giveResiduals, inheritResiduals } from "./residual-transfer.js";
import { ServerLink } from "./server-link.js";
import { PushTrace, type Trace } from "./trace.js";

/** The end of a job, as the role sees it. */
export interface WorkerEnd {
  readonly outcome: "done" | "failed" | "interrupted";
  readonly reason: string;
  /** Another job may follow. */
  readonly stay: boolean;
  readonly spec: RunSpec | null;
  readonly record: WorkerRecord;
  /** From the first view on. */
  readonly trainingSeconds: number;
}

/** What a worker needs around it. */
export interface WorkerHostParts {
  readonly transport: Transport;
  /** Where a server takes chunks; its address if left out. */
  readonly route?: (server: ViewServer) => string;
  readonly clock: Clock;
  readonly rank: number;
  readonly incarnation: number;
  readonly compute: ComputePort;
  /** What codecs are written with; `auto` if left out. */
  readonly kernels?: KernelsChoice;
  /** Told of each push, if given. */
  readonly trace?: Trace | null;
  onFinish(end: WorkerEnd): void;
  log(text: string): void;
}

/** A job that is prepared, with what its messages are written by. */
interface Prepared extends PreparedCompute {
  readonly codecs: RunCodecs;
  readonly pushes: PushEncoder;
  /** Measures and chooses, where the run leaves the codec to its workers. */
  readonly auto: AutoCompression | null;
}

/** The host of one incarnation. */
export class WorkerHost {
  readonly #parts: WorkerHostParts;
  readonly #machine: Worker;
  readonly #links = new Map<number, ServerLink>();
  readonly #troubles = new Set<number>();
  readonly #pushTrace: PushTrace | null;
  #session: MemberSession | null = null;
  #job: Prepared | null = null;
  #view: View | null = null;
  #spec: RunSpec | null = null;
  #startedMs: number | null = null;
  #closed = false;

  constructor(parts: WorkerHostParts) {
    this.#parts = parts;
    this.#machine = new Worker({ rank: parts.rank, incarnation: parts.incarnation });
    this.#pushTrace = parts.trace ? new PushTrace(parts.trace, parts.clock) : null;
  }

  /** The session to speak by; set before the first message. */
  attach(session: MemberSession): void {
    this.#session = session;
  }

  /** What the session sends each interval. */
  heartbeat(): HeartbeatBody {
    const worker = this.#machine.statistics();
    return { activity: this.#machine.activity(), server: null, worker };
  }

  /** The coordinator has said something. */
  onMessage(message: CoordinatorMessage): void {
    this.#step({ type: "message", message });
  }

  /** Gives everything up. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    await this.#parts.compute.close();
  }

  #step(event: WorkerEvent): void {
    if (this.#closed) return;
    for (const effect of this.#machine.step(event, this.#parts.clock.nowMs())) {
      this.#perform(effect);
    }
  }

  #perform(effect: WorkerEffect): void {
    switch (effect.type) {
      case "tell":
        this.#session?.send(effect.message);
        break;
      case "prepare":
        this.#spec = effect.spec;
        this.#startedMs = null;
        void this.#prepare(effect);
        break;
      case "connect":
        this.#startedMs ??= this.#parts.clock.nowMs();
        this.#view = effect.view;
        for (const server of effect.servers) this.#connect(server);
        break;
      case "pull":
        this.#links.get(effect.server)?.send(effect.header, null);
        break;
      case "push":
        this.#push(effect.server, effect.header);
        break;
      case "compute":
        this.#job?.auto?.stepBegins();
        this.#parts.compute.compute(effect);
        break;
      case "arrived":
        this.#parts.compute.arrived(effect.chunk);
        break;
      case "evaluate":
        this.#parts.compute.evaluate(effect.range);
        break;
      case "giveResiduals":
        void this.#giveResiduals(effect.barrier);
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

  #finish({ outcome, reason, stay }: WorkerEffect & { readonly type: "finish" }): void {
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    const nowMs = this.#parts.clock.nowMs();
    const trainingSeconds = (nowMs - (this.#startedMs ?? nowMs)) / 1000;
    const record = this.#machine.record();
    this.#parts.onFinish({ outcome, reason, stay, spec: this.#spec, record, trainingSeconds });
  }

  async #prepare(effect: WorkerEffect & { readonly type: "prepare" }): Promise<void> {
    const { spec } = effect;
    const listener: ComputeListener = {
      onChunkReady: (step, chunk) => this.#step({ type: "chunkReady", step, chunk }),
      onComputed: (step, outcome) => this.#step({ type: "computed", step, outcome }),
      onRefused: (step, reason) => this.#step({ type: "refused", step, reason }),
      onEvaluated: (correct, lossSum) => this.#step({ type: "evaluated", correct, lossSum }),
      onFailed: (error) => this.#fail(error),
    };
    try {
      const job = await this.#parts.compute.prepare(spec, this.#parts.rank, listener);
      const own = await this.#withCodecs(spec, job, effect.residuals);
      if (this.#spec?.run !== spec.run || this.#closed) return;
      this.#job = own;
      const { layout, engine, algorithms } = job;
      this.#step({ type: "prepared", layout, engine, algorithms });
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  async #withCodecs(spec: RunSpec, job: PreparedCompute, inherits: boolean): Promise<Prepared> {
    const { layout, gradients } = job;
    const { rank, log, clock, kernels: choice = "auto" } = this.#parts;
    const { push, pull } = spec.compression;
    const isRaw = push.codec === "none" && pull.codec === "none";
    const arena = isRaw ? null : new Arena();
    const conversions = isRaw ? scalarConversions : createConversions(arena, { choice, log });
    const codecs = new RunCodecs(spec, layout, conversions, (values) =>
      arena === null ? new Float32Array(values) : arena.view(arena.allocate(values), values),
    );
    const { allocate } = codecs;
    const session = this.#session;
    const inherited = inherits
      ? await inheritResiduals({ session, spec, layout, allocate, log })
      : new Map<number, Float32Array>();
    const pushes = new PushEncoder({ spec, layout, codecs, gradients, rank, inherited, log });
    if (push.codec !== "auto") return { ...job, codecs, pushes, auto: null };
    const auto = new AutoCompression({
      ...{ layout, codecs, gradients, log },
      nowMs: () => clock.nowMs(),
      addressOf: (chunk) => this.#primaryLink(chunk)?.address ?? "",
      pull: (header) => this.#primaryLink(header.chunk)?.send(header, null),
      choose: (compression) => pushes.choose(compression),
    });
    return { ...job, codecs, pushes, auto };
  }

  async #giveResiduals(barrier: number): Promise<void> {
    const [session, run] = [this.#session, this.#spec?.run];
    if (session === null || run === undefined) return;
    const residuals = this.#job?.pushes.residuals ?? new Map<number, Float32Array>();
    const { chunks, problem } = await giveResiduals(session, { run, barrier }, residuals);
    this.#step({ type: "residualsGiven", barrier, chunks, problem });
  }

  #primaryLink(chunk: number): ServerLink | undefined {
    const primary = this.#view === null ? undefined : primaryOf(this.#view, chunk);
    return this.#links.get(primary ?? -1);
  }

  #fail(thrown: unknown): void {
    if (this.#closed) return;
    const { code, message } = toPacelineError(thrown);
    this.#parts.log(message);
    this.#session?.send({ type: "failed", code, reason: message });
  }

  #connect(target: ViewServer): void {
    const server = target.index;
    const present = this.#links.get(server);
    const find = () => this.#parts.route?.(target) ?? target.address;
    let address: string;
    try {
      address = find();
    } catch (thrown) {
      this.#fail(thrown);
      return;
    }
    if (present?.address === address) return;
    present?.close();
    const { rank, incarnation } = this.#parts;
    const identity = { run: this.#spec?.run ?? "", rank, incarnation };
    const link = new ServerLink(this.#parts, find, identity, {
      onOpen: () => {
        if (this.#troubles.delete(server)) this.#parts.log(`server ${server} is back`);
        this.#step({ type: "channelOpen", server });
      },
      onHeader: (header, payloadBytes) => this.#destination(header, payloadBytes),
      onChunk: (header, destination) => this.#onReply(server, header, destination),
      onTrouble: (reason) => {
        if (this.#troubles.has(server)) return;
        this.#troubles.add(server);
        this.#parts.log(reason);
      },
    });
    this.#links.set(server, link);
  }

  #push(server: number, header: ChunkHeader): void {
    const link = this.#links.get(server);
    if (link === undefined || this.#job === null) return;
    const { chunk, step } = header;
    this.#pushTrace?.ready(chunk, step);
    const message = this.#job.pushes.message(header);
    this.#job.auto?.pushed(header);
    const traced = () => {
      message.sent();
      this.#pushTrace?.sent(chunk, step);
    };
    link.send(message.header, message.payload, this.#pushTrace === null ? message.sent : traced);
  }

  /**
   * Memory for weights that are wanted: the parameters themselves, or for encoded ones memory of
   * their own; null for all else.
   */
  #destination(header: ChunkHeader, payloadBytes: number): Uint8Array | null {
    const job = this.#job;
    const chunk = job?.layout.chunks[header.chunk];
    if (job === null || chunk === undefined || !this.#machine.wants(header)) return null;
    if (header.codec !== 0) {
      if (job.codecs.objection(header) !== null) return null;
      const { min, max } = job.codecs.sizesOf(header, chunk.length);
      return payloadBytes < min || payloadBytes > max ? null : new Uint8Array(payloadBytes);
    }
    const { buffer, byteOffset } = job.parameters;
    if (payloadBytes !== chunk.length * 4) return null;
    return new Uint8Array(buffer, byteOffset + chunk.offset * 4, payloadBytes);
  }

  /** Weights are in place before the machine hears of them, and are put there once. */
  #onReply(server: number, header: ChunkHeader, destination: Uint8Array | null): void {
    const job = this.#job;
    if (job !== null && header.kind === "reply" && this.#machine.wants(header)) {
      const carries = header.outcome !== "refused" && header.outcome !== "nonfinite";
      const what = `server ${server} answered with chunk ${header.chunk}`;
      if (carries && destination === null) {
        const why = job.codecs.objection(header) ?? "its payload has not the chunk's length";
        this.#fail(new PacelineError("protocol", `${what}: ${why}`));
        return;
      }
      try {
        if (destination !== null && header.codec !== 0) {
          const { offset, length } = job.layout.chunks[header.chunk]!;
          const weights = job.parameters.subarray(offset, offset + length);
          job.codecs.receive(header, destination, weights);
        }
      } catch (thrown) {
        const { code, message } = toPacelineError(thrown);
        this.#fail(new PacelineError(code, `${what}: ${message}`));
        return;
      }
    }
    if (header.kind === "reply") job?.auto?.answered(header);
    this.#pushTrace?.answered(header.chunk, header.step);
    this.#step({ type: "reply", header });
  }
}
