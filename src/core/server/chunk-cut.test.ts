/** A chunk's part of a cut, by hand: when pushes wait, what its copy takes, when it is whole. */
import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { CutLimit } from "../../protocol/cut.js";
import { layOut } from "../../protocol/layout.js";
import { type ChunkMarks, emptyHeader } from "../../protocol/messages.js";
import { learningRate } from "../../protocol/schedule.js";
import { firstPhase, type View } from "../../protocol/view.js";
import { plainAsp, specOf } from "../testing/model-run.js";
import { Shard } from "./shard.js";
import type { ShardEffect, ShardEvent } from "./shard-events.js";

const layout = layOut([{ name: "w", shape: [1], group: "weight" }], 1);
const spec = specOf({ protocol: plainAsp });
const coordinator = 99;

/** A server with one chunk, whose workers 0 to 2 push, and what was told of its copies. */
class Bench {
  readonly #shard = new Shard({ index: 0, spec, layout });
  /** What was sent to the coordinator. */
  readonly answers: string[] = [];
  /** Steps that the chunk has applied, and that its copy has, as rank/step. */
  readonly applied: string[] = [];
  readonly copied: string[] = [];
  /** Learning rates of the copy's entries, and their versions. */
  readonly numbers: (readonly [lr: number, version: number])[] = [];
  /** The marks of its copy once that is whole. */
  whole: ChunkMarks[] = [];
  #slots = 0;
  #view = 0;
  readonly #whose = new Map<number, string>();

  constructor(readonly replicas: readonly number[] = [0]) {
    this.view([0, 1, 2]);
    const load = { type: "load", chunk: 0, generation: 0, part: "weights", slot: 7 } as const;
    this.step({ ...load, marks: null, channel: coordinator });
  }

  view(ranks: readonly number[]): void {
    const number = ++this.#view;
    const workers = ranks.map((rank) => ({ rank, incarnation: 10 + rank, fromStep: 0 }));
    const server = (index: number) => ({ index, incarnation: 1, address: "", frames: null });
    const view: View = {
      ...{ run: "r", number, generation: 0, ...firstPhase(plainAsp), fences: [1] },
      ...{ candidates: [], departing: [], replicas: [this.replicas], workers },
      servers: [0, 1].map(server),
    };
    this.step({ type: "view", view });
  }

  /** True where it was answered. */
  push(rank: number, step: number): boolean {
    const slot = 100 + this.#slots++;
    this.#whose.set(slot, `${rank}/${step}`);
    const header = {
      ...emptyHeader,
      ...({ kind: "push", run: "r", rank, incarnation: 10 + rank, step } as const),
      ...{ fence: 1, examples: 4, leads: true, wantsReply: true },
    };
    const effects = this.step({ type: "push", header, slot, finite: true, channel: rank });
    return effects.some((effect) => effect.type === "reply" && effect.channel === rank);
  }

  mark(channel = coordinator): void {
    this.step({ type: "mark", chunk: 0, channel });
  }

  cut(limits: readonly (readonly [rank: number, step: number])[]): void {
    const whole: CutLimit[] = limits.map(([rank, step]) => {
      return { rank, incarnation: 10 + rank, step, usedStep: step, used: 0 };
    });
    this.step({ type: "cut", chunk: 0, channel: coordinator, limits: whole });
  }

  /** Who follows says what it has. */
  acknowledge(seq: number): void {
    const tags = { run: "r", rank: 1, incarnation: 1, fence: 1, step: seq };
    const header = { ...emptyHeader, ...tags };
    if (seq === 0) {
      this.step({ type: "follow", header: { ...header, kind: "follow" }, channel: 50 });
    }
    this.step({ type: "received", header: { ...header, kind: "received" }, channel: 50 });
  }

  step(event: ShardEvent): ShardEffect[] {
    const effects = this.#shard.step(event, 0);
    for (const effect of effects) this.#note(effect);
    return effects;
  }

