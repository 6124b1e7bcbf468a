/**
 * A record of spec fields <-> the generated message whose fields have the same names. Nothing is
 * written down twice: how a field travels follows from its kind in the table and its type in the
 * proto file, and decoding validates by the table alone.
 *
 * Invariant: table and message agree field by field; that is asserted when a codec is made, so a
 * row without its line in the proto file, or the reverse, is found by whatever loads this.
 */

import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import { create, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import type { Field, FieldShape, RecordField } from "../../protocol/spec-field.js";
import type { RecordCodec } from "./field-codec.js";

/** Both ways between a value and what a generated field holds; reading leaves the bounds open. */
interface Conversion {
  toWire(value: unknown): unknown;
  toPlain(wire: unknown, path: string): unknown;
}

/** How opaque fields travel, by name. */
export type OpaqueCodecs = Readonly<Record<string, RecordCodec<unknown, Message>>>;

/** A codec for a record of the table. */
export function specCodec<Core extends object, Wire extends Message>(
  schema: GenMessage<Wire>,
  field: RecordField<Core>,
  opaques: OpaqueCodecs = {},
): RecordCodec<Core, Wire> {
  const conversion = recordConversion(schema, field, opaques);
  return {
    toWire: (value) => conversion.toWire(value) as Wire,
    fromWire(wire, path) {
      const reading = field.read(conversion.toPlain(wire, path), path);
      if ("problem" in reading) throw new PacelineError("protocol", reading.problem);
      return reading.value;
    },
  };
}

function recordConversion(
  schema: DescMessage,
  { fields }: RecordField<unknown>,
  opaques: OpaqueCodecs,
): Conversion {
  const stray = schema.fields.find(({ localName }) => !Object.hasOwn(fields, localName));
  assert(stray === undefined, "the table has a row for each field of a message", {
    message: schema.typeName,
    field: stray?.localName,
  });
  const conversions = Object.entries(fields).map(([name, field]) => {
    const described = schema.field[name];
    assert(described !== undefined, "a message has a field for each row", {
      message: schema.typeName,
      field: name,
    });
    return [name, conversionOf(field, described, opaques)] as const;
  });
  return {
    toWire(value) {
      const written = conversions.map(([name, each]) => {
        return [name, each.toWire(Reflect.get(value as object, name))] as const;
      });
      const present = Object.fromEntries(written.filter(([, wire]) => wire !== undefined));
      return create(schema, present as MessageInitShape<DescMessage>);
    },
    toPlain(wire, path) {
      if (wire === undefined) throw new PacelineError("protocol", `${path} is missing`);
      const read = conversions.map(([name, each]) => {
        return [name, each.toPlain(Reflect.get(wire as object, name), `${path}.${name}`)];
      });
      return Object.fromEntries(read);
    },
  };
}

function conversionOf(field: Field<unknown>, wire: DescField, opaques: OpaqueCodecs): Conversion {
  const shape = field as FieldShape;
  switch (shape.kind) {
    case "nullable": {
      const inner = conversionOf(shape.of, wire, opaques);
      demand(wire.fieldKind === "message" || wire.proto.proto3Optional, shape, wire);
      return {
        toWire: (value) => (value === null ? undefined : inner.toWire(value)),
        toPlain: (value, path) => (value === undefined ? null : inner.toPlain(value, path)),
      };
    }
    case "list": {
      const of = shape.of as FieldShape;
      demand(wire.fieldKind === "list", shape, wire);
      const inner =
        of.kind === "record" && wire.message !== undefined
          ? recordConversion(wire.message, of, opaques)
          : scalarConversion(of, wire);
      return {
        toWire: (values) => (values as readonly unknown[]).map(inner.toWire),
        toPlain: (values, path) => (values as unknown[]).map((one) => inner.toPlain(one, path)),
      };
    }
    case "record":
      if (wire.fieldKind === "message") return recordConversion(wire.message, shape, opaques);
      return disagree(shape, wire);
    case "opaque": {
      const codec = opaques[wire.localName];
      if (codec === undefined) return disagree(shape, wire);
      return {
        toWire: (value) => codec.toWire(value),
        toPlain: (value, path) => codec.fromWire(value as Message | undefined, path),
      };
    }
    default:
      demand(wire.fieldKind === "scalar", shape, wire);
      return scalarConversion(shape, wire);
  }
}

const asItIs: Conversion = { toWire: (value) => value, toPlain: (wire) => wire };
const big: Conversion = {
  toWire: (value) => {
    assert(Number.isSafeInteger(value), "a whole number", { value });
    return BigInt(value as number);
  },
  // What is past 2^53 stays past it, and is refused by the field's bounds.
  toPlain: (wire) => Number(wire),
};

function scalarConversion(shape: FieldShape, wire: DescField): Conversion {
  const { scalar } = wire;
  switch (shape.kind) {
    case "whole":
      demand(shape.min >= 0, shape, wire);
      if (scalar === ScalarType.UINT64) return big;
      demand(scalar === ScalarType.UINT32 && shape.max < 2 ** 32, shape, wire);
      return asItIs;
    case "real":
    case "share":
      demand(scalar === ScalarType.DOUBLE, shape, wire);
      return asItIs;
    case "flag":
      demand(scalar === ScalarType.BOOL, shape, wire);
      return asItIs;
    case "text":
    case "word":
      demand(scalar === ScalarType.STRING, shape, wire);
      return asItIs;
    default:
      return disagree(shape, wire);
  }
}

function demand(holds: boolean, shape: FieldShape, wire: DescField): void {
  if (!holds) disagree(shape, wire);
}

function disagree({ kind }: FieldShape, { parent, localName, proto }: DescField): never {
  const described = { field: `${parent.typeName}.${localName}`, kind, protoType: proto.type };
  assert(false, "a field of the table fits its field of the message", described);
}
