/**
 * A chunk whose primary changes in the middle of training, on the machines: views, two servers and
 * two workers, whose messages the test carries by hand. The chunk's values are moved by hand, too.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mint, shownId, termOf } from "../../protocol/ids.js";
import { layOut } from "../../protocol/layout.js";
import {
  type ChunkHeader,
  type ChunkMarks,
  type CoordinatorMessage,
  emptyHeader,
} from "../../protocol/messages.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { firstPhase, type View } from "../../protocol/view.js";
import { Shard } from "../server/shard.js";
import type { ShardEffect, ShardEvent } from "../server/shard-events.js";
import { Worker } from "../worker/worker.js";
import type { WorkerEffect, WorkerEvent } from "../worker/worker-events.js";
import { ViewRounds } from "./view-rounds.js";

const layout = layOut([{ name: "w", shape: [2], group: "weight" }], 1);
const spec = { ...sampleSpec, run: "r", batchSize: 4, workersMax: 2, servers: 2 };
type Sent = { readonly server: number; readonly header: ChunkHeader };

/** Two servers and two workers of term 3; server 0 leads both chunks at first. */
class Scene {
  readonly shards = [0, 1].map((index) => new Shard({ index, spec, layout }));
  readonly workers = [0, 1].map((rank) => new Worker({ rank, incarnation: mint(3, 9 + rank) }));
  readonly rounds: ViewRounds;
  /** What workers have sent and no server has got. */
  readonly wire: Sent[] = [];
  readonly refusals: string[] = [];
  /** By server: what it applied, as chunk and the examples of each gradient. */
  readonly applied: string[][] = [[], []];
  #marks: ChunkMarks | null = null;

  constructor() {
    const servers = [0, 1].map((index) => {
      return { index, incarnation: mint(3, 1 + index), address: "", frames: null };
    });
    const [replicas, phase] = [[[0], [0]], firstPhase(spec.protocol)];
    this.rounds = new ViewRounds({ run: "r", servers, replicas, phase }, 3);
    this.workers.forEach((_, rank) => {
      this.rounds.admit({ rank, incarnation: mint(3, 9 + rank), fromStep: 0 });
      this.say(rank, { type: "prepare", spec, residuals: false, layout });
      const prepared = {
        type: "prepared",
        run: "r",
        layout,
        engine: "toy",
        algorithms: [],
      } as const;
      this.give(rank, prepared);
    });
  }

  say(rank: number, message: CoordinatorMessage): void {
    this.give(rank, { type: "message", message });
  }

  give(rank: number, event: WorkerEvent): void {
    for (const effect of this.workers[rank]!.step(event, 0)) this.#perform(effect);
  }

  serve(server: number, event: ShardEvent): ShardEffect[] {
    const effects = this.shards[server]!.step(event, 0);
    let folded: readonly number[] = [];
    for (const effect of effects) {
      if (effect.type === "fold") folded = effect.gradients.map(({ examples }) => examples);
      if (effect.type === "apply") {
        this.applied[server]!.push(`chunk ${effect.entry.chunk}: ${folded.join("+")}`);
      }
      if (effect.type === "keepCopy") this.#marks = JSON.parse(effect.header.detail);
      if (effect.type !== "reply" || effect.channel < 0) continue;
      if (effect.header.outcome === "refused") this.refusals.push(effect.header.detail);
      this.give(effect.channel, { type: "reply", header: effect.header });
    }
    return effects;
  }

  /** Gives the view that is due to the servers, moving `chunk` between the two, then to workers. */
  agree(move: { readonly chunk: number; readonly from: number; readonly to: number } | null): View {
    const view = this.rounds.begin()!;
    const marks = move === null ? null : this.marksOf(move.from, move.chunk);
    for (const server of [0, 1]) {
      const effects = this.serve(server, { type: "view", view });
      const ack = effects.find((effect) => effect.type === "viewAck");
      assert.ok(ack?.type === "viewAck" && ack.view === view.number);
      this.rounds.answer(server, ack.view, ack);
    }
    if (move !== null) this.load(move.to, move.chunk, marks);
    for (const rank of [0, 1]) this.say(rank, { type: "view", view });
    return view;
  }

  marksOf(server: number, chunk: number): ChunkMarks {
    this.serve(server, { type: "copy", chunk, channel: -1 });
    return this.#marks!;
  }

  load(server: number, chunk: number, marks: ChunkMarks | null): void {
    const weights = { type: "load", generation: 0, part: "weights", slot: 0, channel: -1 } as const;
    this.serve(server, { ...weights, chunk, marks });
  }

  /** Lets what lies on the wire arrive. */
  deliver(): void {
    for (const { server, header } of this.wire.splice(0)) {
      const channel = header.rank;
      if (header.kind === "pull") this.serve(server, { type: "pull", header, channel });
      else this.serve(server, { type: "push", header, slot: 0, finite: true, channel });
    }
  }

  #perform(effect: WorkerEffect): void {
    if (effect.type === "tell") assert.notEqual(effect.message.type, "failed");
    if (effect.type !== "push" && effect.type !== "pull") return;
    this.wire.push({ server: effect.server, header: effect.header });
  }

  /** A worker computes its step whole. */
  compute(rank: number, step: number): void {
    for (const chunk of [1, 0]) this.give(rank, { type: "chunkReady", step, chunk });
    const outcome = { lossSum: 1, correct: 0, inputSeconds: 0, waitSeconds: 0 };
    this.give(rank, { type: "computed", step, outcome });
  }

  clocks(): number[] {
    return this.workers.map((worker) => worker.statistics().clock);
  }
}