  #note(effect: ShardEffect): void {
    if (effect.type === "apply") this.applied.push(this.#whose.get(effect.entry.gradient)!);
    if (effect.type === "applyToCopy") {
      assert.equal(effect.channel, coordinator);
      this.copied.push(this.#whose.get(effect.entry.gradient)!);
      this.numbers.push([effect.entry.lr, effect.entry.version]);
    }
    if (effect.type === "closeCopy")
      this.whole.push(JSON.parse(effect.header.detail) as ChunkMarks);
    if (effect.type === "reply" && effect.channel === coordinator) {
      const { kind, version, outcome } = effect.header;
      if (kind !== "loaded") this.answers.push(`${kind} ${version} ${outcome}`);
    }
  }

  get activity(): string {
    return this.#shard.activity();
  }
}

describe("a chunk that is marked for a cut", () => {
  let bench = new Bench();
  beforeEach(() => {
    bench = new Bench();
    for (const rank of [0, 1, 2]) bench.push(rank, 0);
    bench.mark();
  });

  test("has pushes wait until the limits are known, and then takes them", () => {
    assert.deepEqual(bench.answers, ["copied 3 none"]);
    assert.equal(bench.push(0, 1), false);
    assert.equal(bench.activity, "chunk 0 waits for the limits of a cut");
    bench.cut([
      [0, 0],
      [1, 0],
      [2, 0],
    ]);
    assert.deepEqual(bench.applied.at(-1), "0/1");
    assert.deepEqual(bench.copied, []);
    assert.deepEqual(bench.answers, ["copied 3 none", "copied 3 none"]);
    assert.equal(bench.whole[0]?.version, 3, "its copy is without it");
  });

  test("gives its copy what is late, holds up nobody for it, and is whole with the last", () => {
    bench.cut([
      [0, 0],
      [1, 1],
      [2, 1],
    ]);
    assert.ok(bench.push(0, 1) && bench.push(0, 2), "who is beyond its limit goes on");
    assert.deepEqual(bench.copied, []);
    assert.ok(bench.push(2, 1));
    assert.ok(bench.push(2, 2));
    assert.equal(bench.whole.length, 0);
    assert.ok(bench.push(1, 1));
    assert.deepEqual(bench.copied, ["2/1", "1/1"]);
    const steps = bench.whole[0]!.applied.map(({ rank, step }) => [rank, step]);
    assert.deepEqual(steps, [
      [0, 0],
      [1, 1],
      [2, 1],
    ]);
    assert.deepEqual(bench.answers, ["copied 3 none", "copied 5 none"]);
    assert.ok(bench.push(1, 2));
    assert.equal(bench.copied.length, 2, "it takes no more");
  });

  test("numbers what is late as the copy has it", () => {
    bench.cut([[1, 1]]);
    bench.push(0, 1);
    bench.push(0, 2);
    bench.push(1, 1);
    assert.deepEqual(bench.numbers, [[learningRate(spec.schedule, 12), 4]]);
    assert.deepEqual([bench.whole[0]?.version, bench.whole[0]?.examples], [4, 16]);
    assert.equal(bench.whole[0]?.counts?.pushes, 4);
  });

  test("waits for no worker that a view has no more", () => {
    bench.cut([
      [0, 1],
      [1, 1],
    ]);
    bench.push(0, 1);
    assert.equal(bench.whole.length, 0);
    bench.view([0, 2]);
    assert.equal(bench.whole[0]?.version, 4);
    assert.deepEqual(
      bench.whole[0]?.applied.map(({ rank, step }) => [rank, step]),
      [
        [0, 1],
        [1, 0],
        [2, 0],
      ],
    );
  });

  test("goes on when the channel that had it marked has ended, and refuses its limits", () => {
    assert.equal(bench.push(0, 1), false);
    bench.step({ type: "closed", channel: 98 });
    assert.equal(bench.applied.at(-1), "2/0", "not for another's end");
    bench.step({ type: "closed", channel: coordinator });
    assert.equal(bench.applied.at(-1), "0/1");
    bench.cut([[0, 0]]);
    assert.deepEqual(bench.answers.at(-1), "reply 1 refused");
    assert.equal(bench.whole.length, 0);
  });
});

test("a chunk is marked when its entry is committed, before the next one is made", () => {
  const bench = new Bench([0, 1]);
  bench.acknowledge(0);
  bench.push(0, 0);
  bench.mark();
  bench.push(1, 0);
  assert.deepEqual(bench.answers, []);
  bench.acknowledge(1);
  assert.deepEqual(bench.answers, ["copied 1 none"]);
  assert.deepEqual(bench.applied, ["0/0"]);
  bench.cut([
    [0, 0],
    [1, 0],
  ]);
  assert.deepEqual(bench.copied, [], "what is not committed is in no copy");
  bench.acknowledge(2);
  assert.deepEqual(bench.copied, ["1/0"]);
  assert.equal(bench.whole[0]?.version, 2);
});
