import assert from "node:assert/strict";
import { test } from "node:test";
import { codecNames } from "../../compression/codecs/codec.js";
import { codecBench } from "./codec-bench.js";

test("each codec has its size, speeds and error, and none is said of raw", async () => {
  const flags = { values: "5000", rounds: "1", turn: "1ms", kernels: "scalar", share: "0.1" };
  const said: string[] = [];
  const task = { isJson: true, log: (line: string) => said.push(line) };
  const { report, appendix } = await codecBench.measure(flags, task);
  assert.equal(report.bench, "codec");
  assert.match(appendix.join(), /scalar kernels, 5000 values, share 0.1/);
  const found = new Map(report.rows.map(({ name, value }) => [name, value]));
  for (const name of codecNames) {
    for (const what of ["size", "encode", "decode"]) {
      assert.ok(found.get(`${name}/${what}`)! > 0, `${name}/${what}`);
    }
  }
  const errors: readonly (readonly [string, number, number])[] = [
    ["fp16", 1e-5, 5e-4],
    ["bf16", 5e-4, 4e-3],
    ["int8", 4e-3, 2e-2],
    ["topk", 0.3, 0.8],
    ["randomk", 0.9, 0.99],
    ["onebit", 0.5, 0.7],
  ];
  for (const [name, least, most] of errors) {
    const error = found.get(`${name}/error`)!;
    assert.ok(error > least && error < most, `${name}: ${error}`);
    assert.ok(found.get(`${name}/size`)! < 16.1, name);
  }
  assert.equal(found.get("raw/size"), 32);
  assert.equal(found.has("raw/error"), false);
});

test("with peers SIMD stands beside memcpy and scalar, and scalar beside memcpy", async () => {
  const brief = { values: "3000", rounds: "1", turn: "1ms", peers: true };
  for (const kernels of ["wasm", "scalar"]) {
    const task = { isJson: true, log: () => {} };
    const { report } = await codecBench.measure({ ...brief, kernels }, task);
    for (const name of ["int8/encode", "topk/encode+feedback", "onebit/decode"]) {
      const found = report.rows.filter((row) => row.name === name);
      for (const { ratio } of found) assert.ok(ratio! > 0, name);
      const wanted = kernels === "wasm" ? ["memcpy", "scalar"] : ["memcpy"];
      assert.deepEqual(
        found.map(({ peer }) => peer),
        wanted,
      );
    }
  }
});

test("a share above a quarter is refused with the remedy", () => {
  const measure = () => codecBench.measure({ share: "0.5" }, { isJson: true, log: () => {} });
  assert.throws(measure, /--share 0.5 is above 0.25; write a number/);
});
