/**
 * Images per second of a full training step (forward, backward, every gradient in the flat vector),
 * beside PyTorch on the same cores: both take turns in one run, the medians and their ratio count.
 *
 *   node bench/engine-step.mjs [--model resnet18] [--batch 64] [--dtypes f32,bf16] [--threads 1,2]
 *     [--rounds 7] [--no-peer] [--channels-last] [--table] [--json] [--dist dist]
 *   node bench/engine-step.mjs --algorithms [--batch 64] [--threads 2] [--dist dist]
 *
 * The second form prints what src/onednn/algorithms.ts was drawn from: GFLOP/s of 3x3 convolutions by
 * direction and algorithm.
 */
import { spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { fileURLToPath, pathToFileURL } from "node:url";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "resnet18" },
    batch: { type: "string", default: "64" },
    dtypes: { type: "string", default: "f32,bf16" },
    threads: { type: "string", default: "1,2" },
    rounds: { type: "string", default: "7" },
    python: { type: "string", default: "/usr/bin/python3" },
    "no-peer": { type: "boolean", default: false },
    "channels-last": { type: "boolean", default: false },
    table: { type: "boolean", default: false },
    algorithms: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    dist: { type: "string", default: "dist" },
  },
});
const load = (path) => import(pathToFileURL(resolve(join(flags.dist, path))).href);
const { createOneDnnEngine } = await load("onednn/engine.js");
const { bindStandalone } = await load("engine/standalone.js");
const { buildModel } = await load("nn/models.js");
const { resnetPlans } = await load("nn/resnets.js");
const { median } = await load("report/benchmark.js");
const { Random } = await load("random.js");

const batch = Number(flags.batch);
const graph = buildModel(flags.model, { classes: 100 });

function ours(dtype, threads) {
  const { engine, reason, warning } = createOneDnnEngine({ dtype, threads });
  if (engine === null) throw new Error(reason);
  if (warning !== null) console.log(warning);
  const model = bindStandalone(engine, graph, 1, batch);
  const random = new Random(1, "pictures");
  const values = batch * graph.inputShape.reduce((product, extent) => product * extent, 1);
  const examples = {
    x: Float32Array.from({ length: values }, () => random.normal()),
    y: Int32Array.from({ length: batch }, () => random.below(graph.classes)),
    n: batch,
  };
  const steps = (count) => {
    const startedMs = performance.now();
    for (let step = 0; step < count; step++) model.executor.step(examples, [], () => {});
    return (performance.now() - startedMs) / 1000;
  };
  return { executor: model.executor, steps, reason };
}

