import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { runSpecField } from "./run-spec.js";
import {
  addedLater,
  type Field,
  flag,
  list,
  nullable,
  oneOf,
  real,
  record,
  share,
  text,
  triple,
  whole,
} from "./spec-field.js";
import { filled, option, unsetOption } from "./spec-option.js";
import { specs } from "./testing/arbitrary-spec.js";
import { sampleSpec } from "./testing/sample-run.js";

const inner = { count: whole(1), rate: addedLater(share, 0.5) };
const cases: readonly (readonly [Field<unknown>, value: unknown, read: unknown])[] = [
  [whole(1, 9), 9, 9],
  [whole(1, 9), 10, /^f is 10, it must be from 1 to 9$/],
  [whole(1, 9), 1.5, /^f is 1.5, a whole number is needed$/],
  [whole(1, 9), "1", /^f is 1, a whole number is needed$/],
  [real("[0, 1]"), 0.5, 0.5],
  [real("[0, 1)"), 1, /^f is 1, it is not below 1; it must be a number of at least 0 and below 1$/],
  [real("(0, 1]"), 1e-50, /^f is 1e-50, it is 0 as a 32-bit float; /],
  [real("(-inf, inf)"), Number.POSITIVE_INFINITY, /^f is Infinity, a finite number is needed$/],
  [share, 1.5, /^f is 1.5, it is above 1; it must be a number from 0 to 1$/],
  [flag, false, false],
  [flag, 0, /^f is 0, true or false is needed$/],
  [text(3), "abc", "abc"],
  [text(3), "aé€", /^f has 6 bytes, at most 3 are allowed$/],
  [text(3), null, /^f is null, a text is needed$/],
  [oneOf(["a", "b"]), "b", "b"],
  [oneOf(["a", "b"]), "c", /^f has the unknown value c; it is one of a, b$/],
  [oneOf(["a", "b"]), {}, /^f has the unknown value an object; it is one of a, b$/],
  [nullable(flag), null, null],
  [nullable(flag), undefined, /^f is undefined, true or false is needed$/],
  [list(whole(), 2), [1, 2], [1, 2]],
  [list(whole(), 2), [1, 2, 3], /^f has 3 entries, at most 2 are allowed$/],
  [list(whole(), 2), [1, -2], /^f\[\] is -2, it must be from 0/],
  [list(whole(), 2), "12", /^f is 12, a list is needed$/],
  [triple(whole()), [1, 2, 3], [1, 2, 3]],
  [triple(whole()), [1, 2], /^f has 2 extents, not 3$/],
  [record(inner), { count: 1, rate: 0, other: 1 }, { count: 1, rate: 0 }],
  [record(inner), { count: 1 }, { count: 1, rate: 0.5 }],
  [record(inner), { rate: 1 }, /^f\.count is missing$/],
  [record(inner), { count: 1, rate: null }, /^f\.rate is null, a finite number is needed$/],
  [record(inner), [], /^f is an object, a record is needed$/],
  [record(inner, () => "no good"), { count: 1 }, /^f: no good$/],
];
for (const [field, value, wanted] of cases) {
  test(`a ${field.kind} reads ${JSON.stringify(value)}`, () => {
    const reading = field.read(value, "f");
    if (wanted instanceof RegExp) assert.match("problem" in reading ? reading.problem : "", wanted);
    else assert.deepEqual(reading, { value: wanted });
  });
}

test("whatever a run may be, its table reads it", () => {
  fc.assert(
    fc.property(specs, (spec) => {
      assert.deepEqual(runSpecField.read(spec, "spec"), { value: spec });
    }),
    { seed: 1 },
  );
});

test("whatever stands where a run should, reading it does not throw", () => {
  const garbled = fc.tuple(fc.constantFrom(...Object.keys(sampleSpec)), fc.anything());
  fc.assert(
    fc.property(garbled, fc.anything(), ([name, value], other) => {
      runSpecField.read({ ...sampleSpec, [name]: value }, "spec");
      runSpecField.read(other, "spec");
    }),
    { seed: 1 },
  );
});

test("options fill the fields that have one, but for those that may be unset", () => {
  const fields = {
    lr: option("rate", real("[0, 1]"), {
      default: 1,
      sentence: "how fast",
      group: "training",
      scope: "run",
    }),
    decay: unsetOption("decay", real("[0, 1]"), {
      sentence: "less",
      group: "training",
      scope: "run",
    }),
    total: whole(),
  };
  assert.deepEqual(filled(fields, { rate: 0.25, decay: 3 }), { lr: 0.25 });
  assert.equal(fields.decay.option.default, null);
});
