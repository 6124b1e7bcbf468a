/** Which copy a worker has, as the server's machine decides, and the values of that copy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReceivedCopies } from "../core/server/received-copies.js";
import { Arena } from "../kernels/arena.js";
import { scalarConversions } from "../kernels/scalar-conversions.js";
import { layOut } from "../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { firstPhase } from "../protocol/view.js";
import { type ChosenCodec, RunCodecs } from "./run-codecs.js";
import { SentCopies, type SentDifference } from "./sent-copies.js";

const values = 40;
const layout = layOut([{ name: "w", shape: [values], group: "weight" }], 1000);
const workers = 3;

interface Worker {
  incarnation: number;
  step: number;
  version: number;
  copy: Float32Array;
  /** The weights are asked for, or the answer to a push is awaited. */
  waiting: boolean;
  /** Every push so far, and every pull, for those that come late or twice. */
  pushes: ChunkHeader[];
  pulls: ChunkHeader[];
  /** Whole weights are asked for. */
  pulling: boolean;
}

/** One chunk of a server, its workers, and whatever a network may do to their messages. */
class Trial {
  readonly arena = new Arena(1 << 20);
  readonly weights = new Float32Array(values);
  readonly chosen: ChosenCodec;
  readonly sent: SentCopies;
  readonly received: ReceivedCopies;
  readonly workers: Worker[] = [];
  version = 0;
  differences = 0;
  readonly #done: (() => void)[] = [];

  constructor(codec: "topk" | "onebit") {
    const pull = { codec, share: 0.1 };
    const spec: RunSpec = { ...sampleSpec, compression: { ...sampleSpec.compression, pull } };
    const codecs = new RunCodecs(spec, layout, scalarConversions);
    this.chosen = codecs.chosen(pull)!;
    this.received = new ReceivedCopies(workers, (_chunk, id) => this.sent.forget(id));
    this.sent = new SentCopies({
      arena: this.arena,
      codecs,
      lengthOf: () => values,
      weightsOf: () => this.weights,
    });
    for (let rank = 0; rank < workers; rank++) {
      this.workers.push(this.#born(rank));
      this.pull(rank);
    }
  }

  #born(incarnation: number): Worker {
    const copy = new Float32Array(values);
    const nothing = { pushes: [], pulls: [], pulling: false };
    return { incarnation, step: -1, version: -1, copy, waiting: false, ...nothing };
  }

  reborn(rank: number): void {
    this.workers[rank] = this.#born(this.workers[rank]!.incarnation + workers);
    this.pull(rank);
  }

  /** The worker, which has all it needs, asks for whole weights before its next step. */
  pull(rank: number): void {
    const worker = this.workers[rank]!;
    if (worker.waiting) return;
    worker.waiting = true;
    worker.pulling = true;
    const { incarnation, step } = worker;
    worker.pulls.push({ ...emptyHeader, kind: "pull", rank, incarnation, step: step + 1 });
    this.received.asked(worker.pulls.at(-1)!);
  }

  update(seed: number): void {
    this.version++;
    this.weights.forEach((value, index) => {
      this.weights[index] = value + Math.sin(seed + index * index);
    });
  }

  /** The worker pushes its next step, if it has what it needs; the push arrives. */
  push(rank: number): void {
    const worker = this.workers[rank]!;
    if (worker.waiting) return;
    worker.step++;
    worker.waiting = true;
    worker.pulling = false;
    const { incarnation, step, version } = worker;
    worker.pushes.push({ ...emptyHeader, kind: "push", rank, incarnation, step, version });
    this.received.heard(worker.pushes.at(-1)!);
  }

  /** Some push arrives again. */
  again(rank: number, which: number): void {
    const { pushes } = this.workers[rank]!;
    if (pushes.length > 0) this.received.heard(pushes[which % pushes.length]!);
  }

  /** Some pull arrives again. */
  pulledAgain(rank: number, which: number): void {
    const { pulls } = this.workers[rank]!;
    this.received.asked(pulls[which % pulls.length]!);
  }

  /** The server answers the pull, or the push of some step; the worker may never hear of it. */
  answer(rank: number, back: number, arrives: boolean): void {
    const worker = this.workers[rank]!;
    const wanted = worker.pulling ? -1 : worker.step;
    const step = back === 0 ? wanted : Math.max(-1, worker.step - back);
    const { incarnation } = worker;
    const header = { ...emptyHeader, rank, incarnation, step, version: this.version };
    const reply = this.#reply(header);
    if (reply !== null) this.#done.push(reply.done);
    if (step !== wanted || !worker.waiting) return;
    if (worker.pulling) assert.equal(reply, null, "a pull is answered with whole weights");
    if (reply !== null) {
      this.#demandDifference(worker, reply.bytes);
      this.differences++;
    }
    if (!arrives) return;
    if (reply === null) worker.copy.set(this.weights);
    else this.chosen.codec.accumulate(reply.bytes, worker.copy, 1);
    worker.version = this.version;
    worker.waiting = false;
  }

