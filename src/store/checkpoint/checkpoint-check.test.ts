import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import { type Layout, layOut, type TensorSpec } from "../../protocol/layout.js";
import type { Residuals } from "../../protocol/residuals.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { diskFiles, type Files } from "../files.js";
import { writeCheckpoint } from "./checkpoint.js";
import { checkCheckpoint, type DemandsOf, valueFacts } from "./checkpoint-check.js";
import { readManifest } from "./checkpoint-folder.js";
import { type CheckpointManifest, encodeManifest } from "./manifest.js";

const tensors: readonly TensorSpec[] = [
  { name: "conv.weight", shape: [2, 3], group: "weight" },
  { name: "bn.weight", shape: [2], group: "plain" },
  { name: "bn.running_var", shape: [2], group: "buffer" },
  { name: "bn.num_batches_tracked", shape: [], group: "counter" },
];
const spec: RunSpec = {
  ...sampleSpec,
  chunkValues: 4,
  updateRule: { ...sampleSpec.updateRule, name: "momentum", momentum: 0.9 },
};
const layout = layOut(tensors, spec.chunkValues);
const demandsOf: DemandsOf = () => ({ tensors, stateParts: 1 });
const names = [
  "model.safetensors",
  "optimizer.safetensors",
  "residuals-0.safetensors",
  "manifest.json",
] as const;

async function writeSample(
  run: string,
  weights?: Float32Array,
  residuals: readonly Residuals[] = [{ rank: 0, values: Float32Array.of(1, 2, 3, 4, 5, 6) }],
): Promise<string> {
  const values = Float32Array.from({ length: layout.values }, (_, index) => index + 1);
  return writeCheckpoint(run, {
    facts: {
      created: "2026-01-02T03:04:05.000Z",
      spec,
      globalStep: 7,
      examples: 112,
      chunks: layout.chunks.map(() => ({ version: 7, examples: 112, sealedStep: 6, applied: [] })),
      cursor: null,
      machine: {},
    },
    layout,
    weights: weights ?? values,
    state: [new Float32Array(layout.values)],
    residuals,
  });
}

async function problemsOf(path: string, files?: Files): Promise<readonly string[]> {
  return (await checkCheckpoint(path, demandsOf, files)).problems;
}

/** Some bytes of one file changed on their way from the disk. */
function changing(name: string, change: (bytes: Uint8Array, start: number) => void): Files {
  return {
    ...diskFiles,
    openFile: async (path) => {
      const file = await diskFiles.openFile(path);
      if (!path.endsWith(name)) return file;
      return {
        ...file,
        read: async (into, position) => {
          await file.read(into, position);
          change(into, position);
        },
      };
    },
  };
}

