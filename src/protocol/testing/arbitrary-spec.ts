/** Values that a field of the run's table may hold, for tests that must know no field by name. */
import fc from "fast-check";
import { pullCompressions } from "../compression.js";
import { type Protocol, type RunSpec, runFields } from "../run-spec.js";
import { type Field, type FieldShape, real } from "../spec-field.js";
import { stalenessRanges } from "../staleness.js";

/** The largest finite 32-bit float. */
const floatMax = Math.fround(3.4028234663852886e38);

/** Every way to keep pace. */
const protocols: fc.Arbitrary<Protocol> = fc.oneof(
  fc.constant<Protocol>({ mode: "bsp" }),
  fc.maxSafeNat().map((staleness): Protocol => ({ mode: "ssp", staleness })),
  fc
    .record(
      {
        rule: fc.constantFrom("none", "scale", "reject", "scale+reject"),
        scale: arbitraryOf(real(stalenessRanges.scale)),
        floor: arbitraryOf(real(stalenessRanges.floor)),
        max: fc.nat(1_000_000),
      },
      { noNullPrototype: true },
    )
    .map((staleness): Protocol => ({ mode: "asp", staleness })),
);

/** Anything that a field may hold by itself; what its record demands besides is not looked at. */
export function arbitraryOf<T>(field: Field<T>): fc.Arbitrary<T> {
  return shapeOf(field as FieldShape) as fc.Arbitrary<T>;
}

function shapeOf(shape: FieldShape): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case "whole":
      return fc.maxSafeInteger().map((value) => {
        const range = Math.min(shape.max - shape.min + 1, Number.MAX_SAFE_INTEGER);
        return shape.min + (Math.abs(value) % range);
      });
    case "real":
    case "share": {
      const { min, max, minIncluded, maxIncluded } = shape.interval;
      const ends = {
        min: Math.max(min, -floatMax),
        max: Math.min(max, floatMax),
        minExcluded: Number.isFinite(min) && !minIncluded,
        maxExcluded: Number.isFinite(max) && !maxIncluded,
      };
      return fc.float({ ...ends, noNaN: true }).map((value) => value + 0);
    }
    case "flag":
      return fc.boolean();
    case "text":
      if (shape.examples !== undefined) return fc.constantFrom(...shape.examples);
      return fc.string({ unit: "binary", maxLength: 20 });
    case "word":
      return fc.constantFrom(...shape.words);
    case "nullable":
      return fc.option(arbitraryOf(shape.of));
    case "list":
      return fc.array(arbitraryOf(shape.of), { minLength: 3, maxLength: 3 });
    case "record": {
      const fields = Object.entries(shape.fields).map(([name, one]) => [name, arbitraryOf(one)]);
      return fc.record(Object.fromEntries(fields), { noNullPrototype: true });
    }
    case "opaque":
      return protocols;
  }
}

/** Any run. */
export const specs: fc.Arbitrary<RunSpec> = fc
  .record(
    Object.fromEntries(
      Object.entries(runFields).map(([name, field]) => [name, arbitraryOf<unknown>(field)]),
    ),
    { noNullPrototype: true },
  )
  .map((any) => consistent(any as unknown as RunSpec));

/** What is drawn field by field, with the demands that span fields. */
function consistent(spec: RunSpec): RunSpec {
  const { input, compression, workersMin, workersMax, servers, serversMax } = spec;
  const { push, pull } = compression;
  const pulls = pullCompressions.find((codec) => codec === pull.codec) ?? "none";
  return {
    ...spec,
    workersMin: Math.min(workersMin, workersMax),
    workersMax: Math.max(workersMin, workersMax),
    servers: Math.min(servers, serversMax ?? servers),
    serversMax: serversMax === null ? null : Math.max(servers, serversMax),
    input: { ...input, shape: [3, input.shape[1], input.shape[2]] },
    compression: {
      ...compression,
      push: { ...push, share: 0.25 },
      pull: { codec: pulls, share: 0.25 },
    },
  };
}
