/**
 * What modes ask of the parameters of a protocol that came from elsewhere: over the wire, or from a
 * manifest. A mode's own file says which parameters it has; here is what several of them need.
 */
import { assert } from "../../assert.js";
import type { Protocol } from "../../protocol/run-spec.js";

/** What is wrong where a protocol has a parameter that its mode does not know; else null. */
export function unknownParameter(protocol: Protocol, known: readonly string[]): string | null {
  const stray = Object.keys(protocol).find((name) => name !== "mode" && !known.includes(name));
  return stray === undefined ? null : `it has no parameter ${stray}`;
}

/** What is wrong where a parameter is not a whole number from 0 on; null if it is one. */
export function problemOfCount(protocol: Protocol, name: string): string | null {
  const value = protocol[name];
  if (Number.isSafeInteger(value) && Number(value) >= 0) return null;
  return `${name} is ${JSON.stringify(value)}, not a whole number from 0 on`;
}

/** A parameter in which `problemOfCount` finds nothing. */
export function countOf(protocol: Protocol, name: string): number {
  const value = protocol[name];
  assert(typeof value === "number", "the parameter has been checked", { name });
  return value;
}
