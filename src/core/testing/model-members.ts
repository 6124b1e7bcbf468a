/**
 * The processes of a model cluster: a server is a shard with values that are lists, a worker is a
 * worker machine whose computing takes a random time. Each checks what its machine must never do.
 */

import assert from "node:assert/strict";
import type { CutLimit } from "../../protocol/cut.js";
import type { MemberIdentity, WorkerIdentity } from "../../protocol/identity.js";
import { termOf } from "../../protocol/ids.js";
import { type Layout, layOut } from "../../protocol/layout.js";
import type {
  ChunkHeader,
  ChunkMarks,
  CoordinatorMessage,
  MemberMessage,
  Range,
} from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import { Shard } from "../server/shard.js";
import type { ShardEffect, ShardEvent } from "../server/shard-events.js";
import { Worker } from "../worker/worker.js";
import type { WorkerEffect, WorkerEvent } from "../worker/worker-events.js";
import type { ModelCluster } from "./model-cluster.js";
import { ModelCopies } from "./model-copies.js";
import {
  digestOf,
  initialValue,
  type ModelGradient,
  type ModelValue,
  updated,
} from "./model-values.js";

/** A worker's line to a server; a broken one is forgotten and another made. */
export interface Channel {
  readonly id: number;
  readonly worker: ModelWorker;
  readonly server: number;
  /** When the one before broke, or this one was first tried. */
  readonly sinceMs: number;
  open: boolean;
}

/** A process that has registered. */
export interface ModelMember extends MemberIdentity {
  readonly pid: number;
  alive: boolean;
  cut: boolean;
  /** What waits for the link to be mended. */
  readonly backlog: (() => void)[];
  activity(): string;
  heartbeat(): MemberMessage;
  receiveMessage(message: CoordinatorMessage): void;
}

interface Identity extends WorkerIdentity {
  readonly pid: number;
}

/** A server. */
export class ModelServer implements ModelMember {
  readonly role = "server";
  readonly rank: number;
  readonly incarnation: number;
  readonly pid: number;
  alive = true;
  cut = false;
  readonly backlog: (() => void)[] = [];
  spec: RunSpec | null = null;
  view: View | null = null;
  readonly values = new Map<number, ModelValue>();
  /** By chunk and incarnation: steps whose pushes were taken. */
  readonly clocks = new Map<string, number>();
  readonly #cluster: ModelCluster;
  readonly #slots = new Map<number, ModelGradient | ModelValue>();
  /** By the slot that they were folded into. */
  readonly #folds = new Map<number, readonly ModelGradient[]>();
  #shard: Shard | null = null;
  #slotIds = 0;
  #marks: ChunkMarks | null = null;
  readonly copies = new ModelCopies();

  constructor(cluster: ModelCluster, { rank, incarnation, pid }: Identity) {
    this.#cluster = cluster;
    this.rank = rank;
    this.incarnation = incarnation;
    this.pid = pid;
  }

  activity(): string {
    return this.#shard?.activity() ?? "idle";
  }

  heartbeat(): MemberMessage {
    const server = this.#shard?.statistics() ?? null;
    const term = termOf(this.incarnation);
    const common = { sequence: 0, received: 0, term, activity: this.activity() };
    return { type: "heartbeat", ...common, server, worker: null, reach: [] };
  }

