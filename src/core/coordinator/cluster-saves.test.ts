/** Checkpoints that are written beside training, in whole clusters of machines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type ClusterPlan, type ModelCheckpoint, ModelCluster } from "../testing/model-cluster.js";
import { everyProtocol, nameOf, plainAsp, specOf } from "../testing/model-run.js";
import { positionsUsed } from "../testing/model-values.js";

const seeds = Array.from({ length: 6 }, (_, index) => index + 1);
const every = { unit: "step", count: 5 } as const;

function clusterOf(seed: number, spec: Partial<RunSpec>, more: Partial<ClusterPlan> = {}) {
  const whole = specOf({ checkpointEvery: every, evaluateEvery: null, ...spec });
  return new ModelCluster({ seed, spec: whole, chunks: 4, ...more });
}

/** Positions that some chunk of a checkpoint has applied, and examples that it counts. */
function account({ snapshot, values }: ModelCheckpoint): [applied: number, counted: number] {
  const positions = new Set<string>();
  for (const value of values) {
    for (const [epoch, used] of positionsUsed(value, 96)) {
      for (const [position, count] of used.entries()) {
        if (count > 0) positions.add(`${epoch}/${position}`);
      }
    }
  }
  const counted = [...snapshot.epochs, ...snapshot.openEpochs].map(({ examples }) => examples);
  return [positions.size, counted.reduce((sum, count) => sum + count, 0)];
}

for (const protocol of everyProtocol) {
  test(`${nameOf(protocol)}: what is written beside training counts what was applied`, () => {
    for (const seed of seeds) {
      const spec = { protocol, feed: seed % 2 === 0 ? "static" : "leased" } as const;
      const cluster = clusterOf(seed, spec, { writeMs: 150 }).start().run();
      assert.equal(cluster.result.outcome, "done", cluster.result.reason);
      assert.ok(cluster.checkpoints.length > 2);
      for (const checkpoint of cluster.checkpoints) {
        const [applied, counted] = account(checkpoint);
        assert.equal(applied, counted, `${seed}, ${checkpoint.why}`);
        for (const { examples } of checkpoint.marks) assert.equal(examples, counted);
      }
    }
  });
}

test("in step, work is dealt as soon as all is copied, and each step's is taken", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed, {}, { writeMs: 400 });
    let dealt = 0;
    cluster.onTalk = (_from, _to, { type }) => {
      const isWritten = cluster.events.some(({ kind }) => kind === "checkpoint");
      if (type === "work" && !isWritten) dealt++;
    };
    cluster.start().run();
    assert.equal(
      dealt,
      3 * 4,
      "to step 5, the epoch's end at 6 and step 10, all before one is written",
    );
    const steps = cluster.checkpoints.map(({ step }) => step);
    assert.deepEqual(steps, [5, 10, 12]);
    const stood = clusterOf(seed, {}, { writeMs: 0 }).start().run();
    const values = ({ checkpoints }: ModelCluster) =>
      checkpoints.map(({ values }) => values.map(({ digest }) => digest));
    assert.deepEqual(values(cluster), values(stood));
  }
});

const hurries = ({ saves }: ModelCluster) =>
  saves.filter(({ leisureMs }) => leisureMs === null).length;

test("one that is due too early waits, which is said once and with the remedy", () => {
  const said = ({ events }: ModelCluster) =>
    events.filter(({ kind, text }) => kind === "warning" && /was due and waited/.test(text));
  for (const protocol of everyProtocol) {
    const late = clusterOf(1, { protocol }, { writeMs: 20_000 }).start().run();
    assert.equal(late.result.outcome, "done");
    assert.equal(said(late).length, 1);
    assert.ok(hurries(late) > 0, "it is not written at leisure any more");
    assert.match(said(late)[0]!.text, /waited \d+\.\d s .* longer --checkpoint-every, .* 5 steps/);
    // Where nobody stands, what belongs to one takes about a step of all workers to come.
    const count = protocol.mode === "bsp" ? 5 : 25;
    const rarely = { unit: "step", count } as const;
    const timely = clusterOf(1, { protocol, checkpointEvery: rarely }, { writeMs: 0 });
    timely.start().run();
    assert.equal(said(timely).length + hurries(timely), 0);
  }
});

test("a worker that is lost while one is written leaves the account true", () => {
  for (const protocol of everyProtocol) {
    for (const seed of seeds) {
      const cluster = clusterOf(seed, { protocol }, { writeMs: 2000 }).start();
      let isStruck = false;
      cluster.onTalk = (_from, to, { type }) => {
        if (isStruck || type !== "work" || to !== "worker-2") return;
        if (cluster.coordinator.snapshot(cluster.nowMs).globalSteps < 5) return;
        isStruck = true;
        cluster.network.after(30, () => cluster.kill(cluster.worker(2)!, "closed"));
      };
      const { outcome, reason } = cluster.run().result;
      assert.equal(outcome, "done", reason);
      for (const checkpoint of cluster.checkpoints) {
        const [applied, counted] = account(checkpoint);
        assert.equal(applied, counted, `${seed}, ${nameOf(protocol)}`);
      }
    }
  }
});

test("a checkpoint takes its time for a quarter of what has passed since the one before", () => {
  const cluster = clusterOf(1, {}, { writeMs: 0 });
  cluster.start().run();
  const [first, second, last] = cluster.saves;
  assert.ok(first !== undefined && second !== undefined);
  const leisureMs = first.leisureMs ?? 0;
  assert.ok(leisureMs > 0 && leisureMs < first.atMs / 4);
  assert.equal(second.leisureMs, (second.atMs - first.atMs) / 4);
  assert.equal(last?.leisureMs, 0, "the run ends with it");
});

test("one that waited is of the step that all have sealed by then", () => {
  const spec = { checkpointEvery: { unit: "step", count: 1 } } as const;
  // Who comes later has no share of this epoch, and is in step from the next one on.
  const alone = clusterOf(1, { ...spec, workersMax: 1 }, { writeMs: 0 })
    .start()
    .run();
  const resume = alone.checkpoints.find(({ step }) => step === 2)!;
  for (const seed of seeds) {
    const cluster = clusterOf(seed, spec, { writeMs: 8000, resume }).start();
    let steps = 0;
    cluster.onTalk = (_from, to, { type }) => {
      if (type !== "work" || to !== "worker-0" || ++steps !== 2) return;
      cluster.network.after(500, () => cluster.kill(cluster.worker(0)!, "closed"));
    };
    const { outcome, reason } = cluster.run().result;
    assert.equal(outcome, "done", reason);
    for (const { step, marks } of cluster.checkpoints) {
      assert.equal(Math.max(...marks.map(({ sealedStep }) => sealedStep)), step - 1, `${seed}`);
    }
  }
});

test("while chunks are marked for a cut no work is dealt, and then it is", () => {
  for (const seed of seeds) {
    const cluster = clusterOf(seed, { protocol: plainAsp, feed: "leased" }, { writeMs: 0 });
    let [marked, dealt] = [0, 0];
    const { tell } = cluster;
    cluster.tell = (event) => {
      if (event.type === "marked") marked++;
      tell.call(cluster, event);
    };
    cluster.onTalk = (_from, _to, { type }) => {
      if (type !== "work") return;
      dealt++;
      const begun = cluster.saves.filter(({ leisureMs }) => (leisureMs ?? 0) > 0).length;
      assert.equal(begun, marked, `batch ${dealt} of seed ${seed}`);
    };
    assert.equal(cluster.start().run().result.outcome, "done");
    assert.ok(marked > 1);
  }
});
