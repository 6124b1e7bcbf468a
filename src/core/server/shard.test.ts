/** A server by hand: chunks that views give and take, loads that come twice, beats kept apart. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Departure } from "../../protocol/assignment-report.js";
import { layOut } from "../../protocol/layout.js";
import { type ChunkHeader, type ChunkMarks, emptyHeader } from "../../protocol/messages.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { learningRate } from "../../protocol/schedule.js";
import { firstPhase, type View, workersGone } from "../../protocol/view.js";
import { specOf } from "../testing/model-run.js";
import { type Entry, heldVerdict } from "./entry.js";
import { Shard } from "./shard.js";
import type { ShardEffect, ShardEvent } from "./shard-events.js";

const layout = layOut([{ name: "w", shape: [2], group: "weight" }], 1);
const started: ChunkMarks = { version: 4, examples: 16, sealedStep: 3, applied: [] };

interface ViewParts {
  readonly workers?: readonly number[];
  readonly fromSteps?: readonly number[];
  readonly primaries?: readonly number[];
  readonly generation?: number;
}

/** What the other server has of each chunk: nothing, or a copy that acknowledges. */
type Copy = "none" | "at once" | "later";

/** Server 0 of two, which has both chunks at first; what it does is kept as lines. */
class Bench {
  readonly entries: Entry[] = [];
  /** Slots that the machine has, and the values of chunks. */
  readonly slots = new Set<number>();
  readonly #shard: Shard;
  readonly #copy: Copy;
  readonly #protocol: Protocol;
  #slotIds = 0;
  #view = 0;
  #held: View | null = null;

  constructor(extra: Partial<RunSpec> = {}, copy: Copy = "none") {
    const spec = specOf({ protocol: { mode: "bsp" }, ...extra });
    this.#copy = copy;
    this.#protocol = spec.protocol;
    this.#shard = new Shard({ index: 0, spec, layout });
  }

