import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readConfigFile } from "../options/config-file.js";
import { resolve } from "../options/resolve.js";
import { learningRate } from "../protocol/schedule.js";
import type { DryRun } from "./commands/dry-run.js";
import { runProgram } from "./program.js";

function configsFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return join(folder, "configs");
}

const folder = configsFolder();
// Matrices of experiments have a form of their own, and a test.
const names = readdirSync(folder).filter((name) => !name.startsWith("experiments-"));

/** What `paceline COMMAND FILE --dry-run --json` plans. */
async function planOf(command: string, name: string): Promise<DryRun> {
  const texts = { out: "", err: "" };
  const words = [command, join(folder, name), "--dry-run", "--json"];
  const exitCode = await runProgram(words, {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment: {},
    isTerminal: false,
  });
  assert.equal(exitCode, 0, texts.err);
  return JSON.parse(texts.out) as DryRun;
}

describe("the files in configs/", () => {
  test("there are some", () => {
    assert.ok(names.includes("demo-bsp.yaml") && names.includes("baseline.yaml"));
  });
  for (const name of names) {
    test(`${name} has only options that there are, and a run that can be planned`, async () => {
      const path = join(folder, name);
      const values = readConfigFile(path);
      assert.ok(values.size > 0);
      const { origins } = resolve("train", { file: { path, values } });
      for (const key of values.keys()) assert.equal(origins[key].kind, "file", key);
      for (const command of ["train", "baseline"]) {
        const { updates } = await planOf(command, name);
        assert.ok(updates > 0);
      }
    });
  }

  test("baseline.yaml is the published single-machine training", async () => {
    const { spec, parameters, stepsPerEpoch } = await planOf("baseline", "baseline.yaml");
    assert.equal(parameters, 11_220_132);
    assert.deepEqual(
      [spec.data, spec.trainExamples, spec.testExamples],
      ["cifar100", 50_000, 10_000],
    );
    assert.deepEqual([spec.batchSize, spec.epochs, stepsPerEpoch], [128, 20, 391]);
    assert.deepEqual(spec.input.augment, { cropPadding: 4, flip: true, standardise: false });
    const { name, momentum, weightDecay, weightDecayPlain } = spec.updateRule;
    assert.deepEqual([name, momentum], ["momentum", 0.9]);
    assert.deepEqual([weightDecay, weightDecayPlain], [5e-4, 5e-4]);
    const rates = [0, 9.99, 10, 14.99, 15, 19.99].map((epoch) =>
      learningRate(spec.schedule, Math.floor(epoch * 50_000)),
    );
    const expected = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001];
    rates.forEach((rate, index) => {
      assert.ok(Math.abs(rate - expected[index]!) < 1e-9, `${rates}`);
    });
  });

  test("ecs.yaml is the published distributed training, which pushed halves", async () => {
    const { spec, parameters } = await planOf("train", "ecs.yaml");
    assert.equal(parameters, 11_220_132);
    const { model, stem, data, workersMax, servers, batchSize, epochs, compression } = spec;
    assert.deepEqual([model, stem, data], ["resnet18", "cifar", "cifar100"]);
    assert.deepEqual([workersMax, servers, batchSize, epochs], [4, 1, 128, 3]);
    assert.deepEqual(spec.input.augment, { cropPadding: 4, flip: true, standardise: false });
    const { name, momentum, weightDecay } = spec.updateRule;
    assert.deepEqual([name, momentum, weightDecay], ["sgd", 0, 0]);
    assert.equal(learningRate(spec.schedule, 149_999), 0.1);
    const raw = { codec: "none", share: 1 };
    assert.deepEqual([compression.push, compression.pull], [{ ...raw, codec: "fp16" }, raw]);
  });

  test("ecs.yaml in its free mode has the published study's staleness rule", () => {
    const path = join(folder, "ecs.yaml");
    const flags = new Map([["mode", "asp"]] as const);
    const { options } = resolve("train", { flags, file: { path, values: readConfigFile(path) } });
    const { stalenessRule, stalenessScale, stalenessFloor, stalenessMax } = options;
    assert.equal(stalenessRule, "scale+reject");
    assert.deepEqual([stalenessScale, stalenessFloor, stalenessMax], [0.1, 0.1, 5]);
  });

  const work = [
    ["sync-switch-1", "resnet32", 8, 64_000],
    ["sync-switch-2", "resnet50", 8, 128_000],
    ["sync-switch-3", "resnet32", 16, 64_000],
  ] as const;
  for (const [name, model, workers, batches] of work) {
    test(`${name} is so many batches of work, at a rate that follows it`, async () => {
      const { spec, updates } = await planOf("train", `${name}.yaml`);
      assert.deepEqual([spec.model, spec.workersMax, spec.batchSize], [model, workers, 128]);
      assert.equal(updates * workers, batches);
      const whole = batches * 128;
      assert.equal(spec.schedule.totalExamples, whole);
      const rates = [0, 0.49, 0.5, 0.74, 0.75].map((share) =>
        learningRate(spec.schedule, Math.ceil(share * whole)),
      );
      const top = 0.1 * workers;
      [top, top, top / 10, top / 10, top / 100].forEach((rate, index) => {
        assert.ok(Math.abs(rates[index]! - rate) < 1e-9, `${rates}`);
      });
    });
  }

  test("a bare name that is no file here is the one that ships", () => {
    assert.deepEqual(readConfigFile("ecs"), readConfigFile(join(folder, "ecs.yaml")));
    const unknown = { code: "usage", message: /give the path .* ship: baseline, .*sync-switch-3/ };
    assert.throws(() => readConfigFile("no-such-set"), unknown);
    assert.throws(() => readConfigFile("ecs.yaml"), { message: /ecs.yaml can't be read/ });
  });
});
