/** What `paceline coordinator` and `worker` refuse before anybody may come. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { writeSampleMnist } from "../../data/testing/sample-files.js";
import { runProgram } from "../program.js";

let folder = "";
let place: string[] = [];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-coordinator-command-"));
  const dataDir = join(folder, "data");
  await writeSampleMnist(dataDir, { train: 40, test: 10, seed: 5 });
  place = ["--data-dir", dataDir, "--run-dir", join(folder, "runs")];
});
after(() => rm(folder, { recursive: true, force: true }));

async function call(...words: string[]) {
  const texts = { out: "", err: "" };
  const exitCode = await runProgram(words, {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...texts };
}

const run = ["--model", "logistic", "--data", "mnist"];
const nowhere = /--data-dir \/nowhere can't be read \(there is no such file or folder\); give/;

for (const [what, words, code, message] of [
  ["a checkpoint that is not there", [...run, "--resume", "lost"], 6, /--resume lost is neither/],
  ["more examples than there are", [...run, "--train-limit", "41"], 2, /41 is more than the 40/],
  ["data that are not there", [...run, "--data-dir", "/nowhere"], 2, nowhere],
  [
    "data that are not there, to deal",
    [...run, "--feed", "central", "--data-dir", "/nowhere"],
    2,
    nowhere,
  ],
  ["data that are not there, for its jobs", ["--serve", "--data-dir", "/nowhere"], 2, nowhere],
] as const) {
  test(`a coordinator refuses ${what} before it says where it listens`, async () => {
    const { exitCode, err } = await call("coordinator", "--port", "0", ...place, ...words);
    assert.equal(exitCode, code, err);
    assert.match(err, message);
    assert.doesNotMatch(err, /listens/);
    assert.deepEqual(await readdir(join(folder, "runs")).catch(() => []), []);
  });
}

test("a worker refuses data that are not there before it looks for the coordinator", async () => {
  const words = ["--coordinator", "127.0.0.1:1", "--data-dir", "/nowhere"];
  const { exitCode, err } = await call("worker", ...words);
  assert.equal(exitCode, 2, err);
  assert.match(err, new RegExp(`\npaceline: ${nowhere.source}[^\n]*\n$`));
});
