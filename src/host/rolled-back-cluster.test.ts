/** Clusters that lose the only copy of a chunk, go back to a checkpoint and go on from there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Compression } from "../protocol/compression.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { specOf as specOfEpochs } from "./testing/compressed-toys.js";
import type { Outcome, Toy } from "./testing/memory-cluster.js";
import { asp, heard, runStruck } from "./testing/struck-toys.js";

const epochs = 40;

const specOf = (changes: Partial<RunSpec> = {}, push: Compression = { codec: "none", share: 1 }) =>
  specOfEpochs(
    epochs,
    { push },
    { checkpointEvery: { unit: "step", count: 30 }, servers: 3, ...changes },
  );

const run = (spec: RunSpec, during: (toy: Toy) => void = () => {}, serverGraceMs = 5000) =>
  runStruck(spec, during, serverGraceMs);

/** Ends a server once an event tells of something, and starts another in its place. */
function striking(...strikes: readonly (readonly [server: number, at: RegExp])[]) {
  return (toy: Toy) => {
    const strike = async () => {
      let from = 0;
      for (const [server, at] of strikes) {
        from = await heard(toy, at, from);
        await toy.kill(server);
        from = await heard(toy, /^waiting up to/, from);
        await toy.restart(server);
      }
    };
    void strike();
  };
}

function usedExamples({ result }: Outcome): number {
  return result.epochs.reduce((sum, { examples }) => sum + examples, 0);
}

/** Everything that a run counts is as if nothing had happened. */
function assertAlike(outcome: Outcome, undisturbed: Outcome): void {
  const { result } = outcome;
  assert.equal(result.outcome, "done", result.reason);
  assert.deepEqual(outcome.weights, undisturbed.weights);
  assert.equal(usedExamples(outcome), 120 * epochs);
  const counts = ({ result: { globalSteps, skippedExamples, tornSteps, epochs } }: Outcome) => ({
    ...{ globalSteps, skippedExamples, tornSteps },
    epochs: epochs.map(({ epoch, examples, skipped }) => [epoch, examples, skipped]),
  });
  assert.deepEqual(counts(outcome), counts(undisturbed));
  assert.deepEqual(
    result.evaluations.map(({ step, loss }) => [step, loss]),
    undisturbed.result.evaluations.map(({ step, loss }) => [step, loss]),
  );
}

for (const push of [
  { codec: "none", share: 1 },
  { codec: "topk", share: 0.1 },
] as const) {
  test(`pushes as ${push.codec}: a run that went back twice ends in the same bits`, async () => {
    const spec = specOf({}, push);
    const undisturbed = await run(spec);
    const strikes = striking([1, /^Epoch 15\//], [2, /^Epoch 30\//]);
    const outcome = await run(spec, strikes);
    assertAlike(outcome, undisturbed);
    const said = outcome.events.flatMap(({ kind, text }) => (kind === "warning" ? [text] : []));
    const back =
      /^the run goes back to its checkpoint of step \d+, from step \d+: .*trained again$/;
    assert.equal(said.filter((text) => back.test(text)).length, 2, said.join("\n"));
    const generations = new Set(outcome.records.map(({ view }) => view.generation));
    assert.deepEqual([...generations], [0, 1, 2]);
    const numbers = outcome.records.map(({ view }) => view.number);
    assert.deepEqual(
      numbers,
      numbers.toSorted((left, right) => left - right),
      "ids only grow",
    );
  });
}

test("a run without a checkpoint begins anew, and says so", async () => {
  const spec = specOf({ checkpointEvery: null, evaluateEvery: { unit: "epoch", count: 1 } });
  const undisturbed = await run(spec);
  const outcome = await run(spec, striking([2, /^Epoch 3\//]));
  assertAlike(outcome, undisturbed);
  const { events } = outcome;
  const back = events.findIndex(({ text }) => /^the run begins anew/.test(text));
  const words = /^the run begins anew, as it has no checkpoint, from step (\d+): at least \1 steps/;
  const fromStep = Number(words.exec(events[back]?.text ?? "")?.[1]);
  const evaluated = events
    .slice(0, back)
    .flatMap((event) => (event.kind === "evaluation" ? [event.step] : []));
  // Servers tell how far they are now and then; what was evaluated they had reached.
  assert.ok(fromStep >= Math.max(...evaluated), `${fromStep} of ${evaluated}`);
});

test("an asynchronous run that went back counts every example and push once", async () => {
  for (const feed of ["static", "leased"] as const) {
    const spec = specOf({ protocol: asp, feed });
    const outcome = await run(spec, striking([1, /^checkpoint of step [1-9]/]));
    const { result, saved } = outcome;
    assert.equal(result.outcome, "done", result.reason);
    assert.ok(outcome.events.some(({ text }) => /^the run goes back/.test(text)));
    assert.equal(usedExamples(outcome), 120 * epochs);
    for (const { version, examples } of saved.state.marks) {
      assert.deepEqual([version, examples], [result.globalSteps, 120 * epochs]);
    }
    const pushes = Object.values(result.workers).reduce((sum, { steps }) => sum + steps, 0);
    assert.equal(pushes, result.globalSteps);
  }
});

test("a run ends as it would have where nobody comes back within the grace", async () => {
  const kill = (toy: Toy) => void heard(toy, /^checkpoint of step 30 /).then(() => toy.kill(1));
  const [waited, unwaited] = [await run(specOf(), kill, 200), await run(specOf(), kill, 0)];
  for (const { result } of [waited, unwaited]) {
    assert.deepEqual([result.outcome, result.code], ["failed", "member_lost"]);
    assert.match(result.reason, /^server-1 .* no other replica, go on from its checkpoint of step/);
  }
  assert.equal(waited.result.reason, unwaited.result.reason);
  assert.ok(waited.events.some(({ text }) => /^waiting up to 0.2 s for server-1 /.test(text)));
});

test("a run that is interrupted while it waits for a server ends at once", async () => {
  const { result } = await run(specOf(), (toy) => {
    const strike = async () => {
      await heard(toy, /^checkpoint of step 30 /);
      await toy.kill(1);
      await heard(toy, /^waiting up to/);
      toy.coordinator.tell({ type: "interrupt", reason: "SIGINT" });
    };
    void strike();
  });
  assert.equal(result.outcome, "interrupted", result.reason);
});

test("copies are made anew after a roll-back", async () => {
  const spec = specOf({ replicas: 2 });
  const undisturbed = await run({ ...spec, replicas: 1 });
  const outcome = await run(spec, (toy) => {
    const strike = async () => {
      const from = await heard(toy, /^checkpoint of step 30 /);
      await Promise.all([toy.kill(1), toy.kill(2)]);
      await heard(toy, /^waiting up to/, from);
      await Promise.all([toy.restart(1), toy.restart(2)]);
    };
    void strike();
  });
  assertAlike(outcome, undisturbed);
  const back = outcome.events.findIndex(({ text }) => /^the run goes back/.test(text));
  const rest = outcome.events.slice(back);
  assert.ok(back >= 0 && rest.some(({ text }) => text.startsWith("redundant")));
});
