import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { mint } from "../protocol/ids.js";
import type { View } from "../protocol/view.js";
import {
  type CoordinatorState,
  readCoordinatorState,
  writeCoordinatorState,
} from "./coordinator-state.js";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-state-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function viewOf(number: number, fences: readonly number[]): View {
  return {
    ...{ run: "r", number, generation: 1, phase: 0, phaseFromStep: 0 },
    servers: [{ index: 0, incarnation: mint(2, 1), address: "s", frames: null }],
    workers: [{ rank: 0, incarnation: mint(3, 2), fromStep: 4 }],
    ...{ replicas: [[0], [0]], fences },
  };
}

const number = mint(3, 7);
const whole: CoordinatorState = {
  ...{ term: 3, run: "r", progress: { seconds: 1.5, epochs: [] } },
  view: viewOf(number, [number, mint(3, 1)]),
};

test("a folder without a coordinator's state has none; what is written is read again", async () => {
  assert.equal(await readCoordinatorState(folder), null);
  for (const state of [{ term: 1, run: "r", view: null, progress: null }, whole]) {
    await writeCoordinatorState(folder, state);
    assert.deepEqual(await readCoordinatorState(folder), state);
  }
  assert.deepEqual(await readdir(folder), ["coordinator.json"]);
});

const broken: readonly (readonly [what: string, state: unknown, says: RegExp])[] = [
  [
    "a torn file",
    '{"format":1,"term":',
    /is no JSON: go on from a checkpoint under another --name/,
  ],
  ["a later format", { format: 2, ...whole }, /is not a coordinator's state \(format: /],
  ["term 0", { format: 1, ...whole, term: 0 }, /\(term: /],
  ["a view of a later term", { format: 1, ...whole, term: 2 }, /a view of a later term/],
  [
    "a view that lacks a fence",
    { format: 1, ...whole, view: viewOf(number, [number]) },
    /a fence for each chunk/,
  ],
];
for (const [what, state, says] of broken) {
  test(`${what} is a storage error that says what helps`, async () => {
    const text = typeof state === "string" ? state : JSON.stringify(state);
    await writeFile(join(folder, "coordinator.json"), text);
    await assert.rejects(readCoordinatorState(folder), { code: "storage", message: says });
  });
}
