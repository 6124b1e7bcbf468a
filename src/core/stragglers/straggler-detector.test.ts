import assert from "node:assert/strict";
import { test } from "node:test";
import { detection, StragglerDetector, type StragglerNews } from "./straggler-detector.js";

const batch = 32;

/** A cluster whose time is walked by hand, a heartbeat at a time. */
class Walk {
  readonly detector = new StragglerDetector();
  readonly news: (StragglerNews & { readonly atMs: number })[] = [];
  nowMs = 1_000_000;
  readonly #steps = new Map<number, number>();
  readonly #lives = new Map<number, number>();
  #ticks = 0;

  /** A rank has a new process, which has counted nothing. */
  restart(rank: number): void {
    this.#lives.set(rank, (this.#lives.get(rank) ?? 0) + 1);
    this.#steps.set(rank, 0);
  }

  /**
   * So many milliseconds in which each rank takes so many steps a second. Of each four looks at the
   * server `awaitedOf4` find it waiting for these ranks.
   */
  on(ms: number, rates: readonly number[], awaited: readonly number[] = [], awaitedOf4 = 0): this {
    const activity = `waiting for worker ${awaited.join(", ")}: sealed 8 of 9 steps`;
    for (let left = ms; left > 0; left -= detection.sampleMs) {
      this.nowMs += detection.sampleMs;
      const workers = rates.map((rate, rank) => {
        const steps = (this.#steps.get(rank) ?? 0) + (rate * detection.sampleMs) / 1000;
        this.#steps.set(rank, steps);
        const incarnation = 100 * (this.#lives.get(rank) ?? 0) + rank;
        return { rank, incarnation, steps: Math.floor(steps), examples: Math.floor(steps) * batch };
      });
      const waits = this.#ticks++ % 4 < awaitedOf4;
      const activities = [waits ? activity : "serving"];
      const found = this.detector.observe({ workers, activities }, this.nowMs);
      this.news.push(...found.map((one) => ({ ...one, atMs: this.nowMs })));
    }
    return this;
  }

  get present(): number[] {
    return this.detector.present.map(({ rank }) => rank);
  }
}

test("where nobody waits the one that takes fewer steps is found, and is prompt again", () => {
  const walk = new Walk().on(10_000, [20, 20, 20, 20]);
  assert.equal(walk.news.length, 0);
  const slowMs = walk.nowMs;
  walk.on(8000, [20, 20, 10, 20]);
  assert.deepEqual(walk.present, [2]);
  const [found] = walk.news;
  assert.ok(found !== undefined && found.rank === 2 && found.straggles);
  const runningMs = detection.windowsRunning * detection.halfWindowMs;
  assert.ok(found.atMs - slowMs >= runningMs, "it takes several windows running");
  assert.ok(found.atMs - slowMs <= runningMs + 2 * detection.halfWindowMs);
  walk.on(8000, [20, 20, 20, 20]);
  assert.deepEqual(walk.present, []);
  assert.deepEqual(
    walk.news.map(({ rank, straggles }) => [rank, straggles]),
    [
      [2, true],
      [2, false],
    ],
  );
});

test("its reason has the numbers of the rule", () => {
  const { reason } = new Walk().on(10_000, [20, 20, 10, 20]).detector.present[0]!;
  // 20, 20, 10 and 20 steps of 32 examples: their mean is 560, their deviation 138.6.
  const wanted =
    "worker-2 straggles: 320.0 examples/s while it waits for nobody, below 421.4 (mean 560.0 - " +
    "standard deviation 138.6 of 4 workers) and 43 % below the mean, in 3 windows running, " +
    "the last of 2.0 s";
  assert.equal(reason, wanted);
});

test("in step, where all take as many steps, the one that the others wait for is found", () => {
  const walk = new Walk().on(6000, [10, 10, 10, 10], [2], 3);
  assert.deepEqual(walk.present, [2]);
  // The others have the same steps in a quarter of the time.
  assert.equal(walk.detector.present[0]!.throughput, 10 * batch);
  assert.match(walk.detector.present[0]!.reason, /mean 1040\.0/);
});

test("workers that are waited for by turns do not straggle", () => {
  const walk = new Walk();
  for (let turn = 0; turn < 30; turn++) walk.on(500, [10, 10, 10, 10], [turn % 4], 4);
  assert.deepEqual(walk.news, []);
});

test("one window, or two, in which a worker is slow tell nothing", () => {
  const walk = new Walk();
  for (let turn = 0; turn < 8; turn++) {
    walk.on(1000, [20, 20, 4, 20]).on(6000, [20, 20, 20, 20]);
  }
  assert.deepEqual(walk.news, []);
});

test("who is least of workers that are alike is below by too little", () => {
  const walk = new Walk().on(20_000, [20, 20, 17.5, 20]);
  assert.deepEqual(walk.news, []);
});

test("of two workers none is told from the other", () => {
  const walk = new Walk().on(20_000, [20, 5]);
  assert.deepEqual(walk.news, []);
});

test("two stragglers of eight are found", () => {
  const walk = new Walk().on(8000, [20, 20, 8, 20, 20, 8, 20, 20]);
  assert.deepEqual(walk.present, [2, 5]);
});

test("a window lasts until enough steps are taken", () => {
  const walk = new Walk().on(20_000, [0.5, 0.5, 0.2, 0.5]);
  assert.deepEqual(walk.news, [], "10 steps of the fastest are two halves of a window");
  walk.on(40_000, [0.5, 0.5, 0.2, 0.5]);
  assert.deepEqual(walk.present, [2]);
});

test("a later life of a rank is judged anew, and one that is gone not at all", () => {
  const walk = new Walk().on(8000, [20, 20, 8, 20]);
  assert.deepEqual(walk.present, [2]);
  walk.restart(2);
  walk.on(250, [20, 20, 8, 20]);
  assert.deepEqual(walk.present, []);
  walk.on(8000, [20, 20, 8, 20]);
  assert.deepEqual(walk.present, [2]);
  walk.on(500, [20, 20]);
  assert.deepEqual(walk.present, []);
});

test("more frequent looks change nothing", () => {
  const detector = new StragglerDetector();
  const workers = [0, 1, 2].map((rank) => ({ rank, incarnation: rank, steps: 0, examples: 0 }));
  for (let ms = 0; ms < 20_000; ms += 50) {
    for (const [rank, rate] of [20, 20, 5].entries()) {
      const steps = Math.floor((rate * ms) / 1000);
      workers[rank] = { rank, incarnation: rank, steps, examples: steps * batch };
    }
    detector.observe({ workers, activities: ["serving"] }, ms);
  }
  assert.deepEqual(
    detector.present.map(({ rank }) => rank),
    [2],
  );
});
