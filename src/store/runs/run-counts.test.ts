import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServerStatistics, WorkerStatistics } from "../../protocol/messages.js";
import type { CoordinatorSnapshot, MemberSnapshot } from "../../protocol/run-events.js";
import { idleServer, idleWorker } from "../../protocol/statistics.js";
import { RunCounts } from "./run-counts.js";

const noServerCounts: ServerStatistics = { ...idleServer, chunks: 1, lr: 0.1 };

/** Counts of a worker that took this many steps on 10 examples each, with a loss of 2. */
function steps(count: number): WorkerStatistics {
  const examples = 10 * count;
  const computeSeconds = count / 4;
  const waitSeconds = count / 8;
  const losses = { lossSum: 2 * examples, lossCount: examples };
  return { ...idleWorker, clock: count, examples, ...losses, computeSeconds, waitSeconds };
}

type Told = Pick<MemberSnapshot, "role" | "rank"> & Partial<MemberSnapshot>;

function picture(members: readonly Told[], changes: Partial<CoordinatorSnapshot> = {}) {
  const snapshot: CoordinatorSnapshot = {
    run: "r",
    name: "r",
    phase: "training",
    activity: "",
    epoch: 0,
    epochs: 2,
    globalSteps: 0,
    examples: 0,
    totalExamples: 1000,
    moves: { left: 0, total: 0 },
    algorithms: [],
    evaluations: [],
    members: members.map((member) => ({
      incarnation: 1,
      pid: 1,
      host: "box",
      address: "",
      frames: null,
      state: "alive",
      reason: "",
      activity: "",
      engine: "",
      inView: true,
      server: null,
      worker: null,
      ...member,
    })),
    ...changes,
  };
  return snapshot;
}

const worker = (rank: number, count: number, incarnation = 1): Told => {
  return { role: "worker", rank, incarnation, worker: steps(count) };
};

test("a row tells of the time since the last one", () => {
  const counts = new RunCounts();
  counts.observe(picture([worker(0, 0), worker(1, 0)]), 1000);
  const first = picture([worker(1, 2), worker(0, 4)], { globalSteps: 2, epoch: 1 });
  counts.observe(first, 3000);
  assert.deepEqual(counts.row(first, "noon", 3000), {
    kind: "step",
    time: "noon",
    seconds: 2,
    step: 2,
    epoch: 2,
    examples: 60,
    loss: 2,
    examplesPerSecond: 30,
    workers: [
      { rank: 0, clock: 4, computeSeconds: 1, waitSeconds: 0.5 },
      { rank: 1, clock: 2, computeSeconds: 0.5, waitSeconds: 0.25 },
    ],
    staleness: null,
  });
  const lower = { ...steps(8), lossSum: steps(4).lossSum + 40 };
  const second = picture([{ ...worker(0, 8), worker: lower }, worker(1, 2)], { globalSteps: 5 });
  counts.observe(second, 4000);
  const row = counts.row(second, "one", 4000);
  assert.deepEqual(
    [row?.seconds, row?.examples, row?.loss, row?.examplesPerSecond],
    [3, 100, 1, 40],
  );
  const third = counts.row(second, "two", 5000);
  assert.deepEqual([third?.loss, third?.examplesPerSecond], [null, 0]);
});

test("no row comes before training", () => {
  const counts = new RunCounts();
  const early = picture([worker(0, 1)], { phase: "preparing" });
  counts.observe(early, 0);
  assert.equal(counts.row(early, "", 0), null);
  assert.equal(counts.examples, 0);
});

test("a worker that came again adds to what its rank had done", () => {
  const counts = new RunCounts();
  counts.observe(picture([worker(0, 3), worker(1, 3)]), 0);
  counts.observe(picture([worker(0, 4)]), 100);
  counts.observe(picture([worker(0, 5), { role: "worker", rank: 1, incarnation: 7 }]), 200);
  counts.observe(picture([worker(0, 5), worker(1, 2, 7)]), 300);
  assert.equal(counts.examples, 100);
  const again = counts.totals().get(1);
  assert.deepEqual(again, { ...steps(5), clock: 2 });
});

