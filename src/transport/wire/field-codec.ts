/**
 * Small pieces from which codecs between core's plain objects and the generated protobuf messages
 * are put together: a whole number, a text, a word of a closed list, a list, a record.
 *
 * A record is declared as one table of fields, from which both directions follow, so that a field
 * can't be encoded and forgotten in decoding; the compiler demands an entry for each field of the
 * core type. Decoding validates: every number has a range, every text and list a limit, every word
 * is known. What is wrong is told as a PacelineError of code "protocol" that names the field.
 */
import type { DescMessage, Message, MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";

/** Both directions between a core value and the value of a generated field. */
export interface FieldCodec<Core, Wire> {
  toWire(value: Core): Wire;
  /** `path` names the field in what is thrown. */
  fromWire(wire: Wire, path: string): Core;
}

/** Both directions of a whole message; one that is absent is refused. */
export interface RecordCodec<Core, Wire> {
  toWire(value: Core): Wire;
  fromWire(wire: Wire | undefined, path: string): Core;
}

/** A number of a 64-bit field; every whole number within its range fits a JavaScript number. */
export function whole(min = 0, max: number = Number.MAX_SAFE_INTEGER): FieldCodec<number, bigint> {
  const lowest = BigInt(min);
  const highest = BigInt(max);
  return {
    toWire: (value) => {
      assert(Number.isSafeInteger(value), "a whole number", { value });
      return BigInt(value);
    },
    fromWire: (wire, path) => {
      if (wire < lowest || wire > highest) throw outOfRange(path, String(wire), min, max);
      return Number(wire);
    },
  };
}

/** A number of a 32-bit field. */
export function small(min = 0, max = 4294967295): FieldCodec<number, number> {
  return {
    toWire: (value) => value,
    fromWire: (wire, path) => {
      if (wire < min || wire > max) throw outOfRange(path, String(wire), min, max);
      return wire;
    },
  };
}

/** Any double, NaN and infinities included: what was measured. */
export const measured: FieldCodec<number, number> = {
  toWire: (value) => value,
  fromWire: (wire) => wire,
};

/** A double that must be finite: what was configured. */
export const finite: FieldCodec<number, number> = {
  toWire: (value) => value,
  fromWire: (wire, path) => {
    if (Number.isFinite(wire)) return wire;
    throw new PacelineError("protocol", `${path} is ${wire}, a finite number is needed`);
  },
};

/** Yes or no. */
export const flag: FieldCodec<boolean, boolean> = {
  toWire: (value) => value,
  fromWire: (wire) => wire,
};

/** A text of at most so many bytes. */
export function text(bytesMax: number): FieldCodec<string, string> {
  return {
    toWire: (value) => value,
    fromWire: (wire, path) => {
      const bytes = Buffer.byteLength(wire);
      if (bytes <= bytesMax) return wire;
      const message = `${path} has ${bytes} bytes, at most ${bytesMax} are allowed`;
      throw new PacelineError("protocol", message);
    },
  };
}

/** A word of a closed list; its wire value is its place in the list, counted from 1. */
export function word<Word extends string, Enum extends number>(
  ...list: readonly Word[]
): FieldCodec<Word, Enum> {
  return {
    toWire: (value) => (list.indexOf(value) + 1) as Enum,
    fromWire: (wire, path) => {
      const known = list[wire - 1];
      if (known !== undefined) return known;
      const message = `${path} has the unknown value ${wire}; it is one of ${list.join(", ")}`;
      throw new PacelineError("protocol", message);
    },
  };
}

/** A field that may be absent: null in core, unset on the wire. */
export function optional<Core, Wire>(
  codec: FieldCodec<Core, Wire>,
): FieldCodec<Core | null, Wire | undefined> {
  return {
    toWire: (value) => (value === null ? undefined : codec.toWire(value)),
    fromWire: (wire, path) => (wire === undefined ? null : codec.fromWire(wire, path)),
  };
}

/** A repeated field of at most so many elements. */
export function list<Core, Wire>(
  codec: { toWire(value: Core): Wire; fromWire(wire: NoInfer<Wire>, path: string): Core },
  lengthMax: number,
): FieldCodec<readonly Core[], Wire[]> {
  return {
    toWire: (values) => values.map((value) => codec.toWire(value)),
    fromWire: (wires, path) => {
      if (wires.length > lengthMax) {
        const message = `${path} has ${wires.length} entries, at most ${lengthMax} are allowed`;
        throw new PacelineError("protocol", message);
      }
      const elementPath = `${path}[]`;
      return wires.map((wire) => codec.fromWire(wire, elementPath));
    },
  };
}

/** For each field of a core type how it is written to the generated field of the same name. */
export type FieldTable<Core, Wire> = {
  readonly [Name in keyof Core]-?: Name extends keyof Wire
    ? FieldCodec<Core[Name], Wire[Name]>
    : never;
};

/**
 * A message field by field. `check` returns what is wrong with the whole, or null; a message that
 * is absent is refused.
 */
export function record<Core extends object, Wire extends Message>(
  schema: GenMessage<Wire>,
  fields: FieldTable<Core, Wire>,
  check: (value: Core) => string | null = () => null,
): RecordCodec<Core, Wire> {
  const entries = Object.entries(fields) as [string, FieldCodec<unknown, unknown>][];
  return {
    toWire: (value) => {
      const written = entries.map(([name, codec]) => [
        name,
        codec.toWire(Reflect.get(value, name)),
      ]);
      const present = Object.fromEntries(written.filter(([, wire]) => wire !== undefined));
      return create(schema as DescMessage, present as MessageInitShape<DescMessage>) as Wire;
    },
    fromWire: (wire, path) => {
      if (wire === undefined) throw new PacelineError("protocol", `${path} is missing`);
      const value = Object.fromEntries(
        entries.map(([name, codec]) => [
          name,
          codec.fromWire(Reflect.get(wire, name), `${path}.${name}`),
        ]),
      ) as Core;
      const wrong = check(value);
      if (wrong !== null) throw new PacelineError("protocol", `${path}: ${wrong}`);
      return value;
    },
  };
}

/** A generated `oneof`: which of its fields is set, and to what. */
export type OneOf = { readonly case: string | undefined; readonly value?: unknown };

/** For each `type` of a core union how the rest is written to the oneof's field of that name. */
export type UnionTable<Core extends { readonly type: string }, Body extends OneOf> = {
  readonly [Type in Core["type"]]: FieldCodec<
    Omit<Extract<Core, { type: Type }>, "type">,
    Extract<Body, { case: Type }>["value"] | undefined
  >;
};

/** A union told apart by `type`, as a oneof. */
export function union<Core extends { readonly type: string }, Body extends OneOf>(
  table: UnionTable<Core, Body>,
): FieldCodec<Core, Body> {
  const codecs = new Map(Object.entries(table) as [string, FieldCodec<unknown, unknown>][]);
  return {
    toWire: (value) => {
      const codec = codecs.get(value.type);
      assert(codec !== undefined, "message type is known", { type: value.type });
      return { case: value.type, value: codec.toWire(value) } as unknown as Body;
    },
    fromWire: (body, path) => {
      const codec = body.case === undefined ? undefined : codecs.get(body.case);
      if (codec === undefined) {
        const said = body.case ?? "nothing known";
        throw new PacelineError("protocol", `${path} says ${said}, which is not expected here`);
      }
      const rest = codec.fromWire(body.value, `${path}.${body.case}`);
      return { type: body.case, ...(rest as object) } as unknown as Core;
    },
  };
}

function outOfRange(path: string, value: string, min: number, max: number): PacelineError {
  return new PacelineError("protocol", `${path} is ${value}, it must be from ${min} to ${max}`);
}
