/** Failing runs made smaller, and their transcripts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { simulatedTimes } from "./cluster-plan.js";
import { drawSchedule, type RunSchedule } from "./schedule.js";
import { leastOf, shrinkSchedule } from "./shrink.js";
import { simulateSchedule } from "./simulate-seed.js";
import { SeedsTally, seedsText } from "./simulate-seeds.js";
import { storyOf } from "./story.js";

test("what is needed stays, whatever stands around it", async () => {
  const items = Array.from({ length: 20 }, (_, index) => index);
  for (const needed of [[], [0], [19], [3, 4], [2, 11, 17], items]) {
    let tried = 0;
    const kept = await leastOf(items, async (left) => {
      tried++;
      return needed.every((item) => left.includes(item));
    });
    assert.deepEqual(kept, needed);
    assert.ok(tried < 250, `${tried} tries for ${needed.length} of ${items.length}`);
  }
});

/** A run that fails by itself: one of its workers is slower than any run waits for. */
function failing(): RunSchedule {
  const { parts, ...run } = drawSchedule("bsp", 9);
  const [part] = parts;
  const { patienceMs } = simulatedTimes;
  const spec = { ...part!.spec, workersMin: 1, workersMax: 2, servers: 1, replicas: 1 };
  const slow = { slowness: [5, 10 * patienceMs], stepMsMax: 10 };
  const calm = {
    workersAtStart: null,
    lateMs: [0, 5],
    refusals: 0,
    failedSaves: 1,
    interruptMs: null,
  };
  const faults = [
    { kind: "lateWorker", atMs: 10, rank: 0 },
    { kind: "loseAnswer", atMs: 0, node: "worker-0", count: 1 },
    { kind: "freeze", atMs: 50, node: "server-0", durationMs: 20 },
  ] as const;
  return { ...run, parts: [{ ...part!, ...calm, ...slow, spec, faults }] };
}

test("a failing run keeps the fault that it takes, and its story names it", async () => {
  const schedule = failing();
  const { violations } = await simulateSchedule(schedule);
  assert.notDeepEqual(violations, []);
  const { kind } = violations[0]!;
  const small = await shrinkSchedule(schedule, kind);
  const [part] = small.schedule.parts;
  assert.deepEqual([small.left, part!.faults.length], [1, 0]);
  assert.ok(small.before > 5 && small.runs > 1, `${small.before} troubles, ${small.runs} runs`);
  const verdict = await simulateSchedule(small.schedule, { trace: "story" });
  const story = storyOf(small.schedule, verdict);
  assert.match(story, /^Seed 9 of mode bsp\n/);
  assert.match(story, /^ {2}slow: worker 1$/m);
  assert.match(story, /coordinator: Worker 0 registered/);
  assert.ok(story.includes(`What did not hold\n  ${kind}: `), story);
  assert.match(storyOf(schedule, verdict), /at 50: server-0 stands still for 20 ms/);
});

test("verdicts are counted by kind, in whatever order they come", () => {
  const tally = new SeedsTally();
  const late = { kind: "late", sentence: "it came late" };
  tally.add({ seed: 7, outcomes: ["done (all work is done)"], violations: [late] });
  tally.add({ seed: 3, outcomes: ["interrupted (SIGINT)", "done"], violations: [late] });
  tally.add({ seed: 5, outcomes: ["done"], violations: [] });
  const report = tally.report();
  assert.deepEqual(report.kinds, [{ ...late, seeds: [3, 7] }]);
  assert.match(seedsText(report), /^2 of 3 seeds fail \(parts: 3 done, 1 interrupted\)/);
});
