import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { PacelineError } from "../../errors.js";
import { uncompressed } from "../../protocol/compression.js";
import { type Layout, layOut, type TensorSpec } from "../../protocol/layout.js";
import { keptValues } from "../../protocol/local/local-state.js";
import type { ChunkMarks } from "../../protocol/messages.js";
import { weightValues } from "../../protocol/residuals.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { localSpec } from "../../protocol/testing/local-run.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { fileError } from "../file-errors.js";
import { aroundFiles, diskFiles, type Files } from "../files.js";
import {
  assertSameModel,
  type CheckpointContent,
  readCheckpoint,
  writeCheckpoint,
} from "./checkpoint.js";
import { latestCheckpoint, listCheckpoints } from "./checkpoint-folder.js";
import { type CheckpointManifest, checkpointFormat, encodeManifest } from "./manifest.js";
import { decodeManifest } from "./manifest-form.js";
import { readAllTensors } from "./safetensors.js";

const tensors: readonly TensorSpec[] = [
  { name: "fc1.weight", shape: [3, 4], group: "weight" },
  { name: "fc1.bias", shape: [3], group: "plain" },
  { name: "fc2.weight", shape: [2, 3], group: "weight" },
  { name: "scale", shape: [], group: "plain" },
  { name: "bn.running_mean", shape: [3], group: "buffer" },
];

const spec: RunSpec = {
  ...sampleSpec,
  run: "run-7",
  name: "trial",
  seed: 42,
  trainExamples: 60000,
  testExamples: 10000,
  workersMax: 4,
  servers: 2,
  protocol: { mode: "asp", staleness: { rule: "scale+reject", scale: 0.1, floor: 0.1, max: 5 } },
  updateRule: { ...sampleSpec.updateRule, name: "adam", momentum: 0.9, weightDecay: 5e-4 },
  schedule: {
    ...sampleSpec.schedule,
    name: "step",
    warmup: 0.05,
    milestones: [0.5, 0.75],
    gamma: 0.1,
    totalExamples: 180000,
  },
  epochs: 3,
  batchSize: 128,
  chunkValues: 5,
  evaluateEvery: { unit: "epoch", count: 1 },
};

let run = "";

beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), "paceline-checkpoint-"));
});

afterEach(async () => {
  await rm(run, { recursive: true, force: true });
});

/** `ranks` are those of workers whose pushes have dropped something. */
function contentAt(
  globalStep: number,
  mark: number,
  stateParts = 2,
  ranks: readonly number[] = [],
): CheckpointContent {
  const layout = layOut(tensors, spec.chunkValues);
  const vector = (start: number): Float32Array =>
    Float32Array.from({ length: layout.values }, (_, index) => start + mark + index / 3);
  const chunks: ChunkMarks[] = layout.chunks.map(({ index }) => ({
    version: globalStep + index,
    examples: globalStep * 128,
    sealedStep: index - 1,
    applied: [{ rank: 0, incarnation: 3, step: globalStep }],
  }));
  const weights = vector(0);
  weights.set([Number.NaN, -0, Number.POSITIVE_INFINITY, 1e-45]);
  const state = [vector(100), vector(200)].slice(0, stateParts);
  const cursor = { epoch: 1, plans: [[0, 15000]], note: "position é", mark };
  const machine = { node: "v20", cores: 2 };
  const created = "2024-05-06T07:08:09.000Z";
  const examples = globalStep * 128;
  return {
    facts: { created, spec, globalStep, examples, chunks, cursor, machine },
    layout,
    weights,
    state,
    residuals: ranks.map((rank) => ({ rank, values: vector(rank).subarray(0, 18) })),
  };
}

function bits(vector: Float32Array): Buffer {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
}

