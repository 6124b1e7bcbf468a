/**
 * Checkpoints as PyTorch sees them: a model that `paceline ckpt export` writes is loaded, strictly,
 * into a module of torchvision's structure and computes what Paceline's own engine computes. The
 * modules stand in test/python; without PyTorch there is nothing to compare with.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runProgram } from "../dist/cli/program.js";
import { initialParameters } from "../dist/nn/initialise.js";
import { valuesIn } from "../dist/nn/layer-kind.js";
import type { ModelGraph } from "../dist/nn/model.js";
import { buildModel, stemmedModels } from "../dist/nn/models.js";
import { referenceEngine } from "../dist/nn/reference/reference.js";
import { type Layout, layOut } from "../dist/protocol/layout.js";
import { modelTitle, stems } from "../dist/protocol/run-spec.js";
import { sampleInput, sampleSpec } from "../dist/protocol/testing/sample-run.js";
import { Random } from "../dist/random.js";
import { writeCheckpoint } from "../dist/store/checkpoint/checkpoint.js";

const python = "/usr/bin/python3";
const script = join(
  dirname(fileURLToPath(import.meta.url)),
  "..",
  "test",
  "python",
  "torch-logits.py",
);
const batches = 4321;
const tolerance = 1e-4;

/** Of the two kinds of 16 bits, in this order. */
const kinds = ["bf16", "f16"] as const;

interface Rounding {
  readonly halves: number;
  readonly wrong: readonly string[];
}

interface Answer {
  readonly metadata: Readonly<Record<string, string>>;
  readonly otherKinds: readonly string[];
  readonly counters: readonly number[];
  readonly logits: readonly (readonly number[])[];
}

/** All that PyTorch says of one checkpoint. */
interface Checked {
  readonly answers: readonly Answer[];
  readonly roundings: readonly Rounding[];
}

function ask<T>(...words: readonly string[]): T {
  const out = execFileSync(python, ["-B", script, ...words], { encoding: "utf8" });
  return JSON.parse(out) as T;
}

/** Why PyTorch can't be asked; null if it can. */
function absence(): string | null {
  try {
    execFileSync(python, ["-c", "import numpy, torch"], { stdio: "pipe" });
    return null;
  } catch {
    return `${python} has no PyTorch: apt-get install python3-torch`;
  }
}

async function call(...words: readonly string[]): Promise<string> {
  const told = { out: "", err: "" };
  const exitCode = await runProgram(words, {
    stdout: { write: (text) => (told.out += text) },
    stderr: { write: (text) => (told.err += text) },
    environment: {},
    isTerminal: false,
  });
  assert.equal(exitCode, 0, told.err);
  return told.out;
}

/** A start as training leaves it: norms that do something, statistics that are not 0 and 1. */
function someWeights(graph: ModelGraph, layout: Layout, random: Random): Float32Array {
  const places = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  const placement = (name: string) => places.get(name)!;
  const weights = initialParameters(graph, 11, placement, layout.values);
  for (const { name, group, offset, length } of layout.tensors) {
    for (let at = offset; at < offset + length; at++) {
      if (group === "plain") weights[at] = weights[at]! + 0.2 * random.normal();
      else if (group === "counter") weights[at] = batches;
      else if (group === "buffer") {
        weights[at] = name.endsWith("var") ? 0.5 + random.float() : 0.2 * random.normal();
      }
    }
  }
  return weights;
}

/** Logits of every picture in x by the reference engine. */
function ownLogits(
  graph: ModelGraph,
  layout: Layout,
  parameters: Float32Array,
  x: Float32Array,
): Float32Array {
  const places = new Map(layout.tensors.map((tensor) => [tensor.name, tensor]));
  const n = x.length / valuesIn(graph.inputShape);
  const executor = referenceEngine.bind(graph, {
    parameters,
    gradients: new Float32Array(parameters.length),
    placement: (name) => places.get(name)!,
    batchMax: n,
  });
  const logits = new Float32Array(n * graph.classes);
  executor.evaluate({ x, y: new Int32Array(n), n }, logits);
  executor.close();
  return logits;
}

const reason = absence();
const models = [
  { model: "cnn6", stem: null, classes: 10, side: 32, data: "cifar10", pictures: 4 },
  { model: "resnet18", stem: "cifar", classes: 100, side: 32, data: "cifar100", pictures: 2 },
  { model: "resnet18", stem: "imagenet", classes: 10, side: 75, data: "own", pictures: 2 },
] as const;

