import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { buildModel } from "../../nn/models.js";
import { layOut } from "../../protocol/layout.js";
import type { Residuals } from "../../protocol/residuals.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { writeCheckpoint } from "../../store/checkpoint/checkpoint.js";
import { runProgram } from "../program.js";

const root = mkdtempSync(join(tmpdir(), "paceline-command-ckpt-"));
after(() => rmSync(root, { recursive: true }));
let rootCount = 0;

const spec: RunSpec = {
  ...sampleSpec,
  model: "logistic",
  data: "mnist-parity",
  input: { ...sampleSpec.input, classes: 2, shape: [1, 2, 2] },
  chunkValues: 3,
  updateRule: { ...sampleSpec.updateRule, name: "adam" },
};
const cursor = {
  term: 2,
  cursor: { plans: [{ epoch: 1, shares: [{ rank: 0, next: 48, end: 200 }] }] },
  evaluations: Array.from({ length: 9 }, (_, index) => ({ step: index, loss: 0.5 })),
};

/** A folder of runs: for each name the steps at which it was kept, a minute apart. */
async function runDir(runs: Readonly<Record<string, readonly number[]>>): Promise<string> {
  rootCount += 1;
  const path = join(root, `runs-${rootCount}`);
  let minute = 0;
  mkdirSync(path);
  for (const [name, steps] of Object.entries(runs)) {
    for (const step of steps) {
      minute += 1;
      const created = `2026-01-02T03:${String(minute).padStart(2, "0")}:05.000Z`;
      await writeSample(join(path, name), step, created);
    }
  }
  return path;
}

async function writeSample(
  run: string,
  globalStep: number,
  created: string,
  residuals: readonly Residuals[] = [],
): Promise<void> {
  const graph = buildModel(spec.model, { classes: 2, inputShape: spec.input.shape });
  const layout = layOut(graph.tensors, spec.chunkValues);
  const examples = globalStep * 50;
  const chunks = layout.chunks.map(({ index }) => ({
    version: globalStep + index,
    examples,
    sealedStep: globalStep - 1,
    applied: [],
  }));
  await writeCheckpoint(run, {
    facts: { created, spec, globalStep, examples, chunks, cursor, machine: { paceline: "9.8.7" } },
    layout,
    weights: Float32Array.of(3, -4, 0, 0, 0.5),
    state: [new Float32Array(5).fill(1), new Float32Array(5)],
    residuals,
  });
}

