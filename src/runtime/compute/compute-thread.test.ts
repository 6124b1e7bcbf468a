import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { equalRanges } from "../../core/work/ranges.js";
import type { StepOutcome } from "../../core/worker/worker-account.js";
import { loadDataset } from "../../data/dataset.js";
import { writeSampleMnist } from "../../data/testing/sample-files.js";
import { PacelineError } from "../../errors.js";
import type { ComputePort, PreparedCompute } from "../../host/compute-port.js";
import { referenceEngine } from "../../nn/reference/reference.js";
import type { Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import type { ThreadSpan } from "./compute-service.js";
import { createComputeThread } from "./compute-thread.js";
import { initialState, layoutOf } from "./initial-state.js";
import { type ComputedStep, StepComputer } from "./step-computer.js";

let folder = "";
let dataDir = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-compute-"));
  dataDir = join(folder, "data");
  await writeSampleMnist(dataDir, { train: 200, test: 150, seed: 5 });
});
after(() => rm(folder, { recursive: true, force: true }));

const spec: RunSpec = sampleSpec;

/** What the port says, one promise at a time. */
class Ear {
  readonly ready: number[] = [];
  #said: (value: unknown) => void = () => {};
  #failed: (error: unknown) => void = () => {};

  readonly listener = {
    onChunkReady: (_step: number, chunk: number) => void this.ready.push(chunk),
    onComputed: (step: number, { lossSum, correct }: StepOutcome) =>
      this.#said({ step, lossSum, correct }),
    onRefused: (step: number, reason: string) => this.#said({ step, reason }),
    onEvaluated: (correct: number, lossSum: number) => this.#said({ correct, lossSum }),
    onFailed: (error: unknown) => this.#failed(error),
  };

  async after(ask: () => void): Promise<Record<string, number>> {
    const answer = new Promise((resolve, reject) => {
      this.#said = resolve;
      this.#failed = reject;
    });
    this.ready.length = 0;
    ask();
    return (await answer) as Record<string, number>;
  }
}

interface Prepared {
  readonly port: ComputePort;
  readonly ear: Ear;
  readonly job: PreparedCompute;
  readonly log: readonly string[];
}

async function withThread(own: RunSpec, use: (prepared: Prepared) => Promise<void>) {
  const log: string[] = [];
  const place = { dataDir, cacheDir: null };
  const port = createComputeThread({ ...place, log: (text) => log.push(text) });
  const ear = new Ear();
  try {
    const job = await port.prepare(own, 0, ear.listener);
    job.parameters.set(initialState(own, job.layout).weights);
    await use({ port, ear, job, log });
  } finally {
    await port.close();
  }
}

/** The same job on the calling thread. */
async function direct(own: RunSpec) {
  const { data, trainExamples: trainLimit, testExamples: testLimit } = own;
  const dataset = await loadDataset(data, { dataDir, trainLimit, testLimit });
  const layout = layoutOf(own);
  const parameters = initialState(own, layout).weights;
  const gradients = new Float32Array(layout.values);
  const job = new StepComputer({
    spec: own,
    dataset,
    engine: referenceEngine,
    parameters,
    gradients,
    nowMs: () => 0,
  });
  return { job, gradients };
}

const range: Range = { start: 32, end: 48 };
/** A step that lacks nothing and that none follows. */
const alone = { lacking: [], next: null } as const;

