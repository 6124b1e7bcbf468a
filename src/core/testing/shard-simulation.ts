/**
 * Shards, workers and a network in one room, driven by a seed: each link keeps its order, but which
 * link moves next is chance, links break and what has no answer is sent again, workers vanish, and
 * entries may be committed some time after they are made.
 */
import assert from "node:assert/strict";
import { uncompressed } from "../../protocol/compression.js";
import { layOut } from "../../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { firstPhase, primaryOf, type View, workersGone } from "../../protocol/view.js";
import { Random } from "../../random.js";
import type { Entry } from "../server/entry.js";
import { Shard } from "../server/shard.js";
import type { FoldedGradient, ShardEffect, ShardEvent } from "../server/shard-events.js";
import { paceOf } from "../sync/modes.js";
import { PushVerdict } from "../worker/push-verdict.js";

/** What a simulation is made of. */
export interface Plan {
  readonly seed: number;
  readonly protocol: Protocol;
  readonly workers: number;
  readonly servers: number;
  readonly chunks: number;
  readonly steps: number;
  readonly breaks: boolean;
  readonly removals: boolean;
  readonly nonfinite: boolean;
  /** Some pushes stand for no examples. */
  readonly idle: boolean;
  /** Entries are committed some time after they are made. */
  readonly later: boolean;
}

interface Worker {
  readonly rank: number;
  alive: boolean;
  /** Views it has heard of. */
  fence: number;
  /** The step it will push next. */
  step: number;
  /** What it asked and has no answer to, by chunk. */
  readonly asked: Map<number, ChunkHeader>;
  readonly versions: number[];
  /** What becomes of its present push. */
  verdict: PushVerdict;
  /** Pushes of the step that wait for the verdict, and that have no answer. */
  readonly held: Map<number, ChunkHeader>;
}

/** A two-way link between a worker and a server. `channel` changes when it breaks. */
interface Link {
  readonly rank: number;
  readonly server: number;
  channel: number;
  toServer: ChunkHeader[];
  toWorker: ChunkHeader[];
}

interface Applied {
  readonly labels: readonly string[];
  readonly examples: readonly number[];
  readonly lr: number;
  readonly scale: number;
}

/** The room. */
export class Simulation {
  readonly plan: Plan;
  readonly #random: Random;
  readonly shards: Shard[];
  readonly workers: Worker[];
  /** Per chunk what was applied, in order. */
  readonly history: Applied[][];
  readonly #links: Link[];
  readonly #viewsFor: View[][];
  readonly #labelOfSlot = new Map<number, string>();
  /** Also of slots that were released. */
  readonly #labelsSeen = new Map<number, string>();
  readonly #folds = new Map<number, readonly FoldedGradient[]>();
  #view: View;
  #slots = 0;
  #channels = 0;
  /** Per (chunk, rank): steps that have arrived whole, the clock that servers see. */
  readonly clocks = new Map<string, number>();
  /** Entries that are made and not committed. */
  #uncommitted: { readonly server: number; readonly entry: Entry }[] = [];
  leadMax = 0;
  nonfinite = 0;
  /** What workers were told of the pushes that were applied, and how many were rejected. */
  readonly stalenesses: number[] = [];
  rejected = 0;
  /** Updates between a push's base version and its arrival, counted here. */
  readonly stalenessesSeen: number[] = [];

  constructor(plan: Plan) {
    this.plan = plan;
    this.#random = new Random("shard properties", plan.seed);
    const layout = layOut([{ name: "w", shape: [plan.chunks], group: "weight" }], 1);
    const spec = specOf(plan);
    this.shards = upTo(plan.servers).map((index) => {
      return new Shard({ index, spec, layout });
    });
    this.workers = upTo(plan.workers).map((rank) => ({
      rank,
      alive: true,
      fence: 1,
      step: 0,
      asked: new Map(),
      versions: Array(plan.chunks).fill(0),
      verdict: new PushVerdict(false),
      held: new Map(),
    }));
    this.history = upTo(plan.chunks).map(() => []);
    this.#links = this.workers.flatMap(({ rank }) =>
      upTo(plan.servers).map((server) => this.#newLink(rank, server)),
    );
    this.#view = viewOf(plan, 1, upTo(plan.workers));
    this.#viewsFor = this.shards.map(() => [this.#view]);
  }

