import assert from "node:assert/strict";
import { test } from "node:test";
import type { WorkerReading } from "./straggler-detector.js";
import { stragglerPolicies } from "./straggler-policy.js";
import { StragglerWatch } from "./straggler-watch.js";

const run = { inStep: true, isShareMet: false, least: 1 };

/** A watch under elastic, and time for it: each rank takes so many steps a second. */
class Watched {
  readonly watch = new StragglerWatch(stragglerPolicies.elastic);
  readonly news: string[] = [];
  readonly decisions: string[] = [];
  nowMs = 0;

  on(ms: number, rates: Readonly<Record<number, number>>, seen: Partial<typeof run> = {}): this {
    for (let left = ms; left > 0; left -= 50) {
      this.nowMs += 50;
      const workers = Object.entries(rates).map(([rank, rate]): WorkerReading => {
        const steps = Math.floor((rate * this.nowMs) / 1000);
        return { rank: Number(rank), incarnation: Number(rank), steps, examples: 8 * steps };
      });
      const reading = { workers, activities: ["serving"] };
      const active = workers.map(({ rank }) => rank);
      const all = { ...run, ...seen, active };
      const { news, decision } = this.watch.look(reading, all, this.nowMs);
      this.news.push(...news);
      if (decision !== null) this.decisions.push(decision.kind);
    }
    return this;
  }
}

/** Walks until a straggler is set aside, which then takes part no more. */
function setAside(): Watched {
  const watched = new Watched();
  while (watched.decisions.length === 0) watched.on(50, { 0: 20, 1: 20, 2: 6, 3: 20 });
  return watched;
}

test("who is set aside may not take part until taken back, and hears why", () => {
  const watched = setAside();
  assert.deepEqual(watched.decisions, ["set aside"]);
  assert.equal(watched.news.length, 1);
  assert.match(
    watched.watch.whyAside(2) ?? "",
    /^elastic sets worker-2 aside: worker-2 straggles: /,
  );
  assert.equal(watched.watch.whyAside(1), null);
  watched.on(6000, { 0: 20, 1: 20, 3: 20 });
  assert.deepEqual(watched.decisions, ["set aside"], "it is decided once");
  watched.on(250, { 0: 20, 1: 20, 3: 20 }, { inStep: false });
  assert.deepEqual(watched.decisions, ["set aside", "restore"]);
  assert.equal(watched.watch.whyAside(2), null);
});

test("who takes part all the same, as the run has begun again, stands aside no more", () => {
  const watched = setAside().on(500, { 0: 20, 1: 20, 3: 20 });
  assert.ok(watched.watch.whyAside(2) !== null);
  watched.on(250, { 0: 20, 1: 20, 2: 20, 3: 20 });
  assert.equal(watched.watch.whyAside(2), null);
});