async function assertHolds(path: string, content: CheckpointContent): Promise<void> {
  const { manifest, weights, state, residuals } = await readCheckpoint(path);
  assert.deepEqual(bits(weights), bits(content.weights));
  assert.deepEqual(state.map(bits), content.state.map(bits));
  const given = content.residuals ?? [];
  assert.deepEqual(
    residuals.map(({ rank, values }) => [rank, bits(values)]),
    given.map(({ rank, values }) => [rank, bits(values)]),
  );
  const { created, globalStep, examples, chunks, cursor, machine } = content.facts;
  const kept = manifest;
  assert.deepEqual(
    { created: kept.created, globalStep: kept.globalStep, examples: kept.examples },
    { created, globalStep, examples },
  );
  assert.deepEqual(kept.spec, content.facts.spec);
  assert.deepEqual([kept.chunks, kept.cursor, kept.machine], [chunks, cursor, machine]);
  assert.equal(kept.seed, 42);
  const { fingerprint, values } = content.layout;
  const layout = { fingerprint, chunkValues: 5, values, tensors: content.layout.tensors };
  assert.deepEqual(kept.layout, layout);
}

function isCheckpointError(thrown: unknown): boolean {
  return thrown instanceof PacelineError && thrown.code === "checkpoint";
}

test("a checkpoint comes back bit for bit, with none, one or two state vectors", async () => {
  for (const parts of [0, 1, 2]) {
    const content = contentAt(10 + parts, 0.5, parts);
    const path = await writeCheckpoint(run, content);
    assert.equal(path, join(run, "checkpoints", `step-${10 + parts}`));
    await assertHolds(path, content);
    assert.deepEqual((await readdir(path)).sort(), [
      "manifest.json",
      "model.safetensors",
      "optimizer.safetensors",
    ]);
  }
});

test("tensors lie in the files under the model's names and in its shapes", async () => {
  const content = contentAt(3, 0);
  const path = await writeCheckpoint(run, content);
  const read = async (name: string) => {
    const file = await diskFiles.openFile(join(path, name));
    const found = await readAllTensors(file, name);
    await file.close();
    return found;
  };
  const model = await read("model.safetensors");
  assert.deepEqual(
    [...model].map(([name, { shape }]) => ({ name, shape })),
    tensors.map(({ name, shape }) => ({ name, shape })),
  );
  const { offset, length } = content.layout.tensors[2]!;
  const expected = content.weights.slice(offset, offset + length);
  assert.deepEqual(model.get("fc2.weight")?.values, expected);
  const optimizer = await read("optimizer.safetensors");
  assert.deepEqual(
    [...optimizer.keys()],
    ["state1.", "state2."].flatMap((prefix) => tensors.map(({ name }) => `${prefix}${name}`)),
  );
  const second = content.state[1]!.slice(offset, offset + length);
  assert.deepEqual(optimizer.get("state2.fc2.weight")?.values, second);
});

test("files are durable before the folder is renamed, and all names after", async () => {
  const verbs: string[] = [];
  const files = aroundFiles(diskFiles, (verb, path, action) => {
    const place = path.slice(run.length).replace(/(\.tmp-step-4)-[0-9a-f]{8}/, "$1");
    if (verb !== "write" && verb !== "list") verbs.push(`${verb} ${place}`);
    return action();
  });
  await writeCheckpoint(run, contentAt(4, 0), files);
  const aside = "/checkpoints/.tmp-step-4";
  const durable = ["model.safetensors", "optimizer.safetensors", "manifest.json"].flatMap((name) =>
    ["create", "sync", "close"].map((verb) => `${verb} ${aside}/${name}`),
  );
  assert.deepEqual(verbs, [
    "make the folder /checkpoints",
    "sync the folder ",
    `make the folder ${aside}`,
    ...durable,
    `sync the folder ${aside}`,
    "rename a file to /checkpoints/step-4",
    "sync the folder /checkpoints",
  ]);
});

/** Fails the verb of the given number; `crash` lets nothing be done from there on. */
function failingAt(number: number, crash: boolean): { files: Files; reached: () => boolean } {
  let verbs = 0;
  const files = aroundFiles(diskFiles, async (verb, path, action) => {
    const mine = verbs++;
    if (mine !== number && !(crash && mine > number)) return action();
    // A close lets go of the descriptor even when it reports a failure.
    if (verb === "close") await action();
    throw fileError(Object.assign(new Error("no space"), { code: "ENOSPC" }), verb, path);
  });
  return { files, reached: () => verbs > number };
}

