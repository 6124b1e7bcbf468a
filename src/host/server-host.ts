/**
 * A server: performs the shard machine's effects with an arena, kernels and channels. It takes
 * chunk messages in, hands the machine their headers and the names of their slots, and does what it
 * says, in order.
 *
 * A reply goes to the channel that its push came by; if that is gone, to nobody: the worker asks
 * again.
 */
import { ReplyEncoder } from "../compression/reply-encoder.js";
import { RunCodecs } from "../compression/run-codecs.js";
import type { Entry } from "../core/server/entry.js";
import { Shard } from "../core/server/shard.js";
import type { ShardEffect, ShardEvent } from "../core/server/shard-events.js";
import { toPacelineError } from "../errors.js";
import type { ArenaUsage } from "../kernels/arena.js";
import { createConversions, createKernels } from "../kernels/choice.js";
import { termOf } from "../protocol/ids.js";
import { servedRules } from "../protocol/local/local-steps.js";
import {
  type ChunkHeader,
  type CoordinatorMessage,
  emptyHeader,
  type ServerStatistics,
} from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { ChunkChannel, ChunkReceiver } from "../transport/transport.js";
import { ChunkStore } from "./chunk-store.js";
import { type TransferKind, transferEvent, transferObjection } from "./chunk-transfers.js";
import { EffectLoop } from "./effect-loop.js";
import { entryHeader } from "./entry-text.js";
import { KeptCopies } from "./kept-copies.js";
import { normWatchOf } from "./norm-watch.js";
import { ReplicaInbox } from "./replica-inbox.js";
import { ServedChannel } from "./served-channel.js";
import { type Arriving, nothing, type ServedRun, type ServerHostParts } from "./served-run.js";
import type { HeartbeatBody, MemberSession } from "./session/member-session.js";

