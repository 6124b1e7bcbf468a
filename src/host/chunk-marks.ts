/**
 * The marks of a chunk as they travel beside its weights, the limits of a cut, and who is in a
 * step: JSON in a message's detail. They come from the network, so each number is looked at before
 * a machine takes it over.
 */

import type { DecidedPush } from "../core/server/chunk-state.js";
import { PacelineError } from "../errors.js";
import type { CutLimit } from "../protocol/cut.js";
import {
  type AppliedMark,
  type ChunkMarks,
  type PushCounts,
  pushOutcomes,
} from "../protocol/messages.js";

type Fields = Readonly<Record<string, unknown>>;

/** Reads marks; throws "protocol" with the field and its value where they are none. */
export function readMarks(text: string, chunk: number): ChunkMarks {
  const marks = fieldsOf(parsed(text, chunk), chunk, text);
  const { applied, counts } = marks;
  if (!Array.isArray(applied)) throw noMarks(chunk, text);
  return {
    version: wholeNumber(marks, "version", 0, chunk),
    examples: wholeNumber(marks, "examples", 0, chunk),
    sealedStep: wholeNumber(marks, "sealedStep", -1, chunk),
    applied: applied.map((one: unknown) => {
      const mark = fieldsOf(one, chunk, text);
      return {
        rank: wholeNumber(mark, "rank", 0, chunk),
        incarnation: wholeNumber(mark, "incarnation", 0, chunk),
        step: wholeNumber(mark, "step", -1, chunk),
        ...outcomeOf(mark, chunk),
        ...(mark.inStep === undefined
          ? {}
          : { inStep: wholeNumber(mark, "inStep", Number.MIN_SAFE_INTEGER, chunk) }),
        ...(mark.usedStep === undefined
          ? {}
          : { usedStep: wholeNumber(mark, "usedStep", -1, chunk) }),
        ...(mark.used === undefined ? {} : { used: wholeNumber(mark, "used", 0, chunk) }),
        ...(mark.scale === undefined ? {} : { scale: scaleIn(mark, chunk) }),
      };
    }),
    ...(counts === undefined ? {} : { counts: countsIn(fieldsOf(counts, chunk, text), chunk) }),
  };
}

/** Reads the limits of a cut, given to a chunk; throws as `readMarks` does. */
export function readLimits(text: string, chunk: number): CutLimit[] {
  const limits = parsed(text, chunk);
  if (!Array.isArray(limits)) throw noMarks(chunk, text);
  return limits.map((one: unknown) => {
    const limit = fieldsOf(one, chunk, text);
    return {
      rank: wholeNumber(limit, "rank", 0, chunk),
      incarnation: wholeNumber(limit, "incarnation", 0, chunk),
      step: wholeNumber(limit, "step", -1, chunk),
      usedStep: wholeNumber(limit, "usedStep", -1, chunk),
      used: wholeNumber(limit, "used", 0, chunk),
    };
  });
}

/** Reads who is in the steps of a chunk, as a server says; throws as `readMarks` does. */
export function readDecided(text: string, chunk: number): DecidedPush[] {
  const pushes = parsed(text, chunk);
  if (!Array.isArray(pushes)) throw noMarks(chunk, text);
  return pushes.map((one: unknown) => {
    const push = fieldsOf(one, chunk, text);
    return {
      incarnation: wholeNumber(push, "incarnation", 0, chunk),
      step: wholeNumber(push, "step", -1, chunk),
      inStep: wholeNumber(push, "inStep", Number.MIN_SAFE_INTEGER, chunk),
    };
  });
}

function countsIn(counts: Fields, chunk: number): PushCounts {
  const number = (name: string) => wholeNumber(counts, name, 0, chunk);
  const places = Array.isArray(counts.stalenessCounts) ? (counts.stalenessCounts as unknown[]) : [];
  return {
    pushes: number("pushes"),
    rejected: number("rejected"),
    stalenessSum: number("stalenessSum"),
    stalenessMax: number("stalenessMax"),
    stalenessCounts: places.map((_, place) => wholeNumber({ ...places }, `${place}`, 0, chunk)),
  };
}

function scaleIn({ scale }: Fields, chunk: number): number {
  if (typeof scale === "number" && scale >= 0 && scale <= 1) return scale;
  throw new PacelineError("protocol", `scale in chunk ${chunk}'s marks is ${String(scale)}`);
}

/** Nothing where the push was applied. */
function outcomeOf({ outcome }: Fields, chunk: number): Pick<AppliedMark, "outcome"> {
  if (outcome === undefined) return {};
  const known = pushOutcomes.find((name) => name === outcome);
  if (known !== undefined) return { outcome: known };
  throw new PacelineError(
    "protocol",
    `outcome of a push in chunk ${chunk}'s marks is ${String(outcome)}: it is no outcome`,
  );
}

function parsed(text: string, chunk: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const said = text.slice(0, 80);
    throw new PacelineError("protocol", `marks of chunk ${chunk} are no JSON: ${said}`, { cause });
  }
}

function fieldsOf(value: unknown, chunk: number, text: string): Fields {
  if (typeof value === "object" && value !== null) return value as Fields;
  throw noMarks(chunk, text);
}

function noMarks(chunk: number, text: string): PacelineError {
  return new PacelineError(
    "protocol",
    `marks of chunk ${chunk} lack a field: ${text.slice(0, 80)}`,
  );
}

function wholeNumber(fields: Fields, name: string, least: number, chunk: number): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  const expected = `a whole number from ${least} is needed`;
  throw new PacelineError(
    "protocol",
    `${name} of chunk ${chunk}'s marks is ${String(value)}; ${expected}`,
  );
}
