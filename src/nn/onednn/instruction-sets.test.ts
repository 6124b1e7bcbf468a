import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { narrowerSets } from "./calls.js";
import { openDnnl } from "./library.js";

test("a processor has every instruction set that its widest one contains", () => {
  assert.deepEqual(narrowerSets("avx2"), ["avx", "sse41"]);
  assert.deepEqual(narrowerSets("sse41"), []);
  const amx = narrowerSets("avx512_core_amx").join(" ");
  assert.equal(amx, "avx512_core_bf16 avx512_core_vnni avx512_core avx2 avx sse41");
});

const opened = openDnnl();
const skip = opened.dnnl === null && opened.reason;
const sets = opened.dnnl === null ? [] : narrowerSets(opened.dnnl.instructionSet);
const program = ["kernels.test.js", "../golden-rounded.test.js"]
  .map((name) => `await import("${new URL(name, import.meta.url).href}");`)
  .join("");

// The library takes its instruction set once in a process; the widest one is every other test's.
describe("kernels agree with the reference engine under each narrower instruction set", {
  skip,
}, () => {
  for (const set of sets) {
    test(`under ${set}`, () => {
      const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
      const env = { ...environment, ONEDNN_MAX_CPU_ISA: set.toUpperCase() };
      const words = ["--test-reporter=tap", "--input-type=module", "--eval", program];
      const limits = { env, encoding: "utf8", timeout: 180_000 } as const;
      const { status, stdout, stderr } = spawnSync(process.execPath, words, limits);
      const failures = stdout.split("\n").filter((line) => /^\s*(not ok|error:)/.test(line));
      assert.equal(status, 0, `${failures.join("\n")}${stderr}`);
      assert.match(stdout, new RegExp(`oneDNN with ${set} agrees`));
    });
  }
});