  /** Runs until nothing moves any more. */
  run(): this {
    this.#loadAll();
    for (const worker of this.workers) this.#ask(worker, "pull");
    for (let moves = 0; this.#move(); moves++) assert.ok(moves < 100_000, "it comes to an end");
    return this;
  }

  #loadAll(): void {
    upTo(this.plan.chunks).forEach((chunk) => {
      const server = primaryOf(this.#view, chunk)!;
      this.#deliverView(server);
      const load = { type: "load", chunk, generation: 1, part: "weights" } as const;
      this.#step(server, { ...load, slot: this.#slots++, marks: null, channel: -1 });
      if (!this.plan.later) return;
      const header = { ...followerOf(this.plan, chunk), kind: "follow" } as const;
      this.#step(server, { type: "follow", header, channel: followerChannel });
      const received = { ...header, kind: "received", step: 0 } as const;
      this.#step(server, { type: "received", header: received, channel: followerChannel });
    });
  }

  /** One thing happens; false when nothing is left to happen. */
  #move(): boolean {
    const chance = this.#random.below(100);
    const alive = this.workers.filter(({ alive }) => alive);
    if (this.plan.removals && chance === 0 && alive.length > 1) {
      this.#remove(alive[this.#random.below(alive.length)]!);
    }
    if (this.plan.breaks && chance >= 1 && chance <= 4) {
      this.#break(this.#links[this.#random.below(this.#links.length)]!);
    }
    const choices: (() => void)[] = [];
    this.#viewsFor.forEach((views, server) => {
      if (views.length > 0) choices.push(() => this.#deliverView(server));
    });
    for (const link of this.#links) {
      if (link.toServer.length > 0) choices.push(() => this.#deliverToServer(link));
      if (link.toWorker.length > 0) choices.push(() => this.#deliverToWorker(link));
    }
    for (const one of this.#uncommitted) choices.push(() => this.#acknowledge(one));
    const { number } = this.#view;
    for (const worker of alive) {
      if (worker.fence < number) choices.push(() => Object.assign(worker, { fence: number }));
    }
    if (choices.length === 0) return false;
    choices[this.#random.below(choices.length)]!();
    return true;
  }

  #acknowledge(one: { readonly server: number; readonly entry: Entry }): void {
    const { chunk, seq } = one.entry;
    const others = this.#uncommitted.filter((other) => other.entry.chunk === chunk);
    assert.equal(others.length, 1, "one entry of a chunk is not committed");
    this.#uncommitted = this.#uncommitted.filter((other) => other !== one);
    const header = { ...followerOf(this.plan, chunk), kind: "received", step: seq } as const;
    this.#step(one.server, { type: "received", header, channel: followerChannel });
  }

  #remove(worker: Worker): void {
    worker.alive = false;
    const ranks = this.workers.filter(({ alive }) => alive).map(({ rank }) => rank);
    const next = viewOf(this.plan, this.#view.number + 1, ranks);
    this.#view = { ...next, departing: workersGone(this.#view, next.workers) };
    for (const views of this.#viewsFor) views.push(this.#view);
    for (const link of this.#links) {
      if (link.rank === worker.rank) {
        link.toServer.length = this.#random.below(link.toServer.length + 1);
      }
    }
  }

  /** Everything on the way is lost; a living worker sends again what has no answer. */
  #break(link: Link): void {
    const { rank, server } = link;
    Object.assign(link, this.#newLink(rank, server));
    const worker = this.workers[rank]!;
    if (!worker.alive) return;
    for (const header of worker.asked.values()) {
      if (primaryOf(this.#view, header.chunk) === server) link.toServer.push(header);
    }
  }

  #newLink(rank: number, server: number): Link {
    return { rank, server, channel: this.#channels++, toServer: [], toWorker: [] };
  }

  #ask(worker: Worker, kind: "push" | "pull"): void {
    const { rank, step, fence } = worker;
    const isJudged = kind === "push" && examplesOf(this.plan, rank, step) > 0;
    worker.verdict = new PushVerdict(isJudged && paceOf(this.plan.protocol).judges);
    for (const chunk of new Random("order", rank, step, this.plan.seed).shuffle(
      upTo(this.plan.chunks),
    )) {
      const examples = kind === "push" ? examplesOf(this.plan, rank, step) : 0;
      const version = worker.versions[chunk]!;
      const tags = { run: "r", generation: 1, rank, incarnation: 10 + rank, step, chunk, fence };
      const header = { ...emptyHeader, ...tags, kind, version, examples, wantsReply: true };
      if (kind === "pull" || worker.verdict.admits(chunk)) this.#send(worker, header);
      else worker.held.set(chunk, header);
    }
  }

  #send(worker: Worker, bare: ChunkHeader): void {
    const { chunk, kind } = bare;
    const header = kind === "pull" ? bare : { ...bare, ...worker.verdict.tagsOf(chunk) };
    worker.asked.set(chunk, header);
    const server = primaryOf(this.#view, chunk)!;
    const link = this.#links.find((one) => one.rank === worker.rank && one.server === server);
    link!.toServer.push(header);
  }

  #deliverView(server: number): void {
    const view = this.#viewsFor[server]!.shift();
    if (view !== undefined) this.#step(server, { type: "view", view });
  }

  #deliverToServer(link: Link): void {
    const header = link.toServer.shift()!;
    const { channel, server } = link;
    if (header.kind === "pull") {
      this.#step(server, { type: "pull", header, channel });
      return;
    }
    if (this.plan.nonfinite && this.#random.below(5) === 0) this.#pushNonfinite(link, header);
    if (header.leads && header.examples > 0) {
      this.stalenessesSeen.push(this.history[header.chunk]!.length - header.version);
    }
    const slot = this.#slotFor(header);
    this.#step(server, { type: "push", header, slot, finite: true, channel });
  }

  /** A push of NaN leaves no trace but its answer. */
  #pushNonfinite(link: Link, header: ChunkHeader): void {
    const shard = this.shards[link.server]!;
    const before = [shard.statistics(), shard.activity()];
    const slot = this.#slotFor(header);
    const event = { type: "push", header, slot, finite: false, channel: link.channel } as const;
    const effects = shard.step(event, 0);
    if (effects.length === 0) return;
    this.#labelOfSlot.delete(slot);
    assert.deepEqual(effects[0], { type: "release", slot });
    const [answer] = effects.slice(1);
    if (answer?.type !== "reply" || answer.header.outcome !== "nonfinite") {
      this.#perform(link.server, effects.slice(1));
      return;
    }
    this.nonfinite++;
    assert.equal(effects.length, 2);
    assert.equal(answer.withWeights, false);
    assert.deepEqual([shard.statistics(), shard.activity()], before);
  }

  #slotFor(header: ChunkHeader): number {
    if (header.examples === 0 || header.scale === 0) return -1;
    const slot = this.#slots++;
    this.#labelOfSlot.set(slot, `${header.rank}@${header.step}`);
    this.#labelsSeen.set(slot, `${header.rank}@${header.step}`);
    return slot;
  }

  #step(server: number, event: ShardEvent): void {
    this.#perform(server, this.shards[server]!.step(event, 0));
  }

