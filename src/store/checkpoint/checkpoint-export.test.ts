import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import { layOut, type TensorSpec } from "../../protocol/layout.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { fileError } from "../file-errors.js";
import { aroundFiles, diskFiles, type Files } from "../files.js";
import { writeCheckpoint } from "./checkpoint.js";
import type { DemandsOf } from "./checkpoint-check.js";
import { type ExportKind, exportCheckpoint, halfValues } from "./checkpoint-export.js";
import { readAllTensors } from "./safetensors.js";

const tensors: readonly TensorSpec[] = [
  { name: "conv.weight", shape: [2, 3], group: "weight" },
  { name: "bn.num_batches_tracked", shape: [], group: "counter" },
  { name: "bn.running_var", shape: [2], group: "buffer" },
];
const demandsOf: DemandsOf = () => ({ tensors, stateParts: 0 });
const weights = Float32Array.of(1, -2, 0.1, 3.25, 65504, 1e-3, 0.7, 1e-3, 16_777_215);

let folder = "";
let out = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-export-"));
  out = join(folder, "model.safetensors");
});
afterEach(() => rm(folder, { recursive: true }));

async function write(values: Float32Array = weights): Promise<string> {
  const layout = layOut(tensors, 100);
  return writeCheckpoint(folder, {
    facts: {
      created: "2026-01-02T03:04:05.000Z",
      spec: { ...sampleSpec, chunkValues: 100 },
      globalStep: 7,
      examples: 112,
      chunks: layout.chunks.map(() => ({ version: 7, examples: 112, sealedStep: 6, applied: [] })),
      cursor: null,
      machine: {},
    },
    layout,
    weights: values,
    state: [],
  });
}

async function headerOf(path: string): Promise<Record<string, unknown>> {
  const bytes = await readFile(path);
  const headerBytes = Number(bytes.readBigUInt64LE());
  return JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Record<string, unknown>;
}

