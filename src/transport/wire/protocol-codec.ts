/**
 * A run's protocol <-> the generated messages of proto/paceline/v1/run.proto: the name of a mode
 * and its parameters by name. Which modes there are, and what they take, is not known here: the
 * member that is given the run asks the mode.
 *
 * Invariant: names are short words, each stands once, and numbers are finite.
 */
import { create } from "@bufbuild/protobuf";
import { PacelineError } from "../../errors.js";
import type { Protocol, ProtocolParameter } from "../../protocol/run-spec.js";
import { finite, type RecordCodec, text } from "./field-codec.js";
import type * as wire from "./generated-run.js";
import * as schemas from "./generated-run.js";
import { nameBytesMax, protocolParametersMax } from "./limits.js";

const word = text(nameBytesMax);
const name = /^[a-z][a-zA-Z0-9]{0,63}(\.[a-z][a-zA-Z0-9]{0,63})?$/;

/** Protocols, as run specs hold them. */
export const protocolCodec: RecordCodec<Protocol, wire.Protocol> = {
  toWire: ({ mode, ...parameters }) =>
    create(schemas.ProtocolSchema, {
      mode,
      parameters: Object.entries(parameters).flatMap(([group, value]) =>
        typeof value === "object"
          ? Object.entries(value).map(([member, inner]) => toWire(`${group}.${member}`, inner))
          : [toWire(group, value)],
      ),
    }),
  fromWire: (message, path) => {
    if (message === undefined) throw new PacelineError("protocol", `${path} is missing`);
    const { mode, parameters } = message;
    if (parameters.length > protocolParametersMax) {
      const count = `${path} has ${parameters.length} parameters`;
      throw new PacelineError("protocol", `${count}, at most ${protocolParametersMax} are allowed`);
    }
    const read: Record<string, ProtocolParameter | Record<string, ProtocolParameter>> = {};
    for (const parameter of parameters) readInto(read, parameter, path);
    return { ...read, mode: word.fromWire(mode, `${path}.mode`) };
  },
};

function toWire(name: string, value: ProtocolParameter): wire.ProtocolParameter {
  return create(schemas.ProtocolParameterSchema, {
    name,
    value: typeof value === "number" ? { case: "number", value } : { case: "word", value },
  });
}

function readInto(
  read: Record<string, ProtocolParameter | Record<string, ProtocolParameter>>,
  parameter: wire.ProtocolParameter,
  path: string,
): void {
  const shown = JSON.stringify(parameter.name.slice(0, 64));
  const where = `${path}.parameters ${shown}`;
  if (!name.test(parameter.name) || parameter.name === "mode") {
    throw new PacelineError("protocol", `${where} is not the name of a parameter`);
  }
  const value = parameterOf(parameter, where);
  const [group, member] = parameter.name.split(".") as [string, string?];
  const present = Object.hasOwn(read, group) ? read[group] : undefined;
  const members = member !== undefined && typeof present === "object" ? present : {};
  const isTaken = member === undefined ? present !== undefined : Object.hasOwn(members, member);
  if (isTaken || (member !== undefined && present !== undefined && typeof present !== "object")) {
    throw new PacelineError("protocol", `${where} stands twice`);
  }
  if (member === undefined) read[group] = value;
  else read[group] = { ...members, [member]: value };
}

function parameterOf({ value }: wire.ProtocolParameter, path: string): ProtocolParameter {
  switch (value.case) {
    case "number":
      return finite.fromWire(value.value, path);
    case "word":
      return word.fromWire(value.value, path);
    default:
      throw new PacelineError("protocol", `${path} has no value`);
  }
}
