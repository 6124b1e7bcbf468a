import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { writeSampleMnist } from "../../data/testing/sample-files.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { initialState, layoutOf } from "../../runtime/compute/initial-state.js";
import { ModelScorer } from "../../runtime/compute/stored-model.js";
import { writeCheckpoint } from "../../store/checkpoint/checkpoint.js";
import type { EvaluationChoice } from "./evaluate.js";
import { follow } from "./follow.js";

const spec: RunSpec = { ...sampleSpec, trainExamples: 40, testExamples: 30 };
const layout = layoutOf(spec);
const choice: EvaluationChoice = {
  split: "test",
  data: null,
  engine: null,
  limit: "run",
  otherClasses: false,
};

let folder = "";
let dataDir = "";
let run = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-follow-"));
  dataDir = join(folder, "data");
  await writeSampleMnist(dataDir, { train: 40, test: 30, seed: 5 });
});
let runs = 0;
beforeEach(async () => {
  run = join(folder, `run-${++runs}`);
  await mkdir(run);
});
after(() => rm(folder, { recursive: true, force: true }));

/** Weights that differ with the seed. */
const weightsOf = (seed: number) => initialState({ ...spec, seed }, layout).weights;

/** Writes the checkpoint of a step, with the weights of a seed. */
function keep(step: number, seed = step): Promise<string> {
  const { state, marks } = initialState(spec, layout);
  const created = new Date(1_700_000_000_000 + 1000 * seed).toISOString();
  const counts = { globalStep: step, examples: 16 * step, chunks: marks };
  const facts = { created, spec, ...counts, cursor: null, machine: {} };
  return writeCheckpoint(run, { facts, layout, weights: weightsOf(seed), state });
}

async function keepAll(...steps: readonly number[]): Promise<void> {
  for (const step of steps) await keep(step);
}

type Line = Record<string, unknown> & { kind: string; step: number };

interface Following {
  readonly exitCode: number;
  readonly lines: readonly Line[];
  readonly err: string;
}

/**
 * Follows the run; `looks[n]` is done before its n-th look, and after the last of them it is over.
 * `onLine` hears each line that is printed.
 */
async function followed(
  looks: readonly (() => Promise<unknown>)[],
  onLine: (line: Line) => void = () => {},
  own: EvaluationChoice = choice,
): Promise<Following> {
  const lines: Line[] = [];
  let err = "";
  let look = 0;
  const endOf = async () => {
    if (look === looks.length) return "as the test says";
    await looks[look++]!();
    return null;
  };
  const stdout = {
    write(text: string) {
      const line = JSON.parse(text) as Line;
      lines.push(line);
      onLine(line);
    },
  };
  const options = { dataDir, cacheDir: "", runDir: folder, json: true, quiet: false };
  const io = { stdout, stderr: { write: (text: string) => (err += text) } };
  const exitCode = await follow({ name: "run", folder: run, endOf }, own, options, io);
  return { exitCode, lines, err };
}

const told = (lines: readonly Line[]) => lines.map(({ kind, step }) => `${kind} ${step}`);

async function keptLines(): Promise<Line[]> {
  const text = await readFile(join(run, "evaluations.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

describe("following a run", () => {
  test("scores each checkpoint once, in order, as the model's own score is", async () => {
    const looks = [async () => {}, () => keepAll(20, 10), async () => {}, () => keep(100)];
    const { exitCode, lines, err } = await followed(looks);
    assert.equal(exitCode, 0, err);
    assert.deepEqual(told(lines.slice(0, 3)), ["evaluation 10", "evaluation 20", "evaluation 100"]);
    assert.deepEqual(await keptLines(), lines.slice(0, 3));
    const place = { dataDir, cacheDir: null, log: () => {} };
    const scorer = new ModelScorer(place);
    for (const { step, accuracy_percent: percent, loss, examples } of lines.slice(0, 3)) {
      const score = await scorer.score({ ...spec, trainExamples: 1 }, weightsOf(step));
      assert.deepEqual({ accuracyPercent: percent, loss, examples }, score);
    }
    await scorer.close();
    const [best, ...rest] = lines.slice(3);
    assert.deepEqual(rest, []);
    assert.equal(best!.kind, "best");
    const accuracies = lines.slice(0, 3).map((line) => line.accuracy_percent as number);
    assert.equal(best!.accuracy_percent, Math.max(...accuracies));
  });

  test("scores nothing that an earlier follower scored, and names the best of all", async () => {
    const first = await followed([() => keep(10), () => keep(20)]);
    const again = await followed([() => keep(30)]);
    assert.deepEqual(told(again.lines.slice(0, -1)), ["evaluation 30"]);
    assert.equal((await keptLines()).length, 3);
    const all = [...first.lines.slice(0, -1), ...again.lines.slice(0, -1)];
    const best = Math.max(...all.map((line) => line.accuracy_percent as number));
    assert.equal(again.lines.at(-1)!.accuracy_percent, best);
  });

  test("scores again where the examples are others, or the step was written anew", async () => {
    await followed([() => keep(10)]);
    const fewer = await followed([], () => {}, { ...choice, limit: 20 });
    assert.deepEqual(told(fewer.lines.slice(0, -1)), ["evaluation 10"]);
    assert.equal(fewer.lines[0]!.examples, 20);
    const anew = await followed([() => keep(10, 11)]);
    assert.deepEqual(told(anew.lines.slice(0, -1)), ["evaluation 10"]);
    assert.equal((await keptLines()).length, 3);
  });

  test("says which checkpoint was removed before its turn, and goes on", async () => {
    const looks = [() => keepAll(10, 20, 30)];
    const removed = join(run, "checkpoints", "step-20");
    const aside = join(run, "checkpoints", ".tmp-pruned-20");
    const { exitCode, lines, err } = await followed(looks, ({ step }) => {
      // As --keep removes: out of sight at once.
      if (step === 10) renameSync(removed, aside);
    });
    assert.equal(exitCode, 0);
    const told20 = lines.filter(({ step, kind }) => step === 20 && kind === "skipped");
    assert.match(String(told20[0]?.reason), /removed before it was scored; raise --keep/);
    assert.match(err, /step 20 is skipped: it was removed/);
    assert.equal(lines.at(-1)!.skipped, 1);
    assert.deepEqual(
      (await keptLines()).map(({ step }) => step),
      [10, 30],
    );
  });

  test("says which checkpoint can't be read, goes on, and ends with exit code 6", async () => {
    const breakOne = async () => {
      const path = await keep(10);
      await truncate(join(path, "model.safetensors"), 1000);
      await keep(20);
    };
    const { exitCode, lines, err } = await followed([breakOne, async () => {}]);
    assert.equal(exitCode, 6);
    assert.deepEqual(told(lines.slice(0, 2)), ["skipped 10", "evaluation 20"]);
    assert.match(err, /step 10 is skipped: .*model\.safetensors is corrupt/);
    assert.equal(err.match(/step 10/g)?.length, 1);
  });

  test("of a run that is over without a checkpoint is refused", async () => {
    await assert.rejects(followed([]), {
      code: "checkpoint",
      message: /left no checkpoint to score: train with --checkpoint-every/,
    });
  });
});
