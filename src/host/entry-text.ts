/**
 * What an entry holds beside its gradient, as it travels from a chunk's primary to those who
 * follow: JSON in a message's detail. Numbers keep their bits, as the shortest decimal form of a
 * double is read back as the same double.
 */
import type { ContributorMark, Entry } from "../core/server/entry.js";
import { PacelineError } from "../errors.js";
import { type ChunkHeader, emptyHeader, pushOutcomes } from "../protocol/messages.js";

type Fields = Readonly<Record<string, unknown>>;

/** The header of the message that carries an entry. */
export function entryHeader(
  entry: Entry,
  about: Pick<ChunkHeader, "run" | "generation" | "term" | "fence">,
): ChunkHeader {
  const { chunk, seq, version, examples } = entry;
  const { marks, sealedStep, pushes, staleness, lr, momentum, scale, isDifference } = entry;
  const told = { marks, sealedStep, pushes, staleness, lr, momentum, scale, isDifference };
  const detail = JSON.stringify(told);
  return { ...emptyHeader, ...about, kind: "entry", chunk, step: seq, version, examples, detail };
}

/** Reads an entry whose gradient is in `slot`, -1 for none; throws "protocol" where it is none. */
export function readEntry(
  { chunk, step, version, examples, detail }: ChunkHeader,
  slot: number,
): Entry {
  const fields = parsed(detail, chunk);
  const { marks, staleness } = fields;
  if (!Array.isArray(marks)) throw problem(chunk, "marks", marks);
  return {
    ...{ chunk, seq: step, version, examples, gradient: slot },
    marks: marks.map((mark: unknown) => markIn(mark, chunk)),
    sealedStep: whole(fields, "sealedStep", -1, chunk),
    pushes: whole(fields, "pushes", 0, chunk),
    staleness: staleness === null ? null : whole(fields, "staleness", 0, chunk),
    lr: real(fields, "lr", chunk),
    momentum: real(fields, "momentum", chunk),
    scale: real(fields, "scale", chunk),
    ...(fields.isDifference === true ? { isDifference: true } : {}),
  };
}

function markIn(value: unknown, chunk: number): ContributorMark {
  const mark = fieldsIn(value, chunk);
  const verdict = fieldsIn(mark.verdict, chunk);
  const outcome = pushOutcomes.find((name) => name === verdict.outcome);
  if (outcome === undefined) throw problem(chunk, "outcome", verdict.outcome);
  if (typeof verdict.detail !== "string") throw problem(chunk, "detail", verdict.detail);
  return {
    rank: whole(mark, "rank", 0, chunk),
    incarnation: whole(mark, "incarnation", 0, chunk),
    step: whole(mark, "step", -1, chunk),
    examples: whole(mark, "examples", 0, chunk),
    ...(mark.inStep === undefined
      ? {}
      : { inStep: whole(mark, "inStep", Number.MIN_SAFE_INTEGER, chunk) }),
    verdict: {
      outcome,
      staleness: whole(verdict, "staleness", 0, chunk),
      detail: verdict.detail,
      scale: verdict.scale === null ? null : real(verdict, "scale", chunk),
    },
  };
}

function parsed(text: string, chunk: number): Fields {
  try {
    return fieldsIn(JSON.parse(text), chunk);
  } catch (cause) {
    if (cause instanceof PacelineError) throw cause;
    const said = text.slice(0, 80);
    throw new PacelineError("protocol", `an entry of chunk ${chunk} is no JSON: ${said}`, {
      cause,
    });
  }
}

function fieldsIn(value: unknown, chunk: number): Fields {
  if (typeof value === "object" && value !== null) return value as Fields;
  throw problem(chunk, "an object", value);
}

function whole(fields: Fields, name: string, least: number, chunk: number): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  throw problem(chunk, name, value);
}

function real(fields: Fields, name: string, chunk: number): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw problem(chunk, name, value);
}

function problem(chunk: number, what: string, value: unknown): PacelineError {
  const said = JSON.stringify(value) ?? "nothing";
  return new PacelineError("protocol", `an entry of chunk ${chunk} has ${said} for ${what}`);
}
