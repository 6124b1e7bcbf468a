import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { Compression } from "../../protocol/compression.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { localSpec } from "../../protocol/testing/local-run.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import type { View } from "../../protocol/view.js";
import { assignment, Bench, layout, outcome, spec, view } from "../testing/worker-bench.js";
import { Worker } from "./worker.js";
import type { WorkerEffect } from "./worker-events.js";

function computeOf(effects: readonly WorkerEffect[]) {
  return effects.find((effect) => effect.type === "compute") ?? null;
}

describe("a worker whose chunks are on their way", () => {
  let bench = new Bench();
  beforeEach(() => {
    bench = new Bench();
  });

  test("begins the next step of its assignment with what it lacks, and names the one after", () => {
    const first = computeOf(bench.begin());
    assert.deepEqual(first?.lacking, []);
    assert.deepEqual(first?.next, { step: 1, epoch: 0, range: { start: 4, end: 8 } });
    bench.give({ type: "chunkReady", step: 0, chunk: 2 });
    bench.reply(0, 2);
    for (const chunk of [1, 0]) bench.give({ type: "chunkReady", step: 0, chunk });
    const ahead = computeOf(bench.give({ type: "computed", step: 0, outcome }));
    assert.deepEqual(ahead, {
      type: "compute",
      step: 1,
      epoch: 0,
      range: { start: 4, end: 8 },
      lacking: [0, 1],
      next: { step: 2, epoch: 0, range: { start: 8, end: 10 } },
    });
  });

  test("tells of each chunk that arrives, once, and wants it until then", () => {
    bench.begin();
    bench.compute(0);
    const header = { ...emptyHeader, run: "r", incarnation: 7, step: 0, chunk: 1 };
    assert.equal(bench.machine.wants(header), true);
    assert.deepEqual(bench.reply(0, 1), [{ type: "arrived", chunk: 1 }]);
    assert.equal(bench.machine.wants(header), false);
    assert.deepEqual(bench.reply(0, 1), []);
    assert.equal(bench.machine.statistics().clock, 0);
    for (const chunk of [0, 2]) bench.reply(0, chunk);
    assert.equal(bench.machine.statistics().clock, 1);
  });

  test("pushes what it computed with the versions that arrived", () => {
    bench.begin();
    bench.compute(0);
    for (const chunk of [0, 1, 2]) bench.reply(0, chunk);
    const [push] = bench.give({ type: "chunkReady", step: 1, chunk: 2 });
    assert.ok(push?.type === "push");
    assert.deepEqual([push.header.step, push.header.version], [1, 1]);
  });

  test("sends again, over a link that was mended, the pushes of the step before", () => {
    bench.begin();
    bench.compute(0);
    bench.reply(0, 1);
    const again = bench.give({ type: "channelOpen", server: 0 });
    const pushes = again.flatMap((effect) => (effect.type === "push" ? [effect.header] : []));
    assert.deepEqual(
      pushes.map(({ step, chunk, version }) => [step, chunk, version]),
      [
        [0, 2, 0],
        [0, 0, 0],
      ],
    );
  });

  test("counts as waiting only what its computing waited", () => {
    bench.begin();
    bench.compute(0);
    for (const chunk of [0, 1, 2]) bench.reply(0, chunk);
    for (const chunk of [2, 1, 0]) bench.give({ type: "chunkReady", step: 1, chunk });
    const waited = { ...outcome, waitSeconds: 0.02, inputSeconds: 0.01 };
    bench.give({ type: "computed", step: 1, outcome: waited });
    const { waitSeconds, inputSeconds, computeSeconds } = bench.machine.statistics();
    assert.equal(waitSeconds, 0.02);
    assert.equal(inputSeconds, 0.01);
    // Both steps took 40 and 70 ms of the clock.
    assert.ok(Math.abs(computeSeconds - 0.08) < 1e-9, `${computeSeconds}`);
  });

  test("says, asked to pause, that it is in the step it has begun, and goes no further", () => {
    bench.begin();
    bench.compute(0);
    const [said] = bench.give({ type: "message", message: { type: "pause", pause: 1 } });
    assert.deepEqual(said, { type: "tell", message: { type: "pausing", pause: 1, step: 1 } });
    bench.give({ type: "message", message: { type: "pauseAt", pause: 1, step: 1 } });
    for (const chunk of [0, 1, 2]) bench.reply(0, chunk);
    assert.equal(computeOf(bench.compute(1)), null);
    const told = [0, 1, 2].flatMap((chunk) => bench.reply(1, chunk));
    const paused = { type: "paused", pause: 1, position: 8, step: 2 };
    assert.deepEqual(told.at(-1), { type: "tell", message: paused });
  });

  test("rests before the limit that it was told, when it is told a lower one", () => {
    bench.begin();
    for (const step of [0, 1, 2]) {
      bench.compute(step);
      for (const chunk of [0, 1, 2]) bench.reply(step, chunk);
    }
    bench.give({ type: "message", message: { type: "pause", pause: 1 } });
    const limitAt = (step: number) =>
      bench.give({ type: "message", message: { type: "pauseAt", pause: 1, step } });
    assert.deepEqual(limitAt(4), [], "it waits for work up to there");
    const paused = { type: "paused", pause: 1, position: -1, step: 3 };
    assert.deepEqual(limitAt(2), [{ type: "tell", message: paused }]);
  });

  test("evaluates between two steps first, with all chunks there", () => {
    bench.begin();
    const range = { start: 0, end: 5 };
    bench.give({ type: "message", message: { type: "evaluate", evaluation: 1, range } });
    assert.equal(computeOf(bench.compute(0)), null);
    const effects = [0, 1, 2].flatMap((chunk) => bench.reply(0, chunk));
    const pulled = effects.map((effect) => effect.type === "pull" && effect.header.step);
    assert.deepEqual(pulled, [-1, -1, -1], "the model as it is, which starts no step");
    const fetched = [0, 1, 2].flatMap((chunk) => bench.reply(-1, chunk));
    assert.deepEqual(fetched, [{ type: "evaluate", range }]);
  });

  test("begins no step past its assignment, and none on examples that are sent", () => {
    bench.begin();
    for (const step of [0, 1]) {
      bench.compute(step);
      for (const chunk of [0, 1, 2]) bench.reply(step, chunk);
    }
    assert.equal(computeOf(bench.compute(2)), null);
    const central = new Bench();
    central.begin("central");
    assert.equal(computeOf(central.compute(0)), null);
    const effects = [0, 1, 2].flatMap((chunk) => central.reply(0, chunk));
    assert.deepEqual(computeOf(effects)?.lacking, []);
  });

  test("forgets both steps when it is stopped", () => {
    bench.begin();
    bench.compute(0);
    const stop = {
      type: "stop",
      outcome: "failed",
      reason: "server-0 is lost",
      stay: true,
      afterStep: false,
    } as const;
    const effects = bench.give({ type: "message", message: stop });
    assert.equal(effects.at(-1)?.type, "finish");
    assert.deepEqual(bench.reply(0, 1), []);
  });
});

