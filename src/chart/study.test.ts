import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { picturesOf } from "./draw-charts.js";
import { sampleResult, sampleSuite } from "./sample-results.test.js";
import { captionsFor, studyOf } from "./study.js";

function study(results: Parameters<typeof studyOf>[0]) {
  const notes: string[] = [];
  return { ...studyOf(results, (text) => notes.push(text)), notes };
}

describe("what charts are made of", () => {
  test("repeats are one, under the name without the repeat's number", () => {
    const { groups } = study(sampleSuite(["sync", "async"], [2], 3));
    assert.deepEqual(
      groups.map(({ label, series, results }) => [label, series, results.length]),
      [
        ["sync_2workers", "sync", 3],
        ["async_2workers", "async", 3],
      ],
    );
  });
  test("runs that failed or were interrupted are left out, and that is said", () => {
    const { groups, notes } = study([
      sampleResult("sync", 2),
      sampleResult("async", 2, { outcome: "failed" }),
      sampleResult("ssp", 2, { outcome: "interrupted" }),
    ]);
    assert.deepEqual(
      groups.map(({ label }) => label),
      ["sync_2workers"],
    );
    assert.deepEqual(notes, [
      "async_2workers is left out: it failed",
      "ssp_2workers is left out: it was interrupted",
    ]);
  });
  test("names that tell more than mode and workers make lines of their own", () => {
    const { groups } = study([
      sampleResult("sync", 2),
      sampleResult("sync", 2, { name: "sync_2workers_servers4", servers: 4 }),
      sampleResult("sync", 4, { name: "sync_4workers_servers4", servers: 4 }),
      sampleResult("sync", 8, { name: "mlp-bsp-8w-001" }),
      sampleResult("sync", 4, { name: "one" }),
      sampleResult("sync", 4, { name: "other", servers: 7 }),
    ]);
    const series = groups.map((group) => group.series);
    assert.deepEqual(series, ["sync", "sync servers4", "sync servers4", "sync", "one", "other"]);
  });
  test("equal names of unlike runs stay apart", () => {
    const { groups } = study([sampleResult("sync", 2), sampleResult("sync", 2, { servers: 3 })]);
    assert.deepEqual(
      groups.map(({ label }) => label),
      ["sync_2workers", "sync_2workers (2)"],
    );
  });
  test("the subtitle holds what all share, and only that", () => {
    const { subtitle } = study([
      sampleResult("sync", 2),
      sampleResult("async", 2, { settings: { batchSize: 128, "schedule.lr": 0.2, epochs: 3 } }),
    ]);
    assert.equal(subtitle, "mlp on mnist · batch 128 per worker · 3 epochs · 2 servers");
  });
  test("signs that no font shows don't reach the picture", () => {
    const { groups } = study([sampleResult("sync", 2, { name: "a\u0007b\ud800c" })]);
    assert.equal(groups[0]!.label, "a?b?c");
  });
});

describe("numbers that are none", () => {
  const broken = sampleResult("sync", 2, {
    seconds: Number.NaN,
    accuracyPercent: Number.POSITIVE_INFINITY,
    stepTimes: { inputSeconds: 0, computeSeconds: Number.NaN, waitSeconds: 0 },
    stalenessCounts: [1, Number.NaN],
    evaluations: [
      { seconds: Number.NaN, step: 1, examples: 1, accuracyPercent: 1, loss: 1 },
      { seconds: 2, step: 2, examples: Number.NaN, accuracyPercent: 50, loss: Number.NaN },
    ],
  });
  test("are taken away and counted", () => {
    const { groups, notes } = study([broken]);
    const [group] = groups;
    assert.equal(group!.seconds, null);
    assert.equal(group!.accuracyPercent, null);
    assert.equal(group!.results[0]!.stepTimes, null);
    assert.equal(group!.results[0]!.stalenessCounts, null);
    assert.equal(group!.results[0]!.evaluations.length, 1);
    assert.deepEqual(notes, ["sync_2workers: 5 of its values are not finite and are not drawn"]);
  });
  test("never reach a picture", () => {
    const results = [broken, sampleResult("async", 2), sampleResult("async", 4)];
    const pictures = picturesOf({ results }, () => {});
    assert.ok(pictures.length >= 5);
    const visit = (value: unknown, path: string): void => {
      if (typeof value === "number") assert.ok(Number.isFinite(value), path);
      else if (typeof value === "string") assert.doesNotMatch(value, /NaN|Infinity|null/, path);
      else if (typeof value === "object" && value !== null)
        for (const [key, inner] of Object.entries(value)) visit(inner, `${path}.${key}`);
    };
    visit(pictures, "pictures");
  });
});

describe("captions", () => {
  const captionsOf = (results: Parameters<typeof studyOf>[0]) =>
    captionsFor(study(results).groups, true).join(" ");
  test("tell n", () => {
    assert.match(captionsOf([sampleResult("sync", 1)]), /^One run each \(n = 1\)\.$/);
    assert.match(captionsOf(sampleSuite(["sync"], [1, 2], 3)), /^Means over n = 3 runs; /);
    const uneven = [...sampleSuite(["sync"], [1], 2), sampleResult("async", 1)];
    assert.match(captionsOf(uneven), /\(n: sync_1workers 2; others 1\)/);
  });
  test("tell of crowding where there are times", () => {
    const { groups } = study([sampleResult("sync", 4)]);
    assert.equal(captionsFor(groups, true).length, 2);
    assert.equal(captionsFor(groups, false).length, 1);
  });
});