describe("a compute thread", () => {
  test("computes the gradients that a direct call computes, in shared memory", async () => {
    const same = await direct(spec);
    await withThread(spec, async ({ port, ear, job, log }) => {
      assert.ok(job.gradients.buffer instanceof SharedArrayBuffer);
      for (const [step, epoch] of [0, 0, 1].entries()) {
        const { lossSum, correct } = await ear.after(() =>
          port.compute({ step, epoch, range, ...alone }),
        );
        const expected = same.job.compute({ step, epoch, range }, 0, () => {});
        assert.deepEqual([lossSum, correct], [expected.lossSum, expected.correct]);
        assert.deepEqual(job.gradients, same.gradients);
      }
      assert.match(log.join("\n"), /engine reference/);
    });
  });

  test("says each chunk's gradient to be ready once, before the step is computed", async () => {
    await withThread(spec, async ({ port, ear, job }) => {
      const { step } = await ear.after(() => port.compute({ step: 7, epoch: 0, range, ...alone }));
      assert.equal(step, 7);
      const indices = job.layout.chunks.map((chunk) => chunk.index);
      assert.equal(indices.length, 5);
      assert.deepEqual([...ear.ready].sort(), indices);
    });
  });

  test("says no chunk to be ready when the loss is not finite", async () => {
    await withThread(spec, async ({ port, ear, job }) => {
      job.parameters.fill(Number.NaN);
      const { lossSum } = await ear.after(() =>
        port.compute({ step: 0, epoch: 0, range, ...alone }),
      );
      assert.ok(Number.isNaN(lossSum));
      assert.deepEqual(ear.ready, []);
    });
  });

  test("evaluates ranges of the test set as a direct call does", async () => {
    const same = await direct(spec);
    await withThread(spec, async ({ port, ear }) => {
      let correct = 0;
      for (const part of equalRanges(150, 3)) {
        const sums = await ear.after(() => port.evaluate(part));
        assert.deepEqual(sums, same.job.evaluate(part));
        correct += sums.correct!;
      }
      assert.equal(correct, same.job.evaluate({ start: 0, end: 150 }).correct);
    });
  });

  test("waits for parameters that a step lacks, and has then the same gradients", async () => {
    const same = await direct(spec);
    await withThread(spec, async ({ port, ear, job }) => {
      const whole = job.parameters.slice();
      const lacking = job.layout.chunks.map(({ index }) => index);
      job.parameters.fill(Number.NaN);
      const next = { step: 1, epoch: 0, range: { start: 0, end: 16 } };
      const said = ear.after(() => port.compute({ step: 0, epoch: 0, range, lacking, next }));
      for (const { index, offset, length } of job.layout.chunks.toReversed()) {
        job.parameters.set(whole.subarray(offset, offset + length), offset);
        port.arrived(index);
      }
      const { lossSum } = await said;
      assert.equal(lossSum, same.job.compute({ step: 0, epoch: 0, range }, 0, () => {}).lossSum);
      assert.deepEqual(job.gradients, same.gradients);
      await ear.after(() => port.compute({ ...next, ...alone }));
      same.job.compute(next, 0, () => {});
      assert.deepEqual(job.gradients, same.gradients);
    });
  });

  test("takes 3 times its own time for a slowed step, with the same gradients", async () => {
    const same = await direct(spec);
    const slowed: number[] = [];
    let step = { startMs: 0, endMs: 0 };
    const port = createComputeThread({
      ...{ dataDir, cacheDir: null, log: () => {} },
      onSpan: (span) => {
        if (span.name === "step 0") step = span;
      },
    });
    const ear = new Ear();
    const job = await port.prepare(spec, 0, {
      ...ear.listener,
      onComputed: (number, outcome) => {
        slowed.push((outcome as ComputedStep).slowedSeconds);
        ear.listener.onComputed(number, outcome);
      },
    });
    job.parameters.set(initialState(spec, job.layout).weights);
    for (const slow of [1, 3]) {
      await ear.after(() => port.compute({ step: 0, epoch: 0, range, ...alone, slow }));
      same.job.compute({ step: 0, epoch: 0, range }, 0, () => {});
      assert.deepEqual(job.gradients, same.gradients);
    }
    // Spans are told after the step, and all are there before the thread says anything else.
    await ear.after(() => port.evaluate({ start: 0, end: 8 }));
    await port.close();
    const [promptSeconds, slowedSeconds] = slowed as [number, number];
    assert.equal(promptSeconds, 0);
    const ownSeconds = (step.endMs - step.startMs) / 1000 - slowedSeconds;
    assert.ok(slowedSeconds >= 1.99 * ownSeconds, `${slowedSeconds} s beside ${ownSeconds} s`);
  });

  test("tells what a step consists of, and that its batch was made ahead", async () => {
    const spans: ThreadSpan[] = [];
    let told = () => {};
    const onSpan = (span: ThreadSpan) => {
      spans.push(span);
      if (span.name === "step 1") told();
    };
    const port = createComputeThread({ dataDir, cacheDir: null, log: () => {}, onSpan });
    const ear = new Ear();
    await port.prepare(spec, 0, ear.listener);
    const next = { step: 1, epoch: 0, range: { start: 0, end: 16 } };
    await ear.after(() => port.compute({ step: 0, epoch: 0, range, lacking: [], next }));
    const all = new Promise<void>((resolve) => {
      told = resolve;
    });
    const second = ear.after(() => port.compute({ ...next, lacking: [0], next: null }));
    port.arrived(0);
    const { lossSum } = await second;
    assert.ok(Number.isFinite(lossSum));
    await all;
    await port.close();
    const names = spans.map(({ name }) => name).filter((name) => name !== "wait for chunk 0");
    const parts = ["forward", "backward"];
    assert.deepEqual(names, ["input", "step 0", ...parts, "input ahead", "step 1", ...parts]);
    const find = (name: string, from = 0) => spans.slice(from).find((span) => span.name === name)!;
    const [step, forward, backward] = [find("step 0"), find("forward"), find("backward")];
    assert.equal(forward.startMs, step.startMs);
    assert.equal(forward.endMs, backward.startMs);
    assert.equal(backward.endMs, step.endMs);
    const ahead = find("input ahead");
    assert.ok(step.endMs <= ahead.startMs && ahead.endMs <= find("step 1").startMs);
  });

  test("is closed, and takes another run, while a step waits for parameters", async () => {
    const port = createComputeThread({ dataDir, cacheDir: null, log: () => {} });
    const [first, second] = [new Ear(), new Ear()];
    await port.prepare(spec, 0, first.listener);
    port.compute({ step: 0, epoch: 0, range, lacking: [0], next: null });
    await port.prepare({ ...spec, run: "again" }, 0, second.listener);
    assert.equal(
      (await second.after(() => port.compute({ step: 1, epoch: 0, range, ...alone }))).step,
      1,
    );
    port.compute({ step: 2, epoch: 0, range, lacking: [0], next: null });
    await port.close();
    assert.deepEqual(first.ready, []);
  });

  test("takes another run after one, without a word of the first", async () => {
    const port = createComputeThread({ dataDir, cacheDir: null, log: () => {} });
    const [first, second] = [new Ear(), new Ear()];
    await port.prepare(spec, 0, first.listener);
    port.compute({ step: 0, epoch: 0, range, ...alone });
    const parity = { data: "mnist-parity", input: { ...spec.input, classes: 2 } };
    const other = { ...spec, ...parity, model: "logistic", chunkValues: 100 };
    const job = await port.prepare(other, 1, second.listener);
    assert.equal(job.layout.values, 785);
    const said = await second.after(() => port.compute({ step: 1, epoch: 0, range, ...alone }));
    assert.equal(said.step, 1);
    assert.equal(second.ready.length, 9);
    assert.deepEqual(first.ready, []);
    await port.close();
  });
});

