/**
 * Workers without files: whole clusters in one process with real models, whose coordinator reads
 * the examples, truly or not.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loadDataset } from "../../data/dataset.js";
import type { Dataset } from "../../data/split.js";
import { writeSampleMnist } from "../../data/testing/sample-files.js";
import { PacelineError } from "../../errors.js";
import { type Outcome, runInMemory, type Toy } from "../../host/testing/memory-cluster.js";
import type { Examples, ExamplesRequest } from "../../protocol/examples.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleInput, sampleSpec } from "../../protocol/testing/sample-run.js";
import type { Transport } from "../../transport/transport.js";
import { createCentralCompute } from "./central-compute.js";
import { createComputeThread } from "./compute-thread.js";
import { ExampleReader } from "./example-reader.js";
import { initialState, layoutOf } from "./initial-state.js";

let folder = "";
let dataset: Dataset;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-central-"));
  await writeSampleMnist(folder, { train: 150, test: 300, seed: 5 });
  dataset = await loadDataset("mnist", { dataDir: folder, cacheDir: null });
});
after(() => rm(folder, { recursive: true, force: true }));

function specOf(extra: Partial<RunSpec> = {}): RunSpec {
  return {
    ...sampleSpec,
    feed: "central",
    input: { ...sampleInput, augment: { cropPadding: 2, flip: true, standardise: false } },
    trainExamples: 150,
    testExamples: 300,
    workersMax: 3,
    servers: 2,
    epochs: 2,
    ...extra,
  };
}

type Reader = (request: ExamplesRequest) => Examples;

/** Workers look for files in a folder that is not there, unless the feed has them read some. */
function run(
  spec: RunSpec,
  lie: (examples: Examples, request: ExamplesRequest) => Examples = (examples) => examples,
  during: (toy: Toy) => void = () => {},
): Promise<Outcome> {
  const reader = new ExampleReader(spec, dataset);
  const readExamples: Reader = (request) => lie(reader.copy(request), request);
  const dataDir = spec.feed === "central" ? join(folder, "none") : folder;
  const compute = (transport: Transport) => {
    const thread = createComputeThread({ dataDir, cacheDir: null, log: () => {} });
    return createCentralCompute(thread, {
      ask: (request, onBlock) => transport.readExamples("coordinator", request, onBlock),
      ioTimeoutMs: 5000,
    });
  };
  const fresh = initialState(spec, layoutOf(spec));
  return runInMemory({ spec, layoutOf, fresh, compute, readExamples, during });
}