  #perform(server: number, effects: readonly ShardEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "fold") this.#folds.set(effect.gradients[0]!.slot, effect.gradients);
      if (effect.type === "apply") this.#apply(effect);
      if (effect.type === "sendEntry") this.#uncommitted.push({ server, entry: effect.entry });
      if (effect.type === "release") {
        assert.ok(this.#labelOfSlot.delete(effect.slot), "a slot is released once");
      }
      if (effect.type === "reply") {
        const link = this.#links.find(({ channel }) => channel === effect.channel);
        if (link === undefined) continue;
        assert.equal(link.server, server);
        const { withWeights, header } = effect;
        const { length } = this.history[header.chunk]!;
        if (withWeights) assert.equal(header.version, length, "a reply is of what is committed");
        link.toWorker.push(effect.header);
      }
    }
  }

  #apply(effect: ShardEffect & { type: "apply" }): void {
    const { lr, scale, chunk, version, gradient, examples: all } = effect.entry;
    assert.ok(this.#labelOfSlot.has(gradient), "an applied slot is held");
    const folded = this.#folds.get(gradient) ?? [{ slot: gradient, examples: all }];
    const labels = folded.map(({ slot }) => this.#labelsSeen.get(slot)!);
    const examples = folded.map((one) => one.examples);
    this.history[chunk]!.push({ labels, examples, lr, scale });
    assert.equal(version, this.history[chunk]!.length);
    for (const label of labels) {
      const [rank, step] = label.split("@").map(Number) as [number, number];
      this.clocks.set(`${chunk}/${rank}`, step + 1);
    }
  }

  #deliverToWorker(link: Link): void {
    const reply = link.toWorker.shift()!;
    const worker = this.workers[link.rank]!;
    const asked = worker.asked.get(reply.chunk);
    const answers = asked?.kind === "pull" ? -1 : asked?.step;
    if (!worker.alive || asked === undefined || reply.step !== answers) return;
    assert.notEqual(reply.outcome, "refused", reply.detail);
    worker.asked.delete(reply.chunk);
    worker.versions[reply.chunk] = reply.version;
    if (asked.leads) this.#told(reply);
    for (const chunk of worker.verdict.decided(reply.chunk, reply.scale)) {
      this.#send(worker, worker.held.get(chunk)!);
      worker.held.delete(chunk);
    }
    if (worker.asked.size > 0) return;
    if (asked.kind === "push") worker.step++;
    if (worker.step >= this.plan.steps) return;
    this.leadMax = Math.max(this.leadMax, worker.step - this.#clockMin());
    this.#ask(worker, "push");
  }

  #told({ outcome, staleness }: ChunkHeader): void {
    if (outcome === "rejected") this.rejected++;
    else if (outcome === "applied") this.stalenesses.push(staleness);
  }

  /** Steps that the slowest living worker has completed on every chunk. */
  #clockMin(): number {
    const clocks = this.workers
      .filter(({ alive }) => alive)
      .flatMap(({ rank }) =>
        upTo(this.plan.chunks).map((chunk) => this.clocks.get(`${chunk}/${rank}`) ?? 0),
      );
    return Math.min(...clocks);
  }

  /** Slots neither released nor given up at the end. */
  leakedSlots(): number {
    for (const shard of this.shards) {
      for (const slot of shard.drain()) assert.ok(this.#labelOfSlot.delete(slot));
    }
    return this.#labelOfSlot.size;
  }
}

