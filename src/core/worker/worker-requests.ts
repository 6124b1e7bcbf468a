/**
 * What a worker asks of servers: pulls of chunks to start a step with, and pushes of gradients. The
 * requests themselves are effects; here is what they are made of, the view that says to whom they
 * go and the version of each chunk that the worker has.
 *
 * Invariant: what is asked again under the same view is the same request, so that a server knows it
 * for what it is.
 */
import type { WorkerIdentity } from "../../protocol/identity.js";
import type { Chunk } from "../../protocol/layout.js";
import { type LocalMoment, localStepsOf } from "../../protocol/local/local-steps.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import { primaryOf, type View } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import { partnersAt } from "../sync/pace.js";
import type { WorkerEffect } from "./worker-events.js";
import { pullFrom, pushTo } from "./worker-headers.js";
import {
  type Asking,
  isAsking,
  outstanding,
  type Stepping,
  type WorkerState,
} from "./worker-state.js";

/** The requests of one life of a worker in one run. */
export class WorkerRequests {
  readonly #identity: WorkerIdentity;
  readonly #emit: (effect: WorkerEffect) => void;
  readonly #versions: number[];
  /** Examples that each chunk had applied when it was answered last. */
  readonly #applied: number[];
  #view: View | null = null;
  /** The step that all chunks are asked for, or have come for. */
  weightsStep = 0;
  /** How many times chunks were asked for; each is the number of its pulls. */
  #pulls = 0;

  /** @param chunks how many the model has. */
  constructor(identity: WorkerIdentity, chunks: number, emit: (effect: WorkerEffect) => void) {
    this.#identity = identity;
    this.#emit = emit;
    this.#versions = Array<number>(chunks).fill(0);
    this.#applied = Array<number>(chunks).fill(0);
  }

  /** How many chunks there are. */
  get chunks(): number {
    return this.#versions.length;
  }

  /** Requests go out under this view from here on. */
  follow(view: View): void {
    this.#view = view;
  }

  /** The worker has the chunk as this answer says. */
  received({ chunk, version, examples }: ChunkHeader): void {
    this.#versions[chunk] = version;
    this.#applied[chunk] = examples;
  }

  /** What the rate of a step follows that begins with the chunks that are there. */
  momentOf(step: number): LocalMoment {
    const view = this.#view;
    const examples = this.#applied.reduce((most, one) => Math.max(most, one), 0);
    if (view === null) return { examples, partners: 0 };
    const partners = partnersAt(view, paceOf(view.protocol), step);
    const { phase, lrFactor } = view;
    if (phase === 0 && lrFactor === 1) return { examples, partners };
    const { count = 1 } = localStepsOf(view) ?? {};
    return { examples, partners, inner: { phase, count, lrFactor } };
  }

  /** Asks for chunks to start this step with; of step -1 for what they are. */
  ask(chunks: readonly Pick<Chunk, "index">[], step: number): Asking {
    const pull = ++this.#pulls;
    if (step >= 0) this.weightsStep = step;
    for (const { index: chunk } of chunks) this.#pull({ chunk, step, pull });
    return { pull, missing: new Set(chunks.map(({ index }) => index)) };
  }

  #pull(pull: Parameters<typeof pullFrom>[2]): void {
    this.#emit(pullFrom(this.#identity, this.#view, pull));
  }

  /** Pushes a chunk's gradient of a step. */
  push(chunk: number, { step, examples, outstanding, verdict }: Stepping): void {
    outstanding.add(chunk);
    const about = { step, chunk, version: this.#versions[chunk]!, examples };
    this.#emit(pushTo(this.#identity, this.#view, { ...about, ...verdict.tagsOf(chunk) }));
  }

  /** The gradient is final: it is pushed unless the step's verdict has to come first. */
  pushFinal(chunk: number, state: Stepping): void {
    if (state.verdict.admits(chunk)) this.push(chunk, state);
  }

  /** Asks again for what is unanswered of the chunks that are meant. */
  again(state: WorkerState, nextStep: number, isMeant: (chunk: number) => boolean): void {
    if (isAsking(state)) {
      const about = { step: state.name === "fetching" ? -1 : nextStep, pull: state.pull };
      for (const chunk of state.missing) if (isMeant(chunk)) this.#pull({ ...about, chunk });
      return;
    }
    for (const { chunk, step } of outstanding(state)) if (isMeant(chunk)) this.push(chunk, step);
  }

  /** The same for what is asked of one server. */
  againOf(server: number, state: WorkerState, nextStep: number): void {
    const view = this.#view;
    if (view !== null) this.again(state, nextStep, (chunk) => primaryOf(view, chunk) === server);
  }
}
