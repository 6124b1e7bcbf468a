/**
 * A run's parameters, as a training loop sees them: follows the views, keeps a link to each
 * server of the present one, pulls weights into the parameters, pushes gradients. A worker's host
 * drives it by its machine's effects; another training loop may drive it by itself.
 *
 * A gradient is encoded once and its bytes are kept until they are answered. Whatever is unanswered
 * goes out again when a link opens anew, as the other side may not have it, and under a later view
 * that gives the chunk another primary, with that view's number as its fence; servers know by their
 * marks what they have had. Asking for the same again sends nothing that is on its way.
 *
 * Invariants: nothing is decided but where and when bytes go; weights that nobody waits for are
 * thrown away; from its push to its answer a chunk's gradient must not be written to.
 */
import { AutoCompression } from "../compression/auto-compression.js";
import { PushEncoder } from "../compression/push-encoder.js";
import { RunCodecs } from "../compression/run-codecs.js";
import { pullFrom, pushTo } from "../core/worker/worker-headers.js";
import { PacelineError, toPacelineError } from "../errors.js";
import { Arena } from "../kernels/arena.js";
import { createConversions, type KernelsChoice } from "../kernels/choice.js";
import { scalarConversions } from "../kernels/scalar-conversions.js";
import type { ServerReach, WorkerIdentity } from "../protocol/identity.js";
import type { Layout } from "../protocol/layout.js";
import type { ChunkHeader } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { primaryOf, type View, type ViewServer, workerOfRank } from "../protocol/view.js";
import type { Transport } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import { ServerLink } from "./server-link.js";
import { PushTrace, type Trace } from "./trace.js";
import { type ChunkRequest, type Unanswered, UnansweredRequests } from "./unanswered-requests.js";

/** What a client needs around it. */
export interface ParameterClientParts extends WorkerIdentity {
  readonly transport: Transport;
  /** Where a server takes chunks; its address if left out. */
  readonly route?: (server: ViewServer) => string;
  readonly clock: Clock;
  /** Silence after which an open channel to a server is taken for dead; 30 s if left out. */
  readonly ioTimeoutMs?: number;
  /** Told of each push, if given. */
  readonly trace?: Trace | null;
  log(text: string): void;
}

/** The memory that a client moves values to and from, and how it writes them. */
export interface ParameterMemory {
  readonly spec: RunSpec;
  readonly layout: Layout;
  /** The flat vector of f32 values that replies are written to. */
  readonly parameters: Float32Array;
  /** The flat vector of f32 values that pushes are read from. */
  readonly gradients: Float32Array;
  /** See `openCodecs`. */
  readonly codecs: RunCodecs;
  /** Residuals by chunk to go on with, which are the client's from then on; none if left out. */
  readonly inherited?: ReadonlyMap<number, Float32Array>;
}

/** What a client tells its user. */
export interface ParameterListener {
  /** The link to a server is open, for the first time or again. */
  onOpen(server: number): void;
  /** An answer, also one that came twice or refuses; the weights that it carries lie in place. */
  onReply(header: ChunkHeader): void;
  /** It can't go on: a server has no way to it, or answered with what no server may. */
  onFailed(error: PacelineError): void;
}

/** What the run's values are written with; arena memory only where something is encoded. */
export function openCodecs(
  { spec, layout }: Pick<ParameterMemory, "spec" | "layout">,
  choice: KernelsChoice,
  log: (text: string) => void,
): RunCodecs {
  const { push, pull } = spec.compression;
  const isRaw = push.codec === "none" && pull.codec === "none";
  const arena = isRaw ? null : new Arena();
  const conversions = isRaw ? scalarConversions : createConversions(arena, { choice, log });
  return new RunCodecs(spec, layout, conversions, (values) =>
    arena === null ? new Float32Array(values) : arena.view(arena.allocate(values), values),
  );
}

/** The client of one worker's life in one run. */
export class ParameterClient {
  readonly #parts: ParameterClientParts;
  readonly #memory: ParameterMemory;
  readonly #listener: ParameterListener;
  readonly #links = new Map<number, ServerLink>();
  /** By server the weights that are being written to the parameters. */
  readonly #arriving = new Map<number, ChunkHeader>();
  /** Servers whose trouble has been told. */
  readonly #troubles = new Set<number>();
  readonly #unanswered: UnansweredRequests;
  readonly #pushes: PushEncoder;
  /** Measures and chooses, where the run leaves the codec to its workers. */
  readonly #auto: AutoCompression | null;
  readonly #trace: PushTrace | null;
  #view: View | null = null;
  /** Parameters laid aside; kept, as the next time needs as much. */
  #aside: Float32Array | null = null;

