import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelsBench } from "./kernels-bench.js";

const brief = { rounds: "1", turn: "1ms", values: "3000", chunkValues: "1000" };
const task = { isJson: true, log: () => {} };

test("every kernel has a rate above 0, and the momentum update its milliseconds", async () => {
  const { report } = await kernelsBench.measure(brief, task);
  assert.deepEqual(
    [report.rows[0]?.name, report.rows[0]?.unit],
    ["momentum SGD over 3000 values", "ms"],
  );
  const names = report.rows.slice(1).map(({ name }) => name);
  const some = ["finite", "copy", "fold of 8", "adamw", "f32 to int8", "top 1 %", "checksum"];
  for (const name of [...some, "buffers", "counters"]) assert.ok(names.includes(name), name);
  for (const row of report.rows) {
    assert.ok(row.value > 0, row.name);
    assert.equal(row.peer, undefined);
  }
});

test("with peers SIMD stands beside memcpy and scalar, and scalar beside memcpy", async () => {
  for (const kernels of ["wasm", "scalar"]) {
    const { report } = await kernelsBench.measure({ ...brief, kernels, peers: true }, task);
    const peers = report.rows.filter(({ name }) => name === "fold of 4").map(({ peer }) => peer);
    assert.deepEqual(peers, kernels === "wasm" ? ["memcpy", "scalar"] : ["memcpy"]);
  }
});

test("an implementation that doesn't exist is refused by name", async () => {
  await assert.rejects(
    async () => kernelsBench.measure({ ...brief, kernels: "wasn" }, task),
    /--kernels wasn is unknown \(did you mean wasm\?\); write wasm or scalar/,
  );
});