describe("bytes", () => {
  let run = "";
  let path = "";
  before(async () => {
    run = await mkdtemp(join(tmpdir(), "paceline-check-"));
    path = await writeSample(run);
  });
  after(() => rm(run, { recursive: true }));

  test("a sound checkpoint has no problems", async () => {
    const { manifest, problems } = await checkCheckpoint(path, demandsOf);
    assert.deepEqual(problems, []);
    assert.equal(manifest?.globalStep, 7);
  });

  test("bytes changed anywhere in any of the files are found, and the file is named", async () => {
    const sizes = new Map<string, number>();
    for (const name of names) sizes.set(name, (await readFile(join(path, name))).length);
    const flip = fc.record({
      name: fc.constantFrom(...names),
      places: fc.uniqueArray(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(7)), {
        minLength: 1,
        maxLength: 3,
        selector: ([share, bit]) => `${share} ${bit}`,
      }),
    });
    let structural = 0;
    await fc.assert(
      fc.asyncProperty(flip, async ({ name, places }) => {
        const size = sizes.get(name)!;
        const flips = new Map<number, number>();
        for (const [share, bit] of places) {
          const at = Math.min(size - 1, Math.floor(share * size));
          flips.set(at, (flips.get(at) ?? 0) ^ (1 << bit));
        }
        fc.pre([...flips.values()].every((mask) => mask !== 0));
        const files = changing(name, (bytes, start) => {
          for (const [at, mask] of flips) {
            if (at >= start && at < start + bytes.length) bytes[at - start]! ^= mask;
          }
        });
        const problems = await problemsOf(path, files);
        assert.equal(problems.length, 1, problems.join("\n"));
        assert.ok(problems[0]!.startsWith(`${join(path, name)} is corrupt: `), problems[0]);
        if (!/SHA-256|checksum/.test(problems[0]!)) structural += 1;
      }),
      { seed: 31, numRuns: 600 },
    );
    assert.ok(structural > 50, `${structural} were found before the checksum was compared`);
  });

  test("faults in several files are all told", async () => {
    const files: Files = {
      ...diskFiles,
      openFile: async (file) => {
        const open = await diskFiles.openFile(file);
        return file.endsWith(".safetensors") ? { ...open, bytes: open.bytes + 1 } : open;
      },
    };
    const problems = await problemsOf(path, files);
    assert.equal(problems.length, 3);
    assert.match(problems[0]!, /model\.safetensors is corrupt: it has \d+ bytes and \d+ were/);
    assert.match(problems[1]!, /optimizer\.safetensors is corrupt/);
    assert.match(problems[2]!, /residuals-0\.safetensors is corrupt/);
  });
});

describe("values", () => {
  let run = "";
  beforeEach(async () => {
    run = await mkdtemp(join(tmpdir(), "paceline-check-"));
  });
  afterEach(() => rm(run, { recursive: true }));

  const cases: [tensor: string, index: number, value: number, message: RegExp][] = [
    ["conv.weight", 4, Number.NaN, /"conv.weight" holds NaN at value 4 of 6: the run had diverged/],
    ["bn.running_var", 1, -Infinity, /"bn.running_var" holds -Infinity at value 1 of 2/],
    ["bn.num_batches_tracked", 0, 2.5, /holds 2.5 at value 0 of 1, and a counter is a whole/],
    ["bn.num_batches_tracked", 0, -1, /holds -1 at value 0 of 1, and a counter is a whole/],
  ];
  for (const [tensor, index, value, message] of cases) {
    test(`${value} in ${tensor} is found`, async () => {
      const weights = new Float32Array(layout.values).fill(3);
      weights[layout.tensors.find(({ name }) => name === tensor)!.offset + index] = value;
      const problems = await problemsOf(await writeSample(run, weights));
      assert.equal(problems.length, 1, problems.join());
      assert.match(problems[0]!, message);
      assert.match(problems[0]!, /; choose an earlier checkpoint$/);
    });
  }

  test("residuals that are not finite, or of nobody, are found and named", async () => {
    const values = Float32Array.of(1, 2, 3, Infinity, 5, 6);
    const residuals = [
      { rank: 0, values },
      { rank: 1, values: new Float32Array(6) },
    ];
    const problems = await problemsOf(await writeSample(run, undefined, residuals));
    assert.equal(problems.length, 2, problems.join("\n"));
    assert.match(problems[0]!, /holds residuals of worker 1, and its run had 1 worker; choose/);
    assert.match(problems[1]!, /"conv.weight" holds Infinity at .* residuals of worker 0; choose/);
  });

  test("are summed up with how many are not finite", () => {
    assert.deepEqual(valueFacts(Float32Array.of(3, -4, 1)), {
      min: -4,
      mean: 0,
      max: 3,
      norm: Math.sqrt(26),
      nonFinite: 0,
    });
    const none = { min: null, mean: null, max: null, norm: null };
    assert.deepEqual(valueFacts(Float32Array.of(1, NaN, Infinity)), { ...none, nonFinite: 2 });
    assert.deepEqual(valueFacts(new Float32Array(0)), { ...none, nonFinite: 0 });
  });
});