  constructor(parts: ParameterClientParts, memory: ParameterMemory, listener: ParameterListener) {
    this.#parts = parts;
    this.#memory = memory;
    this.#listener = listener;
    const { spec } = memory;
    const { rank, clock, trace = null } = parts;
    const log = (text: string) => parts.log(text);
    this.#unanswered = new UnansweredRequests(spec.run, parts);
    this.#pushes = new PushEncoder({ ...memory, rank, log });
    this.#trace = trace === null ? null : new PushTrace(trace, clock);
    this.#auto =
      spec.compression.push.codec !== "auto"
        ? null
        : new AutoCompression({
            ...memory,
            log,
            nowMs: () => clock.nowMs(),
            addressOf: (chunk) => this.#primaryLink(chunk)?.address ?? "",
            pull: (header) => this.#primaryLink(header.chunk)?.send(header, null),
            choose: (compression) => this.#pushes.choose(compression),
          });
  }

  /** What pushes have dropped so far, by chunk; lent, and changed by the next push of a chunk. */
  get residuals(): ReadonlyMap<number, Float32Array> {
    return this.#pushes.residuals;
  }

  /** The servers of the present view that a link was made to, and whether they are reached. */
  reach(): ServerReach[] {
    return (this.#view?.servers ?? []).flatMap(
      ({ index, incarnation }) => this.#links.get(index)?.reachOf(index, incarnation) ?? [],
    );
  }

