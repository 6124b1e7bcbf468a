/**
 * A plain record that one process keeps and another goes on from: JSON with the number of its
 * format, replaced as a whole.
 *
 * Invariant: a file of one is whole or not there, and what `writeRecord` has resolved on survives a
 * crash; what is torn, nested without end or of another form is a `storage` error with the remedy.
 */
import type { z } from "zod";
import { PacelineError } from "../errors.js";
import { isMissing } from "./file-errors.js";
import { diskFiles, type Files, readWhole, writeTextAtomically } from "./files.js";
import { isTooDeep, jsonDepthMax } from "./json-text.js";

/** One kind of record. */
export interface RecordForm<T> {
  /** To follow "is not": a queue of jobs. */
  readonly what: string;
  /** What to do where it can't be read. */
  readonly remedy: string;
  /** Raised when the record changes meaning. */
  readonly format: number;
  readonly bytesMax: number;
  /** Its schema, loaded when the first is read. */
  schema(): Promise<z.ZodType<T & { readonly format: number }>>;
}

/** The record in a file; null where there is no such file. */
export async function readRecord<T>(
  path: string,
  form: RecordForm<T>,
  files: Files = diskFiles,
): Promise<T | null> {
  try {
    const content = await readWhole(files, path, form.bytesMax);
    return await recordIn(content.toString("utf8"), path, form);
  } catch (thrown) {
    if (isMissing(thrown)) return null;
    throw thrown;
  }
}

/** A record from its text; `path` names it in errors. */
export async function recordIn<T>(text: string, path: string, form: RecordForm<T>): Promise<T> {
  const wrong = (problem: string, cause: unknown) =>
    new PacelineError("storage", `${path} ${problem}: ${form.remedy}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong("is not JSON", cause);
  }
  if (isTooDeep(text)) throw wrong(`is nested deeper than ${jsonDepthMax} levels`, null);
  const parsed = (await form.schema()).safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.join(".") || "the whole";
    throw wrong(`is not ${form.what} (${where}: ${issue?.message})`, parsed.error);
  }
  const { format: _, ...record } = parsed.data;
  return record as T;
}

/** A record as text. */
export function recordText<T extends object>(record: T, { format }: RecordForm<T>): string {
  return `${JSON.stringify({ format, ...record })}\n`;
}

/** Replaces a file's record; resolves when it is durable. */
export async function writeRecord<T extends object>(
  path: string,
  record: T,
  form: RecordForm<T>,
  files: Files = diskFiles,
): Promise<void> {
  await writeTextAtomically(files, path, recordText(record, form));
}