/** To where both workers have an assignment and have computed their first step. */
function begun(): Scene {
  const scene = new Scene();
  scene.agree(null);
  for (const chunk of [0, 1]) scene.load(0, chunk, null);
  scene.deliver();
  for (const rank of [0, 1]) {
    const positions = { start: 12 * rank, end: 12 * rank + 12 };
    const steps = { firstStep: 0, lastStep: 3 };
    const assignment = { id: mint(3, 1 + rank), epoch: 0, ...positions, ...steps };
    scene.say(rank, { type: "work", assignment });
    scene.compute(rank, 0);
  }
  return scene;
}

test("pushes that were on their way are sent again to the chunk's other primary, once each", () => {
  const scene = begun();
  assert.ok(scene.wire.every(({ server }) => server === 0));
  scene.rounds.place(1, [1]);
  const late = scene.wire.splice(0);
  const view = scene.agree({ chunk: 1, from: 0, to: 1 });
  assert.deepEqual(view.fences.map(shownId), ["3.1", "3.2"]);
  const again = scene.wire.filter(({ header }) => header.chunk === 1);
  assert.deepEqual(new Set(again.map(({ server }) => server)), new Set([1]));
  assert.ok(scene.wire.every(({ header }) => header.term === 3 && header.fence === view.number));
  scene.wire.unshift(...late);
  scene.deliver();
  // The old primary refuses the pushes that it is sent late, and holds those of the chunk it kept.
  assert.equal(scene.refusals.length, 2);
  assert.match(scene.refusals[0]!, /view 3\.1 is out of date for chunk 1: .* in view 3\.2/);
  assert.deepEqual(scene.applied, [["chunk 0: 4+4"], ["chunk 1: 4+4"]]);
  assert.deepEqual(scene.clocks(), [1, 1]);
  for (const step of [1, 2]) {
    for (const rank of [0, 1]) scene.compute(rank, step);
    scene.deliver();
  }
  const thrice = (chunk: number) => Array(3).fill(`chunk ${chunk}: 4+4`);
  assert.deepEqual(scene.applied, [thrice(0), thrice(1)]);
  assert.deepEqual(scene.clocks(), [3, 3]);
  assert.equal(scene.marksOf(1, 1).version, 3);
});

test("what the old primary had applied is not applied again by the other one", () => {
  const scene = begun();
  scene.deliver();
  for (const rank of [0, 1]) scene.compute(rank, 1);
  // One of two gradients of the step arrives, and is lost with what the old primary held.
  const [first, ...rest] = scene.wire.splice(0);
  scene.wire.push(first!);
  scene.deliver();
  scene.rounds.place(first!.header.chunk, [1]);
  scene.agree({ chunk: first!.header.chunk, from: 0, to: 1 });
  scene.wire.push(...rest);
  scene.deliver();
  assert.deepEqual(scene.clocks(), [2, 2]);
  const steps = scene.applied.flat().filter((line) => line.startsWith("chunk 1"));
  assert.deepEqual(steps, ["chunk 1: 4+4", "chunk 1: 4+4"]);
});

test("a server takes nothing of a lower term than its view's, whatever its fence says", () => {
  const scene = begun();
  const [push] = scene.wire;
  const header = { ...push!.header, term: 2 };
  const stale = { type: "push", header, slot: 0, finite: true, channel: -2 } as const;
  const effects = scene.serve(0, stale);
  const reply = effects.find((effect) => effect.type === "reply");
  assert.ok(reply?.type === "reply" && reply.header.outcome === "refused");
  assert.match(reply.header.detail, /term 2 is out of date: this is term 3/);
  const pull = {
    ...emptyHeader,
    run: "r",
    kind: "pull",
    rank: 0,
    incarnation: mint(3, 9),
  } as const;
  const asked = { ...pull, term: 2, fence: mint(3, 1), step: 0 };
  const [answer] = scene.serve(0, { type: "pull", header: asked, channel: -2 });
  assert.ok(answer?.type === "reply" && answer.header.outcome === "refused" && !answer.withWeights);
  scene.deliver();
  assert.deepEqual(scene.applied[0], ["chunk 1: 4+4", "chunk 0: 4+4"]);
});

test("servers and workers ignore a view of a lower term, however late its number", () => {
  const scene = begun();
  const standing = scene.rounds.standing!;
  const stale: View = { ...standing, number: mint(2, 99), workers: [], replicas: [[1], [1]] };
  const effects = scene.serve(0, { type: "view", view: stale });
  assert.deepEqual(
    effects.map(({ type }) => type),
    ["log"],
  );
  const [log] = effects;
  assert.ok(log?.type === "log" && /view 2\.99 is not after view 3\.1: ignored/.test(log.text));
  scene.wire.splice(0);
  for (const rank of [0, 1]) scene.say(rank, { type: "view", view: stale });
  assert.equal(scene.wire.length, 0, "nothing is sent again by it");
  scene.say(0, { type: "view", view: { ...standing, number: mint(4, 1) } });
  assert.ok(scene.wire.length > 0 && scene.wire.every(({ header }) => header.term === 4));
  assert.equal(termOf(scene.wire[0]!.header.fence), 4);
  assert.equal(scene.workers[0]!.statistics().clock, 0);
});