  /** Goes over to a later view: links to its servers and to no others. */
  follow(view: View): void {
    this.#view = view;
    const servers = new Set(view.servers.map(({ index }) => index));
    for (const [index, link] of this.#links) if (!servers.has(index)) this.#drop(index, link);
    this.#dropOutdated(view);
    for (const server of view.servers) this.#connect(server);
    const { rank, incarnation } = this.#parts;
    if (workerOfRank(view, rank)?.incarnation !== incarnation) return;
    for (const one of this.#unanswered.all()) this.#send(one);
  }

  /**
   * Asks for a chunk's weights to start a step with, until they are there; with a step of -1 for
   * the weights as they are, which starts nothing. Each time that they are wanted anew has another
   * number (`pull`), by which late answers to earlier ones are known.
   */
  pull({ step, chunk, pull }: Pick<ChunkRequest, "step" | "chunk" | "pull">): void {
    const nothing = { version: 0, examples: 0, leads: false, scale: null };
    this.#send(this.#unanswered.add({ kind: "pull", step, chunk, pull, ...nothing }));
  }

  /** Pushes a chunk's gradient until it is answered. */
  push(push: Omit<ChunkRequest, "kind" | "pull">): void {
    const { step, chunk, version, examples, leads, scale } = push;
    const about = { step, chunk, version, examples, leads, scale, pull: 0 };
    this.#send(this.#unanswered.add({ kind: "push", ...about }));
  }

  /** Keeps the parameters as they are while others are pulled in their place. */
  layAside(): void {
    const { parameters } = this.#memory;
    this.#aside ??= new Float32Array(parameters.length);
    this.#aside.set(parameters);
  }

  /** Puts the parameters back that were laid aside. */
  takeBack(): void {
    if (this.#aside !== null) this.#memory.parameters.set(this.#aside);
  }

  /** A step is about to be computed: time to measure in, where codecs are chosen by measuring. */
  stepBegins(): void {
    this.#auto?.stepBegins();
  }

  /** Ends every link; nothing is told any more. */
  close(): void {
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  /** What is still being written must not follow what others will have written. */
  #dropOutdated(view: View): void {
    for (const [server, { chunk, generation }] of this.#arriving) {
      const link = this.#links.get(server);
      const isOutdated = primaryOf(view, chunk) !== server || generation !== view.generation;
      if (isOutdated && link !== undefined) this.#drop(server, link);
    }
  }

  #drop(server: number, link: ServerLink): void {
    link.close();
    this.#arriving.delete(server);
    this.#links.delete(server);
    this.#troubles.delete(server);
  }

  #connect(target: ViewServer): void {
    const server = target.index;
    const present = this.#links.get(server);
    const find = () => this.#parts.route?.(target) ?? target.address;
    let address: string;
    try {
      address = find();
    } catch (thrown) {
      this.#listener.onFailed(toPacelineError(thrown));
      return;
    }
    if (present?.address === address) return;
    present?.close();
    const { rank, incarnation } = this.#parts;
    const identity = { run: this.#memory.spec.run, rank, incarnation };
    const link = new ServerLink(this.#parts, find, identity, {
      onOpen: () => this.#onOpen(server),
      onHeader: (header, payloadBytes) => {
        const memory = this.#destination(header, payloadBytes);
        if (memory !== null) this.#arriving.set(server, header);
        return memory;
      },
      onChunk: (header, destination) => {
        this.#arriving.delete(server);
        this.#onAnswer(server, header, destination);
      },
      onTrouble: (reason) => {
        this.#arriving.delete(server);
        if (this.#troubles.has(server)) return;
        this.#troubles.add(server);
        this.#parts.log(reason);
      },
    });
    this.#links.set(server, link);
  }

  /** What was on its way over an earlier channel is not known to have arrived. */
  #onOpen(server: number): void {
    if (this.#troubles.delete(server)) this.#parts.log(`server ${server} is back`);
    for (const one of this.#unanswered.all()) {
      if (this.#primaryOf(one.request.chunk) !== server) continue;
      one.sentUnder = -1;
      this.#send(one);
    }
    this.#listener.onOpen(server);
  }

  /** Sends a request under the present view, unless it is on its way or can't go out yet. */
  #send(one: Unanswered): void {
    const { request } = one;
    const view = this.#view;
    const link = this.#primaryLink(request.chunk);
    if (view === null || link?.isOpen !== true) return;
    // What was sent under an earlier view stands while the chunk has the same primary.
    if (one.sentUnder >= (view.fences[request.chunk] ?? 0)) return;
    one.sentUnder = view.number;
    const { kind, step, chunk, pull } = request;
    if (kind === "push") this.#sendPush(link, request, view);
    else link.send(pullFrom(this.#parts, view, { step, chunk, pull }).header, null);
  }

  #sendPush(link: ServerLink, { kind, ...push }: ChunkRequest, view: View): void {
    const { step, chunk } = push;
    const { header } = pushTo(this.#parts, view, push);
    this.#trace?.ready(chunk, step);
    const message = this.#pushes.message(header);
    this.#auto?.pushed(header);
    const traced = () => {
      message.sent();
      this.#trace?.sent(chunk, step);
    };
    link.send(message.header, message.payload, this.#trace === null ? message.sent : traced);
  }

  #primaryOf(chunk: number): number {
    return this.#view === null ? -1 : (primaryOf(this.#view, chunk) ?? -1);
  }

  #primaryLink(chunk: number): ServerLink | undefined {
    return this.#links.get(this.#primaryOf(chunk));
  }

  /** Weights of a generation that has been rolled back are wanted by nobody. */
  #wants(header: ChunkHeader): boolean {
    return header.generation === this.#view?.generation && this.#unanswered.wants(header);
  }

  /**
   * Memory for weights that are wanted: the parameters themselves, or for encoded ones memory of
   * their own; null for all else.
   */
  #destination(header: ChunkHeader, payloadBytes: number): Uint8Array | null {
    const { layout, codecs, parameters } = this.#memory;
    const chunk = layout.chunks[header.chunk];
    if (chunk === undefined || !this.#wants(header)) return null;
    if (header.codec !== 0) {
      if (codecs.objection(header) !== null) return null;
      const { min, max } = codecs.sizesOf(header, chunk.length);
      return payloadBytes < min || payloadBytes > max ? null : new Uint8Array(payloadBytes);
    }
    const { buffer, byteOffset } = parameters;
    if (payloadBytes !== chunk.length * 4) return null;
    return new Uint8Array(buffer, byteOffset + chunk.offset * 4, payloadBytes);
  }

  /** Weights are in place before the user hears of them, and are put there once. */
  #onAnswer(server: number, header: ChunkHeader, destination: Uint8Array | null): void {
    const isReply = header.kind === "reply";
    if (isReply && this.#wants(header)) {
      const problem = this.#receive(header, destination);
      if (problem !== null) {
        const sentence = `server ${server} answered with chunk ${header.chunk}: ${problem.message}`;
        this.#listener.onFailed(new PacelineError(problem.code, sentence));
        return;
      }
      this.#unanswered.answered(header);
    }
    if (isReply) this.#auto?.answered(header);
    // What is refused is asked again under a later view.
    if (header.outcome !== "refused") this.#trace?.answered(header.chunk, header.step);
    this.#listener.onReply(header);
  }

  /** Puts weights in place; why they can't be, or null. */
  #receive(header: ChunkHeader, destination: Uint8Array | null): PacelineError | null {
    const { layout, codecs, parameters } = this.#memory;
    if (header.outcome === "refused" || header.outcome === "nonfinite") return null;
    if (destination === null) {
      const why = codecs.objection(header) ?? "its payload has not the chunk's length";
      return new PacelineError("protocol", why);
    }
    if (header.codec === 0) return null;
    const { offset, length } = layout.chunks[header.chunk]!;
    try {
      codecs.receive(header, destination, parameters.subarray(offset, offset + length));
      return null;
    } catch (thrown) {
      return toPacelineError(thrown);
    }
  }
}