/** The host. */
export class ServerHost {
  readonly #parts: ServerHostParts;
  readonly #channels = new Map<number, ServedChannel>();
  #session: MemberSession | null = null;
  #job: ServedRun | null = null;
  #nextChannel = 1;
  #updateMs = 0;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(parts: ServerHostParts) {
    this.#parts = parts;
  }

  /** The session to answer by; set before the first message. */
  attach(session: MemberSession): void {
    this.#session = session;
  }

  /** What the session sends each interval. */
  heartbeat(): HeartbeatBody {
    this.#tellNorms();
    const activity = this.#job?.shard.activity() ?? "idle";
    const reach = this.#job?.inbox.reach() ?? [];
    return { activity, server: this.#statistics(), worker: null, reach };
  }

  /** What the job's arena holds; null without a job. */
  memory(): ArenaUsage | null {
    return this.#job?.arena.usage() ?? null;
  }

  /** The coordinator has said something. */
  onMessage(message: CoordinatorMessage): void {
    switch (message.type) {
      case "prepare":
        this.#begin(message.spec);
        break;
      case "view":
        if (this.#job?.spec.run !== message.view.run) break;
        if (this.#job.inbox.follow(message.view)) this.#job.view = message.view;
        this.#step({ type: "view", view: message.view });
        break;
      case "stop":
        this.#stop(message);
        break;
      default:
        break;
    }
  }

  /** Takes an incoming channel. */
  accept(channel: ChunkChannel): ChunkReceiver {
    const id = this.#nextChannel++;
    const served = new ServedChannel(channel);
    this.#channels.set(id, served);
    let arriving = nothing;
    return {
      onHeader: (header, payloadBytes) => {
        if (this.#job !== null) served.demandRoom(this.#job.layout);
        arriving = this.#whileMemoryLasts(() => this.#prepare(header, payloadBytes)) ?? nothing;
        return arriving.bytes;
      },
      onChunk: (header) => {
        const arrived = arriving;
        arriving = nothing;
        this.#whileMemoryLasts(() => this.#onChunk(id, header, arrived));
      },
      onClose: () => {
        this.#channels.delete(id);
        this.#job?.copies.closed(id);
        this.#step({ type: "closed", channel: id });
        if (arriving.slot >= 0) arriving.job?.store.free(arriving.slot);
        arriving = nothing;
      },
    };
  }

  /** Ends every channel and gives the job's memory up. */
  close(): void {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
    this.#job?.wake?.cancel();
    this.#job?.loop.end();
    this.#job?.inbox.close();
    this.#job = null;
  }

  #begin(spec: RunSpec): void {
    if (this.#job?.spec.run === spec.run) return;
    try {
      const layout = this.#parts.layoutOf(spec);
      const arena = this.#parts.openArena();
      const { kernels: choice = "auto", log } = this.#parts;
      const kernels = createKernels(arena, { choice, log });
      const store = new ChunkStore({ arena, kernels, layout, ...servedRules(spec) });
      const shard = new Shard({ index: this.#parts.index, spec, layout });
      const conversions = createConversions(arena, { choice, log });
      const codecs = new RunCodecs(spec, layout, conversions, (values) =>
        arena.view(arena.allocate(values), values),
      );
      const replies = new ReplyEncoder({
        arena,
        codecs,
        lengthOf: (chunk) => layout.chunks[chunk]!.length,
        weightsOf: (chunk) => store.weightsOf(chunk),
      });
      const loop = this.#loopOf(shard, (effect) => this.#perform(job, effect));
      const overflown = new Set<number>();
      const inbox = new ReplicaInbox(this.#parts, {
        ...{ run: spec.run, layout, store, overflown },
        take: (event) => this.#step(event),
        whileMemoryLasts: (action) => this.#whileMemoryLasts(action),
        onBytes: (bytes) => {
          this.#bytesIn += bytes;
        },
      });
      const job: ServedRun = {
        ...{ spec, arena, layout, shard, loop, store, codecs, replies, overflown, inbox },
        copies: new KeptCopies(store),
        norms: normWatchOf(spec, this.#parts.index, store),
        ...{ view: null, wake: null },
      };
      this.#job = job;
      this.#updateMs = 0;
      this.#bytesIn = 0;
      this.#bytesOut = 0;
      const nothing = { tensors: [], engine: "", algorithms: [] };
      this.#session?.send({ type: "ready", run: spec.run, ...nothing });
    } catch (thrown) {
      const { code, message } = toPacelineError(thrown);
      this.#session?.send({ type: "failed", code, reason: message });
    }
  }

  #stop(message: CoordinatorMessage & { type: "stop" }): void {
    this.#tellNorms();
    const server = this.#statistics();
    this.#session?.send({ type: "leave", reason: message.reason, server, worker: null });
    this.close();
    this.#parts.onStop(message);
  }

  #tellNorms(): void {
    for (const report of this.#job?.norms?.take() ?? []) {
      this.#session?.send({ type: "norms", ...report });
    }
  }

  #statistics(): ServerStatistics | null {
    if (this.#job === null) return null;
    return {
      ...this.#job.shard.statistics(),
      updateSeconds: this.#updateMs / 1000,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
    };
  }

  /** Finds out whether a message can be taken in, and memory for its payload. */
  #prepare(header: ChunkHeader, payloadBytes: number): Arriving {
    const job = this.#job;
    const carries = header.kind === "push" || header.kind === "load";
    if (job === null || header.kind === "hello") return nothing;
    const objection =
      job.codecs.objection(header) ??
      job.shard.objection(header, payloadBytes, (values) => job.codecs.sizesOf(header, values));
    if (objection !== null || !carries || payloadBytes === 0) return { ...nothing, job, objection };
    if (header.kind === "push") this.#bytesIn += payloadBytes;
    const { store } = job;
    const { slot, bytes } =
      header.codec === 0 ? store.allocate(header.chunk) : store.allocateBytes(payloadBytes);
    return { job, slot, bytes, objection: null };
  }

  #onChunk(channel: number, header: ChunkHeader, arrived: Arriving): void {
    if (header.kind === "hello") {
      this.#greet(channel, header);
      return;
    }
    const { job, objection, slot } = arrived;
    if (job === null || job !== this.#job || objection !== null) {
      if (slot >= 0) job?.store.free(slot);
      const detail = objection ?? "this server has no job";
      this.#refuse(channel, header, detail);
      // Who writes what can't be read in this run would go on to do so.
      if (job !== null && job.codecs.objection(header) !== null) this.#letGo(channel);
      return;
    }
    const stranger = transferObjection(header, this.#parts.heard.value, job.view);
    if (stranger !== null) {
      if (slot >= 0) job.store.free(slot);
      this.#refuse(channel, header, stranger);
      return;
    }
    switch (header.kind) {
      case "push":
        this.#onPush(channel, header, job, arrived);
        break;
      case "pull":
        this.#step({ type: "pull", header, channel });
        break;
      case "load":
      case "copy":
      case "mark":
      case "cut":
        this.#onTransfer(header.kind, channel, header, arrived);
        break;
      case "save":
        this.#sendCopy(channel, header, job);
        break;
      case "discard":
        job.copies.discard(channel, header.chunk);
        break;
      case "follow":
      case "received":
      case "watch":
        this.#step({ type: header.kind, header, channel });
        break;
      default:
        this.#refuse(channel, header, `a server is not sent ${header.kind} messages`);
    }
  }

  #onTransfer(kind: TransferKind, channel: number, header: ChunkHeader, arrived: Arriving): void {
    const { slot, job } = arrived;
    let event: ShardEvent;
    try {
      event = transferEvent(kind, header, slot, channel);
    } catch (thrown) {
      if (slot >= 0) job?.store.free(slot);
      this.#refuse(channel, header, toPacelineError(thrown).message);
      return;
    }
    this.#step(event);
  }

  /** The machine hears of a push when its values lie in a slot of their own. */
  #onPush(channel: number, header: ChunkHeader, job: ServedRun, { slot, bytes }: Arriving): void {
    let gradient = slot;
    if (header.codec !== 0 && bytes !== null) {
      try {
        gradient = this.#decoded(job, header, bytes);
      } catch (thrown) {
        const { code, message } = toPacelineError(thrown);
        if (code !== "protocol") throw thrown;
        const { chunk, rank, step } = header;
        const whose = `push of chunk ${chunk} from worker ${rank} at step ${step}`;
        this.#refuse(channel, header, `${whose}: ${message}`);
        return;
      } finally {
        job.store.free(slot);
      }
    }
    const finite = gradient < 0 || job.store.finite(gradient, header.chunk);
    this.#step({ type: "push", header, slot: gradient, finite, channel });
  }

  #decoded({ store, codecs }: ServedRun, header: ChunkHeader, bytes: Uint8Array): number {
    const { slot } = store.allocate(header.chunk);
    try {
      codecs.decode(header, bytes, store.valuesOf(slot, header.chunk));
      return slot;
    } catch (thrown) {
      store.free(slot);
      throw thrown;
    }
  }

  /** Ends a channel after what was sent; nothing more is heard of it. */
  #letGo(channel: number): void {
    this.#channels.get(channel)?.close();
    this.#channels.delete(channel);
  }

  /** A refusal's version is the number of the view that it stands on: here none. */
  #refuse(channel: number, header: ChunkHeader, detail: string): void {
    const answer = { ...header, kind: "reply", outcome: "refused", detail } as const;
    this.#send(channel, { ...answer, version: 0, examples: 0 });
  }

  #greet(channel: number, header: ChunkHeader): void {
    const run = this.#job?.spec.run ?? "";
    const fits = this.#job !== null && header.run === run;
    const detail = fits
      ? ""
      : `run ${header.run} is not served here${run === "" ? "" : `: ${run} is`}`;
    this.#send(channel, { ...emptyHeader, kind: fits ? "welcome" : "refusal", run, detail });
  }

  #step(event: ShardEvent): void {
    this.#whileMemoryLasts(() => this.#job?.loop.take(event));
  }

  /**
   * Where memory is full what was begun can't be finished, so that nothing of this life may be
   * relied on: it is given up whole, and the run goes on with the other replicas. Null then.
   */
  #whileMemoryLasts<T>(action: () => T): T | null {
    try {
      return action();
    } catch (thrown) {
      const { code, message } = toPacelineError(thrown);
      if (code !== "memory") throw thrown;
      this.#session?.send({ type: "failed", code, reason: message });
      this.close();
      return null;
    }
  }

  #loopOf(shard: Shard, perform: (effect: ShardEffect) => Promise<void> | void) {
    return new EffectLoop<ShardEvent, ShardEffect>({
      step: (event) => shard.step(event, this.#parts.clock.nowMs()),
      perform,
    });
  }

  #perform(job: ServedRun, effect: ShardEffect): void {
    switch (effect.type) {
      case "fold":
        this.#fold(job, effect);
        break;
      case "apply": {
        const { entry, group } = effect;
        if (job.overflown.delete(entry.gradient)) {
          this.#tellOverflow(entry);
          break;
        }
        if (job.view !== null) job.norms?.note(entry, group, job.view);
        this.#timed("apply", entry.chunk, () => job.store.apply(entry, group));
        this.#parts.onApplied?.(entry, job.view?.generation ?? 0, job.store.viewsOf(entry.chunk));
        break;
      }
      case "release":
        job.store.free(effect.slot);
        break;
      case "install":
        job.store.install(effect.chunk, effect.part, effect.slot);
        break;
      case "reply":
        if (effect.withWeights) this.#sendWeights(job, effect);
        else this.#send(effect.channel, effect.header);
        break;
      case "forget":
        job.store.forget(effect.chunk);
        break;
      case "forgetCopy":
        job.replies.forgetCopy(effect.id);
        break;
      case "keepCopy":
        if (this.#channels.has(effect.channel)) job.copies.keep(effect.channel, effect.header);
        break;
      case "applyToCopy":
        this.#timed("apply", effect.entry.chunk, () => job.copies.apply(effect));
        break;
      case "closeCopy":
        job.copies.close(effect.channel, effect.header);
        break;
      case "sendParts":
        // The weights come last, with what says that all is there.
        for (const part of job.store.parts().toReversed()) {
          this.#sendPart(job, effect.channel, { ...effect.header, part });
        }
        break;
      case "sendEntry":
        this.#sendEntry(job, effect);
        break;
      case "wake":
        job.wake?.cancel();
        job.wake = this.#parts.clock.after(effect.afterMs, () => this.#step({ type: "woken" }));
        break;
      case "tell":
        job.inbox.tell(effect.server, effect.header);
        break;
      case "viewAck":
      case "caughtUp":
        this.#session?.send(effect);
        break;
      case "log":
        this.#parts.log(effect.text);
        break;
      default:
        effect satisfies never;
    }
  }

  #fold({ store, overflown }: ServedRun, fold: ShardEffect & { readonly type: "fold" }): void {
    const { chunk, gradients } = fold;
    const finite = this.#timed("fold", chunk, () => store.fold(fold));
    if (!finite) overflown.add(gradients[0]!.slot);
  }

  /**
   * Finite gradients may add up to one that is not. Of such an entry the marks stand and nothing is
   * applied; the run ends as one that diverged.
   */
  #tellOverflow({ chunk, marks }: Entry): void {
    const step = Math.max(...marks.map((mark) => mark.step));
    const what = `the sum of ${marks.length} finite gradients of chunk ${chunk} is not finite`;
    this.#session?.send({ type: "diverged", step, what });
  }

  /** A part of an update, whose time is counted and traced. */
  #timed<T>(track: string, chunk: number, part: () => T): T {
    const startedMs = this.#parts.clock.nowMs();
    const result = part();
    const endedMs = this.#parts.clock.nowMs();
    this.#updateMs += endedMs - startedMs;
    this.#parts.trace?.span(track, `chunk ${chunk}`, startedMs, endedMs);
    return result;
  }

  #send(channel: number, header: ChunkHeader): void {
    this.#channels.get(channel)?.send(header, null);
  }

  /** A worker that is gone will ask again; nothing is taken to have been sent to it. */
  #sendWeights(
    job: ServedRun,
    { channel, header, copy, isRaw }: ShardEffect & { readonly type: "reply" },
  ): void {
    const open = this.#channels.get(channel);
    const isEncoded = open !== undefined && isRaw !== true;
    const encoded = isEncoded ? job.replies.encode(header, copy) : null;
    if (open === undefined || encoded === null) {
      this.#sendPart(job, channel, header);
      return;
    }
    this.#bytesOut += encoded.bytes.length;
    open.send(encoded.header, encoded.bytes, encoded.done);
  }

  /** Gives an entry to who follows; its gradient is lent until it has gone out. */
  #sendEntry(job: ServedRun, { channel, entry, fence }: ShardEffect & { type: "sendEntry" }): void {
    const open = this.#channels.get(channel);
    if (open === undefined || job.view === null) return;
    const { run, generation, number } = job.view;
    const header = entryHeader(entry, { run, generation, term: termOf(number), fence });
    if (entry.gradient < 0) {
      open.send(header, null);
      return;
    }
    const { bytes, done } = job.store.lendSlot(entry.gradient, entry.chunk);
    this.#bytesOut += bytes.length;
    open.send(header, bytes, done);
  }

  #sendCopy(channel: number, header: ChunkHeader, { copies }: ServedRun): void {
    const open = this.#channels.get(channel);
    const sent = open === undefined ? null : copies.send(channel, header.chunk, open);
    this.#bytesOut += sent ?? 0;
    if (sent === null) this.#refuse(channel, header, `no copy of chunk ${header.chunk} is kept`);
  }

  #sendPart(job: ServedRun, channel: number, header: ChunkHeader): void {
    const open = this.#channels.get(channel);
    if (open === undefined) return;
    const { bytes, done } = job.store.lend(header.chunk, header.part);
    this.#bytesOut += bytes.length;
    open.send(header, bytes, done);
  }
}