describe("a worker that is told to leave after its step", () => {
  const how = { outcome: "interrupted", reason: "worker-0 drained", stay: false } as const;
  const leave = { type: "message", message: { type: "stop", ...how, afterStep: true } } as const;

  test("completes it, begins no other, and leaves", () => {
    const bench = new Bench();
    bench.begin();
    assert.deepEqual(bench.give(leave), [], "it is computing");
    assert.equal(computeOf(bench.compute(0)), null, "no step is begun ahead");
    const effects = [0, 1, 2].flatMap((chunk) => bench.reply(0, chunk));
    assert.equal(computeOf(effects), null);
    const told = effects.flatMap((effect) => (effect.type === "tell" ? [effect.message.type] : []));
    assert.deepEqual(told, ["leave"]);
    assert.equal(effects.at(-1)?.type, "finish");
  });

  test("leaves at once where it is in none, or where the run ends meanwhile", () => {
    const idle = new Bench();
    assert.equal(idle.give(leave).at(-1)?.type, "finish");
    const bench = new Bench();
    bench.begin();
    bench.give(leave);
    const ended = { ...leave, message: { ...leave.message, afterStep: false } };
    const effects = bench.give(ended);
    assert.equal(effects.filter(({ type }) => type === "finish").length, 1);
  });
});

