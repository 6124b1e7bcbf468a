import assert from "node:assert/strict";
import { test } from "node:test";
import { scenarios } from "./fault-plan.js";
import { judgeAccounts, type RunEnd } from "./judge-accounts.js";

const [inStep, , free] = scenarios;
const line = (event: object) => `${JSON.stringify(event)}\n`;
const lost = line({ kind: "lost", role: "worker", rank: 1, text: "worker-1: lost at step 4" });
const whole: RunEnd = {
  scenario: free!,
  events: "",
  result: {
    server_metrics: { gradients_processed: 6 },
    worker_metrics_aggregated: { total_local_steps: 6 },
    paceline: {
      ...{ skippedExamples: 0, tornSteps: 0 },
      epochs: [{ epoch: 0, examples: 96, skipped: 0 }],
    },
  },
  examplesOfEpoch: 96,
  examplesOfStep: 8,
  checkpoint: { step: 6, weights: "", examples: [150, 150], counted: 150, versions: [6, 6] },
  workers: {
    begins: new Map(),
    answered: new Map([
      [
        7,
        new Map([
          [0, 4],
          [1, 4],
        ]),
      ],
      [
        8,
        new Map([
          [0, 2],
          [1, 2],
        ]),
      ],
    ]),
  },
};

test("a run that has lost nothing has no problem", () => {
  assert.deepEqual(judgeAccounts(whole), []);
});

test("an answered push that is no version is told, and one that nobody made", () => {
  const { checkpoint } = whole;
  const versions = (...values: number[]) => ({
    ...whole,
    checkpoint: { ...checkpoint, versions: values },
  });
  const words = ["chunk 1 has version 5, and 6 pushes were answered"];
  assert.deepEqual(judgeAccounts(versions(6, 5)), words);
  assert.equal(judgeAccounts(versions(6, 7)).length, 1);
  const afterLoss = { ...versions(6, 7), events: lost };
  assert.deepEqual(judgeAccounts(afterLoss), [], "the push that a lost worker made last");
});

test("examples that are used twice or never are told", () => {
  const epochs = [{ epoch: 0, examples: 90, skipped: 0 }];
  const { result, checkpoint } = whole;
  const short = {
    ...whole,
    result: { ...result, paceline: { skippedExamples: 0, tornSteps: 0, epochs } },
  };
  assert.match(judgeAccounts(short)[0]!, /^epoch 0 counts 90 examples and 0 skipped/);
  const other = { ...whole, checkpoint: { ...checkpoint, counted: 149 } };
  assert.match(judgeAccounts(other)[0]!, /^chunks have 150 to 150 examples, 149 are counted/);
  const torn = { ...whole, checkpoint: { ...checkpoint, examples: [150, 142] } };
  assert.match(judgeAccounts(torn)[0]!, /^chunks have 142 to 150 examples, .*, 0 torn/);
  const told = { ...result, paceline: { ...result.paceline, tornSteps: 1 } };
  assert.deepEqual(judgeAccounts({ ...torn, result: told }), [], "a lost worker tore that step");
  const skipping = { ...result.paceline, skippedExamples: 6 };
  const skipped = {
    ...whole,
    scenario: inStep!,
    result: { ...result, paceline: skipping },
  } as const;
  assert.deepEqual(judgeAccounts(skipped), ["6 examples were skipped"]);
});

test("a run that went back, and a worker that BSP lost, are told", () => {
  const back = line({ kind: "warning", text: "the run goes back to its checkpoint of step 4" });
  assert.match(judgeAccounts({ ...whole, events: back })[0]!, /goes back/);
  assert.deepEqual(judgeAccounts({ ...whole, scenario: inStep!, events: lost }), [
    "a worker was lost: worker-1: lost at step 4",
  ]);
});
