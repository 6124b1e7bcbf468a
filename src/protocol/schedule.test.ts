import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { learningRate } from "./schedule.js";
import type { ScheduleSpec } from "./schedule-spec.js";
import { sampleSpec } from "./testing/sample-run.js";

const base: ScheduleSpec = { ...sampleSpec.schedule, totalExamples: 1000 };

function near(found: number, expected: number, what: string): void {
  assert.ok(
    Math.abs(found - expected) <= 1e-12 * Math.max(1, Math.abs(expected)),
    `${what}: ${found}`,
  );
}

test("each schedule has the values that its formula gives", () => {
  const half = Math.SQRT1_2;
  const table: [Partial<ScheduleSpec>, [examples: number, rate: number][]][] = [
    [
      { name: "constant" },
      [
        [0, 0.1],
        [999, 0.1],
        [5000, 0.1],
      ],
    ],
    [
      { name: "constant", warmup: 0.1 },
      [
        [0, 0],
        [50, 0.05],
        [99, 0.099],
        [100, 0.1],
        [900, 0.1],
      ],
    ],
    [
      { name: "step", milestones: [0.5, 0.75] },
      [
        [499, 0.1],
        [500, 0.01],
        [749, 0.01],
        [750, 0.001],
        [9999, 0.001],
      ],
    ],
    [
      { name: "cosine" },
      [
        [0, 0.1],
        [250, 0.05 * (1 + half)],
        [500, 0.05],
        [750, 0.05 * (1 - half)],
        [1000, 0],
        [2000, 0],
      ],
    ],
    [
      { name: "cosine", warmup: 0.2 },
      [
        [0, 0],
        [100, 0.05],
        [200, 0.1],
        [600, 0.05],
        [1000, 0],
      ],
    ],
    [
      { name: "onecycle" },
      [
        [0, 0.004],
        [150, 0.052],
        [300, 0.1],
        [650, 0.0500002],
        [1000, 4e-7],
        [1e9, 4e-7],
      ],
    ],
    [
      { name: "onecycle", warmup: 0.5 },
      [
        [250, 0.052],
        [500, 0.1],
        [750, 0.0500002],
      ],
    ],
  ];
  for (const [change, points] of table) {
    const spec = { ...base, ...change };
    for (const [examples, rate] of points) {
      near(learningRate(spec, examples), rate, `${spec.name} at ${examples}`);
    }
  }
});

test("Sync-Switch's milestones fall at half and three quarters of its work", () => {
  const spec: ScheduleSpec = {
    ...base,
    name: "step",
    lr: 0.8,
    milestones: [0.5, 0.75],
    totalExamples: 64000 * 128,
  };
  near(learningRate(spec, 32000 * 128 - 1), 0.8, "before half");
  near(learningRate(spec, 32000 * 128), 0.08, "at half");
  near(learningRate(spec, 48000 * 128), 0.008, "at three quarters");
});

test("a run without work is at its end, whatever the schedule", () => {
  near(learningRate({ ...base, totalExamples: 0, warmup: 0.5 }, 0), 0.1, "constant");
  near(learningRate({ ...base, totalExamples: 0, name: "cosine" }, 0), 0, "cosine");
});

test("every rate lies between 0 and the peak and stays put after the end", () => {
  const specs = fc.record({
    name: fc.constantFrom("constant", "step", "cosine", "onecycle"),
    lr: fc.constantFrom(0.001, 0.1, 3),
    warmup: fc.constantFrom(0, 0.05, 0.5, 1),
    milestones: fc.constantFrom([], [0.5], [0.3, 0.6, 0.9]),
    gamma: fc.constantFrom(0.1, 0.5),
    totalExamples: fc.integer({ min: 1, max: 1e7 }),
  });
  fc.assert(
    fc.property(specs, fc.nat({ max: 2e7 }), (drawn, examples) => {
      const spec = { ...base, ...drawn };
      const rate = learningRate(spec, examples);
      assert.ok(rate >= 0 && rate <= spec.lr * (1 + 1e-12), `${rate}`);
      const end = learningRate(spec, spec.totalExamples);
      assert.equal(learningRate(spec, spec.totalExamples + examples), end);
    }),
    { seed: 7, numRuns: 500 },
  );
});

test("negative work is a bug", () => {
  assert.throws(() => learningRate(base, -1), /not negative/);
});
