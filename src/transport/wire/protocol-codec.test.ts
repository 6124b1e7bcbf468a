import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Protocol } from "../../protocol/run-spec.js";
import { ProtocolParameterSchema, ProtocolSchema } from "./generated-run.js";
import { protocolParametersMax } from "./limits.js";
import { protocolCodec } from "./protocol-codec.js";

describe("a protocol crosses the wire as it is", () => {
  const protocols: readonly Protocol[] = [
    { mode: "bsp" },
    { mode: "ssp", staleness: 2 },
    { mode: "asp", staleness: { rule: "scale+reject", scale: 0.1, floor: 0.1, max: 5 } },
    { mode: "a further one", count: 3, merge: "mean", plan: { first: "bsp", until: 0.25 } },
  ];
  for (const protocol of protocols) {
    test(JSON.stringify(protocol), () => {
      const bytes = toBinary(ProtocolSchema, protocolCodec.toWire(protocol));
      const read = protocolCodec.fromWire(fromBinary(ProtocolSchema, bytes), "protocol");
      assert.deepEqual(read, protocol);
    });
  }
});

const number = (name: string, value = 1) =>
  create(ProtocolParameterSchema, { name, value: { case: "number", value } });

describe("what no protocol looks like is refused", () => {
  const refused: readonly (readonly [what: string, parameters: object[], message: RegExp])[] = [
    ["a number twice", [number("a"), number("a")], /protocol.parameters "a" stands twice/],
    ["a member twice", [number("a.b"), number("a.b")], /"a.b" stands twice/],
    ["a number and a group", [number("a"), number("a.b")], /"a.b" stands twice/],
    ["a group and a number", [number("a.b"), number("a")], /"a" stands twice/],
    ["a group in a group", [number("a.b.c")], /"a.b.c" is not the name/],
    ["the mode as a parameter", [number("mode")], /"mode" is not the name/],
    ["a name of the language", [number("__proto__")], /"__proto__" is not the name/],
    ["no name", [number("")], /"" is not the name/],
    ["an endless number", [number("a", Number.NaN)], /"a" is NaN, a finite number/],
    ["no value", [create(ProtocolParameterSchema, { name: "a" })], /"a" has no value/],
    [
      "too many",
      Array.from({ length: protocolParametersMax + 1 }, (_, index) => number(`a${index}`)),
      /has 65 parameters, at most 64/,
    ],
  ];
  for (const [what, parameters, message] of refused) {
    test(what, () => {
      const wire = create(ProtocolSchema, { mode: "bsp", parameters });
      assert.throws(() => protocolCodec.fromWire(wire, "protocol"), { code: "protocol", message });
    });
  }
  test("nothing at all", () => {
    assert.throws(() => protocolCodec.fromWire(undefined, "protocol"), /protocol is missing/);
  });
});
