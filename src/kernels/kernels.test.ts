import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Reduce, trimmedAtEnds } from "../protocol/reduction.js";
import type { UpdateRuleSpec } from "../protocol/update-rules.js";
import { Random } from "../random.js";
import { Arena } from "./arena.js";
import type { Kernels } from "./kernels.js";
import { createScalarKernels } from "./scalar.js";
import { statePartCount, updateScalars } from "./update-rule.js";
import { createWasmKernels } from "./wasm.js";

const fround = Math.fround;
const names = ["sgd", "momentum", "nesterov", "adam", "adamw"] as const;
const defaults: UpdateRuleSpec = {
  name: "sgd",
  momentum: 0.9,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  weightDecayPlain: 0,
  bufferMomentum: 0.1,
};

interface Golden {
  cases: (Partial<UpdateRuleSpec> & {
    name: string;
    rule: UpdateRuleSpec["name"];
    lr: number[];
    start: number[];
    gradients: number[][];
    weights: number[][];
  })[];
}

for (const create of [createScalarKernels, createWasmKernels]) {
  describe(create(new Arena(1)).name, () => everyImplementation(create));
}

function everyImplementation(create: (arena: Arena) => Kernels): void {
  /** One parameter vector with its state, stepped in place or into another slot each time. */
  class Trajectory {
    readonly #arena = new Arena(1 << 20);
    readonly #kernels: Kernels = create(this.#arena);
    readonly #rule: UpdateRuleSpec;
    readonly #length: number;
    readonly #gradient: number;
    readonly #states: number[];
    #weights: number;
    #spare: number;
    #updateCount = 0;

    constructor(rule: UpdateRuleSpec, start: ArrayLike<number>, inPlace = true) {
      this.#rule = rule;
      this.#length = start.length;
      const take = () => this.#arena.allocate(start.length);
      this.#weights = take();
      this.#spare = inPlace ? this.#weights : take();
      this.#gradient = take();
      this.#states = Array.from({ length: statePartCount(rule) }, take);
      for (const state of this.#states) this.#kernels.fill(state, start.length, 0);
      this.#arena.view(this.#weights, start.length).set(start);
    }

    step(gradient: ArrayLike<number>, lr: number, scale = 1): Float32Array {
      this.#updateCount += 1;
      this.#arena.view(this.#gradient, this.#length).set(gradient);
      const moment = { lr, scale, group: "weight", updateCount: this.#updateCount } as const;
      this.#kernels.update(updateScalars(this.#rule, moment), {
        weightsIn: this.#weights,
        weightsOut: this.#spare,
        gradient: this.#gradient,
        state1: this.#states[0] ?? null,
        state2: this.#states[1] ?? null,
        length: this.#length,
      });
      assert.deepEqual(
        this.#arena.view(this.#gradient, this.#length),
        Float32Array.from(gradient),
        "the gradient is read only",
      );
      [this.#weights, this.#spare] = [this.#spare, this.#weights];
      return this.#arena.view(this.#weights, this.#length);
    }
  }

  test("PyTorch's optimizers are followed to a millionth of the largest weight on the way", () => {
    const golden: Golden = JSON.parse(readFileSync("test/golden/update-rules.json", "utf8"));
    assert.ok(names.every((name) => golden.cases.some(({ rule }) => rule === name)));
    for (const { name, rule, lr, start, gradients, weights, ...options } of golden.cases) {
      const trajectory = new Trajectory({ ...defaults, ...options, name: rule }, start);
      const largest = start.map(Math.abs);
      gradients.forEach((gradient, step) => {
        const found = trajectory.step(gradient, lr[step]!);
        weights[step]!.forEach((expected, index) => {
          largest[index] = Math.max(largest[index]!, Math.abs(expected));
          const error = Math.abs(found[index]! - expected);
          const where = `${name}, step ${step}, value ${index}: ${found[index]} for ${expected}`;
          assert.ok(error <= 1e-6 * largest[index]!, where);
        });
      });
    }
  });

  /** The equations once more, in f64 and for one value at a time. */
  function oracleStep(
    rule: UpdateRuleSpec,
    value: { w: number; first: number; second: number },
    gradient: number,
    lr: number,
    updateCount: number,
  ): void {
    const decoupled = rule.name === "adamw";
    if (decoupled) value.w *= 1 - lr * rule.weightDecay;
    const g = gradient + (decoupled ? 0 : rule.weightDecay * value.w);
    if (rule.name === "sgd") {
      value.w -= lr * g;
    } else if (rule.name === "momentum" || rule.name === "nesterov") {
      value.first = rule.momentum * value.first + g;
      value.w -= lr * (rule.name === "nesterov" ? g + rule.momentum * value.first : value.first);
    } else {
      value.first = rule.beta1 * value.first + (1 - rule.beta1) * g;
      value.second = rule.beta2 * value.second + (1 - rule.beta2) * g * g;
      const first = value.first / (1 - rule.beta1 ** updateCount);
      const second = value.second / (1 - rule.beta2 ** updateCount);
      value.w -= (lr * first) / (Math.sqrt(second) + rule.epsilon);
    }
  }

  test("a hundred updates stay beside the same equations in double precision", () => {
    for (const name of names) {
      const rule = { ...defaults, name, weightDecay: 0.01 };
      const random = new Random("oracle", name);
      const start = Float32Array.from({ length: 37 }, () => random.normal());
      const values = [...start].map((w) => ({ w, first: 0, second: 0 }));
      const trajectory = new Trajectory(rule, start);
      let found: Float32Array = start;
      for (let update = 1; update <= 100; update++) {
        const gradient = Float32Array.from({ length: 37 }, () => random.normal());
        found = trajectory.step(gradient, 0.01);
        values.forEach((value, index) => {
          oracleStep(rule, value, gradient[index]!, 0.01, update);
        });
      }
      values.forEach(({ w }, index) => {
        const error = Math.abs(found[index]! - w);
        assert.ok(error <= 2e-6 * (1 + Math.abs(w)), `${name}: ${found[index]} for ${w}`);
      });
    }
  });

  test("in place or into another slot, and run again, the bits are the same", () => {
    for (const name of names) {
      const rule = { ...defaults, name, weightDecay: 5e-4 };
      const ends = [true, false, true].map((inPlace) => {
        const random = new Random("bits", name);
        const vector = () => Float32Array.from({ length: 1001 }, () => random.normal());
        const trajectory = new Trajectory(rule, vector(), inPlace);
        let weights: Float32Array = new Float32Array();
        for (let step = 0; step < 7; step++) weights = trajectory.step(vector(), 0.1, 1 / 1.1);
        return Buffer.from(new Uint32Array(Float32Array.from(weights).buffer).buffer).toString(
          "hex",
        );
      });
      assert.equal(ends[0], ends[1], name);
      assert.equal(ends[0], ends[2], name);
    }
  });

  test("the scale multiplies the gradient and leaves the weight decay alone", () => {
    const start = [1, -2, 3];
    const gradient = [0.5, 0.25, -1];
    for (const name of names) {
      const rule = { ...defaults, name, weightDecay: 0.5 };
      const scaled = new Trajectory(rule, start).step(gradient, 0.1, 0.5);
      const halved = new Trajectory(rule, start).step(
        gradient.map((value) => value / 2),
        0.1,
      );
      assert.deepEqual(scaled, halved, name);
    }
  });

  const f32Vectors = fc.array(
    fc.tuple(...Array.from({ length: 6 }, () => fc.float({ min: -1e6, max: 1e6, noNaN: true }))),
    { minLength: 1, maxLength: 5 },
  );

  test("a mean is the rounded sum of n * g in rank order, times the rounded 1 / n", () => {
    fc.assert(
      fc.property(
        f32Vectors,
        fc.array(fc.nat({ max: 300 }), { minLength: 5 }),
        (vectors, counts) => {
          const expected = Array.from({ length: 6 }, (_, index) => {
            let sum = 0;
            let examples = 0;
            vectors.forEach((vector, rank) => {
              if (counts[rank] === 0) return;
              const part = fround(counts[rank]! * fround(vector[index]!));
              sum = examples === 0 ? part : fround(sum + part);
              examples += counts[rank]!;
            });
            return examples === 0 ? 0 : fround(sum * fround(1 / examples));
          });
          assert.deepEqual([...foldOf(vectors, counts, "mean")], expected);
        },
      ),
      { seed: 9, numRuns: 300 },
    );
  });

  test("a sum adds in rank order with each addition rounded", () => {
    const vectors = [[1e8], [1], [-1e8]];
    assert.deepEqual([...foldOf(vectors, [1, 1, 1], "sum")], [0]);
    assert.deepEqual([...foldOf([[1e8], [-1e8], [1]], [1, 1, 1], "sum")], [1]);
    assert.deepEqual([...foldOf([[2], [3], [4]], [7, 0, 9], "sum")], [6]);
  });

  test("a median and a trimmed mean are of the middle values of each place, unweighted", () => {
    fc.assert(
      fc.property(
        f32Vectors,
        fc.array(fc.nat({ max: 2 }), { minLength: 5 }),
        fc.constantFrom<Reduce>("median", "trimmed:0.1", "trimmed:0.4"),
        (vectors, counts, reduce) => {
          const counted = vectors.filter((_, rank) => counts[rank]! > 0);
          const trimmed = trimmedAtEnds(reduce, counted.length);
          const expected = Array.from({ length: 6 }, (_, index) => {
            const ordered = counted.map((vector) => fround(vector[index]!));
            ordered.sort((left, right) => left - right);
            const middle = ordered.slice(trimmed, ordered.length - trimmed);
            if (middle.length === 0) return 0;
            const sum = middle.reduce((before, value) => fround(before + value));
            return fround(sum * fround(1 / middle.length));
          });
          // -0 and 0 are ordered by their bits here.
          const found = [...foldOf(vectors, counts, reduce)].map((value) => value + 0);
          assert.deepEqual(
            found,
            expected.map((value) => value + 0),
          );
        },
      ),
      { seed: 10, numRuns: 300 },
    );
  });

  test("what is not a number counts as extreme, so that it is left out", () => {
    const { NaN: none, POSITIVE_INFINITY: most } = Number;
    assert.deepEqual([...foldOf([[none], [4], [2]], [1, 1, 1], "median")], [4]);
    assert.deepEqual([...foldOf([[most], [4], [2]], [1, 1, 1], "median")], [4]);
    assert.deepEqual([...foldOf([[-most], [4], [2]], [1, 1, 1], "median")], [2]);
    const five = [[none], [1], [2], [3], [-most]];
    assert.deepEqual([...foldOf(five, [1, 1, 1, 1, 1], "trimmed:0.2")], [2]);
  });

  test("a fold without examples is zero", () => {
    assert.deepEqual([...foldOf([[3], [5]], [0, 0], "median")], [0]);
    assert.deepEqual([...foldOf([[3], [5]], [0, 0], "mean")], [0]);
    assert.deepEqual([...foldOf([], [], "mean", 2)], [0, 0]);
  });

  test("a fold of finite values says where their sum is not finite, in any lane", () => {
    const largest = fround(3.4e38);
    const length = 7;
    for (const count of [1, 2, 3, 4, 5, 9]) {
      for (let place = -1; place < length; place++) {
        const arena = new Arena(1 << 16);
        const inputs = Array.from({ length: count }, () => {
          const offset = arena.allocate(length);
          const values = arena.view(offset, length).fill(1);
          if (place >= 0) values[place] = largest;
          return { offset, examples: 2 };
        });
        const out = place % 2 === 0 ? inputs[0]!.offset : arena.allocate(length);
        assert.equal(
          create(arena).fold(out, inputs, length, "mean"),
          place < 0,
          `${count} ${place}`,
        );
      }
    }
  });

  test("a fold may write over its first input, and over no other", () => {
    const arena = new Arena(1 << 16);
    const kernels = create(arena);
    const slots = [
      [1, 2],
      [3, 5],
    ].map((vector) => {
      const offset = arena.allocate(2);
      arena.view(offset, 2).set(vector);
      return { offset, examples: 2 };
    });
    kernels.fold(slots[0]!.offset, slots, 2, "mean");
    assert.deepEqual([...arena.view(slots[0]!.offset, 2)], [2, 3.5]);
    assert.throws(() => kernels.fold(slots[1]!.offset, slots, 2, "mean"), /first input/);
  });

  function foldOf(
    vectors: readonly (readonly number[])[],
    counts: readonly number[],
    reduce: Reduce,
    length = vectors[0]?.length ?? 1,
  ): Float32Array {
    const arena = new Arena(1 << 16);
    const inputs = vectors.map((vector, rank) => {
      const offset = arena.allocate(length);
      arena.view(offset, length).set(vector);
      return { offset, examples: counts[rank]! };
    });
    const out = arena.allocate(length);
    create(arena).fold(out, inputs, length, reduce);
    return arena.view(out, length);
  }

  test("an infinity or a NaN anywhere is found, the largest and smallest numbers pass", () => {
    const arena = new Arena(1 << 16);
    const kernels = create(arena);
    const offset = arena.allocate(67);
    const values = arena.view(offset, 67);
    values.fill(3.4028234663852886e38);
    values[1] = 1e-45;
    values[2] = -0;
    values[3] = -3.4028234663852886e38;
    assert.equal(kernels.finite(offset, 67), true);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const index of [0, 33, 66]) {
        const kept = values[index]!;
        values[index] = bad;
        assert.equal(kernels.finite(offset, 67), false, `${bad} at ${index}`);
        assert.equal(kernels.finite(offset, index), true);
        values[index] = kept;
      }
    }
  });

  test("copy and fill touch their own slot only", () => {
    const arena = new Arena(1 << 16);
    const kernels = create(arena);
    const [from, to] = [arena.allocate(16), arena.allocate(16)];
    kernels.fill(from, 16, 2);
    kernels.fill(to, 16, 1);
    kernels.copy(from, to, 15);
    assert.deepEqual([...arena.view(to, 16)], [...Array(15).fill(2), 1]);
    assert.deepEqual([...arena.view(from, 16)], Array(16).fill(2));
  });

  test("an update whose slots coincide or are missing is a bug", () => {
    const arena = new Arena(1 << 16);
    const kernels = create(arena);
    const moment = { lr: 0.1, scale: 1, group: "weight", updateCount: 1 } as const;
    const scalars = updateScalars({ ...defaults, name: "momentum" }, moment);
    const slots = { weightsIn: 0, weightsOut: 0, gradient: 16, state2: null, length: 4 };
    assert.throws(() => kernels.update(scalars, { ...slots, state1: null }), /has slots/);
    assert.throws(() => kernels.update(scalars, { ...slots, state1: 16 }), /differ/);
    assert.throws(() => kernels.update(scalars, { ...slots, gradient: 0, state1: 32 }), /differ/);
  });

  describe("what no optimizer touches", () => {
    const start = [0, 1, -2.5, 3e-4, 16_777_214];
    const one = (group: "buffer" | "counter", gradient: readonly number[], inPlace: boolean) => {
      const arena = new Arena(1 << 16);
      const kernels = create(arena);
      const take = () => arena.allocate(start.length);
      const [weightsIn, slot] = [take(), take()];
      arena.view(weightsIn, start.length).set(start);
      arena.view(slot, start.length).set(gradient);
      const weightsOut = inPlace ? weightsIn : take();
      const rule = { ...defaults, name: "adamw", weightDecay: 1, bufferMomentum: 0.1 } as const;
      const scalars = updateScalars(rule, { lr: 0.5, scale: 0.25, group, updateCount: 7 });
      const states = { state1: null, state2: null };
      const vectors = { weightsIn, weightsOut, gradient: slot, ...states };
      kernels.update(scalars, { ...vectors, length: start.length });
      return [...arena.view(weightsOut, start.length)];
    };

    for (const inPlace of [true, false]) {
      const where = inPlace ? "in place" : "into another slot";
      test(`a buffer moves towards the statistic by its momentum, ${where}`, () => {
        const statistic = [1, 1, 0.3, 7, 0];
        const expected = start.map((value, index) => {
          const kept = fround(fround(0.9) * fround(value));
          return fround(kept + fround(fround(0.1) * fround(statistic[index]!)));
        });
        assert.deepEqual(one("buffer", statistic, inPlace), expected);
      });

      test(`a counter grows by one, whatever was pushed, ${where}`, () => {
        const grown = one("counter", [1, 2, 3, 0, -9], inPlace);
        assert.deepEqual(
          grown,
          start.map((value) => fround(fround(value) + 1)),
        );
      });
    }
  });
}