describe("--feed central", () => {
  test("ends in the bits, and the evaluation, of workers that read their own files", async () => {
    const sent = await run(specOf());
    const read = await run(specOf({ feed: "leased" }));
    assert.equal(sent.result.outcome, "done", sent.result.reason);
    assert.deepEqual(sent.weights, read.weights);
    const scores = ({ result }: Outcome) =>
      result.evaluations.map(({ accuracyPercent, loss, examples }) => {
        return { accuracyPercent, loss, examples };
      });
    assert.deepEqual(scores(sent), scores(read));
    assert.equal(sent.result.evaluations.at(-1)?.examples, 300);
  });

  test("asks for a batch or less at a time, and evaluates in batches of at most 128", async () => {
    const asked: ExamplesRequest[] = [];
    await run(specOf({ workersMax: 1, epochs: 1 }), (examples, request) => {
      asked.push(request);
      return examples;
    });
    const ranges = (split: string) =>
      asked.filter((one) => one.split === split).map(({ start, end }) => `${start} to ${end}`);
    assert.equal(ranges("train").length, 10);
    assert.deepEqual(ranges("train").slice(-2), ["128 to 144", "144 to 150"]);
    assert.deepEqual(ranges("test"), ["0 to 128", "128 to 256", "256 to 300"]);
  });

  const lies: readonly [string, (examples: Examples) => Examples, RegExp][] = [
    [
      "a wrong shape",
      (examples) => ({ ...examples, shape: [1, 28, 27] }),
      /an example is 1 x 28 x 27 and the run's are 1 x 28 x 28/,
    ],
    [
      "a wrong type",
      (examples) => ({ ...examples, dtype: "f32" }),
      /values are "f32" and must be bytes, "u8"/,
    ],
    [
      "a label out of range",
      ({ labels, ...examples }) => ({
        ...examples,
        labels: labels.map((l, i) => (i === 3 ? 10 : l)),
      }),
      /label 10 is not one of 0 to 9/,
    ],
    [
      "an example too few",
      ({ labels, values, ...examples }) => ({
        ...examples,
        labels: labels.subarray(1),
        values: values.subarray(784),
      }),
      /15 examples arrived and 16 were requested/,
    ],
    [
      "a byte too few",
      ({ values, ...examples }) => ({ ...examples, values: values.subarray(1) }),
      /only 12543 bytes arrived for 16 examples of 12544 bytes in all/,
    ],
    [
      "a byte too many",
      ({ values, ...examples }) => ({ ...examples, values: new Uint8Array(values.length + 1) }),
      /more bytes arrived for 16 examples of 12544 bytes in all/,
    ],
  ];

  for (const [what, lie, reason] of lies) {
    test(`${what} once is refused, dealt again, and the run ends well`, async () => {
      let lied = false;
      const { result, events } = await run(specOf(), (examples, { split, start }) => {
        if (split !== "train" || start !== 48 || lied) return examples;
        lied = true;
        return lie(examples);
      });
      assert.equal(result.outcome, "done", result.reason);
      assert.deepEqual(
        result.epochs.map(({ examples, skipped }) => [examples, skipped]),
        [
          [150, 0],
          [150, 0],
        ],
      );
      const [warning, ...others] = events.filter(({ kind }) => kind === "warning");
      assert.equal(others.length, 0);
      assert.match(warning!.text, /^worker-\d refused examples 48 to 64 of epoch 1: /);
      assert.match(warning!.text, reason);
      const again = events.filter(({ text }) => /^examples 48 to 64 .* are dealt again/.test(text));
      assert.equal(again.length, 1);
      const ranks = [warning!.text, again[0]!.text].map((text) =>
        /worker-(\d)(?!.*worker)/.exec(text),
      );
      assert.notEqual(ranks[0]![1], ranks[1]![1], "another worker gets it");
    });
  }

  test("the third refusal of a batch ends the run with what is wrong with it", async () => {
    const { result } = await run(specOf(), (examples, { split, start }) =>
      split === "train" && start === 48 ? { ...examples, dtype: "f64" } : examples,
    );
    assert.deepEqual([result.outcome, result.code], ["failed", "data"]);
    assert.match(result.reason, /refused examples 48 to 64 of epoch 1: values are "f64"/);
  });

  test("files that turn out broken at the coordinator end the run at once", async () => {
    const { result } = await run(specOf(), (examples, { start }) => {
      if (start === 48) throw new PacelineError("data", "shard 2 is cut off");
      return examples;
    });
    assert.deepEqual([result.outcome, result.code], ["failed", "data"]);
    assert.match(result.reason, /shard 2 is cut off/);
  });

  test("batches are asked for again after the link to the coordinator was cut", async () => {
    const spec = specOf({ epochs: 12 });
    const whole = await run(spec);
    let cuts = 0;
    const cut = await run(
      spec,
      (examples) => examples,
      ({ network, coordinator }) => {
        const timer = setInterval(() => {
          if (coordinator.snapshot().epoch < 2 + 3 * cuts) return;
          cuts++;
          if (cuts === 3) clearInterval(timer);
          network.cut("worker-1", "coordinator");
          setTimeout(() => network.restore("worker-1", "coordinator"), 150);
        }, 1);
      },
    );
    assert.equal(cuts, 3);
    assert.equal(cut.result.outcome, "done", cut.result.reason);
    assert.deepEqual(cut.weights, whole.weights);
  });
});
