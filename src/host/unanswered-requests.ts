/**
 * What a worker has asked of servers and has no answer to: at most one request of each chunk, as
 * the next step's push of a chunk follows the answer to the last. A request that is made again is
 * the same request, so that an unsure caller may ask again without sending twice.
 */
import type { WorkerIdentity } from "../protocol/identity.js";
import type { ChunkHeader } from "../protocol/messages.js";

/** A push of a chunk's gradient, or a pull of its weights to start a step with. */
export interface ChunkRequest {
  readonly kind: "push" | "pull";
  readonly step: number;
  readonly chunk: number;
  /** Of a push: the version of the weights that the gradient was computed with. */
  readonly version: number;
  /** Of a push: how many examples the gradient is of; without any it has no payload. */
  readonly examples: number;
  /** Of a push: see the header's fields. */
  readonly leads: boolean;
  readonly scale: number | null;
  /** Of a pull: the header's number; 0 of a push. */
  readonly pull: number;
}

/** A request and where it stands. */
export interface Unanswered {
  readonly request: ChunkRequest;
  /** The view under which it went out over the present channel; -1 where it did not. */
  sentUnder: number;
}

/** The unanswered requests of one worker's life in one run. */
export class UnansweredRequests {
  readonly #run: string;
  readonly #identity: WorkerIdentity;
  readonly #byChunk = new Map<number, Unanswered>();

  constructor(run: string, identity: WorkerIdentity) {
    this.#run = run;
    this.#identity = identity;
  }

  /** Notes a request; the same one again is the one that is there. */
  add(request: ChunkRequest): Unanswered {
    const present = this.#byChunk.get(request.chunk);
    const { kind, step, pull } = present?.request ?? {};
    const isSame = kind === request.kind && step === request.step && pull === request.pull;
    if (present !== undefined && isSame) return present;
    const added = { request, sentUnder: -1 };
    this.#byChunk.set(request.chunk, added);
    return added;
  }

  /** True while the weights that a reply carries are wanted. */
  wants({ run, incarnation, chunk, step, pull }: ChunkHeader): boolean {
    const request = this.#byChunk.get(chunk)?.request;
    if (request === undefined || run !== this.#run) return false;
    if (incarnation !== this.#identity.incarnation) return false;
    return request.kind === "pull" ? pull === request.pull : step === request.step;
  }

  /** Takes an answer. A refused request stays: it goes out again under the next view, or now. */
  answered(header: ChunkHeader): void {
    if (!this.wants(header)) return;
    if (header.outcome === "refused") this.#byChunk.get(header.chunk)!.sentUnder = -1;
    else this.#byChunk.delete(header.chunk);
  }

  /** All of them, in the order in which they were made. */
  all(): Iterable<Unanswered> {
    return this.#byChunk.values();
  }
}