/** Whole numbers from 0 to below this one. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Fixed by rank and step, so that every schedule deals the same. */
export function examplesOf(plan: Plan, rank: number, step: number): number {
  return plan.idle && (rank + step) % 3 === 0 ? 0 : 1 + ((rank * 7 + step * 3) % 5);
}

/** Where entries go; no worker's. */
const followerChannel = 1_000_000;

/** Has a copy of every chunk, and acknowledges when its turn is. */
function followerOf(plan: Plan, chunk: number): ChunkHeader {
  const tags = { run: "r", generation: 1, rank: plan.servers, incarnation: plan.servers, fence: 1 };
  return { ...emptyHeader, ...tags, chunk };
}

function viewOf(plan: Plan, number: number, ranks: readonly number[]): View {
  const numbers = { run: "r", number, generation: 1, ...firstPhase(plan.protocol) };
  const where = { address: "", frames: null };
  return {
    ...numbers,
    servers: upTo(plan.servers + 1).map((index) => ({ index, incarnation: index, ...where })),
    workers: ranks.map((rank) => ({ rank, incarnation: 10 + rank, fromStep: 0 })),
    ...{ candidates: [], departing: [] },
    replicas: upTo(plan.chunks).map((chunk) => [
      chunk % plan.servers,
      ...(plan.later ? [plan.servers] : []),
    ]),
    fences: Array(plan.chunks).fill(1),
  };
}

/** The part of a run that shards look at. */
function specOf(plan: Plan): RunSpec {
  const spec: Partial<RunSpec> = {
    ...{ servers: plan.servers, serversMax: null },
    run: "r",
    workersMax: plan.workers,
    protocol: plan.protocol,
    reduce: "mean",
    compression: uncompressed,
    updateRule: sampleSpec.updateRule,
    schedule: { ...sampleSpec.schedule, name: "cosine", warmup: 0.1, totalExamples: 100 },
    lrScaling: "none",
  };
  return spec as RunSpec;
}