describe("a worker at a checkpoint's barrier", () => {
  const barrier = { type: "message", message: { type: "barrier", barrier: 4 } } as const;
  const give = { type: "giveResiduals", barrier: 4 };
  const given = { type: "residualsGiven", barrier: 4, chunks: 3, problem: "" } as const;
  const taken = { type: "barrierReached", barrier: 4, residuals: 3, problem: "" };
  const differences = { codec: "topk", share: 0.1 } as const;

  /** A worker that has taken every step of its assignment. */
  function rested(pull: Compression = spec.compression.pull): Bench {
    const bench = new Bench();
    bench.begin("static", { ...spec.compression, pull });
    for (const step of [0, 1, 2]) {
      bench.compute(step);
      for (const chunk of [0, 1, 2]) bench.reply(step, chunk);
    }
    return bench;
  }

  test("gives its residuals, says so, and takes no step in between", () => {
    const bench = rested();
    assert.deepEqual(bench.give(barrier), [give]);
    assert.match(bench.machine.activity(), /^giving its residuals before step 3$/);
    const next = { ...assignment, id: 2, firstStep: 3, lastStep: 4 };
    assert.deepEqual(
      bench.give({ type: "message", message: { type: "work", assignment: next } }),
      [],
    );
    assert.deepEqual(bench.give({ ...given, barrier: 3 }), []);
    const [told, begun] = bench.give(given);
    assert.deepEqual(told, { type: "tell", message: taken });
    assert.equal(begun?.type, "compute");
  });

  test("takes whole weights first where replies are differences, for the step to come", () => {
    const bench = rested(differences);
    const pulls = bench.give(barrier);
    const steps = pulls.map((effect) => (effect.type === "pull" ? effect.header.step : null));
    assert.deepEqual(steps, [3, 3, 3]);
    bench.reply(-1, 0);
    assert.equal(bench.give({ type: "channelOpen", server: 0 }).length, 2, "asked for again");
    assert.deepEqual([...bench.reply(-1, 1), ...bench.reply(-1, 2)], [give]);
    const [told] = bench.give({ ...given, chunks: 0, problem: "no way" });
    const without = { ...taken, residuals: 0, problem: "no way" };
    assert.deepEqual(told, { type: "tell", message: without });
  });

  test("finishes an evaluation before, and rests on when it is paused", () => {
    const bench = rested(differences);
    bench.give({ type: "message", message: { type: "pause", pause: 1 } });
    const limit = { type: "pauseAt", pause: 1, step: 2 } as const;
    const paused = { type: "paused", pause: 1, position: -1, step: 3 };
    const [rests] = bench.give({ type: "message", message: limit });
    assert.deepEqual(rests, { type: "tell", message: paused });
    const range = { start: 0, end: 5 };
    bench.give({ type: "message", message: { type: "evaluate", evaluation: 1, range } });
    assert.deepEqual(bench.give(barrier), []);
    for (const chunk of [0, 1, 2]) bench.reply(-1, chunk);
    const after = bench.give({ type: "evaluated", correct: 1, lossSum: 1 });
    assert.deepEqual(
      after.map(({ type }) => type),
      ["tell", "takeBack", "pull", "pull", "pull"],
    );
    for (const chunk of [0, 1, 2]) bench.reply(-1, chunk);
    assert.deepEqual(bench.give(given), [{ type: "tell", message: taken }]);
  });
});

test("a run whose protocol no mode takes is answered with why", () => {
  const worker = new Worker({ rank: 0, incarnation: 1 });
  const spec = { ...sampleSpec, protocol: { mode: "ssp", staleness: -1 } };
  const message = { type: "prepare", spec, residuals: false, layout } as const;
  const reason = "mode ssp: staleness is -1, not a whole number from 0 on";
  assert.deepEqual(worker.step({ type: "message", message }, 0), [
    { type: "tell", message: { type: "failed", code: "protocol", reason } },
  ]);
});