describe("the models have PyTorch's tensors in its order", () => {
  // One start of PyTorch, which takes seconds, tells of all.
  const named = stemmedModels.flatMap((model) => stems.map((stem) => ({ model, stem })));
  let told: readonly unknown[] = [];
  before(() => {
    if (reason !== null) return;
    told = ask("tensors", "1000", ...named.flatMap(({ model, stem }) => [model, stem]));
  });
  for (const [index, { model, stem }] of named.entries()) {
    test(`${model} with the ${stem} stem`, (context: TestContext) => {
      if (reason !== null) return context.skip(reason);
      const { tensors } = buildModel(model, { stem, classes: 1000 });
      const wanted = tensors.map(({ name, shape }) => [name, ...shape]);
      assert.deepEqual(told[index], wanted);
    });
  }
});

for (const { model, stem, classes, side, data, pictures } of models) {
  describe(`a checkpoint of ${modelTitle({ model, stem })} in PyTorch`, () => {
    const folder = mkdtempSync(join(tmpdir(), "paceline-torch-"));
    const run = join(folder, "runs", "one");
    const path = join(run, "checkpoints", "step-7");
    const exact = join(folder, "exact.safetensors");
    const pixels = join(folder, "pixels");
    const random = new Random(5, model);
    let weights: Float32Array = new Float32Array(0);
    let expected: Float32Array = new Float32Array(0);
    let answers: readonly Answer[] = [];
    let roundings: readonly Rounding[] = [];
    after(() => rmSync(folder, { recursive: true }));
    before(async () => {
      const graph = buildModel(model, { stem, classes, inputShape: [3, side, side] });
      const channels = { mean: [0, 0, 0], std: [1, 1, 1] };
      const shape = [3, side, side] as const;
      const input = { ...sampleInput, classes, shape, ...channels };
      const spec = { ...sampleSpec, model, stem, data, input, chunkValues: 262_144 };
      const layout = layOut(graph.tensors, spec.chunkValues);
      weights = someWeights(graph, layout, random);
      mkdirSync(run, { recursive: true });
      await writeCheckpoint(run, {
        facts: {
          created: "2026-01-02T03:04:05.000Z",
          spec,
          globalStep: 7,
          examples: 112,
          chunks: layout.chunks.map(() => ({
            version: 7,
            examples: 112,
            sealedStep: 6,
            applied: [],
          })),
          cursor: null,
          machine: {},
        },
        layout,
        weights,
        state: [],
      });
      const x = Float32Array.from({ length: pictures * 3 * side * side }, () => random.normal());
      writeFileSync(pixels, x);
      expected = ownLogits(graph, layout, weights, x);
      await call("ckpt", "export", path, "--out", exact);
      const rounded = kinds.map((kind) => join(folder, `${kind}.safetensors`));
      for (const [index, kind] of kinds.entries()) {
        await call("ckpt", "export", path, "--dtype", kind, "--out", rounded[index]!);
      }
      if (reason !== null) return;
      // One start of PyTorch, which takes seconds, answers everything.
      const words = [model, stem ?? "none", String(classes), String(side), pixels];
      const own = join(path, "model.safetensors");
      ({ answers, roundings } = ask<Checked>("checkpoint", ...words, exact, own, ...rounded));
    });

    function demandOwnLogits(answer: Answer, difference: number): void {
      assert.equal(answer.logits.length, pictures);
      const found = answer.logits.flat();
      assert.equal(found.length, expected.length);
      for (const [index, logit] of found.entries()) {
        const off = Math.abs(logit - expected[index]!);
        assert.ok(off <= difference, `logit ${index}: ${logit} there, ${expected[index]} here`);
      }
      assert.ok(new Set(found).size > found.length / 2, "the logits tell pictures apart");
    }

    test("loads strictly, in kinds too, and gives the same logits", (context: TestContext) => {
      if (reason !== null) return context.skip(reason);
      const [exported, kept] = answers;
      const ofStem = stem === null ? {} : { stem };
      assert.deepEqual(exported!.metadata, { format: "pt", model, ...ofStem, data, step: "7" });
      assert.deepEqual(exported!.otherKinds, []);
      assert.deepEqual(exported!.counters, [batches]);
      demandOwnLogits(exported!, tolerance);
      // The checkpoint's own file has its counters as F32, which loading converts.
      assert.ok(kept!.otherKinds.every((name) => name.endsWith("num_batches_tracked")));
      assert.ok(kept!.otherKinds.length > 0);
      assert.deepEqual(kept!.counters, [batches]);
      demandOwnLogits(kept!, tolerance);
    });

    for (const [index, kind] of kinds.entries()) {
      test(`as ${kind} has the bits that PyTorch rounds to`, (context: TestContext) => {
        if (reason !== null) return context.skip(reason);
        const { wrong, halves } = roundings[index]!;
        assert.deepEqual(wrong, []);
        assert.ok(halves > 20, `${halves} tensors of 16 bits`);
      });
    }
  });
}
