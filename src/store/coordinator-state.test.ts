import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { mint } from "../protocol/ids.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import {
  type CoordinatorState,
  readCoordinatorState,
  writeCoordinatorState,
} from "./coordinator-state.js";
import { fileError } from "./file-errors.js";
import { aroundFiles, diskFiles } from "./files.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-coordinator-state-"));
const path = join(folder, "coordinator.json");
after(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
});

const frames = { tcp: "h:1", unix: "", machine: "m" };
const state: CoordinatorState = {
  term: 3,
  run: "a-run-12",
  view: {
    ...{ run: "a-run-12", number: mint(3, 7), generation: 1, phase: 2, phaseFromStep: 40 },
    ...{ protocol: { mode: "bsp" }, lrFactor: 0.25 },
    momentum: { start: 0.225, growth: "none", fromExamples: 640 },
    servers: [
      { index: 0, incarnation: mint(3, 1), address: "h:1", frames },
      { index: 1, incarnation: mint(2, 9), address: "h:2", frames: null },
    ],
    workers: [{ rank: 0, incarnation: mint(3, 2), fromStep: 0 }],
    ...{ candidates: [], departing: [] },
    ...{ replicas: [[0, 1], [1]], fences: [mint(3, 1), mint(3, 7)] },
  },
  progress: { cursor: { plans: [] }, seconds: 1.5, term: 3 },
  generation: 1,
  start: {
    spec: sampleSpec,
    resumedFrom: "runs/b/checkpoints/step-4",
    resumedStep: 4,
    workersAtStart: 3,
  },
  rest: { stand: { isLoaded: true } },
};
const nothing = { view: null, progress: null, generation: 0, start: null, rest: null };

test("what is kept is read as it was written, and a folder without it has none", async () => {
  assert.equal(await readCoordinatorState(folder), null);
  await writeCoordinatorState(folder, state);
  assert.deepEqual(await readCoordinatorState(folder), state);
  const bare = { term: 4, run: "b", ...nothing };
  await writeCoordinatorState(folder, bare);
  assert.deepEqual(await readCoordinatorState(folder), bare);
  assert.deepEqual(await readdir(folder), ["coordinator.json"]);
});

test("what an earlier program kept of its term is read", async () => {
  const kept = { format: 1, term: 4, run: "b", view: null, progress: null };
  await writeFile(path, JSON.stringify(kept));
  assert.deepEqual(await readCoordinatorState(folder), { term: 4, run: "b", ...nothing });
});

test("a torn write beside the file is not what is read", async () => {
  await writeCoordinatorState(folder, state);
  const torn = ".coordinator.json-0123abcd.tmp";
  await writeFile(join(folder, torn), '{"format":1,"term":9');
  assert.deepEqual(await readCoordinatorState(folder), state);
  await writeCoordinatorState(folder, { ...state, term: 5 });
  assert.equal((await readCoordinatorState(folder))?.term, 5);
  assert.deepEqual(await readdir(folder), [torn, "coordinator.json"]);
});

const wrong: readonly (readonly [what: string, text: string, says: RegExp])[] = [
  ["a torn file", JSON.stringify({ format: 1, ...state }).slice(0, 200), /is not JSON: resume a/],
  ["an empty file", "", /is not JSON/],
  [
    "progress of a hundred thousand levels",
    `{"format":1,"progress":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    /is nested deeper than 100 levels: resume a/,
  ],
  ["another program's file", '{"version":1}', /is not a coordinator's state \(format: /],
  ["a later format", JSON.stringify({ ...state, format: 2 }), /\(format: /],
  ["a term past every id", JSON.stringify({ format: 1, ...state, term: 2 ** 21 }), /\(term: /],
  ["no term", JSON.stringify({ format: 1, ...state, term: undefined }), /\(term: /],
  [
    "a view of a later term",
    JSON.stringify({ format: 1, ...state, term: 2 }),
    /the whole: a view of a later term/,
  ],
  [
    "a chunk that nobody holds",
    JSON.stringify({ format: 1, ...state, view: { ...state.view, replicas: [[], [1]] } }),
    /\(view\.replicas\.0: /,
  ],
  [
    "a chunk without a fence",
    JSON.stringify({ format: 1, ...state, view: { ...state.view, fences: [1] } }),
    /\(view: a fence for each chunk/,
  ],
];
for (const [what, text, says] of wrong) {
  test(`${what} is a storage error that names the file`, async () => {
    await writeFile(path, text);
    await assert.rejects(readCoordinatorState(folder), (thrown: unknown) => {
      const { code, message } = thrown as { code: string; message: string };
      assert.equal(code, "storage");
      assert.ok(message.includes(path), message);
      assert.match(message, says);
      return true;
    });
  });
}

test("whatever write fails, the old state or the new one is there, whole", async () => {
  const before = { ...state, run: "before" };
  let failures = 0;
  for (let number = 0; ; number++) {
    await writeCoordinatorState(folder, before);
    let verbs = 0;
    const files = aroundFiles(diskFiles, async (verb, where, action) => {
      if (verbs++ !== number) return action();
      if (verb === "close") await action();
      throw fileError(Object.assign(new Error("no space"), { code: "ENOSPC" }), verb, where);
    });
    const error = await writeCoordinatorState(folder, state, files).then(
      () => null,
      (thrown: unknown) => thrown as { readonly code: string },
    );
    if (verbs <= number) break;
    assert.equal(error?.code, "storage");
    failures++;
    const found = await readCoordinatorState(folder);
    assert.ok(found?.run === "before" || found?.run === state.run);
  }
  assert.ok(failures >= 5, `${failures} verbs failed`);
});

test("it is synced before it takes its name, and the name after that", async () => {
  const verbs: string[] = [];
  const files = aroundFiles(diskFiles, (verb, _where, action) => {
    verbs.push(verb);
    return action();
  });
  await writeCoordinatorState(folder, state, files);
  const order = ["create", "write", "sync", "close", "rename a file to", "sync the folder"];
  assert.deepEqual(verbs, order);
  assert.match(await readFile(path, "utf8"), /\n$/);
});
