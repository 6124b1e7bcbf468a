import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { scalarConversions } from "../../kernels/scalar-conversions.js";
import { CodecTable, codecNames } from "./codec.js";
import { ErrorFeedback } from "./error-feedback.js";

const table = new CodecTable(scalarConversions);
const values = fc.float({ min: -1000, max: 1000, noNaN: true });
const steps = fc.nat({ max: 300 }).chain((length) =>
  fc.array(fc.array(values, { minLength: length, maxLength: length }), {
    minLength: 1,
    maxLength: 5,
  }),
);

for (const name of codecNames) {
  test(`${name}: the residual is what was not decoded, rounded once a step`, () => {
    const codec = table.named(name);
    fc.assert(
      fc.property(steps, fc.nat(), (gradients, seed) => {
        const feedback = new ErrorFeedback(codec, scalarConversions);
        const length = gradients[0]!.length;
        const residual = new Float32Array(length);
        const bytes = new Uint8Array(codec.sizes(length).max);
        const decoded = new Float32Array(length);
        for (const [step, list] of gradients.entries()) {
          const gradient = Float32Array.from(list);
          const before = residual.slice();
          const how = { share: 0.1, seed: seed + step };
          const used = feedback.encode(gradient, residual, bytes, how);
          codec.decode(bytes.subarray(0, used), decoded);
          assert.deepEqual(gradient, Float32Array.from(list), "the gradient is as it was");
          for (let index = 0; index < length; index++) {
            const sum = Math.fround(gradient[index]! + before[index]!);
            assert.equal(residual[index]! + 0, Math.fround(sum - decoded[index]!) + 0);
            if (name !== "topk" && name !== "randomk") continue;
            // What is dropped is dropped whole: nothing is lost to rounding.
            assert.equal(Math.fround(decoded[index]! + residual[index]!), sum);
          }
        }
      }),
      { seed: 5, numRuns: 100 },
    );
  });
}

test("a gradient that can't be encoded leaves the residual as it was", () => {
  for (const name of ["int8", "topk", "randomk", "onebit", "topk2bit"] as const) {
    const codec = table.named(name);
    const feedback = new ErrorFeedback(codec, scalarConversions);
    const residual = Float32Array.of(1, 2, 3);
    const bytes = new Uint8Array(codec.sizes(3).max);
    const how = { share: 0.1, seed: 1 };
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const gradient = Float32Array.of(1, wrong, 2);
      assert.throws(() => feedback.encode(gradient, residual, bytes, how), /can't hold it/);
      assert.deepEqual(residual, Float32Array.of(1, 2, 3));
    }
  }
});

test("with feedback a constant gradient comes through whole, by whatever it is sent", () => {
  const gradient = Float32Array.from({ length: 64 }, (_, index) => 0.01 * (index - 20));
  for (const name of ["topk", "randomk", "onebit", "topk2bit"] as const) {
    const codec = table.named(name);
    const feedback = new ErrorFeedback(codec, scalarConversions);
    const residual = new Float32Array(64);
    const bytes = new Uint8Array(codec.sizes(64).max);
    const sum = new Float32Array(64);
    const stepsTaken = 4000;
    for (let step = 0; step < stepsTaken; step++) {
      const used = feedback.encode(gradient, residual, bytes, { share: 0.05, seed: step });
      codec.accumulate(bytes.subarray(0, used), sum, 1);
    }
    gradient.forEach((value, index) => {
      const mean = sum[index]! / stepsTaken;
      assert.ok(Math.abs(mean - value) < 0.01, `${name} ${index}: ${mean} for ${value}`);
    });
  }
});
