import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConvolutionPlace, Direction } from "./algorithms.js";
import { candidatesFor, directions, flopsOf } from "./algorithms.js";
import type { Algorithm, DataType } from "./dnnl.js";
import {
  choiceOfLine,
  choicesOfLines,
  chooseKernels,
  type KernelTiming,
  lineOfChoice,
  ruledKernels,
  tellsChoice,
} from "./kernel-choice.js";

/** A 3x3 convolution of residual networks on a batch of 64. */
function place(channels: number, size: number, type: DataType): ConvolutionPlace {
  return {
    ...{ n: 64, channels, outputs: channels, groups: 1, type },
    ...{ input: [size, size], output: [size, size] },
    ...{ kernel: [3, 3], stride: [1, 1], padding: [1, 1] },
  };
}

type Speeds = readonly [forward: number, data: number, weights: number];

/** Timings of kernels whose speeds were measured in GFLOP/s of the direct algorithm. */
function timed(
  of: ConvolutionPlace,
  speeds: readonly (readonly [DataType, Algorithm, Speeds])[],
  copyMs: Speeds = [0, 0, 0],
): KernelTiming[] {
  return speeds.flatMap(([type, algorithm, each]) =>
    directions.map((direction, index) => {
      const copies = type === of.type ? 0 : copyMs[index]! / 1000;
      return { type, algorithm, direction, seconds: flopsOf(of) / each[index]! / 1e9 + copies };
    }),
  );
}

/** On two cores with AVX-512: by channels the direct algorithm, Winograd's, and direct in bf16. */
const avx512: readonly (readonly [channels: number, size: number, Speeds, Speeds, Speeds])[] = [
  [64, 32, [481, 376, 418], [917, 914, 557], [850, 850, 850]],
  [128, 16, [495, 499, 489], [948, 938, 816], [1000, 1000, 1000]],
  [256, 8, [516, 520, 477], [1287, 1331, 1035], [1260, 1260, 1260]],
  [512, 4, [511, 630, 422], [761, 731, 805], [1260, 1260, 1260]],
];

function ways({ type, algorithms }: ReturnType<typeof chooseKernels>): string {
  return [type, ...directions.map((direction: Direction) => algorithms[direction])].join(" ");
}

const winograd = "winograd winograd winograd";
const direct = "direct direct direct";

describe("kernels are chosen from what each candidate took", () => {
  for (const [channels, size, plain, wino] of avx512) {
    test(`Winograd in f32 for ${channels} channels, 1.2 to 2.6 times as fast everywhere`, () => {
      const of = place(channels, size, "f32");
      const timings = timed(of, [
        ["f32", "direct", plain],
        ["f32", "winograd", wino],
      ]);
      assert.equal(ways(chooseKernels(of, timings)), `f32 ${winograd}`);
    });
  }

  test("joined pictures for the gradient of the weights where they are faster", () => {
    const of = place(512, 4, "bf16");
    const own: readonly (readonly [DataType, Algorithm, Speeds])[] = [
      ["bf16", "direct", [2934, 2243, 281]],
      ["f32", "winograd", [432, 406, 435]],
    ];
    const joined = (speed: number): KernelTiming => {
      const seconds = flopsOf(of) / speed / 1e9;
      return { type: "bf16", algorithm: "joined", direction: "backward-weights", seconds };
    };
    const chosen = (speed: number) => ways(chooseKernels(of, [...timed(of, own), joined(speed)]));
    assert.equal(chosen(1000), "bf16 direct direct joined");
    assert.equal(chosen(285), "bf16 direct direct direct");
  });

  test("each direction for itself, and direct where Winograd is faster by a hair only", () => {
    const of = place(64, 32, "f32");
    const timings = timed(of, [
      ["f32", "direct", [500, 500, 500]],
      ["f32", "winograd", [400, 510, 900]],
    ]);
    assert.equal(ways(chooseKernels(of, timings)), "f32 direct direct winograd");
  });

  for (const [channels, size, plain, wino, bf16] of avx512.slice(0, 3)) {
    const own = [
      ["bf16", "direct", bf16],
      ["f32", "direct", plain],
      ["f32", "winograd", wino],
    ] as const;
    const of = place(channels, size, "bf16");
    test(`bf16 where it is as fast as Winograd and the copies (${channels} channels)`, () => {
      assert.equal(ways(chooseKernels(of, timed(of, own, [2, 2, 0]))), `bf16 ${direct}`);
    });
  }

  test("f32 Winograd in place of a bf16 that has no fast kernels", () => {
    const of = place(256, 8, "bf16");
    const own = [
      ["bf16", "direct", [400, 400, 300]],
      ["f32", "direct", [516, 520, 477]],
      ["f32", "winograd", [1287, 1331, 1035]],
    ] as const;
    assert.equal(ways(chooseKernels(of, timed(of, own, [0.3, 0.3, 0]))), `f32 ${winograd}`);
    // With copies that take as long as the gain nothing is gained.
    assert.equal(ways(chooseKernels(of, timed(of, own, [30, 30, 0]))), `bf16 ${direct}`);
  });

  test("bf16 on matrix tiles, many times as fast as f32", () => {
    const of = place(128, 16, "bf16");
    const own = [
      ["bf16", "direct", [4000, 3600, 1900]],
      ["f32", "direct", [495, 499, 489]],
      ["f32", "winograd", [948, 938, 816]],
    ] as const;
    assert.equal(ways(chooseKernels(of, timed(of, own, [0.3, 0.3, 0]))), `bf16 ${direct}`);
  });

  test("direct where the library has no Winograd", () => {
    const of = place(64, 32, "f32");
    const lacking = directions.map((direction) => {
      return { type: "f32", algorithm: "winograd", direction, seconds: null } as const;
    });
    const timings = [...timed(of, [["f32", "direct", [481, 376, 418]]]), ...lacking];
    assert.equal(ways(chooseKernels(of, timings)), `f32 ${direct}`);
  });
});

