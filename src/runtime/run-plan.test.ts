import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { resolve } from "../options/resolve.js";
import type { ResolvedOptions } from "../options/resolved-options.js";
import { sampleInput } from "../protocol/testing/sample-run.js";
import { runSpecFrom } from "./run-spec.js";

const { options: defaults } = resolve("train", {});
const facts = { run: "r1", name: "first", trainExamples: 50_000, testExamples: 10_000, cores: 8 };
const workers = { min: 8, max: 8 };

/** The spec of a run on 8 workers with batches of 128, and with these options. */
function specWith(other: Partial<ResolvedOptions>) {
  const chosen = { ...defaults, model: "mlp", data: "mnist", workers, batchSize: 128 };
  return runSpecFrom({ ...chosen, ...other }, { ...facts, input: sampleInput });
}

describe("a plan of protocols", () => {
  test("has its lengths in examples of the run, and the linear learning rate", () => {
    const plan = [
      { mode: "bsp", length: { kind: "share", share: 0.0625 } },
      { mode: "asp", length: null },
    ] as const;
    const spec = specWith({ plan, epochs: 4 });
    assert.equal(spec.protocol.mode, "bsp");
    const ends = spec.plan.map(({ protocol, end, lrFactor }) => [protocol.mode, end, lrFactor]);
    assert.deepEqual(ends, [
      ["bsp", 12_500, 1],
      ["asp", null, 1 / 8],
    ]);
    const kept = specWith({ plan, epochs: 4, switchLr: "keep" });
    assert.deepEqual(
      kept.plan.map(({ lrFactor }) => lrFactor),
      [1, 1],
    );
  });

  test("counts Sync-Switch's steps as it does: a step of BSP is a batch of each worker", () => {
    const spec = specWith({ switchOrder: "10", trainSteps: [500, 60_500], epochs: 164 });
    assert.deepEqual(
      spec.plan.map(({ protocol, end }) => [protocol.mode, end]),
      [
        ["bsp", 500 * 8 * 128],
        ["asp", null],
      ],
    );
    const thrice = specWith({ switchOrder: "101", trainSteps: [500, 1300], epochs: 164 });
    assert.deepEqual(
      thrice.plan.map(({ protocol, end }) => [protocol.mode, end]),
      [
        ["bsp", 500 * 8 * 128],
        ["asp", 500 * 8 * 128 + 800 * 128],
        ["bsp", null],
      ],
    );
  });

  test("has the momentum of --switch-momentum where an update is a single push", () => {
    const plan = [
      { mode: "ssp", length: { kind: "share", share: 0.25 } },
      { mode: "bsp", length: { kind: "share", share: 0.25 } },
      { mode: "asp", length: null },
    ] as const;
    const choices = { plan, optimizer: "momentum", switchMomentum: "scaled" } as const;
    const scaled = { start: 0.9 / 8, growth: "none" };
    const momenta = specWith(choices).plan.map(({ momentum }) => momentum);
    assert.deepEqual(momenta, [null, null, scaled]);
    const plain = specWith({ ...choices, switchMomentum: "unchanged" });
    assert.deepEqual(new Set(plain.plan.map(({ momentum }) => momentum)), new Set([null]));
  });

  test("has what --hparams and --ckpt-frequency say of each phase, and else what is usual", () => {
    const steps = { unit: "step", count: 500 } as const;
    const spec = specWith({
      ...{ switchOrder: "10", trainSteps: [500], epochs: 164, optimizer: "momentum", lr: 0.4 },
      hparams: [
        { lr: null, momentum: 0.5 },
        { lr: 0.1, momentum: null },
      ],
      ...{ switchMomentum: "zero", ckptFrequency: [steps, { unit: "epoch", count: 2 }] },
    });
    const found = spec.plan.map((one) => [one.lrFactor, one.momentum, one.checkpointEvery]);
    assert.deepEqual(found, [
      [1, { start: 0.5, growth: "none" }, steps],
      [0.1 / 0.4, { start: 0, growth: "none" }, { unit: "epoch", count: 2 }],
    ]);
  });

  const half = { kind: "share", share: 0.5 } as const;
  const bspThenAsp = [
    { mode: "bsp", length: half },
    { mode: "asp", length: null },
  ] as const;
  const cases: readonly [title: string, Partial<ResolvedOptions>, refusal: RegExp][] = [
    ["steps without an order", { trainSteps: [5] }, /no effect without --switch-order/],
    ["two plans", { plan: bspThenAsp, switchOrder: "10" }, /write one of them/],
    ["an order without steps", { switchOrder: "101" }, /has 3 phases and --train-steps none has 0/],
    ["steps that fall", { switchOrder: "101", trainSteps: [9, 5] }, /do not ascend/],
    ["another mode", { plan: bspThenAsp, mode: "asp" }, /leave --mode out/],
    ["a limit on steps", { plan: bspThenAsp, maxSteps: 9 }, /whose steps are of two kinds/],
    [
      "hparams and no phases",
      { hparams: [{ lr: 0.1, momentum: null }] },
      /--hparams is for the phases of a plan; write --plan/,
    ],
    [
      "hparams of too few phases",
      { plan: bspThenAsp, hparams: [{ lr: 0.1, momentum: null }] },
      /--hparams has 1 values and the plan bsp:50%,asp 2 phases; write one for each/,
    ],
    [
      "cadences of too many phases",
      { plan: bspThenAsp, ckptFrequency: [5, 6, 7].map((count) => ({ unit: "step", count })) },
      /--ckpt-frequency has 3 values and the plan bsp:50%,asp 2 phases; write one for each/,
    ],
    [
      "a momentum that no rule reads",
      {
        ...{ plan: bspThenAsp, optimizer: "adam" },
        hparams: [
          { lr: null, momentum: null },
          { lr: null, momentum: 0 },
        ],
      },
      /--hparams has momentum=0 and --optimizer adam reads none; leave it out or set/,
    ],
    [
      "a cadence in seconds where differences are pulled",
      {
        plan: bspThenAsp,
        compressPull: { codec: "topk", share: 0.1 },
        ckptFrequency: [
          { unit: "second", count: 5 },
          { unit: "step", count: 5 },
        ],
      },
      /--ckpt-frequency 5s with differences pulled makes results depend on time; write steps/,
    ],
    [
      "a phase that outlasts the epochs",
      { plan: [{ mode: "bsp", length: { kind: "epochs", epochs: 3 } }, bspThenAsp[1]], epochs: 3 },
      /phase 1 of the plan, bsp, ends after 150000 examples and the epochs after 150000/,
    ],
    [
      "a phase without an example",
      { plan: [{ mode: "bsp", length: { kind: "share", share: 1e-7 } }, bspThenAsp[1]], epochs: 4 },
      /phase 1 of the plan, bsp, has none of 200000 examples: write a larger share/,
    ],
    [
      "a phase that ends where the one before does",
      {
        plan: [
          bspThenAsp[0],
          { mode: "ssp", length: { kind: "share", share: 1e-7 } },
          bspThenAsp[1],
        ],
        epochs: 4,
      },
      /phase 2 of the plan, ssp, has none of 200000 examples/,
    ],
    [
      "a plateau without evaluations",
      {
        plan: [
          { mode: "bsp", length: { kind: "plateau", plateau: { window: 2, delta: 0.1 } } },
          bspThenAsp[1],
        ],
        evalEvery: null,
      },
      /a plateau needs evaluations/,
    ],
    [
      "local steps whose outer optimizer has a state",
      { plan: [bspThenAsp[0], { mode: "local", length: null }], outerOptimizer: "nesterov" },
      /has local: --outer-optimizer nesterov has a state that other phases/,
    ],
    [
      "local steps before others that count their own updates",
      {
        plan: [{ mode: "local", length: { kind: "share", share: 0.5 } }, bspThenAsp[1]],
        optimizer: "adam",
      },
      /has local: --optimizer adam counts its updates, and takes those of local steps for its own/,
    ],
    [
      "a median of single pushes",
      { plan: bspThenAsp, reduce: "median" },
      /median with asp in the plan/,
    ],
  ];
  for (const [title, other, message] of cases) {
    test(`with ${title} is refused`, () => {
      assert.throws(() => specWith(other), { code: "usage", message });
    });
  }
});