  view(parts: ViewParts = {}): string[] {
    const { workers = [0, 1], fromSteps = [0, 0], primaries = [0, 0], generation = 0 } = parts;
    const number = ++this.#view;
    const where = { address: "", frames: null };
    const lives = workers.map((rank) => {
      return { rank, incarnation: 10 + rank, fromStep: fromSteps[rank]! };
    });
    const departing = workersGone(this.#held, lives);
    const view: View = {
      ...{ run: "r", number, generation, ...firstPhase(this.#protocol), fences: [1, 1] },
      ...{ candidates: [], departing },
      replicas: primaries.map((primary) =>
        this.#copy !== "none" ? [primary, 1 - primary] : [primary],
      ),
      servers: [0, 1].map((index) => ({ index, incarnation: 1, ...where })),
      workers: lives,
    };
    this.#held = view;
    return this.#step({ type: "view", view });
  }

  load(chunk: number, about: { generation?: number; marks?: ChunkMarks | null } = {}): string[] {
    const { generation = 0, marks = null } = about;
    const slot = this.#slot();
    const load = { type: "load", chunk, generation, part: "weights", slot, marks } as const;
    return this.#step({ ...load, channel: 99 });
  }

  /** The other server asks for a chunk, and takes the snapshot. */
  follow(chunk: number): string[] {
    const header = { ...this.#follower(chunk), kind: "follow" } as const;
    return [...this.#step({ type: "follow", header, channel: 50 }), ...this.acknowledge(chunk, 0)];
  }

  push(rank: number, step: number, about: Partial<ChunkHeader> & { channel?: number } = {}) {
    const { channel = rank, ...rest } = about;
    const header = {
      ...this.#tags(rank, step),
      kind: "push",
      examples: 4,
      leads: true,
      ...rest,
    } as const;
    const slot = header.examples === 0 ? -1 : this.#slot();
    return this.#step({ type: "push", header, slot, finite: true, channel });
  }

  pull(
    rank: number,
    step: number,
    { channel = rank, ...about }: Partial<ChunkHeader> & { channel?: number } = {},
  ): string[] {
    const header = { ...this.#tags(rank, step), kind: "pull", ...about } as const;
    return this.#step({ type: "pull", header, channel });
  }

  acknowledge(chunk: number, seq: number): string[] {
    const header = { ...this.#follower(chunk), kind: "received", step: seq } as const;
    return this.#step({ type: "received", header, channel: 50 });
  }

  #follower(chunk: number): ChunkHeader {
    const tags = { run: "r", rank: 1, incarnation: 1, fence: 1, chunk };
    return { ...emptyHeader, ...tags };
  }

  save(chunk: number): string[] {
    return this.#step({ type: "copy", chunk, channel: 99 });
  }

  activity(): string {
    return this.#shard.activity();
  }

  #tags(rank: number, step: number): ChunkHeader {
    const identity = { rank, incarnation: 10 + rank };
    return { ...emptyHeader, run: "r", ...identity, step, fence: this.#view, wantsReply: true };
  }

  #slot(): number {
    this.slots.add(this.#slotIds);
    return this.#slotIds++;
  }

  #step(event: ShardEvent): string[] {
    const effects = this.#shard.step(event, 0);
    const lines = effects.map((effect) => this.#shown(effect));
    if (this.#copy !== "at once") return lines;
    for (const effect of effects) {
      if (effect.type !== "sendEntry") continue;
      lines.push(...this.acknowledge(effect.entry.chunk, effect.entry.seq));
    }
    return lines;
  }

  #shown(effect: ShardEffect): string {
    switch (effect.type) {
      case "fold":
        return `fold ${effect.gradients.map(({ slot }) => slot).join(" ")}`;
      case "apply":
        return `apply ${effect.entry.gradient} to chunk ${effect.entry.chunk}`;
      case "release":
        assert.ok(this.slots.delete(effect.slot), "a slot is released once");
        return `release ${effect.slot}`;
      case "install":
        assert.ok(this.slots.delete(effect.slot));
        return `install chunk ${effect.chunk}`;
      case "forget":
        return `forget chunk ${effect.chunk}`;
      case "reply": {
        const { kind, step, pull, outcome, version, fence, detail } = effect.header;
        if (kind === "loaded") return "loaded";
        if (outcome === "refused")
          return `${effect.channel}: refused by ${version}, ${fence}: ${detail}`;
        const what = pull > 0 ? `pull ${pull}` : `step ${step} ${outcome}`;
        return `${effect.channel}: ${what}, version ${version}`;
      }
      case "keepCopy":
        return `copy ${effect.header.detail}`;
      case "sendEntry":
        this.entries.push(effect.entry);
        return `entry ${effect.entry.seq} to 1`;
      case "viewAck":
        return ["acknowledged", ...effect.departed.map(goneOf)].join("; ");
      default:
        return effect.type;
    }
  }
}

function goneOf({ rank, stepMin, stepMax }: Departure): string {
  return `${rank} went after ${stepMin}..${stepMax}`;
}

function loaded(extra: Partial<RunSpec> = {}, copy: Copy = "none"): Bench {
  const bench = new Bench(extra, copy);
  bench.view();
  bench.load(0);
  bench.load(1);
  if (copy !== "none") for (const chunk of [0, 1]) bench.follow(chunk);
  return bench;
}

describe("a chunk that a view gives to another server", () => {
  test("is given up with what is held and who waits, who are told of the view", () => {
    const bench = loaded();
    bench.push(0, 0);
    bench.pull(1, 1);
    assert.deepEqual(bench.view({ primaries: [1, 0] }), [
      "0: refused by 2, 1: chunk 0 is not held here: server 1 has it in view 0.2",
      "1: refused by 2, 1: chunk 0 is not held here: server 1 has it in view 0.2",
      "release 2",
      "forget chunk 0",
      "acknowledged",
    ]);
    assert.equal(bench.slots.size, 0);
  });

  test("is refused to later pushes, pulls, loads and saves", () => {
    const bench = loaded();
    bench.view({ primaries: [1, 0] });
    const refused = "chunk 0 is not held here: server 1 has it in view 0.2";
    assert.deepEqual(bench.push(0, 0), ["release 2", `0: refused by 2, 2: ${refused}`]);
    assert.deepEqual(bench.pull(0, 0), [`0: refused by 2, 2: ${refused}`]);
    assert.deepEqual(bench.load(0), ["release 3", `99: refused by 2, 0: ${refused}`]);
    assert.deepEqual(bench.save(0), [`99: refused by 2, 0: ${refused}`]);
    assert.deepEqual(bench.push(0, 0, { chunk: 1 }), [], "the other chunk goes on");
  });

  test("waits for its load when a view gives it back, and so do pushes to it", () => {
    const bench = loaded();
    bench.view({ primaries: [1, 0] });
    assert.deepEqual(bench.view(), ["acknowledged"]);
    assert.equal(bench.activity(), "chunk 0 is not loaded");
    assert.deepEqual(bench.push(0, 4), []);
    assert.deepEqual(bench.push(1, 4), []);
    assert.deepEqual(bench.save(0), ["99: refused by 3, 0: chunk 0 is not loaded"]);
    assert.deepEqual(bench.load(0, { marks: started }), [
      "install chunk 0",
      "loaded",
      "fold 2 3",
      "release 3",
      "apply 2 to chunk 0",
      "release 2",
      "0: step 4 applied, version 5",
      "1: step 4 applied, version 5",
    ]);
  });

  test("is given up with the entry that is not committed", () => {
    const bench = loaded({}, "later");
    bench.push(0, 0);
    bench.push(1, 0);
    assert.ok(bench.view({ primaries: [1, 0] }).includes("release 2"));
    assert.deepEqual(bench.acknowledge(0, 1), []);
    assert.equal(bench.slots.size, 0);
  });
});

describe("a load", () => {
  test("that comes again, in any part, changes nothing", () => {
    const bench = loaded();
    bench.push(0, 0);
    bench.push(1, 0);
    assert.deepEqual(bench.load(0, { marks: started }), ["release 4", "loaded"]);
    assert.deepEqual(bench.pull(0, 1), ["0: step -1 none, version 1"]);
  });

  test("of a higher generation begins the chunk anew", () => {
    const bench = loaded();
    bench.push(0, 0);
    assert.deepEqual(bench.load(0, { generation: 1, marks: started }), [
      "release 2",
      "forget chunk 0",
      "install chunk 0",
      "loaded",
    ]);
    assert.match(bench.save(0)[0]!, /"version":4/);
    assert.deepEqual(bench.push(0, 4), [], "a push of the old one waits for the view");
    const [first, ...rest] = bench.view({ generation: 1 });
    assert.equal(first, "forget chunk 1", "the view that follows keeps what is loaded");
    assert.match(rest.at(-1)!, /0: refused by 2, 1: generation 0 has been rolled back/);
    assert.match(bench.save(0)[0]!, /"version":4/);
  });

  test("of a generation that was rolled back is refused", () => {
    const bench = loaded();
    assert.deepEqual(bench.view({ generation: 1 }), [
      "forget chunk 0",
      "forget chunk 1",
      "acknowledged",
    ]);
    assert.match(bench.load(0)[1]!, /generation 0 has been rolled back: this is generation 1/);
    assert.equal(bench.activity(), "chunk 0 is not loaded");
    assert.deepEqual(bench.push(0, 0, { generation: 1 }), [], "a push waits for the load");
    assert.deepEqual(bench.load(0, { generation: 1 }), ["install chunk 0", "loaded"]);
    assert.deepEqual(bench.push(1, 0, { generation: 1 }).slice(1, 3), [
      "release 5",
      "apply 3 to chunk 0",
    ]);
  });
});

describe("the beats of a step", () => {
  test("nothing leaves between entry and commit, and later pushes wait", () => {
    const bench = loaded({}, "later");
    bench.push(0, 0);
    assert.deepEqual(bench.push(1, 0), ["fold 2 3", "release 3", "entry 1 to 1"]);
    assert.equal(bench.activity(), "entry 1 of chunk 0 is not committed: waiting for server 1");
    assert.deepEqual(bench.pull(0, 0), ["0: step -1 none, version 0"]);
    assert.deepEqual(bench.save(0), [], "what is saved is what is committed");
    assert.deepEqual(bench.push(1, 0, { channel: 7 }), [], "also one that comes again");
    assert.deepEqual(bench.acknowledge(0, 2), [], "it is another entry that is waited for");
    assert.deepEqual(bench.acknowledge(0, 1), [
      "apply 2 to chunk 0",
      "release 2",
      "0: step 0 applied, version 1",
      "1: step 0 applied, version 1",
      'copy {"version":1,"examples":8,"sealedStep":0,"applied":[' +
        '{"rank":0,"incarnation":10,"step":0,"used":4},' +
        '{"rank":1,"incarnation":11,"step":0,"used":4}],"counts":' +
        '{"pushes":2,"rejected":0,"stalenessSum":0,"stalenessMax":0,"stalenessCounts":[]}}',
      "99: step 1 none, version 1",
      "release 4",
      "7: step 0 duplicate, version 1",
    ]);
    assert.deepEqual(bench.acknowledge(0, 1), [], "an entry is committed once");
  });

  test("an entry is plain data: place, marks, gradient, numbers", () => {
    const bench = loaded({}, "at once");
    bench.push(1, 0, { examples: 2 });
    bench.push(0, 0);
    bench.push(1, 1, { examples: 0 });
    bench.push(0, 1, { examples: 0 });
    const marksOf = (step: number, examples: readonly number[]) =>
      [0, 1].map((rank) => {
        const about = { step, examples: examples[rank]!, verdict: heldVerdict };
        return { rank, incarnation: 10 + rank, ...about };
      });
    const { lr } = bench.entries[0]!;
    assert.ok(lr > 0);
    const common = { chunk: 0, scale: 1, momentum: 0, staleness: null };
    const sealed = { sealedStep: 0, gradient: 3, pushes: 2, examples: 6 };
    const first = { seq: 1, marks: marksOf(0, [4, 2]), ...sealed };
    assert.deepEqual(bench.entries[0], { ...common, ...first, lr, version: 1 });
    const second = { seq: 2, marks: marksOf(1, [0, 0]), sealedStep: 1, gradient: -1 };
    assert.deepEqual(bench.entries[1], {
      ...common,
      ...second,
      ...{ pushes: 0, examples: 0, lr: bench.entries[1]!.lr, version: 1 },
    });
  });

  test("a push that is rejected is an entry that changes marks only", () => {
    const staleness = { rule: "reject", scale: 0, floor: 0, max: 0 };
    const bench = loaded({ protocol: { mode: "asp", staleness } }, "at once");
    bench.push(0, 0);
    bench.push(1, 0);
    assert.deepEqual(
      bench.entries.map(({ seq, marks, gradient, version }) => [
        seq,
        marks[0]!.rank,
        gradient,
        version,
      ]),
      [
        [1, 0, 2, 1],
        [2, 1, -1, 1],
      ],
    );
  });
});

test("who asks again over an older channel is answered over the newer one", () => {
  const bench = loaded();
  bench.push(0, 0, { channel: 5 });
  bench.push(0, 0, { channel: 4 });
  assert.ok(bench.push(1, 0, { channel: 6 }).includes("5: step 0 applied, version 1"));
});

test("an answer has the number of its pull, of two that wait that of the later one", () => {
  const bench = loaded();
  assert.deepEqual(bench.pull(0, 0, { pull: 3 }), ["0: pull 3, version 0"]);
  bench.push(0, 0, { channel: 5 });
  bench.pull(0, 1, { pull: 5, channel: 5 });
  bench.pull(0, 1, { pull: 4, channel: 4 });
  assert.ok(bench.push(1, 0).includes("5: pull 5, version 1"));
});

test("what is held of a removed worker is dropped, and it went after its last entry", () => {
  const bench = loaded();
  bench.push(0, 0);
  bench.push(1, 0);
  bench.push(1, 1);
  assert.deepEqual(bench.view({ workers: [0] }), ["release 4", "acknowledged; 1 went after -1..0"]);
  assert.deepEqual(bench.push(0, 1), [
    "fold 5",
    "apply 5 to chunk 0",
    "release 5",
    "0: step 1 applied, version 2",
  ]);
});

describe("a push that comes again", () => {
  const staleness = { rule: "reject", scale: 0, floor: 0, max: 0 };

  test("is answered with the verdict of the first time", () => {
    const bench = loaded({ protocol: { mode: "asp", staleness } }, "at once");
    bench.push(0, 0);
    const verdict = "1: step 0 rejected, version 1";
    assert.ok(bench.push(1, 0).includes(verdict));
    assert.ok(bench.push(1, 0).includes(verdict));
    assert.ok(bench.push(0, 0).includes("0: step 0 duplicate, version 1"));
    assert.equal(bench.entries.length, 2, "nothing is entered again");
  });

  test("is so on the server that has the chunk by then", () => {
    const bench = loaded({ protocol: { mode: "asp", staleness } });
    bench.push(0, 0);
    bench.push(1, 0);
    const saved = bench.save(0).join();
    assert.match(saved, /"rank":1,"incarnation":11,"step":0,"outcome":"rejected"/);
    const marks = JSON.parse(/{"version.*}/.exec(saved)![0]) as ChunkMarks;
    const other = new Bench({ protocol: { mode: "asp", staleness } });
    other.view();
    for (const chunk of [0, 1]) other.load(chunk, { marks });
    assert.ok(other.push(1, 0).includes("1: step 0 rejected, version 1"));
    assert.ok(other.push(0, 0).includes("0: step 0 duplicate, version 1"));
    assert.equal(other.entries.length, 0);
  });

  test("and was dropped is dropped again, and never counts as used", () => {
    const bench = new Bench();
    bench.view();
    for (const chunk of [0, 1]) bench.load(chunk, { marks: started });
    for (const _ of [1, 2]) {
      assert.ok(bench.push(1, 2).includes("1: step 2 dropped, version 4"));
    }
    assert.ok(bench.view({ workers: [0] }).includes("acknowledged; 1 went after -1..-1"));
  });
});

test("a learning rate that grows with the workers counts those whose first step has come", () => {
  const bench = new Bench({ lrScaling: "linear", workersMax: 2 }, "at once");
  bench.view({ fromSteps: [0, 2] });
  for (const chunk of [0, 1]) bench.load(chunk);
  bench.follow(0);
  for (const step of [0, 1, 2]) bench.push(0, step);
  bench.push(1, 2);
  const [first, second, third] = bench.entries.map(({ lr }) => lr);
  const { schedule } = specOf({ protocol: { mode: "bsp" } });
  assert.equal(first! * 2, learningRate(schedule, 0));
  assert.ok(Math.abs(second! / first! - 1) < 0.1);
  assert.ok(Math.abs(third! / second! - 2) < 0.1);
});