for (const crash of [false, true]) {
  for (const replacing of [false, true]) {
    const how = crash ? "a crash at" : "a failure of";
    const which = replacing ? "replacing a checkpoint of the same step" : "adding a checkpoint";
    test(`${how} any verb while ${which} leaves whole checkpoints only`, async () => {
      const before = contentAt(1, 10);
      const after = contentAt(replacing ? 1 : 2, 20, 1, [3]);
      let failures = 0;
      for (let number = 0; ; number++) {
        await rm(run, { recursive: true, force: true });
        await writeCheckpoint(run, before);
        const { files, reached } = failingAt(number, crash);
        const error = await writeCheckpoint(run, after, files).then(
          () => null,
          (thrown: unknown) => thrown,
        );
        if (!reached()) break;
        if (error !== null) {
          failures += 1;
          assert.ok(error instanceof PacelineError && error.code === "storage", String(error));
          assert.match(error.message, /the disk is full: free some space/);
        }
        const found = await listCheckpoints(run);
        assert.equal(found[0]?.step, 1);
        for (const { path, step } of found) {
          const cursor = (await readCheckpoint(path)).manifest.cursor as { mark: number };
          const content = cursor.mark === 10 ? before : after;
          assert.equal(step, content.facts.globalStep);
          await assertHolds(path, content);
        }
        if (!replacing) await assertHolds(found[0]!.path, before);
        const names = await readdir(join(run, "checkpoints"));
        if (!crash) {
          assert.ok(!names.some((name) => name.startsWith(".tmp-")), names.join());
          assert.ok(names.includes("step-1"), "a checkpoint set aside gets its name back");
        }
        await writeCheckpoint(run, contentAt(9, 30));
        const cleared = (await readdir(join(run, "checkpoints"))).sort();
        assert.deepEqual(cleared, [...found.map(({ step }) => `step-${step}`), "step-9"]);
      }
      assert.ok(failures > 15, `${failures} verbs failed`);
    });
  }
}

test("a byte changed anywhere in any file is found", async () => {
  const path = await writeCheckpoint(run, contentAt(5, 0, 2, [0, 12]));
  let tried = 0;
  for (const name of await readdir(path)) {
    const whole = await readFile(join(path, name));
    // One checksum covers all but the end of the manifest: a part of its positions will do.
    const stride = name === "manifest.json" ? 7 : 2;
    for (let position = 0; position < whole.length; ) {
      const bit = 1 << (position % 8);
      const files = flipping(name, position, bit);
      await assert.rejects(readCheckpoint(path, files), (thrown) => {
        assert.ok(isCheckpointError(thrown), `${name} ${position}: ${thrown}`);
        return true;
      });
      tried += 1;
      position += position < whole.length - 80 ? stride : 1;
    }
  }
  assert.ok(tried > 1000, `${tried} positions`);
});

function flipping(name: string, position: number, bit: number): Files {
  return {
    ...diskFiles,
    openFile: async (path) => {
      const file = await diskFiles.openFile(path);
      if (!path.endsWith(name)) return file;
      return {
        ...file,
        read: async (into, at) => {
          await file.read(into, at);
          if (position >= at && position < at + into.length) into[position - at]! ^= bit;
        },
      };
    },
  };
}

test("a file cut short, lengthened or missing is found and named", async () => {
  const path = await writeCheckpoint(run, contentAt(5, 0, 2, [1]));
  for (const name of await readdir(path)) {
    const file = join(path, name);
    const whole = await readFile(file);
    for (const length of [0, 7, 68, 69, whole.length - 1]) {
      await truncate(file, length);
      await assert.rejects(readCheckpoint(path), isCheckpointError, `${name} cut to ${length}`);
      await writeFile(file, whole);
    }
    await writeFile(file, Buffer.concat([whole, Buffer.from(" ")]));
    await assert.rejects(readCheckpoint(path), isCheckpointError);
    await rm(file);
    await assert.rejects(readCheckpoint(path), (thrown) => {
      assert.ok(isCheckpointError(thrown));
      assert.ok((thrown as Error).message.startsWith(`${file} is missing; choose another`));
      return true;
    });
    await mkdir(file);
    await assert.rejects(readCheckpoint(path), (thrown) => {
      assert.ok(isCheckpointError(thrown));
      assert.equal((thrown as Error).message, `${file} is a folder; choose another checkpoint`);
      return true;
    });
    await rm(file, { recursive: true });
    await writeFile(file, whole);
  }
  await readCheckpoint(path);
});