describe("a push that is refused", () => {
  const later: View = { ...view, number: 2, fences: [2, 2, 2] };
  let bench = new Bench();
  beforeEach(() => {
    bench = new Bench();
    bench.begin();
    bench.give({ type: "chunkReady", step: 0, chunk: 2 });
  });

  function refuse(fence: number, viewOfServer: number): WorkerEffect[] {
    const tags = { run: "r", rank: 0, incarnation: 7, step: 0, chunk: 2, fence };
    const refusal = { kind: "reply", outcome: "refused", detail: "out of date" } as const;
    const header = { ...emptyHeader, ...tags, ...refusal, version: viewOfServer };
    return bench.give({ type: "reply", header });
  }
  const isFailure = (effect: WorkerEffect) =>
    effect.type === "tell" && effect.message.type === "failed";

  test("as of an earlier view goes out again under the present one", () => {
    bench.give({ type: "message", message: { type: "view", view: later } });
    const effects = refuse(1, 2);
    const pushes = effects.filter((effect) => effect.type === "push");
    assert.deepEqual(
      pushes.map(({ header: { step, chunk, fence } }) => [step, chunk, fence]),
      [[0, 2, 2]],
    );
    assert.ok(!effects.some(isFailure));
  });

  test("by a server that is ahead waits for that view", () => {
    const effects = refuse(1, 2);
    assert.deepEqual(
      effects.map(({ type }) => type),
      ["log"],
    );
    const [, ...sent] = bench.give({ type: "message", message: { type: "view", view: later } });
    assert.deepEqual(
      sent.map((effect) => effect.type === "push" && effect.header.fence),
      [2],
    );
  });

  test("under the present view ends the worker's part with the reason", () => {
    const [, , told] = refuse(1, 1);
    assert.ok(told !== undefined && isFailure(told), JSON.stringify(told));
  });
});

test("an answer out of a generation that has been rolled back is none", () => {
  const bench = new Bench();
  bench.begin();
  bench.give({ type: "chunkReady", step: 0, chunk: 2 });
  const back: View = { ...view, number: 2, generation: 1, fences: [2, 2, 2] };
  bench.give({ type: "message", message: { type: "view", view: back } });
  const tags = { run: "r", rank: 0, incarnation: 7, step: 0, chunk: 2, version: 1 };
  const header: ChunkHeader = { ...emptyHeader, ...tags, kind: "reply", outcome: "applied" };
  assert.deepEqual(
    [0, 1].map((generation) => bench.machine.wants({ ...header, generation })),
    [false, true],
  );
});

test("the second answer to a pull that was sent twice is not one to the next pull", () => {
  const bench = new Bench();
  bench.begin();
  const asked = (effects: readonly WorkerEffect[]) =>
    effects.flatMap((effect) => (effect.type === "pull" ? [effect.header.pull] : []));
  const evaluate = (evaluation: number) => {
    const range = { start: 0, end: 5 };
    bench.give({ type: "message", message: { type: "evaluate", evaluation, range } });
  };
  evaluate(1);
  bench.compute(0);
  const first = asked([0, 1, 2].flatMap((chunk) => bench.reply(0, chunk)));
  const later = { ...view, number: 2 };
  const again = asked(bench.give({ type: "message", message: { type: "view", view: later } }));
  assert.deepEqual(again, first, "what is asked again has its number");
  for (const chunk of [0, 1, 2]) bench.reply(-1, chunk);
  evaluate(2);
  const second = asked(bench.give({ type: "evaluated", correct: 1, lossSum: 1 }));
  const tags = { run: "r", rank: 0, incarnation: 7, step: -1, chunk: 1, version: 9 };
  const header: ChunkHeader = { ...emptyHeader, ...tags, kind: "reply" };
  const numbers = [first[0]!, second[0]!, 0];
  assert.deepEqual(
    numbers.map((pull) => bench.machine.wants({ ...header, pull })),
    [false, true, false],
  );
  for (const chunk of [0, 1, 2]) {
    bench.give({ type: "reply", header: { ...header, chunk, pull: first[0]! } });
  }
  for (const chunk of [0, 1, 2]) bench.reply(-1, chunk);
  const [told] = bench.give({ type: "evaluated", correct: 1, lossSum: 1 });
  assert.ok(told?.type === "tell" && told.message.type === "evaluated");
  assert.deepEqual([told.message.evaluation, told.message.versions], [2, [3, 3, 3]]);
});

test("a preparation that a later job has overtaken is not taken, nor is its failure", () => {
  const bench = new Bench();
  for (const run of ["r", "s"]) {
    const message = { type: "prepare", spec: { ...spec, run }, residuals: false, layout } as const;
    bench.give({ type: "message", message });
  }
  const made = { layout, engine: "toy", algorithms: [] };
  assert.deepEqual(bench.give({ type: "failed", run: "r", code: "data", reason: "gone" }), []);
  assert.deepEqual(bench.give({ type: "prepared", run: "r", ...made }), []);
  const [ready] = bench.give({ type: "prepared", run: "s", ...made });
  assert.ok(ready?.type === "tell" && ready.message.type === "ready");
});

