import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoordinatorSnapshot, RunEvent, RunResult } from "../protocol/run-events.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import type { RunBegin, RunEnd } from "../runtime/observer.js";
import { EmfFigures, type FiguresPicture } from "./emf-figures.js";

const epochMs = Date.UTC(2026, 0, 1);
const worker = { role: "worker", state: "alive" } as const;
const server = { role: "server", state: "alive" } as const;
const lost: RunEvent = { kind: "lost", role: "worker", rank: 1, incarnation: 2, text: "" };

function figuresOf() {
  const clock = { ms: 0, nowMs: () => clock.ms };
  const figures = new EmfFigures("Paceline/digits", clock);
  const line = (picture: FiguresPicture) => JSON.parse(figures.line(picture, epochMs));
  return { clock, observer: figures.observer(), line, another: () => figures.observer() };
}

function begin(workersMax: number): RunBegin {
  return { spec: { ...sampleSpec, workersMax } } as RunBegin;
}

function at(globalSteps: number, examples: number): CoordinatorSnapshot {
  return { globalSteps, examples } as CoordinatorSnapshot;
}

function end(outcome: RunResult["outcome"], code: string | null, globalSteps = 0): RunEnd {
  return { result: { outcome, code, globalSteps } } as RunEnd;
}

test("a line names its metrics, with their units, and gives each a value", () => {
  const { line } = figuresOf();
  const told = line({ members: [worker, worker, server, { ...worker, state: "dead" }] });
  const { _aws: metadata, ...values } = told;
  const [directive] = metadata.CloudWatchMetrics;
  assert.equal(metadata.Timestamp, epochMs);
  assert.equal(directive.Namespace, "Paceline/digits");
  assert.deepEqual(directive.Dimensions, [["Role"]]);
  const names = directive.Metrics.map(({ Name }: { Name: string }) => Name);
  assert.deepEqual(["Role", ...names], Object.keys(values));
  assert.deepEqual([values.Workers, values.Servers, values.WorkerDemand], [2, 1, 0]);
  // Nothing was evaluated: a figure that is not known is left out.
  assert.ok(!names.includes("TestLoss"));
});

test("steps, examples and losses are of the time since the last line", () => {
  const { clock, observer, line } = figuresOf();
  observer.onBegin?.(begin(4));
  observer.onSnapshot?.(at(100, 6400));
  clock.ms = 30_000;
  observer.onSnapshot?.(at(140, 9400));
  observer.onEvent?.(lost);
  clock.ms = 60_000;
  const first = line({ members: [worker, worker] });
  assert.deepEqual(
    [first.Steps, first.ExamplesPerSecond, first.MembersLost, first.SecondsWithoutStep],
    [40, 50, 1, 30],
  );
  clock.ms = 120_000;
  const second = line({ members: [worker, worker] });
  assert.deepEqual(
    [second.Steps, second.ExamplesPerSecond, second.MembersLost, second.SecondsWithoutStep],
    [0, 0, 0, 90],
  );
});

test("a run that went back to a checkpoint makes no negative count", () => {
  const { clock, observer, line } = figuresOf();
  observer.onBegin?.(begin(4));
  for (const [step, ms] of [
    [50, 1],
    [30, 2],
    [35, 3],
  ] as const) {
    clock.ms = ms * 1000;
    observer.onSnapshot?.(at(step, step));
  }
  clock.ms = 5000;
  const { Steps, SecondsWithoutStep } = line({ members: [] });
  assert.deepEqual([Steps, SecondsWithoutStep], [5, 2]);
});

test("steps after a run's last snapshot count as well", () => {
  const { observer, line } = figuresOf();
  observer.onBegin?.(begin(1));
  observer.onSnapshot?.(at(0, 0));
  observer.onEnd?.(end("done", null, 32));
  assert.equal(line({ members: [] }).Steps, 32);
});

test("demand is what running jobs take and the next may have, over the workers there", () => {
  const { observer, another, line } = figuresOf();
  const queued = [
    { state: "queued", workers: 6 },
    { state: "queued", workers: 5 },
  ] as const;
  const members = [worker, worker];
  const wants = (picture: Partial<FiguresPicture>) => line({ members, ...picture }).WorkerDemand;
  assert.equal(wants({ jobs: [] }), 0);
  assert.equal(wants({ jobs: queued, jobsMax: 1 }), 3);
  observer.onBegin?.(begin(8));
  assert.equal(wants({ jobs: queued, jobsMax: 1 }), 4);
  assert.equal(wants({ jobs: queued, jobsMax: 2 }), 7);
  another().onBegin?.(begin(2));
  assert.equal(wants({ jobs: queued, jobsMax: 2 }), 5);
  assert.equal(wants({ jobs: queued, jobsMax: 2, members: [] }), 10);
  observer.onEnd?.(end("done", null));
  assert.equal(wants({ jobs: [], jobsMax: 2 }), 1);
});

test("runs are counted by how they end", () => {
  const { observer, line } = figuresOf();
  for (const [outcome, code] of [
    ["done", null],
    ["failed", "diverged"],
    ["failed", "member_lost"],
    ["interrupted", "interrupted"],
  ] as const) {
    observer.onBegin?.(begin(1));
    observer.onEnd?.(end(outcome, code));
  }
  const { RunsDone, RunsFailed, RunsDiverged, JobsRunning } = line({ members: [] });
  assert.deepEqual([RunsDone, RunsFailed, RunsDiverged, JobsRunning], [1, 2, 1, 0]);
});

test("what is not finite is left out, for JSON has no such number", () => {
  const { observer, line } = figuresOf();
  observer.onEvent?.({ kind: "evaluation", loss: Number.NaN, accuracyPercent: 10 } as RunEvent);
  const told = line({ members: [] });
  assert.ok(!("TestLoss" in told));
  assert.equal(told.TestAccuracyPercent, 10);
});
