/** The account of a cut, by hand: who is asked, what is counted, and what is not known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoordinatorMessage } from "../../protocol/messages.js";
import { idleWorker } from "../../protocol/statistics.js";
import type { View } from "../../protocol/view.js";
import { asp } from "../sync/asp.js";
import { plainAsp, specOf } from "../testing/model-run.js";
import { BatchPool } from "../work/batch-pool.js";
import { Cursor } from "../work/cursor.js";
import type { TrainingSnapshot } from "../work/run-setup.js";
import type { WorkAccount } from "../work/work-floor.js";
import { CheckpointCut, type Tally } from "./checkpoint-cut.js";

const spec = specOf({ protocol: plainAsp, workersMax: 2, trainExamples: 48 });
const pace = asp.paceOf(plainAsp);
const lives = [0, 1].map((rank) => ({ rank, incarnation: 10 + rank, fromStep: 0 }));

/** A cut through what two workers do, and whom it asks. */
class Bench {
  readonly asked: string[] = [];
  readonly #gone = new Set<number>();
  tornSteps = 2;
  readonly cut: CheckpointCut;

  constructor(account: WorkAccount) {
    const snapshot = (): TrainingSnapshot => ({
      ...{ cursor: account.snapshot(), evaluations: [], epochs: [], seconds: 1, term: 1 },
      ...{ tornSteps: this.tornSteps, workers: {} },
      openEpochs: [
        {
          ...{ epoch: 0, seconds: 1, examples: 0, lostExamples: 0, lossSum: 0, correct: 0 },
          workerSeconds: {},
        },
      ],
    });
    const floor = { snapshot, account, isActive: (rank: number) => !this.#gone.has(rank) };
    const toWorker = (rank: number, order: CoordinatorMessage) => {
      assert.ok(order.type === "tally");
      this.asked.push(`${rank} at ${order.step}`);
    };
    const countsAt = () => idleWorker;
    this.cut = new CheckpointCut(5, { workers: lives } as unknown as View, floor, {
      ...{ toWorker, countsAt },
    });
  }

  lose(rank: number): void {
    this.#gone.add(rank);
    this.cut.lost(rank);
  }

  settle(...steps: readonly number[]): void {
    this.cut.settle(
      steps.map((step, rank) => ({ ...lives[rank]!, step, usedStep: step, used: 4 * (step + 1) })),
    );
  }

  tell(rank: number, examples: number, about: Partial<Tally> = {}): void {
    const counts = { lossSum: examples / 2, correct: 1, seconds: 3, dropped: 0 };
    const tally = { type: "tallied", cut: 5, examples, statistics: idleWorker } as const;
    this.cut.told(lives[rank]!, { ...tally, ...counts, ...about });
  }

  /** Examples, those whose loss is not known, and the loss. */
  get counts() {
    const open = this.cut.account?.openEpochs[0];
    return open && [open.examples, open.lostExamples, open.lossSum];
  }
}

/** Both workers have their half of an epoch out, 6 batches of 4. */
function dealt(): { account: Cursor; bench: Bench } {
  const account = new Cursor(spec, pace);
  const plan = account.planNext([0, 1]);
  for (const rank of [0, 1]) account.deal(plan, rank, plan.lastStep);
  return { account, bench: new Bench(account) };
}

test("each tells of its assignment up to its limit, and the rest is dealt by who goes on", () => {
  const { account, bench } = dealt();
  assert.ok(bench.cut.isMarking);
  bench.settle(2, 0);
  assert.deepEqual(bench.asked, ["0 at 2", "1 at 0"]);
  // What happens from here on is behind the cut.
  account.lose(0, 5, 0);
  bench.tornSteps = 9;
  bench.cut.copied();
  bench.tell(1, 4);
  assert.equal(bench.cut.account, null);
  bench.tell(0, 8, { dropped: 4 });
  assert.deepEqual(bench.counts, [12, 0, 6]);
  const { cursor, tornSteps } = bench.cut.account!;
  assert.equal(tornSteps, 2);
  assert.ok("plans" in cursor);
  const shares = cursor.plans[0]!.shares.map((share) => {
    return [share.next, share.nextStep, share.dropped, share.assignment];
  });
  assert.deepEqual(shares, [
    [12, 3, 4, null],
    [28, 1, 0, null],
  ]);
});

test("who has taken no step is not asked, nor is what an earlier life has done counted", () => {
  const { bench } = dealt();
  bench.cut.settle([{ rank: 0, incarnation: 3, step: 4, usedStep: 4, used: 20 }]);
  bench.cut.copied();
  assert.deepEqual([bench.asked, bench.counts], [[], [0, 0, 0]]);
});

test("of who is lost, or tells of other examples, the loss is not known", () => {
  const early = dealt().bench;
  early.lose(0);
  early.settle(2, 0);
  assert.deepEqual(early.asked, ["1 at 0"]);
  early.tell(1, 8);
  early.cut.copied();
  assert.deepEqual(early.counts, [16, 16, 0]);
  const late = dealt().bench;
  late.settle(2, 0);
  late.cut.copied();
  late.tell(0, 12, { cut: 4 });
  late.cut.told({ rank: 0, incarnation: 9 }, { ...idleTally, examples: 12 });
  assert.equal(late.cut.account, null);
  late.lose(0);
  late.tell(1, 4);
  late.lose(1);
  assert.deepEqual(late.counts, [16, 12, 2]);
});

test("of who is lost, what servers had rejected is not used and dealt to nobody", () => {
  const { bench } = dealt();
  bench.cut.settle([
    { ...lives[0]!, step: 2, usedStep: 1, used: 4 },
    { ...lives[1]!, step: 0, usedStep: 0, used: 4 },
  ]);
  bench.cut.copied();
  bench.tell(1, 4);
  bench.lose(0);
  assert.deepEqual(bench.counts, [8, 4, 2]);
  const { cursor } = bench.cut.account!;
  assert.ok("plans" in cursor);
  const [share] = cursor.plans[0]!.shares;
  assert.deepEqual([share!.next, share!.dropped], [12, 8]);
});

const idleTally: Tally = {
  ...{ type: "tallied", cut: 5, examples: 0, dropped: 0, lossSum: 0, correct: 0, seconds: 0 },
  statistics: idleWorker,
};

test("a batch that is taken by the limit is used, another is left", () => {
  const account = new BatchPool(spec, pace);
  account.open();
  for (const rank of [0, 1]) {
    account.begin(rank, 3);
    account.deal(rank, 3, [0, 1]);
  }
  const bench = new Bench(account);
  bench.cut.settle([
    { rank: 0, incarnation: 10, step: 3, usedStep: 3, used: 4 },
    { rank: 1, incarnation: 11, step: 2, usedStep: 2, used: 0 },
  ]);
  assert.deepEqual(bench.asked, ["0 at 3"]);
  bench.tell(0, 4);
  bench.cut.copied();
  const { cursor } = bench.cut.account!;
  assert.ok("pools" in cursor);
  assert.deepEqual(cursor.pools[0]?.left, [{ start: 4, end: 8, leftBy: null }]);
  assert.equal(cursor.nextStep, 4);
  assert.deepEqual(bench.counts, [4, 0, 2]);
});