describe("what agrees with its checksums and is wrong all the same", () => {
  let run = "";
  let path = "";
  beforeEach(async () => {
    run = await mkdtemp(join(tmpdir(), "paceline-check-"));
    path = await writeSample(run);
  });
  afterEach(() => rm(run, { recursive: true }));

  async function rewriteManifest(change: (manifest: CheckpointManifest) => object): Promise<void> {
    const manifest = await readManifest(path);
    const changed = { ...manifest, ...change(manifest) };
    await writeFile(join(path, "manifest.json"), encodeManifest(changed));
  }

  /** Another header for the model's file, and a manifest that vouches for it. */
  async function rewriteHeader(header: string, claimed?: bigint): Promise<void> {
    const data = Buffer.alloc(layout.values * 4, 1);
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(claimed ?? BigInt(Buffer.byteLength(header)));
    const file = Buffer.concat([prefix, Buffer.from(header), data]);
    await writeFile(join(path, "model.safetensors"), file);
    const sha256 = createHash("sha256").update(file).digest("hex");
    await rewriteManifest(({ files }) => ({
      files: { ...files, "model.safetensors": { bytes: file.length, sha256 } },
    }));
  }

  const entry = (name: string, shape: string, start: number, end: number, dtype = "F32") =>
    `"${name}":{"dtype":"${dtype}","shape":${shape},"data_offsets":[${start},${end}]}`;
  const rest = [
    entry("bn.weight", "[2]", 24, 32),
    entry("bn.running_var", "[2]", 32, 40),
    entry("bn.num_batches_tracked", "[]", 40, 44),
  ].join();
  const conv = entry("conv.weight", "[2,3]", 0, 24);

  const lies: [what: string, header: string, message: RegExp][] = [
    ["overlapping tensors", `{${entry("conv.weight", "[2,4]", 0, 32)},${rest}}`, /overlaps/],
    ["a hole", `{${entry("conv.weight", "[2,2]", 0, 16)},${rest}}`, /leaves a hole before it/],
    [
      "data beyond the end",
      `{${conv},${rest},${entry("more", "[250000000]", 44, 1000000044)}}`,
      /its tensors take 1000000044 bytes but 44 follow the header/,
    ],
    ["a name twice", `{${conv},${conv},${rest}}`, /has the key "conv.weight" twice/],
    [
      "another kind of value",
      `{${entry("conv.weight", "[3]", 0, 24, "I64")},${rest}}`,
      /"conv.weight" is I64 \[3\] and the manifest says F32 \[2, 3\]/,
    ],
    [
      "a kind that nobody reads",
      `{${entry("conv.weight", "[3]", 0, 24, "F64")},${rest}}`,
      /dtype "F64", and only F32 and I64 can be read/,
    ],
    [
      "another shape",
      `{${entry("conv.weight", "[3,2]", 0, 24)},${rest}}`,
      /"conv.weight" is F32 \[3, 2\] and the manifest says F32 \[2, 3\]/,
    ],
    [
      "a stranger",
      `{${entry("layer1.weight", "[2,3]", 0, 24)},${rest}}`,
      /"layer1.weight" is F32 \[2, 3\] and the manifest says there is none of that name/,
    ],
    [
      "a tensor less",
      `{${entry("conv.weight", "[2,3]", 0, 24)},"__metadata__":{"x":"y"}}`,
      /its tensors take 24 bytes but 44 follow the header/,
    ],
  ];
  for (const [what, header, message] of lies) {
    test(`a header with ${what} is found`, async () => {
      await rewriteHeader(header);
      const problems = await problemsOf(path);
      assert.equal(problems.length, 1, problems.join("\n"));
      assert.match(problems[0]!, message);
      assert.match(problems[0]!, /model\.safetensors is corrupt: .*; choose another checkpoint$/);
    });
  }

  for (const claimed of [2n ** 40n, 2n ** 63n, 4096n]) {
    test(`a header said to be of ${claimed} bytes is refused before it is read`, async () => {
      await rewriteHeader(`{${conv},${rest}}`, claimed);
      let largest = 0;
      const files = changing("model.safetensors", (bytes) => {
        largest = Math.max(largest, bytes.length);
      });
      const [problem, ...others] = await problemsOf(path, files);
      assert.match(problem!, new RegExp(`its header of ${claimed} bytes exceeds`));
      assert.deepEqual(others, []);
      assert.equal(largest, 8);
    });
  }

  test("a manifest that claims more values than its file holds makes nothing large", async () => {
    const huge = { name: "conv.weight", shape: [2 ** 40], group: "weight" as const };
    await rewriteManifest(({ layout }) => ({
      layout: {
        ...layout,
        values: 2 ** 40,
        tensors: [{ ...huge, offset: 0, length: 2 ** 40 }],
      },
    }));
    const problems = await problemsOf(path);
    assert.match(problems.join("\n"), /it is too short for 1099511627776 values/);
  });

  const disagreements: [what: string, change: (kept: CheckpointManifest) => object, RegExp][] = [
    ["step", () => ({ globalStep: 8 }), /its folder says step 7 and its manifest 8/],
    [
      "chunk size",
      ({ layout }) => ({ layout: { ...layout, chunkValues: 2 ** 30 } }),
      /its chunks have 1073741824 values; at most 262144 are allowed/,
    ],
    [
      "fingerprint",
      ({ layout }) => ({ layout: { ...layout, fingerprint: "0" } }),
      /its layout's fingerprint is "0", not [0-9a-f]{16}/,
    ],
    ["marks", ({ chunks }) => ({ chunks: chunks.slice(1) }), /marks of 4 chunks, not of 5/],
    ["state", () => ({ stateParts: 0 }), /it holds 0 parts of state, and momentum has 1/],
    [
      "places",
      ({ layout }) => ({ layout: { ...layout, tensors: swapped(layout.tensors) } }),
      /tensor "bn.weight" does not start at value 6/,
    ],
  ];
  for (const [what, change, message] of disagreements) {
    test(`another ${what} than the rest implies is found`, async () => {
      await rewriteManifest(change);
      const problems = await problemsOf(path);
      assert.match(problems.join("\n"), message);
      assert.match(problems[0]!, /contradicts itself: .*; choose another checkpoint$/);
    });
  }

  /** The second tensor behind the third, of equal size. */
  function swapped(placed: Layout["tensors"]): Layout["tensors"] {
    const [first, second, third, last] = placed;
    return [first!, { ...second!, offset: third!.offset }, { ...third!, offset: 6 }, last!];
  }

  test("another architecture under the same name is told by its first tensor", async () => {
    const wider: DemandsOf = () => ({
      tensors: [{ name: "conv.weight", shape: [4, 3], group: "weight" }, ...tensors.slice(1)],
      stateParts: 1,
    });
    const { problems } = await checkCheckpoint(path, wider);
    assert.equal(problems.length, 1);
    assert.match(
      problems[0]!,
      /is not of model "mlp" .*conv\.weight 2x3 \(weight\) where the model has conv\.weight 4x3/,
    );
  });

  test("a model that is not known here is told with what there is", async () => {
    const { problems } = await checkCheckpoint(path, () => {
      throw new PacelineError("usage", 'there is no model "mlp"; choose one of cnn6');
    });
    assert.deepEqual(problems, [
      `${path} is of a model that can't be built here: there is no model "mlp"; choose one of cnn6`,
    ]);
  });

  test("a missing file is told, and the others are still looked at", async () => {
    await rename(join(path, "optimizer.safetensors"), join(path, "elsewhere"));
    const problems = await problemsOf(path);
    const file = join(path, "optimizer.safetensors");
    assert.deepEqual(problems, [`${file} is missing; choose another checkpoint`]);
  });
});
