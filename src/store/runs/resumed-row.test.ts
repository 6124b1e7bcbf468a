import assert from "node:assert/strict";
import { test } from "node:test";
import { GivenUpRows, resumedRow } from "./resumed-row.js";

/** The steps that count; a string such as r12 is a row of resuming from step 12. */
function counted(...rows: readonly (number | string)[]): number[] {
  const read = rows.map((row) => {
    if (typeof row === "number") return { kind: "step", step: row };
    return { kind: "resumed", step: Number(row.slice(1)) };
  });
  const given = new GivenUpRows();
  for (const row of read) given.take(row);
  return read.flatMap(({ kind, step }, place) => {
    return kind === "step" && !given.isGivenUp(place, step) ? [step] : [];
  });
}

test("steps beyond a checkpoint that the run goes on from are given up", () => {
  assert.deepEqual(counted(5, 10, 15, 20, "r12", 15, 20, 25), [5, 10, 15, 20, 25]);
  assert.deepEqual(counted(5, 10, 15, "r10", 15, "r5", 10, 15), [5, 10, 15]);
  assert.deepEqual(counted(5, 10, 15, "r5", 10, "r10", 15), [5, 10, 15]);
  assert.deepEqual(counted(5, 10, "r0"), []);
  assert.deepEqual(counted("r10", 15, 20), [15, 20]);
});

test("where nothing says that the run was resumed a repeated step does", () => {
  assert.deepEqual(counted(5, 10, 15, 20, 15, 20, 25), [5, 10, 15, 20, 25]);
  assert.deepEqual(counted(5, 10, 10, 15), [5, 10, 15]);
});

test("a row of resuming tells what the checkpoint knows", () => {
  const before = { seconds: 7, epochs: [{}, {}] };
  assert.deepEqual(resumedRow("noon", 40, before), {
    ...{ kind: "resumed", time: "noon", step: 40, epochs: 2, seconds: 7 },
  });
  const { step, epochs, seconds } = resumedRow("noon", 0, null);
  assert.deepEqual([step, epochs, seconds], [0, 0, 0]);
});