async function call(...words: readonly string[]) {
  const texts = { out: "", err: "" };
  const exitCode = await runProgram(["ckpt", ...words], {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...texts };
}

function folderOf(runs: string, name: string, step: number): string {
  return join(runs, name, "checkpoints", `step-${step}`);
}

function spoil(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[bytes.length + at]! ^= 1;
  writeFileSync(path, bytes);
}

describe("ckpt ls", () => {
  test("has a line for each checkpoint, the one written last first", async () => {
    const runs = await runDir({ old: [4, 12], young: [8] });
    const { exitCode, out, err } = await call("ls", "--run-dir", runs);
    assert.deepEqual([exitCode, err], [0, ""]);
    const rows = out.split("\n").map((line) => line.trim().split(/ {2,}/));
    assert.deepEqual(rows[0]!.slice(0, 5), ["Run", "Step", "Epoch", "Examples", "Model"]);
    const facts = (run: string, step: number, epoch: string, minute: number) => {
      const start = [run, `${step}`, epoch, `${step * 50}`, "logistic", "mnist-parity"];
      return [...start, `2026-01-02 03:0${minute}`, "readable"];
    };
    assert.deepEqual(
      rows.slice(1, -1).map((row) => row.filter((_, column) => column !== 6)),
      [facts("young", 8, "2.00", 3), facts("old", 12, "3.00", 2), facts("old", 4, "1.00", 1)],
    );
    const [row, ...others] = JSON.parse(
      (await call("ls", "young", "--json", "--run-dir", runs)).out,
    );
    assert.deepEqual(others, []);
    const { bytes, ...rest } = row;
    assert.ok(bytes > 1000 && bytes < 20_000, `${bytes}`);
    assert.deepEqual(rest, {
      run: "young",
      path: folderOf(runs, "young", 8),
      step: 8,
      epoch: 2,
      examples: 400,
      model: "logistic",
      data: "mnist-parity",
      created: "2026-01-02T03:03:05.000Z",
      problem: null,
    });
  });
  test("names those whose manifest or sizes are wrong, and lists the rest", async () => {
    const runs = await runDir({ one: [1, 2, 3, 4] });
    const [manifest, short, missing] = [1, 2, 3].map((step) => folderOf(runs, "one", step));
    spoil(join(manifest!, "manifest.json"), -200);
    writeFileSync(join(short!, "optimizer.safetensors"), "short");
    rmSync(join(missing!, "model.safetensors"));
    const { exitCode, out, err } = await call("ls", "--run-dir", runs);
    assert.equal(exitCode, 0);
    assert.equal(out.match(/broken$/gm)?.length, 3);
    assert.match(out, / 4 .*readable$/m);
    assert.match(err, /step-1\/manifest\.json is corrupt: its checksum does not match/);
    assert.match(err, /step-2\/optimizer\.safetensors is corrupt: it has 5 bytes and \d+ were/);
    assert.match(err, /step-3\/model\.safetensors is missing; choose another checkpoint/);
  });
  test("of none says where there are none", async () => {
    const runs = await runDir({});
    assert.deepEqual(await call("ls", "--run-dir", runs), {
      exitCode: 0,
      out: "",
      err:
        `no checkpoints in ${runs}; train with --checkpoint-every, ` +
        "or give another --run-dir\n",
    });
  });
  test("of a run that is not there says which was meant", async () => {
    const runs = await runDir({ mnist: [1] });
    const { exitCode, err } = await call("ls", "mnits", "--run-dir", runs);
    assert.equal(exitCode, 6);
    assert.match(err, /there is no run "mnits" in .*mnist.*; see paceline ckpt ls/);
  });
});

describe("ckpt inspect", () => {
  test("tells manifest, options, tensors, state, position and machine", async () => {
    const runs = await runDir({ one: [4, 12] });
    const { exitCode, out, err } = await call("inspect", "one", "--run-dir", runs);
    assert.deepEqual([exitCode, err], [0, ""]);
    const told = [
      /^step {10}12$/m,
      /^model {9}logistic: 2 tensors, 5 values$/m,
      /^data {10}mnist-parity: 2 classes, examples \[1, 2, 2\]$/m,
      /^chunks {8}3 of at most 3 values$/m,
      /^versions {6}12 to 14 updates of a chunk$/m,
      /^ {2}updateRule\.name +adam$/m,
      /^ {2}fc_weights {2}\[1, 4\] +weight +-4 +-0\.25 +3 +5$/m,
      /^ {2}fc_bias +\[1\] +plain +0\.5 +0\.5 +0\.5 +0\.5$/m,
      /^ {2}first moment +1 +1 +1 +2\.2361$/m,
      /^ {2}second moment +0 +0 +0 +0$/m,
      /^ {2}cursor\.plans\.0\.shares\.0 +rank 0, next 48, end 200$/m,
      /^ {2}evaluations +9 entries$/m,
      /^ {2}paceline +9\.8\.7$/m,
    ];
    for (const pattern of told) assert.match(out, pattern);
  });
  test("gives all of it to programs", async () => {
    const runs = await runDir({ one: [4, 12] });
    const { out } = await call("inspect", folderOf(runs, "one", 4), "--json");
    const {
      globalStep,
      run,
      epoch,
      spec: kept,
      chunks,
      tensors,
      state,
      cursor: work,
    } = JSON.parse(out);
    assert.deepEqual([globalStep, run, epoch], [4, "one", 1]);
    assert.deepEqual(kept, spec);
    assert.deepEqual(work, cursor);
    assert.deepEqual(chunks, { count: 3, versionMin: 4, versionMax: 6 });
    assert.deepEqual(tensors[0], {
      name: "fc_weights",
      shape: [1, 4],
      group: "weight",
      offset: 0,
      length: 4,
      ...{ min: -4, mean: -0.25, max: 3, norm: 5, nonFinite: 0 },
    });
    assert.deepEqual(
      state.map(({ name, max }: { name: string; max: number }) => [name, max]),
      [
        ["first moment", 1],
        ["second moment", 0],
      ],
    );
  });
  test("refuses what is broken, and shows nothing of it", async () => {
    const runs = await runDir({ one: [4] });
    spoil(join(folderOf(runs, "one", 4), "model.safetensors"), -1);
    const { exitCode, out, err } = await call("inspect", "one", "--run-dir", runs);
    assert.deepEqual([exitCode, out], [6, ""]);
    assert.match(err, /model\.safetensors is corrupt: its SHA-256 is/);
  });
});

describe("ckpt verify", () => {
  test("reads every checkpoint of every run", async () => {
    const runs = await runDir({ one: [4, 12], two: [8] });
    const { exitCode, out, err } = await call("verify", "--run-dir", runs);
    assert.deepEqual([exitCode, err], [0, ""]);
    assert.equal(out.match(/^sound {3}.*: logistic, 2 tensors$/gm)?.length, 3);
    assert.match(out, /^3 of 3 checkpoints are sound$/m);
  });
  test("ends with 6 for one that is broken, having looked at those after it", async () => {
    const runs = await runDir({ one: [4, 12], two: [8] });
    spoil(join(folderOf(runs, "one", 4), "optimizer.safetensors"), -1);
    spoil(join(folderOf(runs, "two", 8), "manifest.json"), -100);
    const { exitCode, out } = await call("verify", "--run-dir", runs);
    assert.equal(exitCode, 6);
    const verdicts = out.split("\n").map((line) => line.replace(`${runs}/`, ""));
    assert.equal(verdicts[0], "broken  one/checkpoints/step-4");
    assert.match(verdicts[1]!, /optimizer\.safetensors is corrupt: its SHA-256 is .*; choose/);
    assert.equal(verdicts[2], "sound   one/checkpoints/step-12: logistic, 2 tensors");
    assert.equal(verdicts[3], "broken  two/checkpoints/step-8");
    assert.equal(verdicts[5], "1 of 3 checkpoints are sound");
  });
  test("takes runs, paths of runs and checkpoints, and tells what is not there", async () => {
    const runs = await runDir({ one: [4, 12], two: [8] });
    const words = [folderOf(runs, "one", 12), join(runs, "two"), "one", "three"];
    const { exitCode, out } = await call("verify", ...words, "--json", "--run-dir", runs);
    assert.equal(exitCode, 6);
    const found: { path: string; step: number | null; isSound: boolean; problems: string[] }[] =
      JSON.parse(out);
    assert.deepEqual(
      found.map(({ step, isSound }) => [step, isSound]),
      [
        [12, true],
        [8, true],
        [4, true],
        [12, true],
        [null, false],
      ],
    );
    assert.match(
      found.at(-1)!.problems[0]!,
      /^checkpoint three is neither a run in .* nor a folder; runs with one: one \(step 12\), two/,
    );
  });
  test("of nothing is no success", async () => {
    const { exitCode, err } = await call("verify", "--run-dir", await runDir({}));
    assert.equal(exitCode, 6);
    assert.match(err, /no checkpoints in .*; train with --checkpoint-every/);
  });
});

test("a file of a checkpoint that is missing is the checkpoint's fault", async () => {
  const runs = await runDir({ one: [4] });
  for (const file of ["model.safetensors", "manifest.json"]) {
    rmSync(join(folderOf(runs, "one", 4), file));
    const inspected = await call("inspect", "one", "--run-dir", runs);
    assert.deepEqual([inspected.exitCode, inspected.out], [6, ""]);
    const message = new RegExp(`${file.replace(".", "\\.")} is missing; choose another checkpoint`);
    assert.match(inspected.err, message);
  }
  const { err } = await call("ls", "--run-dir", runs);
  assert.match(err, /manifest\.json is missing; choose another checkpoint/);
});

describe("ckpt export", () => {
  test("writes the latest of a run, and says what", async () => {
    const runs = await runDir({ one: [4, 12] });
    const out = join(runs, "one.safetensors");
    const words = ["export", "one", "--out", out, "--run-dir", runs];
    const told = await call(...words, "--dtype", "f16", "--json");
    assert.equal(told.exitCode, 0, told.err);
    const bytes = readFileSync(out).length;
    const facts = { tensors: 2, model: "logistic", data: "mnist-parity", step: 12, kind: "f16" };
    assert.deepEqual(JSON.parse(told.out), { path: out, bytes, ...facts });
    const again = await call(...words);
    assert.equal(again.exitCode, 2);
    assert.match(again.err, /--out .*one\.safetensors exists, and an export replaces nothing/);
  });
  test("of a broken checkpoint writes nothing", async () => {
    const runs = await runDir({ one: [4] });
    spoil(join(folderOf(runs, "one", 4), "model.safetensors"), -1);
    const out = join(runs, "one.safetensors");
    const { exitCode } = await call("export", "one", "--out", out, "--run-dir", runs);
    assert.equal(exitCode, 6);
    assert.ok(!existsSync(out));
  });
});

describe("what is wrong with the words is said", () => {
  const cases: [words: string, exitCode: number, message: RegExp][] = [
    ["list", 2, /paceline ckpt has no subcommand list.*; write ls, inspect, verify or export/],
    ["ls --out x", 2, /--out does not apply to paceline ckpt ls; leave it out, or write export/],
    ["verify --dtype f16", 2, /--dtype does not apply to paceline ckpt verify/],
    [
      "inspect",
      2,
      /paceline ckpt inspect takes one checkpoint or run, not 0; see paceline ckpt ls/,
    ],
    ["inspect a b", 2, /not 2/],
    ["export one", 2, /needs --out, as in paceline ckpt export/],
    ["export --out x", 2, /export takes one checkpoint or run, not 0/],
    ["export one --out x --dtype fp16", 2, /--dtype fp16 is not a type.*; write f32, bf16 or f16/],
    ["inspect nothing", 6, /checkpoint nothing is neither a run in .* nor a folder/],
  ];
  for (const [words, exitCode, message] of cases) {
    test(words, async () => {
      const runs = await runDir({});
      const told = await call(...words.split(" "), "--run-dir", runs);
      assert.deepEqual([told.exitCode, told.out], [exitCode, ""]);
      assert.match(told.err, message);
    });
  }
});

describe("residuals of workers", () => {
  test("are listed, inspected and verified, and an export has none of them", async () => {
    const runs = await runDir({});
    const residuals = [{ rank: 0, values: Float32Array.of(0.5, 0, -0.5, 0) }];
    await writeSample(join(runs, "one"), 4, "2026-01-02T03:04:05.000Z", residuals);
    const { out } = await call("inspect", "one", "--run-dir", runs);
    assert.match(out, /residuals-0\.safetensors \d+ B/);
    assert.match(out, /^Kept by workers$/m);
    assert.match(out, /^ +0 +residuals +-0\.5 +0 +0\.5 +0\.70711$/m);
    assert.equal((await call("verify", "--run-dir", runs)).exitCode, 0);
    const file = join(runs, "one.safetensors");
    assert.equal((await call("export", "one", "--out", file, "--run-dir", runs)).exitCode, 0);
    assert.doesNotMatch(readFileSync(file, "latin1"), /residual/);
    spoil(join(folderOf(runs, "one", 4), "residuals-0.safetensors"), -1);
    const broken = await call("verify", "--run-dir", runs);
    assert.equal(broken.exitCode, 6);
    assert.match(broken.out, /residuals-0\.safetensors is corrupt: its SHA-256 is/);
    rmSync(join(folderOf(runs, "one", 4), "residuals-0.safetensors"));
    assert.match((await call("ls", "--run-dir", runs)).err, /residuals-0\.safetensors is missing/);
  });
});