test("residuals lie beside the rest, a file for each worker that has any", async () => {
  const content = contentAt(6, 0, 1, [0, 12]);
  const path = await writeCheckpoint(run, content);
  await assertHolds(path, content);
  const names = ["residuals-0.safetensors", "residuals-12.safetensors"];
  assert.deepEqual((await readdir(path)).slice(-2).sort(), names);
  const { manifest } = await readCheckpoint(path);
  assert.deepEqual(Object.keys(manifest.files).slice(2), names);
  const file = await diskFiles.openFile(join(path, names[1]!));
  const stored = await readAllTensors(file, "residuals");
  await file.close();
  assert.deepEqual([...stored.keys()], ["residual.fc1.weight", "residual.fc2.weight"]);
  const { offset, length } = content.layout.tensors[2]!;
  const own = content.residuals![1]!.values.slice(offset, offset + length);
  assert.deepEqual(stored.get("residual.fc2.weight")?.values, own);
});

test("a worker's state of local steps lies in its file, with residuals or without", async () => {
  for (const keepsResiduals of [true, false]) {
    const whole = contentAt(7, 0, 1);
    const push = { codec: keepsResiduals ? "topk" : "none", share: keepsResiduals ? 0.1 : 1 };
    const local = localSpec({ updateRule: "adam" });
    const own = { protocol: local.protocol, updateRule: local.updateRule };
    const compression = { ...whole.facts.spec.compression, push } as RunSpec["compression"];
    const spec = { ...whole.facts.spec, ...own, compression };
    const values = Float32Array.from({ length: keptValues(spec, whole.layout) }, (_, at) => at + 1);
    if (!keepsResiduals) values.fill(0, 0, weightValues(whole.layout));
    const facts = { ...whole.facts, spec };
    const content = { ...whole, facts, residuals: [{ rank: 3, values }] };
    const path = await writeCheckpoint(run, content);
    await assertHolds(path, content);
    const file = await diskFiles.openFile(join(path, "residuals-3.safetensors"));
    const stored = await readAllTensors(file, "residuals");
    await file.close();
    const names = [...stored.keys()];
    assert.equal(names.includes("residual.fc1.weight"), keepsResiduals);
    assert.equal(names.includes("local2.fc1.bias"), true);
    assert.deepEqual(stored.get("local.updates")?.values, values.slice(-1));
  }
});

test("a manifest that lists other files than a checkpoint's own is refused", () => {
  const whole = manifestOf(layOut(tensors, 5));
  const facts = whole.files["model.safetensors"];
  const read = (name: string) => {
    const files = { ...whole.files, [name]: facts };
    return decodeManifest(Buffer.from(encodeManifest({ ...whole, files })), "m").files;
  };
  assert.deepEqual(Object.keys(read("residuals-7.safetensors")).length, 3);
  for (const name of [
    "../residuals-7.safetensors",
    "residuals-07.safetensors",
    "residuals-70000.safetensors",
    "residuals--1.safetensors",
    "more.safetensors",
  ]) {
    assert.throws(() => read(name), { code: "checkpoint", message: /is not a checkpoint file/ });
  }
});

function manifestOf(layout: Layout): CheckpointManifest {
  const files = { bytes: 0, sha256: "0".repeat(64) };
  return {
    format: checkpointFormat,
    created: "",
    globalStep: 8,
    examples: 0,
    seed: 1,
    spec,
    layout: { ...layout, chunkValues: 5 },
    stateParts: 0,
    files: { "model.safetensors": files, "optimizer.safetensors": files },
    machine: {},
    cursor: null,
    chunks: layout.chunks.map(() => ({ version: 0, examples: 0, sealedStep: -1, applied: [] })),
  };
}

test("a checkpoint whose writer knew no stems is of its model's own", () => {
  const { spec: whole, ...rest } = manifestOf(layOut(tensors, 5));
  const { stem, ...older } = { ...whole, stem: "imagenet" as const };
  const read = (spec: typeof whole) =>
    decodeManifest(Buffer.from(encodeManifest({ ...rest, spec })), "manifest.json").spec;
  assert.equal(read({ ...whole, stem }).stem, "imagenet");
  assert.equal(read(older as typeof whole).stem, null);
});