async function peer(dtype, threads) {
  const script = join(fileURLToPath(new URL(".", import.meta.url)), "torch-step.py");
  const child = spawn(flags.python, [script], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => JSON.parse((await lines.next()).value);
  const wish = { plan: resnetPlans[flags.model], classes: 100, extent: 32, batch, dtype, threads };
  child.stdin.write(`${JSON.stringify({ ...wish, channelsLast: flags["channels-last"] })}\n`);
  const { version } = await answer();
  const steps = async (count) => {
    child.stdin.write(`${count}\n`);
    return (await answer()).seconds;
  };
  return { version, steps, close: () => child.stdin.end() };
}

/** Both sides in turn; images per second of each round. */
async function measure(dtype, threads) {
  const own = ours(dtype, threads);
  const other = flags["no-peer"] ? null : await peer(dtype, threads);
  own.steps(2);
  await other?.steps(2);
  const [rounds, peerRounds] = [[], []];
  const count = 2;
  for (let round = 0; round < Number(flags.rounds); round++) {
    rounds.push((count * batch) / own.steps(count));
    if (other) peerRounds.push((count * batch) / (await other.steps(count)));
  }
  other?.close();
  const table = flags.table ? layers(own.executor, own.steps) : [];
  const found = { dtype, threads, rounds, peerRounds, peer: other?.version ?? null, table };
  const { bytes } = own.executor;
  own.executor.close();
  return { ...found, reason: own.reason, arenaBytes: bytes };
}

/** Milliseconds a step of each operation, the longest first. */
function layers(executor, steps) {
  const repeats = 5;
  const rows = new Map();
  executor.listener = ({ node, what, implementation, flops }, milliseconds) => {
    const key = `${node}, ${what} (${implementation})`;
    const row = rows.get(key) ?? { key, what, ms: 0, flops };
    rows.set(key, { ...row, ms: row.ms + milliseconds / repeats });
  };
  steps(repeats);
  executor.listener = null;
  return [...rows.values()].sort((left, right) => right.ms - left.ms);
}

function printTable(table) {
  const total = table.reduce((sum, { ms }) => sum + ms, 0);
  const line = (ms, flops, text) => {
    const share = `${((100 * ms) / total).toFixed(1)} %`.padStart(7);
    const speed = flops ? `${(flops / ms / 1e6).toFixed(0)} GFLOP/s`.padStart(13) : " ".repeat(13);
    console.log(`  ${ms.toFixed(2).padStart(8)} ms ${share} ${speed}  ${text}`);
  };
  for (const { key, ms, flops } of table.slice(0, 40)) line(ms, flops, key);
  const rest = table.slice(40).reduce((sum, { ms }) => sum + ms, 0);
  line(rest, 0, `${Math.max(0, table.length - 40)} more`);
  const kinds = new Map();
  for (const { what, ms, flops } of table) {
    const kind = `all: ${what}${flops ? " of convolutions and linear layers" : ""}`;
    const sum = kinds.get(kind) ?? { ms: 0, flops: 0 };
    kinds.set(kind, { ms: sum.ms + ms, flops: sum.flops + flops });
  }
  for (const [kind, { ms, flops }] of kinds) if (ms > total / 500) line(ms, flops, kind);
}

/** Channels in and out, and rows, of the shapes that are tried. */
const shapes = [
  [16, 16, 32],
  [32, 32, 16],
  [64, 64, 8],
  [64, 64, 32],
  [128, 128, 16],
  [256, 256, 8],
  [512, 512, 4],
];

async function printAlgorithms(threads) {
  const { openDnnl } = await load("onednn/library.js");
  const { measureConvolution, flopsOf } = await load("onednn/algorithms.js");
  const { dnnl } = openDnnl();
  dnnl.setThreads(threads);
  for (const [channels, outputs, extent] of shapes) {
    const size = [extent, extent];
    const place = { n: batch, channels, outputs, groups: 1, input: size, output: size };
    const window = { kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
    console.log(`${channels} to ${outputs} channels, ${extent} x ${extent}, batch ${batch}`);
    for (const type of ["f32", "bf16"]) {
      const whole = { ...place, ...window, type };
      for (const row of measureConvolution(dnnl, whole, 10)) {
        if (row.seconds === null) continue;
        const speed = (flopsOf(whole) / row.seconds / 1e9).toFixed(0).padStart(6);
        console.log(`  ${speed} GFLOP/s ${row.direction} ${type} ${row.algorithm}`);
      }
    }
  }
}

if (flags.algorithms) {
  await printAlgorithms(Number(flags.threads.split(",").at(-1)));
  process.exit();
}

const found = [];
for (const dtype of flags.dtypes.split(",")) {
  for (const threads of flags.threads.split(",").map(Number)) {
    const one = await measure(dtype, threads);
    found.push(one);
    if (flags.json) continue;
    const own = median(one.rounds);
    const theirs = one.peerRounds.length > 0 ? median(one.peerRounds) : null;
    const versus =
      theirs === null
        ? ""
        : `, PyTorch ${one.peer} ${theirs.toFixed(1)}, ratio ${(own / theirs).toFixed(2)}`;
    const where = `${flags.model} batch ${batch} ${dtype} ${threads} threads`;
    console.log(`${where}: ${own.toFixed(1)} images/s${versus}`);
    console.log(`  ours ${one.rounds.map((speed) => speed.toFixed(0)).join(" ")}`);
    console.log(`  PyTorch ${one.peerRounds.map((speed) => speed.toFixed(0)).join(" ")}`);
    console.log(`  ${one.reason}; ${(one.arenaBytes / 1e6).toFixed(0)} MB of values`);
    if (flags.table) printTable(one.table);
  }
}
if (flags.json) console.log(JSON.stringify(found));
