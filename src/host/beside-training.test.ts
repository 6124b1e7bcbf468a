/**
 * Checkpoints that are written while training goes on, in whole clusters over the memory transport:
 * they have the bits of the moment in which they were taken, whatever happens meanwhile.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../errors.js";
import { uncompressed } from "../protocol/compression.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { specOf as specOfEpochs } from "./testing/compressed-toys.js";
import type { Outcome, Toy, ToyPlan } from "./testing/memory-cluster.js";
import { asp, heard, runStruck } from "./testing/struck-toys.js";

const every = 30;
const specOf = (changes: Partial<RunSpec> = {}) =>
  specOfEpochs(30, uncompressed, {
    ...{ checkpointEvery: { unit: "step", count: every }, servers: 3, evaluateEvery: null },
    updateRule: { ...specOfEpochs(1, {}).updateRule, name: "momentum", momentum: 0.9 },
    ...changes,
  });

type Around = Pick<ToyPlan, "from" | "writing">;
const run = (spec: RunSpec, more: Around = {}, during: (toy: Toy) => void = () => {}) =>
  runStruck(spec, during, 5000, more);

const stepsOf = ({ coordinator }: Pick<Toy, "coordinator">) => coordinator.snapshot().globalSteps;

/** Waits until so many more steps are taken, or the run stands as it waits for a checkpoint. */
async function passed(toy: Pick<Toy, "coordinator">, steps: number): Promise<void> {
  const from = stepsOf(toy);
  const isAt = () =>
    stepsOf(toy) >= from + steps || /waits/.test(toy.coordinator.snapshot().activity);
  while (!isAt()) await new Promise((resolve) => setTimeout(resolve, 1));
}

function at({ checkpoints }: Outcome, step: number) {
  const found = checkpoints.find((one) => one.step === step);
  assert.ok(found !== undefined, `a checkpoint of step ${step}`);
  return found;
}

for (const replicas of [1, 2]) {
  test(`with replicas ${replicas} a checkpoint has the bits of its own step`, async () => {
    let besideSteps = 0;
    const writing: ToyPlan["writing"] = async ({ why }, toy) => {
      if (why !== "checkpoint") return;
      const from = stepsOf(toy);
      await passed(toy, 10);
      besideSteps += stepsOf(toy) - from;
    };
    const outcome = await run(specOf({ replicas }), { writing });
    assert.equal(outcome.result.outcome, "done", outcome.result.reason);
    assert.ok(besideSteps >= 30, `${besideSteps} steps were taken beside`);
    for (const step of [every, 3 * every]) {
      const stood = await run(specOf({ maxSteps: step, checkpointEvery: null }));
      const { state, snapshot } = at(outcome, step);
      assert.deepEqual(state.weights, stood.saved.state.weights);
      assert.deepEqual(state.state, stood.saved.state.state);
      const marks = state.marks.map(({ applied, ...rest }) => [rest, applied.map((a) => a.step)]);
      const wanted = stood.saved.state.marks.map(({ applied, ...rest }) => {
        return [rest, applied.map((a) => a.step)];
      });
      assert.deepEqual(marks, wanted);
      const examples = [...snapshot.epochs, ...snapshot.openEpochs].map((one) => one.examples);
      assert.equal(
        examples.reduce((sum, count) => sum + count, 0),
        step * 24,
      );
    }
  });
}

test("resumed from such a checkpoint on other servers it ends in the same bits", async () => {
  const writing: ToyPlan["writing"] = async ({ why }, toy) => {
    if (why === "checkpoint") await passed(toy, 10);
  };
  const uncut = await run(specOf(), { writing });
  for (const servers of [1, 2, 5]) {
    const from = at(uncut, 3 * every);
    const rest = await run(specOf({ servers, run: `again-${servers}` }), { from });
    assert.equal(rest.result.outcome, "done", rest.result.reason);
    assert.deepEqual(rest.weights, uncut.weights, `on ${servers} servers`);
  }
});

test("asynchronous pushes that come beside are counted once, in the next", async () => {
  const writing: ToyPlan["writing"] = async ({ why }, toy) => {
    if (why === "checkpoint") await passed(toy, 10);
  };
  const outcome = await run(specOf({ protocol: asp }), { writing });
  assert.equal(outcome.result.outcome, "done", outcome.result.reason);
  assert.ok(outcome.checkpoints.length > 2);
  for (const { snapshot, state } of outcome.checkpoints) {
    const open = [...snapshot.epochs, ...snapshot.openEpochs].map((one) => one.examples);
    const counted = open.reduce((sum, count) => sum + count, 0);
    for (const { examples } of state.marks) assert.equal(examples, counted);
  }
});

test("an interrupt while one is written waits for it, and has one of its own", async () => {
  let isWriting = false;
  const written: string[] = [];
  const writing: ToyPlan["writing"] = async ({ why }, toy) => {
    assert.equal(isWriting, false, "one at a time");
    isWriting = true;
    written.push(why);
    if (why === "checkpoint") {
      await passed(toy, 5);
      toy.coordinator.tell({ type: "interrupt", reason: "SIGINT" });
      const stands = /waits until the one before is written/;
      while (!stands.test(toy.coordinator.snapshot().activity)) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    isWriting = false;
  };
  const { result, checkpoints } = await run(specOf(), { writing });
  assert.equal(result.outcome, "interrupted", result.reason);
  // Where training is faster than this looks, the next one is due as well before the interrupt.
  assert.deepEqual([written[0], written.at(-1)], ["checkpoint", "interrupt"]);
  assert.ok(checkpoints.at(-1)!.step > checkpoints[0]!.step);
});

test("a full disk costs a warning and no step, and the next one is tried at its time", async () => {
  let tries = 0;
  const writing: ToyPlan["writing"] = async ({ why }, toy) => {
    if (why !== "checkpoint" || ++tries > 1) return;
    await passed(toy, 5);
    throw new PacelineError("storage", "no space is left");
  };
  const undisturbed = await run(specOf());
  const { result, weights, checkpoints, events } = await run(specOf(), { writing });
  assert.equal(result.outcome, "done", result.reason);
  assert.deepEqual(weights, undisturbed.weights);
  const steps = undisturbed.checkpoints.map(({ step }) => step);
  assert.deepEqual(
    checkpoints.map(({ step }) => step),
    steps.slice(1),
  );
  const warnings = events.filter(({ kind }) => kind === "warning").map(({ text }) => text);
  assert.equal(warnings.filter((text) => text === "checkpoint failed: no space is left").length, 1);
});

test("a server that is lost while one is written takes nothing of it away", async () => {
  const writing: ToyPlan["writing"] = async ({ why }, toy) => {
    if (why === "checkpoint") await passed(toy, 10);
  };
  const spec = specOf({ replicas: 2 });
  const undisturbed = await run(specOf());
  const { result, weights, checkpoints } = await run(spec, { writing }, (toy) => {
    const strike = async () => {
      const place = await heard(toy, /^redundant/);
      await heard(toy, /^checkpoint of step/, place);
      await toy.kill(1);
    };
    void strike();
  });
  assert.equal(result.outcome, "done", result.reason);
  assert.deepEqual(weights, undisturbed.weights);
  for (const { step, state } of checkpoints) {
    const same = undisturbed.checkpoints.find((one) => one.step === step);
    if (same !== undefined) assert.deepEqual(state.weights, same.state.weights, `step ${step}`);
  }
});