test("a view that comes after a later one is not followed", () => {
  const bench = new Bench();
  bench.begin();
  const later = { ...view, number: 3 };
  const first = bench.give({ type: "message", message: { type: "view", view: later } });
  assert.ok(first.some(({ type }) => type === "connect"));
  const stale = { ...view, number: 2 };
  assert.deepEqual(bench.give({ type: "message", message: { type: "view", view: stale } }), []);
  const [push] = bench.give({ type: "chunkReady", step: 0, chunk: 2 });
  assert.ok(push?.type === "push");
  assert.equal(push.header.fence, 3);
});

test("a step that servers rejected is not among the examples used, without a word", () => {
  const bench = new Bench();
  bench.begin("static", undefined, { mode: "ringmaster", delayBound: 1 });
  bench.compute(0);
  const tags = { run: "r", rank: 0, incarnation: 7, step: 0, version: 1, scale: 0 };
  const answer = { ...emptyHeader, ...tags, kind: "reply", outcome: "rejected" } as const;
  const said = [2, 1, 0].flatMap((chunk) =>
    bench.give({ type: "reply", header: { ...answer, chunk } }),
  );
  assert.deepEqual(
    said.filter(({ type }) => type === "log"),
    [],
  );
  const { steps, examples } = bench.machine.statistics();
  assert.deepEqual([steps, examples], [0, 0]);
});

test("a step that every chunk dropped is told of, and is not among the examples used", () => {
  const bench = new Bench();
  bench.begin();
  bench.compute(0);
  const tags = { run: "r", rank: 0, incarnation: 7, step: 0, version: 1 };
  const answer = { ...emptyHeader, ...tags, kind: "reply", outcome: "dropped" } as const;
  const said = [0, 1, 2].flatMap((chunk) =>
    bench.give({ type: "reply", header: { ...answer, chunk } }),
  );
  const text = "4 examples of step 0 were not used: every chunk went on without them";
  assert.ok(said.some((effect) => effect.type === "log" && effect.text === text));
  for (const step of [1, 2]) {
    bench.compute(step);
    for (const chunk of [0, 1]) bench.reply(step, chunk);
    said.push(...bench.reply(step, 2));
  }
  const done = said.flatMap((effect) => (effect.type === "tell" ? [effect.message] : []));
  const [last] = done;
  assert.ok(last?.type === "assignmentDone");
  assert.deepEqual([last.examples, last.skipped, last.dropped], [6, 0, 4]);
  assert.equal(bench.machine.statistics().examples, 6);
});

describe("a worker of local steps", () => {
  const { protocol } = localSpec({ localSteps: 2 });

  test("takes as many batches in a step, and says what their rate follows", () => {
    const bench = new Bench();
    const first = computeOf(bench.begin("static", spec.compression, protocol));
    assert.ok(first !== null);
    const { step, range, next, moment } = first;
    assert.deepEqual([step, range], [0, { start: 0, end: 8 }]);
    assert.deepEqual(next, { step: 1, epoch: 0, range: { start: 8, end: 10 } });
    assert.deepEqual(moment, { examples: 0, partners: 1 });
  });

  test("begins none before all chunks are back, which say how many examples they have", () => {
    const bench = new Bench();
    bench.begin("static", spec.compression, protocol);
    assert.equal(computeOf(bench.compute(0)), null, "its rate follows the answers");
    for (const chunk of [0, 1]) assert.equal(computeOf(bench.reply(0, chunk, 24)), null);
    const second = computeOf(bench.reply(0, 2, 24));
    assert.ok(second !== null);
    const { lacking, range, moment } = second;
    assert.deepEqual([lacking, range], [[], { start: 8, end: 10 }]);
    assert.deepEqual(moment, { examples: 24, partners: 1 });
  });

  test("counts those as partners whose first step has come", () => {
    const bench = new Bench();
    bench.begin("static", spec.compression, protocol);
    const [self] = view.workers;
    const workers = [self!, ...[1, 2].map((rank) => ({ rank, incarnation: 9, fromStep: rank }))];
    const later = { ...view, protocol, number: 2, workers };
    bench.give({ type: "message", message: { type: "view", view: later } });
    bench.compute(0);
    const second = [0, 1, 2].flatMap((chunk) => bench.reply(0, chunk, 8));
    assert.deepEqual(computeOf(second)?.moment, { examples: 8, partners: 2 });
  });
});
