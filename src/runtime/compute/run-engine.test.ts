import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PacelineError } from "../../errors.js";
import type { EngineRequest } from "../../nn/engines.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { engineOf } from "./run-engine.js";

type Opened = NonNullable<EngineRequest["opened"]>;

/** A library as engines ask for it before they compute. */
function library(hasBf16: boolean): Opened {
  const instructionSet = hasBf16 ? "avx512_core_bf16" : "avx2";
  const told = { abi: 2, version: "2.6.3", instructionSet, hasBf16 };
  return {
    dnnl: told as Partial<Opened["dnnl"]> as Opened["dnnl"],
    name: "libdnnl.so.2",
  } as Opened;
}

const missing: Opened = { dnnl: null, reason: "libdnnl.so.2: no such file; install oneDNN" };
const requestOf = (engine: RunSpec["engine"], dtype: RunSpec["dtype"]) => ({
  engine,
  dtype,
  threads: 2,
  algorithms: "measured" as const,
  recordedAlgorithms: [],
});

const chosen: readonly (readonly [
  engine: RunSpec["engine"],
  dtype: RunSpec["dtype"],
  opened: Opened,
  name: string,
  reason: RegExp,
])[] = [
  ["auto", "f32", library(false), "onednn", /^engine onednn: oneDNN 2\.6\.3 .* f32, 2 threads$/],
  ["auto", "bf16", library(true), "onednn", /avx512_core_bf16, bf16, 2 threads$/],
  ["auto", "bf16!", library(true), "onednn", /avx512_core_bf16, bf16, 2 threads$/],
  ["onednn", "bf16", library(false), "onednn", /f32, 2 threads; bf16 needs .* in f32$/],
  ["auto", "f32", missing, "reference", /slower than oneDNN; libdnnl.*install oneDNN$/],
  ["auto", "bf16", missing, "reference", /install oneDNN; it computes in f32$/],
  ["reference", "bf16", library(true), "reference", /as asked for; it computes in f32$/],
];

describe("the engine of a run", () => {
  for (const [engine, dtype, opened, name, reason] of chosen) {
    const here = opened.dnnl === null ? "no library" : opened.dnnl.instructionSet;
    test(`for --engine ${engine} --dtype ${dtype} with ${here} is ${name}`, () => {
      const found = engineOf(requestOf(engine, dtype), { opened });
      assert.equal(found.engine.name, name);
      assert.match(found.reason, reason);
    });
  }

  const refused: readonly (readonly [
    engine: RunSpec["engine"],
    dtype: RunSpec["dtype"],
    opened: Opened,
    message: RegExp,
  ])[] = [
    [
      "auto",
      "bf16!",
      library(false),
      /bf16! can't be kept: .*\(it has avx2\).*--dtype bf16 or f32/,
    ],
    [
      "onednn",
      "bf16!",
      library(false),
      /bf16! can't be kept: .*\(it has avx2\).*--dtype bf16 or f32/,
    ],
    [
      "auto",
      "bf16!",
      missing,
      /bf16! can't be kept: engine reference.*; write --dtype bf16 or f32/,
    ],
    [
      "reference",
      "bf16!",
      library(true),
      /bf16! can't be kept: .*as asked for.*--dtype bf16 or f32/,
    ],
    [
      "onednn",
      "f32",
      missing,
      /engine onednn is unavailable: .*install oneDNN; or use --engine ref/,
    ],
    ["onednn", "bf16!", missing, /engine onednn is unavailable: .*install oneDNN/],
  ];
  for (const [engine, dtype, opened, message] of refused) {
    const here = opened.dnnl === null ? "no library" : opened.dnnl.instructionSet;
    test(`is refused for --engine ${engine} --dtype ${dtype} with ${here}`, () => {
      assert.throws(
        () => engineOf(requestOf(engine, dtype), { opened }),
        (error: PacelineError) =>
          error.code === "usage" && error.exitCode === 2 && message.test(error.message),
      );
    });
  }
});