describe("there is nothing to choose", () => {
  const [avx2, wide] = [false, true].map((hasAvx512) => {
    return { abi: 2, hasAvx512, hasAmx: false } as const;
  });
  const cases = [
    ["without AVX-512, on an EPYC of the third generation", place(64, 32, "f32"), avx2!, 1],
    ["in version 3, which has lost Winograd", place(64, 32, "f32"), { ...wide!, abi: 3 }, 1],
    ["for a stride of 2", { ...place(64, 32, "f32"), stride: [2, 2] }, wide!, 1],
    ["but Winograd with AVX-512", place(64, 32, "f32"), wide!, 2],
    ["but Winograd and f32 with AVX-512 in bf16", place(64, 32, "bf16"), wide!, 3],
    [
      "nor joins with matrix tiles what is wide",
      place(64, 32, "bf16"),
      { ...wide!, hasAmx: true },
      3,
    ],
    [
      "but joined pictures where they are narrow",
      place(512, 4, "bf16"),
      { ...wide!, hasAmx: true },
      4,
    ],
  ] as const;
  for (const [title, of, facts, count] of cases) {
    test(title, () => assert.equal(candidatesFor(of, facts).length, count));
  }
});

describe("a choice is a line", () => {
  const of = { ...place(64, 32, "bf16"), padding: [1, 1] } as const;
  const facts = { abi: 2, hasAvx512: true, hasAmx: false } as const;
  const ruled = ruledKernels(of, facts, "as asked for");

  test("that is read as what was written, however long its numbers are", () => {
    const speeds = [
      ["bf16", "direct", [1.234, 1.234, 1.234]],
      ["f32", "direct", [1.234, 1.234, 1.234]],
      ["f32", "winograd", [3.21, 3.21, 3.21]],
    ] as const;
    const way = { type: "bf16", algorithm: "joined", direction: "backward-weights" } as const;
    const joined = chooseKernels(of, [...timed(of, speeds), { ...way, seconds: 0.1234 }]);
    for (const choice of [ruled, joined]) {
      const line = lineOfChoice(of, choice);
      assert.deepEqual(choiceOfLine(line)?.choice, choice);
      assert.ok(tellsChoice(line));
      assert.ok(line.length <= 512, `${line.length} bytes travel`);
    }
  });

  test("and other lines are none", () => {
    for (const line of ["", "conv f32 1x2x3x4 to 5: jit:avx2", "choice conv f32: in f16, x (y)"]) {
      assert.equal(choiceOfLine(line), null);
    }
    assert.ok(!tellsChoice("conv f32 1x2x3x4 to 5: jit:avx2"));
  });

  test("that does not count beside one that contradicts it", () => {
    const other = { ...ruled, type: "bf16", reason: "measured" } as const;
    const [left, same, right] = [
      lineOfChoice(of, ruled),
      lineOfChoice(of, { ...ruled, reason: "measured" }),
      lineOfChoice(of, other),
    ];
    assert.equal(choicesOfLines([left!, same!]).size, 1);
    assert.equal(choicesOfLines([left!, same!, right!]).size, 0);
  });
});
