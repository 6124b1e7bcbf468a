/** Modes with their parameters in one word, in every place where options are written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Given } from "./resolve.js";
import { resolve } from "./resolve.js";

type Words = Record<string, string>;

function optionsOf(words: Words, more: Given = {}) {
  return resolve("train", { ...more, flags: new Map(Object.entries(words)) as never }).options;
}

test("a word says what the mode and its options say", () => {
  const table: [string, Words, object][] = [
    ["quorum:3", {}, { mode: "quorum", quorumSize: 3, grace: "auto" }],
    ["quorum:3,grace=20ms", {}, { mode: "quorum", quorumSize: 3, grace: 20 }],
    ["quorum:3,20ms", {}, { mode: "quorum", quorumSize: 3, grace: 20 }],
    ["quorum:grace=5ms", { quorumSize: "2" }, { mode: "quorum", quorumSize: 2, grace: 5 }],
    ["ssp:2", { staleness: "2" }, { mode: "ssp", staleness: 2 }],
    ["dssp:1-6", {}, { mode: "dssp", stalenessMin: 1, staleness: 6 }],
    ["k-of-n:2", {}, { mode: "k-of-n", backupWorkers: 2 }],
    ["backup-workers:2", {}, { mode: "k-of-n", backupWorkers: 2 }],
    ["group:2", {}, { mode: "group", groups: 2 }],
    ["ringmaster:8", {}, { mode: "ringmaster", delayBound: 8 }],
    ["local:50,outer-optimizer=nesterov", {}, { localSteps: 50, outerOptimizer: "nesterov" }],
  ];
  for (const [mode, more, wanted] of table) {
    const options = optionsOf({ mode, ...more }) as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(wanted)) assert.equal(options[key], value, mode);
  }
});

test("a plan has parameters before a phase's length", () => {
  const plan = "bsp:25%,quorum:3,grace=20ms:50%,dssp:1-6:2e,asp";
  const { quorumSize, grace, staleness, plan: phases } = optionsOf({ plan });
  assert.deepEqual([quorumSize, grace, staleness], [3, 20, 6]);
  assert.deepEqual(
    phases?.map(({ mode }) => mode),
    ["bsp", "quorum", "dssp", "asp"],
  );
  assert.equal(phases?.[1]?.length?.kind, "share");
  assert.equal(optionsOf({ plan: "bsp:plateau(3,0.01),ssp:1" }).staleness, 1);
});

test("what is said in a stronger place holds", () => {
  const file = { path: "run.yaml", values: new Map([["mode", "quorum:3"]]) } as never;
  assert.equal(resolve("train", { file }).options.quorumSize, 3);
  assert.equal(optionsOf({ quorumSize: "2" }, { file }).quorumSize, 2);
  const environment = { PACELINE_MODE: "quorum:2" };
  assert.equal(optionsOf({}, { file, environment }).quorumSize, 2);
  assert.equal(optionsOf({ mode: "quorum:4" }, { file, environment }).quorumSize, 4);
});

test("words that can't be read, or contradict what stands beside them, are refused", () => {
  for (const [words, reason] of [
    [{ mode: "quorum:3", quorumSize: "2" }, /--mode quorum:3 says quorum 3, and --quorum says 2/],
    [{ mode: "ssp:1,2" }, /ssp:1,2 has "2", which is no parameter of ssp: it has staleness/],
    [{ mode: "ssp:1-2" }, /which is no parameter of ssp/],
    [{ mode: "bsp:2" }, /bsp:2 has "2", which is no parameter of bsp: it has none/],
    [{ mode: "quorum:3,graze=1" }, /"graze=1", which is no parameter of quorum.*quorum, grace/],
    [{ mode: "quorum:3,quorum=2" }, /says quorum twice/],
    [{ mode: "quorum:" }, /quorum: has an empty value of quorum/],
    [{ mode: "quorum:few" }, /--quorum few .*write/],
    [{ mode: "quorm:3" }, /--mode quorm:3 is unknown/],
    [{ plan: "ssp:1:50%,bsp:25%,ssp:2" }, /says staleness 2, and another phase of it says 1/],
    [{ plan: "bsp:40,asp" }, /bsp:40 has "40", which is no parameter of bsp/],
    [{ plan: "bsp:140%,asp" }, /has a share that is not above 0 and at most 100 %/],
  ] as const) {
    assert.throws(() => optionsOf(words), reason);
  }
  const environment = { PACELINE_MODE: "quorum:2", PACELINE_QUORUM: "3" };
  assert.throws(
    () => resolve("train", { environment }),
    /PACELINE_MODE=quorum:2 says quorum 2, and PACELINE_QUORUM says 3; keep one of the two/,
  );
});