test("the last counts are of all lives of a rank: no life is counted twice", () => {
  const counts = new RunCounts();
  counts.observe(picture([worker(0, 3), worker(1, 3)]), 0);
  counts.observe(picture([worker(0, 4), worker(1, 2, 7)]), 100);
  assert.equal(counts.totals().get(1)?.examples, 50);
  counts.end({ workers: { 0: steps(6), 1: steps(3 + 4), 2: steps(2) }, servers: {} });
  const totals = [...counts.totals()].map(([rank, { examples }]) => [rank, examples]);
  assert.deepEqual(totals, [
    [0, 60],
    [1, 70],
    [2, 20],
  ]);
});

test("staleness is the mean over all servers since the last row", () => {
  const counts = new RunCounts();
  const server = (rank: number, stalenessSum: number, stalenessCount: number): Told => {
    return { role: "server", rank, server: { ...noServerCounts, stalenessSum, stalenessCount } };
  };
  const last = { stalenessSum: 22, stalenessCount: 8 };
  const told = (...members: Told[]) => {
    counts.observe(picture(members), 0);
    return counts.row(picture(members), "", 0)?.staleness;
  };
  assert.equal(told(server(0, 0, 0), server(1, 0, 0)), null);
  assert.equal(told(server(0, 6, 4), server(1, 2, 4)), 1);
  assert.equal(told(server(0, 12, 6), server(1, 2, 4)), 3);
  counts.end({ workers: {}, servers: { 0: { ...noServerCounts, ...last } } });
  assert.equal(told(), 5);
});

test("the rate is that of the last ten seconds", () => {
  const counts = new RunCounts();
  assert.equal(counts.examplesPerSecond, null);
  for (let second = 0; second <= 20; second++) {
    const count = second <= 10 ? second : 10 + 3 * (second - 10);
    counts.observe(picture([worker(0, count)]), 1000 * second);
  }
  assert.equal(counts.examplesPerSecond, 30);
});

test("a resumed run begins with the examples it had, and never passes the whole", () => {
  const counts = new RunCounts();
  counts.observe(picture([worker(0, 0)], { examples: 400, globalSteps: 40 }), 0);
  counts.observe(picture([worker(0, 10)], { examples: 400 }), 1000);
  assert.equal(counts.examples, 500);
  counts.observe(picture([worker(0, 70)], { examples: 1000 }), 2000);
  assert.equal(counts.examples, 1000);
});

test("of a run that goes on under another coordinator nothing counts again", () => {
  const counts = new RunCounts(true);
  const rows = [40, 45, 52].flatMap((step) => {
    const seen = picture([worker(0, step)], { globalSteps: step, examples: 10 * step });
    counts.observe(seen, 100 * step);
    return counts.rowsAt(10, seen, "", 100 * step);
  });
  assert.equal(counts.examples, 520);
  const told = rows.map(({ step, examples, examplesPerSecond }) => {
    return [step, examples, Math.round(examplesPerSecond!)];
  });
  assert.deepEqual(told, [[50, 500, 100]]);
});

test("behind a roll-back what is redone counts once", () => {
  const counts = new RunCounts();
  const rows: unknown[] = [];
  const look = (made: CoordinatorSnapshot, ms: number) => {
    counts.observe(made, ms);
    for (const { step, examples, examplesPerSecond } of counts.rowsAt(10, made, "", ms)) {
      rows.push([step, examples, Math.round(examplesPerSecond!)]);
    }
  };
  for (const step of [0, 10, 20, 25]) {
    look(picture([worker(0, step)], { globalSteps: step, examples: 10 * step }), 100 * step);
  }
  counts.observe(picture([], { phase: "rolling back" }), 2600);
  for (const step of [0, 5, 10, 15]) {
    const globalSteps = 20 + step;
    const lives = [worker(0, step, 9)];
    look(picture(lives, { globalSteps, examples: 10 * globalSteps }), 3000 + 100 * step);
  }
  assert.equal(counts.examples, 350);
  assert.deepEqual(rows, [
    [10, 100, 100],
    [20, 200, 100],
    [30, 300, 100],
  ]);
});

