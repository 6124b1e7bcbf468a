import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import { KeepResidualRequestSchema } from "./generated-coordinator.js";
import { payloadBytesMax } from "./limits.js";
import {
  keepResidualBytes,
  keptResidualBytes,
  readResidualBytes,
  residualBytes,
} from "./residual-codec.js";

const place = { run: "r-1", rank: 3, incarnation: 41, chunk: 7 };

test("residuals and requests come back as they were", () => {
  for (const length of [0, 4, payloadBytesMax]) {
    const values = Uint8Array.from({ length }, (_, index) => index % 251);
    const residual = { ...place, barrier: 2, values };
    const decoded = keepResidualBytes.decode(keepResidualBytes.encode(residual));
    assert.ok(Buffer.from(values).equals(decoded.values));
    assert.deepEqual({ ...decoded, values: null }, { ...residual, values: null });
    const answer = residualBytes.decode(residualBytes.encode({ values }));
    assert.ok(Buffer.from(values).equals(answer.values));
  }
  assert.deepEqual(readResidualBytes.decode(readResidualBytes.encode(place)), place);
  assert.deepEqual(keptResidualBytes.decode(keptResidualBytes.encode({})), {});
});

test("values that are no chunk's are refused with their length", () => {
  for (const length of [3, payloadBytesMax + 4]) {
    const wrong = create(KeepResidualRequestSchema, { values: new Uint8Array(length) });
    const bytes = toBinary(KeepResidualRequestSchema, wrong);
    const message = new RegExp(`values has ${length} bytes, a multiple of 4 up to 1048576`);
    assert.throws(() => keepResidualBytes.decode(bytes), { code: "protocol", message });
  }
});

test("whatever bytes come, decoding throws nothing but protocol errors", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const codec of [keepResidualBytes, readResidualBytes, residualBytes]) {
        try {
          codec.decode(bytes);
        } catch (thrown) {
          assert.ok(thrown instanceof PacelineError && thrown.code === "protocol", `${thrown}`);
        }
      }
    }),
    { seed: 7, numRuns: 500 },
  );
});