  #reply(header: ChunkHeader): SentDifference | null {
    const copy = this.received.sent(header);
    return copy === null ? null : this.sent.send(0, copy, this.chosen);
  }

  /** What goes out is the difference to what the worker really has. */
  #demandDifference(worker: Worker, bytes: Uint8Array): void {
    const difference = this.weights.map((value, index) => value - worker.copy[index]!);
    const expected = new Uint8Array(this.chosen.codec.sizes(values).max);
    const settings = { share: this.chosen.share, seed: 0 };
    const used = this.chosen.codec.encode(difference, expected, settings);
    assert.deepEqual([...bytes], [...expected.subarray(0, used)]);
  }

  endWrites(): void {
    for (const done of this.#done.splice(0)) done();
  }
}

type Move = readonly [kind: string, rank: number, number: number];
const rank = fc.nat({ max: workers - 1 });
const moves = fc.array(
  fc.oneof(
    fc.tuple(fc.constant("push"), rank, fc.constant(0)),
    fc.tuple(fc.constant("answer"), rank, fc.constant(0)),
    fc.tuple(fc.constant("update"), rank, fc.nat({ max: 1000 })),
    fc.tuple(fc.constantFrom("lost", "late", "again", "pulled"), rank, fc.nat({ max: 3 })),
    fc.tuple(fc.constantFrom("reborn", "written", "pull"), rank, fc.constant(0)),
  ),
  { maxLength: 120, size: "max" },
);

function play(trial: Trial, [kind, who, number]: Move): void {
  if (kind === "push") trial.push(who);
  if (kind === "answer") trial.answer(who, 0, true);
  if (kind === "lost") trial.answer(who, 0, false);
  if (kind === "late") trial.answer(who, 1 + number, false);
  if (kind === "again") trial.again(who, number);
  if (kind === "pull") trial.pull(who);
  if (kind === "pulled") trial.pulledAgain(who, number);
  if (kind === "update") trial.update(number);
  if (kind === "reborn") trial.reborn(who);
  if (kind === "written") trial.endWrites();
}

for (const codec of ["topk", "onebit"] as const) {
  test(`${codec}: a difference is to what the worker has, whatever is lost or comes twice`, () => {
    let differences = 0;
    fc.assert(
      fc.property(moves, (list) => {
        const trial = new Trial(codec);
        for (const move of list) play(trial, move);
        differences += trial.differences;
        trial.endWrites();
        trial.received.keepOnly({
          ...{ run: "r", number: 9, generation: 0, ...firstPhase({ mode: "bsp" }) },
          ...{ candidates: [], departing: [] },
          ...{ servers: [], workers: [], replicas: [], fences: [] },
        });
        assert.equal(trial.arena.usage().slots, 0, "everything is given back");
      }),
      { seed: 3, numRuns: 300 },
    );
    assert.ok(differences > 600, `${differences} differences were looked at`);
  });
}

test("workers in step share one copy, and what stands still is reached", () => {
  const trial = new Trial("topk");
  trial.update(1);
  const everybody = [0, 1, 2];
  for (const rank of everybody) trial.answer(rank, 0, true);
  assert.equal(trial.arena.usage().slots, 1, "one copy for all");
  trial.update(2);
  for (let step = 0; step < 10; step++) {
    for (const rank of everybody) trial.push(rank);
    for (const rank of everybody) trial.answer(rank, 0, true);
    trial.endWrites();
    trial.version++;
    const { slots } = trial.arena.usage();
    assert.ok(slots <= 4, `${slots} slots: two copies, each with its bytes`);
  }
  assert.equal(trial.differences, 30);
  for (const { copy } of trial.workers) {
    copy.forEach((value, index) => {
      assert.ok(Math.abs(value - trial.weights[index]!) < 1e-6, `${index}: ${value}`);
    });
  }
});

test("after a pull by all, what is sent is what a server that begins there would send", () => {
  for (const codec of ["topk", "onebit"] as const) {
    const everybody = [0, 1, 2];
    const unbroken = new Trial(codec);
    const take = (trial: Trial) => {
      for (const rank of everybody) trial.answer(rank, 0, true);
      trial.endWrites();
    };
    take(unbroken);
    for (let step = 0; step < 5; step++) {
      unbroken.update(step);
      for (const rank of everybody) unbroken.push(rank);
      take(unbroken);
    }
    assert.notDeepEqual(unbroken.workers[0]!.copy, unbroken.weights, "replies are differences");
    for (const rank of everybody) unbroken.pull(rank);
    const resumed = new Trial(codec);
    resumed.version = unbroken.version;
    resumed.weights.set(unbroken.weights);
    for (const trial of [unbroken, resumed]) take(trial);
    assert.equal(unbroken.arena.usage().slots, 1, "one copy for all");
    for (let step = 5; step < 9; step++) {
      for (const trial of [unbroken, resumed]) {
        trial.update(step);
        for (const rank of everybody) trial.push(rank);
        take(trial);
      }
      for (const rank of everybody) {
        assert.deepEqual(unbroken.workers[rank]!.copy, resumed.workers[rank]!.copy, codec);
      }
    }
  }
});