describe("a compute thread that can't go on", () => {
  const digits = [..."123456789"];
  const elsewhere = {
    classNames: ["0", ...digits],
    trainFingerprint: "0".repeat(64),
    testFingerprint: "0".repeat(64),
  };
  const failing: [title: string, change: Partial<RunSpec>, code: string, message: RegExp][] = [
    ["an unknown model", { model: "mpl" }, "usage", /"mpl"/],
    ["an unknown engine", { engine: "gpu" as "auto" }, "usage", /"gpu"; choose one of auto/],
    [
      "too few examples",
      { trainExamples: 300 },
      "data",
      /200 training examples .* expects 300: give/,
    ],
    [
      "data of other classes",
      { input: { ...spec.input, classes: 7 } },
      "data",
      /10 classes here and the run expects 7: give every member the same files/,
    ],
    [
      "data of another shape",
      { input: { ...spec.input, shape: [1, 20, 28] } },
      "data",
      /1 x 28 x 28 channels, rows and columns here .* 1 x 20 x 28: give/,
    ],
    [
      "other files of the same counts and shapes",
      { input: { ...spec.input, identity: elsewhere } },
      "data",
      /here has training examples of fingerprint \w{16}, not 0{16} as the run's: give every member/,
    ],
    [
      "classes of other names",
      { input: { ...spec.input, identity: { ...elsewhere, classNames: ["a", ...digits] } } },
      "data",
      /here has label 0 for "0", not for "a" as the run's: give every member the same files/,
    ],
  ];
  for (const [title, change, code, message] of failing) {
    test(`refuses ${title} with code and message`, async () => {
      const port = createComputeThread({ dataDir, cacheDir: null, log: () => {} });
      const prepared = port.prepare({ ...spec, ...change }, 0, new Ear().listener);
      await assert.rejects(prepared, (error) => {
        assert.ok(error instanceof PacelineError);
        assert.equal(error.code, code);
        assert.match(error.message, message);
        return true;
      });
      await port.close();
    });
  }

  test("refuses missing data as such", async () => {
    const missing = join(folder, "nothing");
    await mkdir(missing);
    const port = createComputeThread({ dataDir: missing, cacheDir: null, log: () => {} });
    const prepared = port.prepare(spec, 0, new Ear().listener);
    await assert.rejects(prepared, { code: "data", message: /nothing; give --data-dir/ });
    await port.close();
  });

  for (const [how, program, message] of [
    ["throws", "throw new Error('no memory')", /no memory/],
    ["exits", "process.exit(3)", /ended by itself with exit code 3/],
  ] as const) {
    test(`tells when the thread ${how} before it is prepared`, async () => {
      const entry = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
      const port = createComputeThread({ dataDir, cacheDir: null, log: () => {}, entry });
      await assert.rejects(port.prepare(spec, 0, new Ear().listener), { message });
      await port.close();
    });

    test(`tells the listener when the thread ${how} during a step`, async () => {
      const whole = `import { parentPort } from "node:worker_threads";
        parentPort.on("message", ({ type, job }) => {
          if (type === "prepare") parentPort.postMessage({ type: "prepared", job });
          else ${program};
        });`;
      const entry = new URL(`data:text/javascript,${encodeURIComponent(whole)}`);
      const port = createComputeThread({ dataDir, cacheDir: null, log: () => {}, entry });
      const ear = new Ear();
      await port.prepare(spec, 0, ear.listener);
      const step = ear.after(() => port.compute({ step: 0, epoch: 0, range, ...alone }));
      await assert.rejects(step, { message });
      await port.close();
    });
  }

  test("computes on its own number of threads, else on the run's", async () => {
    const program = `import { parentPort } from "node:worker_threads";
      parentPort.on("message", ({ job, spec }) => {
        parentPort.postMessage({ type: "prepared", job, engine: spec.threads, algorithms: [] });
      });`;
    const entry = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
    for (const [threads, expected] of [
      [5, 5],
      [null, 2],
      [undefined, 2],
    ] as const) {
      const own = threads === undefined ? {} : { threads };
      const port = createComputeThread({ dataDir, cacheDir: null, log: () => {}, entry, ...own });
      const { engine } = await port.prepare({ ...spec, threads: 2 }, 0, new Ear().listener);
      assert.equal(engine, expected);
      await port.close();
    }
  });

  test("ends a wait for prepare when it is closed, and asks nothing afterwards", async () => {
    const port = createComputeThread({ dataDir, cacheDir: null, log: () => {} });
    const prepared = port.prepare(spec, 0, new Ear().listener);
    const refused = assert.rejects(prepared, { code: "unavailable" });
    await port.close();
    await refused;
    port.compute({ step: 0, epoch: 0, range, ...alone });
    await assert.rejects(port.prepare(spec, 0, new Ear().listener), { code: "unavailable" });
  });

  test("lets the process end once it is closed, even in the middle of a step", () => {
    const { href } = new URL("./compute-thread.js", import.meta.url);
    const program = `
      import { createComputeThread } from ${JSON.stringify(href)};
      const place = { dataDir: ${JSON.stringify(dataDir)}, cacheDir: null };
      const port = createComputeThread({ ...place, log() {} });
      const listener = { onChunkReady() {}, onComputed() {}, onEvaluated() {}, onFailed() {} };
      await port.prepare(${JSON.stringify(spec)}, 0, listener);
      for (let step = 0; step < 1000; step++) {
        const range = { start: 0, end: 16 };
        port.compute({ step, epoch: 0, range, lacking: [], next: null });
      }
      await port.close();
    `;
    const words = ["--input-type=module", "--eval", program];
    const child = spawnSync(process.execPath, words, { timeout: 30_000, encoding: "utf8" });
    assert.deepEqual([child.status, child.signal, child.stderr], [0, null, ""]);
  });
});
