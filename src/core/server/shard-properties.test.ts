/**
 * Shards, workers and a network in one room, driven by a seed: each link keeps its order, but which
 * link moves next is chance, links break and what has no answer is sent again, and workers vanish.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { layOut } from "../../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import type { Protocol, RunSpec, StalenessRule } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/samples.js";
import { judgeStaleness } from "../../protocol/staleness.js";
import type { View } from "../../protocol/view.js";
import { Random } from "../../random.js";
import { Shard, type ShardEffect, type ShardEvent } from "./shard.js";

interface Plan {
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

class Simulation {
  readonly plan: Plan;
  readonly #random: Random;
  readonly shards: Shard[];
  readonly workers: Worker[];
  /** Per chunk what was applied, in order. */
  readonly history: Applied[][];
  readonly #links: Link[];
  readonly #viewsFor: View[][];
  readonly #labelOfSlot = new Map<number, string>();
  #view: View;
  #slots = 0;
  #channels = 0;
  /** Per (chunk, rank): steps that have arrived whole, the clock that servers see. */
  readonly clocks = new Map<string, number>();
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
    this.shards = upTo(plan.servers).map((index) => new Shard({ index, spec, layout }));
    this.workers = upTo(plan.workers).map((rank) => ({
      rank,
      alive: true,
      fence: 1,
      step: 0,
      asked: new Map(),
      versions: Array(plan.chunks).fill(0),
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
      const server = this.#view.primaries[chunk]!;
      this.#deliverView(server);
      const load = { type: "load", chunk, part: "weights", slot: this.#slots++ } as const;
      this.#step(server, { ...load, marks: null, channel: -1 });
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
    const { number } = this.#view;
    for (const worker of alive) {
      if (worker.fence < number) choices.push(() => Object.assign(worker, { fence: number }));
    }
    if (choices.length === 0) return false;
    choices[this.#random.below(choices.length)]!();
    return true;
  }

  #remove(worker: Worker): void {
    worker.alive = false;
    const ranks = this.workers.filter(({ alive }) => alive).map(({ rank }) => rank);
    this.#view = viewOf(this.plan, this.#view.number + 1, ranks);
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
      if (this.#view.primaries[header.chunk] === server) link.toServer.push(header);
    }
  }

  #newLink(rank: number, server: number): Link {
    return { rank, server, channel: this.#channels++, toServer: [], toWorker: [] };
  }

  #ask(worker: Worker, kind: "push" | "pull"): void {
    const { rank, step, fence } = worker;
    for (const chunk of new Random("order", rank, step, this.plan.seed).shuffle(
      upTo(this.plan.chunks),
    )) {
      const examples = kind === "push" ? examplesOf(this.plan, rank, step) : 0;
      const version = worker.versions[chunk]!;
      const tags = { run: "r", generation: 1, rank, incarnation: 10 + rank, step, chunk, fence };
      const header = { ...emptyHeader, ...tags, kind, version, examples, wantsReply: true };
      worker.asked.set(chunk, header);
      const server = this.#view.primaries[chunk]!;
      this.#links.find((l) => l.rank === rank && l.server === server)!.toServer.push(header);
    }
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
    this.stalenessesSeen.push(this.history[header.chunk]!.length - header.version);
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
    if (header.examples === 0) return -1;
    const slot = this.#slots++;
    this.#labelOfSlot.set(slot, `${header.rank}@${header.step}`);
    return slot;
  }

  #step(server: number, event: ShardEvent): void {
    this.#perform(server, this.shards[server]!.step(event, 0));
  }

  #perform(server: number, effects: readonly ShardEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "apply") this.#apply(effect);
      if (effect.type === "release") {
        assert.ok(this.#labelOfSlot.delete(effect.slot), "a slot is released once");
      }
      if (effect.type === "reply") {
        const link = this.#links.find(({ channel }) => channel === effect.channel);
        if (link === undefined) continue;
        assert.equal(link.server, server);
        link.toWorker.push(effect.header);
      }
    }
  }

  #apply(effect: ShardEffect & { type: "apply" }): void {
    const labels = effect.gradients.map(({ slot }) => {
      const label = this.#labelOfSlot.get(slot);
      assert.ok(label !== undefined, "an applied slot is held");
      return label;
    });
    const examples = effect.gradients.map((gradient) => gradient.examples);
    const { lr, scale, chunk, updateCount } = effect;
    this.history[chunk]!.push({ labels, examples, lr, scale });
    assert.equal(updateCount, this.history[chunk]!.length);
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
    if (reply.outcome === "rejected") this.rejected++;
    else if (asked.kind === "push" && reply.outcome === "applied") {
      this.stalenesses.push(reply.staleness);
    }
    if (worker.asked.size > 0) return;
    if (asked.kind === "push") worker.step++;
    if (worker.step >= this.plan.steps) return;
    this.leadMax = Math.max(this.leadMax, worker.step - this.#clockMin());
    this.#ask(worker, "push");
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

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Fixed by rank and step, so that every schedule deals the same. */
function examplesOf(plan: Plan, rank: number, step: number): number {
  return plan.idle && (rank + step) % 3 === 0 ? 0 : 1 + ((rank * 7 + step * 3) % 5);
}

function viewOf(plan: Plan, number: number, ranks: readonly number[]): View {
  const numbers = { run: "r", term: 1, number, generation: 1, phase: 0 };
  const where = { address: "", frames: null };
  return {
    ...numbers,
    servers: upTo(plan.servers).map((index) => ({ index, incarnation: index, ...where })),
    workers: ranks.map((rank) => ({ rank, incarnation: 10 + rank, fromStep: 0 })),
    primaries: upTo(plan.chunks).map((chunk) => chunk % plan.servers),
    fences: Array(plan.chunks).fill(1),
  };
}

/** The part of a run that shards look at. */
function specOf(plan: Plan): RunSpec {
  const spec: Partial<RunSpec> = {
    run: "r",
    workersMax: plan.workers,
    protocol: plan.protocol,
    reduce: "mean",
    schedule: { ...sampleSpec.schedule, name: "cosine", warmup: 0.1, totalExamples: 100 },
    lrScaling: "none",
  };
  return spec as RunSpec;
}

const sizes = {
  seed: fc.nat(),
  workers: fc.integer({ min: 1, max: 4 }),
  servers: fc.integer({ min: 1, max: 3 }),
  chunks: fc.integer({ min: 1, max: 4 }),
  steps: fc.integer({ min: 1, max: 6 }),
};
const calm = { breaks: false, removals: false, nonfinite: false, idle: false };
const bsp: Protocol = { mode: "bsp" };
const rule: StalenessRule = { rule: "scale+reject", scale: 0.1, floor: 0.1, max: 2 };

/** Checks a property of simulations over many seeds and sizes. */
function forAll(name: string, extra: Partial<Plan>, check: (plan: Plan) => void): void {
  test(name, () => {
    const plans = fc.record(sizes).map((size) => ({ protocol: bsp, ...calm, ...size, ...extra }));
    fc.assert(fc.property(plans, check), { seed: 11, numRuns: 150 });
  });
}

/** How often each push was applied to a chunk. */
function timesApplied(simulation: Simulation, chunk: number): Map<string, number> {
  const times = new Map<string, number>();
  for (const { labels } of simulation.history[chunk]!) {
    for (const label of labels) times.set(label, (times.get(label) ?? 0) + 1);
  }
  return times;
}

/** The living finished, their pushes count once everywhere, nobody's twice; no slot is lost. */
function assertComplete(simulation: Simulation, rejectedToo = false): void {
  const { plan } = simulation;
  for (const worker of simulation.workers) {
    if (worker.alive) assert.equal(worker.step, plan.steps, `worker ${worker.rank} finished`);
  }
  upTo(plan.chunks).forEach((chunk) => {
    const times = timesApplied(simulation, chunk);
    for (const [label, count] of times) assert.equal(count, 1, `${label} on chunk ${chunk}`);
    for (const { rank, alive } of simulation.workers) {
      for (const step of upTo(plan.steps)) {
        if (!alive || rejectedToo || examplesOf(plan, rank, step) === 0) continue;
        assert.equal(times.get(`${rank}@${step}`), 1, `${rank}@${step} on chunk ${chunk}`);
      }
    }
  });
  assert.equal(simulation.leakedSlots(), 0);
}

forAll(
  "BSP applies the same whatever the order of arrival and the servers",
  { idle: true },
  (plan) => {
    const one = new Simulation(plan).run();
    assertComplete(one);
    const other = new Simulation({ ...plan, seed: plan.seed + 1, servers: 1, breaks: true }).run();
    assert.deepEqual(one.history, other.history);
    for (const { labels } of one.history.flat()) {
      assert.equal(new Set(labels.map((label) => label.split("@")[1])).size, 1, "one step a fold");
      assert.deepEqual(labels, [...labels].sort(), "in ascending rank");
    }
  },
);

forAll("pushes that arrive again change nothing in BSP", { breaks: true, idle: true }, (plan) => {
  assertComplete(new Simulation(plan).run());
});

for (const protocol of [bsp, { mode: "ssp", staleness: 1 }] as const) {
  const faults = { protocol, breaks: true, removals: true, nonfinite: true };
  forAll(`removing workers at any moment never blocks ${protocol.mode}`, faults, (plan) => {
    const simulation = new Simulation(plan).run();
    assertComplete(simulation);
    const leadMax = protocol.mode === "ssp" ? protocol.staleness : 0;
    assert.ok(simulation.leadMax <= leadMax, `lead ${simulation.leadMax}`);
  });
}

test("workers are removed, links break and NaN is refused in the schedules above", () => {
  let removed = 0;
  let nonfinite = 0;
  for (let seed = 0; seed < 20; seed++) {
    const size = { seed, workers: 4, servers: 2, chunks: 3, steps: 6 };
    const faults = { breaks: true, removals: true, nonfinite: true, idle: false };
    const simulation = new Simulation({ ...size, ...faults, protocol: bsp }).run();
    removed += simulation.workers.filter(({ alive }) => !alive).length;
    nonfinite += simulation.nonfinite;
  }
  assert.ok(removed > 10 && nonfinite > 20, `${removed} removed, ${nonfinite} refused`);
});

for (const staleness of [0, 1, 3]) {
  const protocol: Protocol = { mode: "ssp", staleness };
  forAll(
    `SSP(${staleness}) never lets a worker lead by more`,
    { protocol, breaks: true },
    (plan) => {
      const simulation = new Simulation(plan).run();
      assertComplete(simulation);
      assert.ok(simulation.leadMax <= staleness, `lead ${simulation.leadMax}`);
    },
  );

  test(`SSP(${staleness}) lets a worker lead by as much`, () => {
    const leads = upTo(30).map((seed) => {
      const size = { seed, workers: 4, servers: 2, chunks: 2, steps: 6 };
      return new Simulation({ ...calm, ...size, protocol }).run().leadMax;
    });
    assert.equal(Math.max(...leads), staleness);
  });
}

const asp: Protocol = { mode: "asp", staleness: rule };

forAll("ASP's counts agree with what its workers were told", { protocol: asp }, (plan) => {
  const simulation = new Simulation(plan).run();
  assertComplete(simulation, true);
  const counts = simulation.shards.map((shard) => shard.statistics());
  const sum = (pick: (count: (typeof counts)[number]) => number) =>
    counts.reduce((total, count) => total + pick(count), 0);
  const stalenesses = simulation.stalenessesSeen.filter((staleness) => staleness <= rule.max);
  assert.deepEqual([...simulation.stalenesses].sort(), [...stalenesses].sort());
  assert.equal(
    sum((count) => count.stalenessCount),
    stalenesses.length,
  );
  assert.equal(
    sum((count) => count.stalenessSum),
    stalenesses.reduce((total, staleness) => total + staleness, 0),
  );
  const stalenessMax = Math.max(0, ...stalenesses);
  assert.equal(Math.max(...counts.map((count) => count.stalenessMax)), stalenessMax);
  assert.equal(
    sum((count) => count.rejected),
    simulation.rejected,
  );
  const asked = plan.workers * plan.chunks * plan.steps;
  assert.equal(simulation.stalenessesSeen.length, asked);
  assert.equal(stalenesses.length + simulation.rejected, asked);
  const updates = simulation.history.flat();
  assert.equal(
    sum((count) => count.updates),
    updates.length,
  );
  const scales = stalenesses.map((staleness) => judgeStaleness(rule, staleness).scale);
  assert.deepEqual(updates.map(({ scale }) => scale).sort(), scales.sort());
  counts.forEach((count, server) => {
    const own = simulation.history.filter((_, chunk) => chunk % plan.servers === server);
    assert.equal(count.pushes, Math.max(0, ...own.map((applied) => applied.length)));
    assert.equal(count.versionMax, Math.max(0, ...own.map((applied) => applied.length)));
  });
});

forAll("ASP applies no push twice when links break and workers go", { protocol: asp }, (plan) => {
  const simulation = new Simulation({ ...plan, breaks: true, removals: true }).run();
  assertComplete(simulation, true);
});