test("a row falls on each multiple, whatever steps the pictures show", () => {
  const counts = new RunCounts();
  counts.observe(
    picture([{ role: "worker", rank: 0, worker: idleWorker }], { globalSteps: 40 }),
    0,
  );
  const rows = [44, 49, 50, 53, 61, 69, 95].map((step) => {
    const seen = picture([worker(0, step - 40)], { globalSteps: step });
    counts.observe(seen, 100 * step);
    return counts.rowsAt(10, seen, "", 100 * step);
  });
  assert.deepEqual(
    rows.map((some) => some.map(({ step }) => step)),
    [[], [], [50], [], [60], [], [70, 80, 90]],
  );
  // Four steps of 69 to 95 lie within 6.3 to 9.5 s; an example in ten milliseconds throughout.
  assert.deepEqual(
    rows.flat().map(({ seconds, examples, loss, examplesPerSecond }) => {
      return [Math.round(seconds), examples, loss, examplesPerSecond].map((one) => one?.toFixed(3));
    }),
    [
      [5, 100, 2, 20],
      [6, 200, 2, 100],
      [7, 300, 2, 100],
      [8, 400, 2, 100],
      [9, 500, 2, 100],
    ].map((row) => row.map((one) => one.toFixed(3))),
  );
});

test("the loss shown is that of the last ten seconds", () => {
  const counts = new RunCounts();
  assert.equal(counts.recentLoss, null);
  const told = (count: number, lossSum: number): Told => {
    return { role: "worker", rank: 0, worker: { ...steps(count), lossSum } };
  };
  counts.observe(picture([told(0, 0)]), 0);
  assert.equal(counts.recentLoss, null);
  counts.observe(picture([told(10, 500)]), 10_000);
  assert.equal(counts.recentLoss, 5);
  counts.observe(picture([told(20, 600)]), 20_000);
  assert.equal(counts.recentLoss, 1);
});

test("seconds go on from those of the checkpoint that the run goes on from", () => {
  const counts = new RunCounts();
  const look = (step: number, ms: number, incarnation: number) => {
    const seen = picture([worker(0, step, incarnation)], { globalSteps: step });
    counts.observe(seen, ms);
    return counts.rowsAt(10, seen, "", ms).map(({ step: at, seconds }) => [at, seconds]);
  };
  counts.wentBack(0, 100);
  assert.deepEqual([look(0, 5000, 1), look(10, 6000, 1)], [[], [[10, 101]]]);
  counts.observe(picture([], { phase: "rolling back" }), 8000);
  counts.wentBack(0, 50);
  assert.deepEqual([look(0, 9000, 2), look(10, 9500, 2)], [[], [[10, 50.5]]]);
  const later = new RunCounts(true, 30);
  const seen = picture([worker(0, 5)], { globalSteps: 5 });
  later.observe(seen, 1000);
  assert.equal(later.row(seen, "", 3000)!.seconds, 32);
});

test("rows go on from the step of the checkpoint, though it is seen amid the work", () => {
  const counts = new RunCounts();
  counts.wentBack(1000, 100);
  const look = (step: number, count: number, ms: number) => {
    const seen = picture([worker(0, count)], { globalSteps: step, examples: 10 * step });
    counts.observe(seen, ms);
    return counts.rowsAt(10, seen, "", ms).map((row) => row.step);
  };
  assert.deepEqual(look(1005, 5, 5000), []);
  assert.deepEqual(look(1012, 12, 6000), [1010]);
});

test("the staleness of a row is of its time, behind a checkpoint and a server that went", () => {
  const server = (rank: number, stalenessCount: number, stalenessSum: number): Told => {
    return { role: "server", rank, server: { ...noServerCounts, stalenessCount, stalenessSum } };
  };
  const counts = new RunCounts();
  counts.wentBack(100, 10);
  const look = (members: readonly Told[], globalSteps: number, ms: number) => {
    const seen = picture([worker(0, globalSteps - 99), ...members], { globalSteps });
    counts.observe(seen, ms);
    return counts.row(seen, "", ms)?.staleness;
  };
  counts.observe(picture([worker(0, 1), server(0, 100, 100)], { globalSteps: 100 }), 0);
  assert.equal(look([server(0, 110, 170)], 110, 1000), 7);
  assert.equal(look([server(0, 60, 120), server(1, 60, 120)], 120, 2000), 7);
  // What server 0 had counted of its chunks is server 1's from here on.
  assert.equal(look([server(1, 130, 310)], 130, 3000), 7);
});