  receiveMessage(message: CoordinatorMessage): void {
    if (message.type === "prepare") {
      this.spec = message.spec;
      this.view = null;
      this.values.clear();
      this.clocks.clear();
      const { layout } = this.#cluster;
      this.#shard = new Shard({ index: this.rank, spec: message.spec, layout });
      this.#cluster.say(this, {
        type: "ready",
        run: message.spec.run,
        tensors: [],
        engine: "",
        algorithms: [],
      });
    }
    if (message.type === "view") {
      this.view = message.view;
      this.#step({ type: "view", view: message.view });
    }
    if (message.type === "stop") {
      const server = this.#shard?.statistics() ?? null;
      this.#cluster.say(this, { type: "leave", reason: message.reason, server, worker: null });
      for (const slot of this.#shard?.drain() ?? []) assert.ok(this.#slots.delete(slot));
      assert.equal(this.#slots.size, 0, "no slot is lost");
      this.#shard = null;
      this.spec = null;
      if (!message.stay) this.alive = false;
    }
  }

  /** A chunk message has come. */
  take(header: ChunkHeader, gradient: ModelGradient | null, channel: number): void {
    const shard = this.#shard;
    if (shard === null) return;
    assert.equal(shard.objection(header, gradient === null ? 0 : 4), null);
    if (header.kind === "pull" || header.kind === "watch") {
      this.#step({ type: header.kind, header, channel });
      return;
    }
    assert.equal(header.kind, "push");
    const slot = gradient === null ? -1 : this.#keep(gradient);
    const effects = this.#step({ type: "push", header, slot, finite: true, channel });
    const refused = effects.some(
      (effect) => effect.type === "reply" && effect.header.outcome === "refused",
    );
    if (refused) return;
    const key = `${header.chunk}/${header.incarnation}`;
    this.clocks.set(key, Math.max(this.clocks.get(key) ?? 0, header.step + 1));
  }

  /** Another server answers, or the way to it is open. */
  hear(event: ShardEvent & { readonly type: "sealed" | "linked" }): void {
    this.#step(event);
  }

  load(chunk: number, value: ModelValue, marks: ChunkMarks): void {
    const slot = this.#keep(value);
    const generation = 0;
    this.#step({ type: "load", chunk, generation, part: "weights", slot, marks, channel: -1 });
  }

  marksOf(chunk: number): ChunkMarks {
    this.#marks = null;
    this.#step({ type: "copy", chunk, channel: -1 });
    assert.ok(this.#marks !== null, "a quiet chunk can be saved");
    return this.#marks;
  }

  /** Begins a cut at a chunk, which waits from here on: what it is marked with. */
  mark(chunk: number): ChunkMarks {
    this.#marks = null;
    this.#step({ type: "mark", chunk, channel: -1 });
    assert.ok(this.#marks !== null, "a chunk of one replica can be marked");
    return this.#marks;
  }

  /** The chunk goes on; told once its copy has all that belongs before the cut. */
  cutAt(chunk: number, limits: readonly CutLimit[], onWhole: (marks: ChunkMarks) => void): void {
    this.copies.whenWhole(chunk, onWhole);
    this.#step({ type: "cut", chunk, channel: -1, limits });
  }

  /** The cut is given up. */
  endCut(): void {
    this.copies.giveUp();
    this.#step({ type: "closed", channel: -1 });
  }

  #keep(content: ModelGradient | ModelValue): number {
    this.#slots.set(this.#slotIds, content);
    return this.#slotIds++;
  }

  #step(event: ShardEvent): ShardEffect[] {
    const effects = this.#shard?.step(event, this.#cluster.nowMs) ?? [];
    for (const effect of effects) this.#perform(effect);
    return effects;
  }

  #perform(effect: ShardEffect): void {
    switch (effect.type) {
      case "fold": {
        const gradients = effect.gradients.map(({ slot, examples }) => {
          const gradient = this.#slots.get(slot) as ModelGradient;
          assert.equal(gradient.end - gradient.start, examples);
          return gradient;
        });
        this.#folds.set(effect.gradients[0]!.slot, gradients);
        break;
      }
      case "apply": {
        const { chunk, gradient, examples, lr, scale } = effect.entry;
        const gradients = this.#folds.get(gradient) ?? [this.#slots.get(gradient) as ModelGradient];
        const told = gradients.reduce((sum, { start, end }) => sum + end - start, 0);
        assert.equal(told, examples, "an entry says how many examples its gradient has");
        const before = this.values.get(chunk);
        assert.ok(before !== undefined, "an update finds weights");
        this.values.set(chunk, updated(before, { gradients, lr, scale }));
        this.#folds.delete(gradient);
        break;
      }
      case "forget":
        this.values.delete(effect.chunk);
        break;
      case "release":
        assert.ok(this.#slots.delete(effect.slot), "a slot is released once");
        break;
      case "install":
        this.values.set(effect.chunk, this.#slots.get(effect.slot) as ModelValue);
        assert.ok(this.#slots.delete(effect.slot));
        break;
      case "reply": {
        const value = effect.withWeights ? this.values.get(effect.header.chunk) : null;
        assert.ok(value !== undefined, "weights are sent when there are some");
        this.#cluster.answer(effect.channel, effect.header, value);
        break;
      }
      case "keepCopy":
        this.#marks = JSON.parse(effect.header.detail) as ChunkMarks;
        this.copies.keep(effect.header.chunk, this.values.get(effect.header.chunk)!);
        break;
      case "applyToCopy":
        this.copies.apply(effect.entry, this.#slots.get(effect.entry.gradient) as ModelGradient);
        break;
      case "wake":
        this.#cluster.network.after(effect.afterMs, () => this.#step({ type: "woken" }));
        break;
      case "closeCopy":
        this.copies.close(effect.header);
        break;
      case "viewAck":
      case "caughtUp":
        this.#cluster.say(this, effect);
        break;
      case "tell":
        this.#cluster.serverLinks.tell(this, effect.server, effect.header);
        break;
      case "sendParts":
      case "sendEntry":
        assert.fail("chunks have one replica here");
        break;
      case "forgetCopy":
      case "log":
        break;
      default:
        effect satisfies never;
    }
  }
}

/** A worker. */
export class ModelWorker implements ModelMember {
  readonly role = "worker";
  readonly rank: number;
  readonly incarnation: number;
  readonly pid: number;
  alive = true;
  cut = false;
  readonly backlog: (() => void)[] = [];
  readonly channels = new Map<number, Channel>();
  run = "";
  /** True once it has been given a view. */
  joined = false;
  /** True when it was told to go on with residuals. */
  inherits = false;
  /** What it logged. */
  readonly lines: string[] = [];
  readonly #cluster: ModelCluster;
  readonly #machine: Worker;
  readonly #layout: Layout;
  #weights: ModelValue[] = [];
  #aside: ModelValue[] = [];
  #gradient: ModelGradient | null = null;
  #lastStarted = -1;
  /** Of the view that it was last given. */
  #servers: View["servers"] = [];
  /** Chunks that the step under way lacks. */
  #lacking = new Set<number>();
  /** Chunks whose weights are being computed with: nobody may write to them. */
  #used = new Set<number>();
  #begin: () => void = () => {};

  constructor(cluster: ModelCluster, { rank, incarnation, pid }: Identity, other: boolean) {
    this.#cluster = cluster;
    this.rank = rank;
    this.incarnation = incarnation;
    this.pid = pid;
    this.#machine = new Worker({ rank, incarnation });
    const otherShape = { name: "w", shape: [cluster.plan.chunks + 1], group: "weight" } as const;
    this.#layout = other ? layOut([otherShape], 1) : cluster.layout;
  }

  activity(): string {
    return this.#machine.activity();
  }

  /** Steps completed. */
  get clock(): number {
    return this.#machine.statistics().clock;
  }

  heartbeat(): MemberMessage {
    const worker = this.#machine.statistics();
    const term = termOf(this.incarnation);
    const common = { sequence: 0, received: 0, term, activity: this.activity() };
    const { nowMs } = this.#cluster;
    const reach = [...this.channels.values()].map(({ server, open, sinceMs }) => {
      const { incarnation = 0 } = this.#servers.find(({ index }) => index === server) ?? {};
      const life = this.#cluster.servers().find((one) => one.alive && one.rank === server);
      const unreachedMs = open ? 0 : Math.max(1, Math.round(nowMs - sinceMs));
      return { server, incarnation, unreachedMs, refused: life === undefined };
    });
    return { type: "heartbeat", ...common, server: null, worker, reach };
  }

  receiveMessage(message: CoordinatorMessage): void {
    this.joined ||= message.type === "view";
    if (message.type === "view") this.#servers = message.view.servers;
    this.step({ type: "message", message });
  }

  /** A reply has come; `value` with the weights it carries. */
  receive(header: ChunkHeader, value: ModelValue | null): void {
    if (value !== null && this.#machine.wants(header)) {
      assert.ok(!this.#used.has(header.chunk), "weights stay while they are computed with");
      this.#weights[header.chunk] = value;
    }
    this.step({ type: "reply", header });
  }

  step(event: WorkerEvent): void {
    if (!this.alive) return;
    for (const effect of this.#machine.step(event, this.#cluster.nowMs)) this.#perform(effect);
  }

  #perform(effect: WorkerEffect): void {
    switch (effect.type) {
      case "tell":
        this.#tell(effect.message);
        break;
      case "prepare":
        this.run = effect.spec.run;
        this.inherits = effect.residuals;
        this.#lastStarted = -1;
        this.#lacking = new Set();
        this.#used = new Set();
        this.#weights = this.#layout.chunks.map(() => initialValue);
        this.#later(50, this.#cluster.plan.startsBusyMs ?? 200, () => {
          const made = { layout: this.#layout, engine: "model", algorithms: [] };
          this.step({ type: "prepared", run: effect.spec.run, ...made });
        });
        break;
      case "connect":
        for (const { index } of effect.servers) this.#cluster.connect(this, index);
        break;
      case "pull":
        this.#cluster.sendChunk(this, effect.server, effect.header, null);
        break;
      case "push": {
        const { header } = effect;
        if (header.examples === 0) this.#noteStart(header.step);
        const isBare = header.examples === 0 || header.scale === 0;
        const gradient = isBare ? null : this.#gradient;
        assert.ok(gradient === null || gradient.step === header.step);
        this.#cluster.sendChunk(this, effect.server, header, gradient);
        break;
      }
      case "compute":
        this.#compute(effect);
        break;
      case "arrived":
        assert.ok(this.#lacking.delete(effect.chunk), "what arrives was lacking");
        this.#used.add(effect.chunk);
        if (this.#lacking.size === 0) this.#begin();
        break;
      case "evaluate":
        this.#evaluate(effect.range);
        break;
      case "layAside":
        this.#aside = [...this.#weights];
        break;
      case "takeBack":
        this.#weights = this.#aside;
        break;
      case "giveResiduals": {
        const problem = this.#cluster.plan.withholds?.(this.rank) ?? "";
        const chunks = problem === "" ? this.#layout.chunks.length : 0;
        const given = { type: "residualsGiven", barrier: effect.barrier, chunks, problem } as const;
        this.#later(20, 200, () => this.step(given));
        break;
      }
      case "log":
        this.lines.push(effect.text);
        break;
      case "finish":
        for (const server of [...this.channels.keys()]) {
          this.channels.get(server)!.open = false;
          this.channels.delete(server);
        }
        if (!effect.stay) this.alive = false;
        break;
      default:
        effect satisfies never;
    }
  }

  #tell(message: MemberMessage): void {
    const isOther = this.#cluster.plan.evaluatesOther?.(this) === true;
    const isEvaluation = message.type === "evaluated";
    const told =
      isEvaluation && isOther
        ? { ...message, versions: message.versions.map((version) => version + 1) }
        : message;
    this.#cluster.say(this, told);
  }

  #noteStart(step: number): void {
    if (step <= this.#lastStarted) return;
    this.#lastStarted = step;
    this.#cluster.noteStart(step);
  }

  /** A step that lacks chunks starts when the last of them has arrived. */
  #compute(effect: WorkerEffect & { readonly type: "compute" }): void {
    this.#lacking = new Set(effect.lacking);
    const here = this.#layout.chunks.filter(({ index }) => !this.#lacking.has(index));
    this.#used = new Set(here.map(({ index }) => index));
    this.#begin = () => this.#start(effect);
    if (this.#lacking.size === 0) this.#begin();
    else this.#cluster.begunAhead++;
  }

  #start({ step, epoch, range }: WorkerEffect & { readonly type: "compute" }): void {
    this.#noteStart(step);
    const { rank } = this;
    const { computeMs: ownMs = 30, diverges, slow, refuses } = this.#cluster.plan;
    const computeMs = slow?.rank === rank ? ownMs * slow.factor : ownMs;
    const reason = refuses?.(rank, epoch, range) ?? null;
    if (reason !== null) {
      this.#used = new Set();
      this.#later(1, 5, () => this.step({ type: "refused", step, reason }));
      return;
    }
    const base = digestOf(this.#weights.map(({ digest }) => digest).join());
    this.#gradient = { rank, step, epoch, ...range, base };
    const nan = diverges?.rank === rank && diverges.step === step;
    const run = this.run;
    const chunks = this.#layout.chunks.map(({ index }) => index).reverse();
    const next = () => {
      if (this.run !== run) return;
      const chunk = chunks.shift();
      if (chunk === undefined) {
        const lossSum = nan ? Number.NaN : range.end - range.start;
        const outcome = { lossSum, correct: 0, inputSeconds: 0, waitSeconds: 0 };
        this.step({ type: "computed", step, outcome });
        return;
      }
      this.#used.delete(chunk);
      this.step({ type: "chunkReady", step, chunk });
      this.#later(0, computeMs / this.#layout.chunks.length, next);
    };
    this.#later(computeMs / 2, computeMs, next);
  }

  /** Correct is every third example; the loss tells which weights were looked at. */
  #evaluate(range: Range): void {
    let correct = 0;
    for (let index = range.start; index < range.end; index++) correct += index % 3 === 0 ? 1 : 0;
    const digest = digestOf(this.#weights.map((weights) => weights.digest).join());
    const lossSum = (range.end - range.start) * (digest % 1024);
    this.#later(5, 50, () => this.step({ type: "evaluated", correct, lossSum }));
  }

  #later(lowMs: number, highMs: number, action: () => void): void {
    this.#cluster.network.after(this.#cluster.network.between(lowMs, highMs), () => {
      if (this.alive) action();
    });
  }
}