async function refusal(request: { path: string; kind?: ExportKind }, files?: Files) {
  const before = await readdir(folder);
  const error = await exportCheckpoint({ kind: "f32", out, ...request }, demandsOf, files).then(
    () => assert.fail("it was exported"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof PacelineError, String(error));
  assert.deepEqual(await readdir(folder), before, "nothing is left");
  return error;
}

test("counters become I64 and everything else stays as it was", async () => {
  const exported = await exportCheckpoint({ path: await write(), out, kind: "f32" }, demandsOf);
  const bytes = (await readFile(out)).length;
  const facts = { bytes, tensors: 3, model: "mlp", data: "mnist", step: 7 };
  assert.deepEqual(exported, { path: out, ...facts });
  const file = await diskFiles.openFile(out);
  const found = await readAllTensors(file, out);
  await file.close();
  assert.deepEqual(
    found,
    new Map([
      ["bn.num_batches_tracked", { shape: [], values: BigInt64Array.of(16_777_215n) }],
      ["conv.weight", { shape: [2, 3], values: weights.slice(0, 6) }],
      ["bn.running_var", { shape: [2], values: weights.slice(6, 8) }],
    ]),
  );
  const { __metadata__: metadata } = await headerOf(out);
  assert.deepEqual(metadata, { format: "pt", model: "mlp", data: "mnist", step: "7" });
});

for (const kind of ["bf16", "f16"] as const) {
  test(`${kind} rounds what is trained, and neither counters nor running statistics`, async () => {
    await exportCheckpoint({ path: await write(), out, kind }, demandsOf);
    const { __metadata__, ...entries } = await headerOf(out);
    const kinds = Object.entries(entries).map(([name, entry]) => {
      const { dtype, data_offsets } = entry as { dtype: string; data_offsets: number[] };
      return [name, dtype, data_offsets];
    });
    // Larger values first, so that each lies at a multiple of its size.
    assert.deepEqual(kinds, [
      ["bn.num_batches_tracked", "I64", [0, 8]],
      ["bn.running_var", "F32", [8, 16]],
      ["conv.weight", kind.toUpperCase(), [16, 28]],
    ]);
    const bits = halfValues(weights.subarray(0, 6), kind === "f16" ? "F16" : "BF16")!.bits;
    assert.deepEqual((await readFile(out)).subarray(-12), Buffer.from(bits.buffer));
  });
}

test("known values round to known bits, ties to even", () => {
  const cases: [value: number, bf16: number, f16: number][] = [
    [0, 0, 0],
    [-0, 0x8000, 0x8000],
    [1, 0x3f80, 0x3c00],
    [-2.5, 0xc020, 0xc100],
    // Half way between two: the even one, below and above.
    [1 + 2 ** -8, 0x3f80, 0x3c04],
    [1 + 3 * 2 ** -8, 0x3f82, 0x3c0c],
    [1 + 2 ** -11, 0x3f80, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3f80, 0x3c02],
    [2 ** -14, 0x3880, 0x0400],
    [2 ** -24, 0x3380, 0x0001],
    [2 ** -25, 0x3300, 0x0000],
    [3 * 2 ** -25, 0x33c0, 0x0002],
    [2 ** -14 - 2 ** -26, 0x3880, 0x0400],
    [2 ** -149, 0x0000, 0x0000],
    [65504, 0x4780, 0x7bff],
  ];
  for (const [value, bf16, f16] of cases) {
    const one = Float32Array.of(value);
    assert.equal(halfValues(one, "BF16")!.bits[0], bf16, `bf16 of ${value}`);
    assert.equal(halfValues(one, "F16")!.bits[0], f16, `f16 of ${value}`);
  }
  assert.equal(halfValues(Float32Array.of(65520), "F16"), null);
  assert.notEqual(halfValues(Float32Array.of(65519), "F16"), null);
  assert.equal(halfValues(Float32Array.of(-3.4e38), "BF16"), null);
});

test("a rounded value is the nearest there is, of two equally near the even one", () => {
  const kinds = [
    { kind: "BF16", fraction: 7, bias: 127 },
    { kind: "F16", fraction: 10, bias: 15 },
  ] as const;
  const valueOfBits = (bits: number, fraction: number, bias: number): number => {
    const exponent = (bits & 0x7fff) >>> fraction;
    const rest = bits & (2 ** fraction - 1);
    const scale = 2 ** (Math.max(exponent, 1) - bias - fraction);
    return (rest + (exponent === 0 ? 0 : 2 ** fraction)) * scale * (bits >= 0x8000 ? -1 : 1);
  };
  fc.assert(
    fc.property(fc.float({ noNaN: true, min: -60000, max: 60000 }), (value) => {
      for (const { kind, fraction, bias } of kinds) {
        const bits = halfValues(Float32Array.of(value), kind)!.bits[0]!;
        assert.equal(bits >= 0x8000, Object.is(Math.sign(value), -0) || value < 0);
        const off = Math.abs(valueOfBits(bits, fraction, bias) - value);
        for (const other of [bits - 1, bits + 1]) {
          if ((other ^ bits) & 0x8000 || other < 0) continue;
          const otherOff = Math.abs(valueOfBits(other, fraction, bias) - value);
          assert.ok(off < otherOff || (off === otherOff && bits % 2 === 0), `${kind} of ${value}`);
        }
      }
    }),
    { seed: 5, numRuns: 2000 },
  );
});

test("a value too large for the kind is refused with the value and what would do", async () => {
  const large = weights.slice();
  large[1] = -70_000;
  const { code, message } = await refusal({ path: await write(large), kind: "f16" });
  assert.equal(code, "usage");
  assert.match(message, /"conv.weight" holds a value of magnitude 70000, too large for f16/);
  assert.match(message, /export with --dtype bf16 or f32/);
});

const faults: [what: string, index: number, value: number, message: RegExp][] = [
  ["a value that is not finite", 3, Number.NaN, /"conv.weight" holds NaN at value 3 of 6/],
  ["half a batch", 8, 0.5, /holds 0.5 at value 0 of 1, and a counter is a whole number/],
];
for (const [what, index, value, message] of faults) {
  test(`a checkpoint with ${what} is refused`, async () => {
    const values = weights.slice();
    values[index] = value;
    const error = await refusal({ path: await write(values) });
    assert.equal(error.exitCode, 6);
    assert.match(error.message, message);
  });
}

test("a checkpoint with a changed byte, or of another model, is refused", async () => {
  const path = await write();
  const another: DemandsOf = () => ({ tensors: tensors.slice(1), stateParts: 0 });
  await assert.rejects(exportCheckpoint({ path, out, kind: "f32" }, another), /not of model "mlp"/);
  const file = join(path, "model.safetensors");
  const bytes = await readFile(file);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(file, bytes);
  const error = await refusal({ path });
  assert.equal(error.exitCode, 6);
  assert.match(error.message, /its SHA-256 is [0-9a-f]{64} and the manifest says [0-9a-f]{64}/);
});

test("a file that is there is not replaced, least of all a checkpoint's own", async () => {
  const path = await write();
  const own = join(path, "model.safetensors");
  const before = await readFile(own);
  for (const taken of [own, path]) {
    await assert.rejects(exportCheckpoint({ path, out: taken, kind: "f32" }, demandsOf), {
      code: "usage",
      message: new RegExp(`^--out ${taken} exists, and an export replaces nothing; choose another`),
    });
  }
  assert.deepEqual(await readFile(own), before);
  const astray = join(folder, "none", "model.safetensors");
  await assert.rejects(exportCheckpoint({ path, out: astray, kind: "f32" }, demandsOf), {
    code: "usage",
    message: /there is no folder .*none; make it first or choose another --out/,
  });
});

test("what an export has left that was killed goes with the next to its name", async () => {
  const path = await write();
  const names = [`.${basename(out)}-0123abcd.part`, ".other.safetensors-0123abcd.part"];
  for (const name of names) await writeFile(join(folder, name), "half");
  await exportCheckpoint({ path, out, kind: "f32" }, demandsOf);
  const expected = [names[1]!, basename(out), "checkpoints"].sort();
  assert.deepEqual((await readdir(folder)).sort(), expected);
});

test("a disk that fails at any moment leaves no file", async () => {
  const path = await write();
  let failures = 0;
  for (let number = 0; ; number++) {
    let verbs = 0;
    let failed = false;
    const files = aroundFiles(diskFiles, async (verb, place, action) => {
      const isWriting = ["create", "write", "sync", "close", "rename a file to"].includes(verb);
      if (!isWriting || place.startsWith(path) || verbs++ !== number) return action();
      failed = true;
      if (verb === "close") await action();
      throw fileError(Object.assign(new Error("full"), { code: "ENOSPC" }), verb, place);
    });
    const exporting = exportCheckpoint({ path, out, kind: "f32" }, demandsOf, files);
    const error = await exporting.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (!failed) break;
    failures += 1;
    assert.ok(error instanceof PacelineError && error.code === "storage", String(error));
    assert.deepEqual(await readdir(folder), ["checkpoints"]);
  }
  assert.ok(failures >= 5, `${failures} verbs failed`);
});
