import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type UpdateRuleSpec, updateRuleNames } from "../protocol/update-rules.js";
import { Random } from "../random.js";
import { Arena } from "./arena.js";
import type { Kernels } from "./kernels.js";
import { createScalarKernels } from "./scalar.js";
import { statePartCount, type UpdateName, updateScalars } from "./update-rule.js";
import { createWasmKernels } from "./wasm.js";

const names = [...updateRuleNames, "blend", "count"] as const;
const lengths = [0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 1001];
const edgeCases = [0, -0, 1e-45, -1e-45, 1.1754942e-38, 1e-30, 65504, 3.4028234663852886e38, -1e20];

/** Finite values of every size, a few of them special. */
function vectorOf(random: Random, length: number): Float32Array {
  return Float32Array.from({ length }, () => {
    const choice = random.below(20);
    return choice < edgeCases.length ? edgeCases[choice]! : random.normal() * 10 ** random.below(9);
  });
}

/** The same slots in an arena each, so that their bits can be compared. */
class Pair {
  readonly #arenas = [new Arena(1 << 18), new Arena(1 << 18)] as const;
  readonly #kernels: readonly Kernels[];

  constructor() {
    this.#kernels = [createScalarKernels(this.#arenas[0]), createWasmKernels(this.#arenas[1])];
  }

  /** A slot with values around it that no kernel may touch. */
  slot(values: Float32Array): number {
    const [first, second] = this.#arenas.map((arena) => {
      const offset = arena.allocate(values.length + 16);
      arena.view(offset, values.length + 16).fill(0.1);
      arena.view(offset, values.length).set(values);
      return offset;
    });
    assert.equal(first, second);
    return first!;
  }

  both(call: (kernels: Kernels) => unknown): void {
    const [first, second] = this.#kernels.map(call);
    assert.equal(first, second);
  }

  /**
   * Every value of both arenas has the same bits, and a NaN, which an overflow may have made,
   * stands opposite one.
   */
  check(where: string): void {
    const [first, second] = this.#arenas.map(({ values }) => new Uint32Array(values.buffer));
    const { used } = this.#arenas[0].usage();
    for (let index = 0; index < used; index++) {
      const [own, other] = [first![index]!, second![index]!];
      const bothNaN = (own & 0x7fffffff) > 0x7f800000 && (other & 0x7fffffff) > 0x7f800000;
      if (own !== other && !bothNaN)
        assert.fail(`${where}: value ${index} is ${other.toString(16)} for ${own.toString(16)}`);
    }
  }
}

function scalarsOf(name: UpdateName, updateCount: number, random: Random) {
  const group = name === "blend" ? "buffer" : name === "count" ? "counter" : "weight";
  const rule: UpdateRuleSpec = {
    name: name === "blend" || name === "count" ? "sgd" : name,
    momentum: 0.9,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: random.below(2) * 5e-4,
    weightDecayPlain: 0,
    bufferMomentum: 0.1,
  };
  return updateScalars(rule, { lr: 0.1 / updateCount, scale: 1 / 1.3, group, updateCount });
}

for (const name of names) {
  test(`${name} has the scalar kernel's bits after each of many updates, for any length`, () => {
    for (const length of lengths) {
      for (const inPlace of [true, false]) {
        const random = new Random("wasm", name, length);
        const pair = new Pair();
        let weightsIn = pair.slot(vectorOf(random, length));
        let weightsOut = inPlace ? weightsIn : pair.slot(vectorOf(random, length));
        const states = Array.from({ length: statePartCount({ name }) }, () =>
          pair.slot(new Float32Array(length)),
        );
        for (let update = 1; update <= 8; update++) {
          const gradient = pair.slot(vectorOf(random, length));
          const scalars = scalarsOf(name, update, random);
          const [state1 = null, state2 = null] = states;
          const slots = { weightsIn, weightsOut, gradient, state1, state2, length };
          pair.both((kernels) => kernels.update(scalars, slots));
          pair.check(`update ${update} of ${length} values`);
          [weightsIn, weightsOut] = [weightsOut, weightsIn];
        }
      }
    }
  });
}

const folds = fc.record({
  length: fc.oneof(fc.constantFrom(...lengths), fc.nat({ max: 300 })),
  examples: fc.array(fc.nat({ max: 70 }), { maxLength: 12 }),
  reduce: fc.constantFrom("mean", "sum", "median", "trimmed:0.2" as const),
  inPlace: fc.boolean(),
  seed: fc.nat(),
});

test("a fold of any number of vectors has the scalar kernel's bits", () => {
  fc.assert(
    fc.property(folds, ({ length, examples, reduce, inPlace, seed }) => {
      const random = new Random("fold", seed);
      const pair = new Pair();
      const inputs = examples.map((count) => ({
        offset: pair.slot(vectorOf(random, length)),
        examples: count,
      }));
      const mayWriteOver = inPlace && examples[0] !== undefined && examples[0] > 0;
      const out = mayWriteOver ? inputs[0]!.offset : pair.slot(vectorOf(random, length));
      pair.both((kernels) => kernels.fold(out, inputs, length, reduce));
      pair.check(`${examples} by ${reduce}`);
    }),
    { seed: 11, numRuns: 300 },
  );
});

test("what is not finite is found in any lane, as the scalar kernel finds it", () => {
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const length of lengths.filter((each) => each > 0 && each < 100)) {
    for (let place = -1; place < length; place++) {
      const pair = new Pair();
      const values = vectorOf(new Random("finite", length), length);
      if (place >= 0) values[place] = bad[place % 3]!;
      const slot = pair.slot(values);
      pair.both((kernels) => kernels.finite(slot, length));
      pair.both((kernels) => kernels.finite(slot, Math.max(0, place)));
    }
  }
});

test("copy and fill have the scalar kernels' bits and stay within their slots", () => {
  for (const length of lengths) {
    const pair = new Pair();
    const random = new Random("copy", length);
    const [from, to] = [pair.slot(vectorOf(random, length)), pair.slot(new Float32Array(length))];
    pair.both((kernels) => kernels.copy(from, to, length));
    pair.check(`copy of ${length}`);
    pair.both((kernels) => kernels.fill(from, length, -1e-45));
    pair.check(`fill of ${length}`);
  }
});

test("the kernels see slots that the arena got by growing", () => {
  const arena = new Arena(1 << 24);
  const kernels = createWasmKernels(arena);
  const committed = arena.usage().committed;
  const first = arena.allocate(16);
  const far = arena.allocate(committed + (1 << 23));
  kernels.fill(far, 1 << 23, 3);
  kernels.copy(far + (1 << 23) - 16, first, 16);
  assert.deepEqual([...arena.view(first, 16)], Array(16).fill(3));
});

test("slots above 2 GiB are addressed like any other", () => {
  const arena = new Arena();
  const kernels = createWasmKernels(arena);
  const low = arena.allocate(2 ** 29 + 16);
  const high = arena.allocate(19);
  kernels.fill(high, 19, 2);
  kernels.copy(high, low, 19);
  const slots = { weightsIn: high, weightsOut: high, gradient: low, state1: null, state2: null };
  const scalars = { ...scalarsOf("sgd", 1, new Random("high")), weightDecay: 0 };
  kernels.update(scalars, { ...slots, length: 19 });
  const expected = Math.fround(2 - Math.fround(scalars.lr * Math.fround(scalars.scale * 2)));
  assert.deepEqual([...arena.view(high, 19)], Array(19).fill(expected));
});