/** The fields that every writer of this format knew. */
const firstFields =
  "run name model data trainExamples testExamples input feed workersMin workersMax servers " +
  "protocol reduce updateRule schedule lrScaling epochs maxSteps batchSize chunkValues " +
  "virtualNodes loadBound evaluateEvery checkpointEvery engine threads dtype seed";

test("a manifest with the first fields of a run alone is read, and later ones are kept", () => {
  const { spec: whole, ...rest } = manifestOf(layOut(tensors, 5));
  const read = (spec: object) =>
    decodeManifest(
      Buffer.from(encodeManifest({ ...rest, spec: spec as typeof whole })),
      "manifest.json",
    ).spec;
  const first = firstFields.split(" ").map((name) => [name, Reflect.get(whole, name)]);
  const { stem, replicas, serversMax, compression, algorithms, recordedAlgorithms, ...later } =
    read(Object.fromEntries(first));
  const { plan, switchLr, switchMomentum, stragglerPolicy, watch, ...others } = later;
  assert.equal(switchMomentum, "unchanged");
  assert.deepEqual([plan, switchLr, stragglerPolicy, watch], [[], "linear", "none", []]);
  assert.deepEqual([stem, replicas, serversMax, compression], [null, 1, null, uncompressed]);
  assert.deepEqual([algorithms, recordedAlgorithms], ["rule", []]);
  assert.deepEqual(others, Object.fromEntries(first));
  assert.deepEqual(read({ ...whole, mood: "good" }), { ...whole, mood: "good" });
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ ...whole, batchSize: undefined }, /spec: batchSize is missing/],
    [{ ...whole, batchSize: 0.5 }, /spec: batchSize is 0.5, a whole number is needed/],
    [{ ...whole, protocol: { mode: 7 } }, /spec.protocol.mode: /],
  ];
  for (const [spec, message] of refused)
    assert.throws(() => read(spec), { code: "checkpoint", message });
});

test("a checkpoint of another model is refused with the first tensor that differs", () => {
  const kept = manifestOf(layOut(tensors, 5));
  assertSameModel(kept, spec, layOut(tensors, 5));
  const wider = tensors.map((tensor, at) => (at === 2 ? { ...tensor, shape: [7, 3] } : tensor));
  const cases: [ours: readonly TensorSpec[], message: RegExp][] = [
    [wider, /tensor 2 is "fc2.weight" \[2, 3\] \(weight\) there and "fc2.weight" \[7, 3\]/],
    [tensors.slice(0, 4), /tensor 4 is "bn.running_mean" \[3\] \(buffer\) there and absent here/],
    [[...tensors].reverse(), /tensor 0 is "fc1.weight" .* there and "bn.running_mean"/],
  ];
  for (const [ours, message] of cases) {
    assert.throws(
      () => assertSameModel(kept, spec, layOut(ours, 5)),
      (thrown) => {
        assert.ok(isCheckpointError(thrown));
        assert.match((thrown as Error).message, message);
        return true;
      },
    );
  }
  const small = { ...spec, model: "resnet18", stem: "cifar" } as const;
  assert.throws(
    () =>
      assertSameModel({ ...kept, spec: small }, { ...small, stem: "imagenet" }, layOut(wider, 5)),
    /"resnet18 with the cifar stem", this run trains "resnet18 with the imagenet .*--stem it was/,
  );
  assert.throws(
    () => assertSameModel(kept, { ...spec, model: "logistic" }, layOut(tensors, 5)),
    /step 8 is of model "mlp", this run trains "logistic": the tensors are alike/,
  );
  assert.throws(
    () => assertSameModel(kept, { ...spec, chunkValues: 6 }, layOut(tensors, 6)),
    /chunks of 5 values, this run's have 6; give --chunk-values 5/,
  );
});

test("the latest checkpoint is the one of the highest step, not of the longest name", async () => {
  assert.equal(await latestCheckpoint(run), null);
  for (const step of [9, 100, 20]) await writeCheckpoint(run, contentAt(step, 0));
  assert.equal((await latestCheckpoint(run))?.step, 100);
  assert.deepEqual(
    (await listCheckpoints(run)).map(({ step }) => step),
    [9, 20, 100],
  );
});
