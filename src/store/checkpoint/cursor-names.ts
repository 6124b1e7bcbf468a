/**
 * The coordinator's account as earlier checkpoints wrote it. In the data cursor an epoch's plan
 * stood as a cut, and an assignment as a piece; what they hold is the same. Beside it stood counts
 * of views and incarnations where the term is, which made ids below 2^32: those of term 0.
 */
import type { z } from "zod";

type Json = z.core.util.JSONType;

const names: Readonly<Record<string, string>> = {
  cuts: "plans",
  pieces: "assignments",
  piece: "assignment",
};

/** The coordinator's account out of a manifest, with the fields as they are called here. */
export function currentCursor(account: Json): Json {
  if (!isObject(account) || !("cursor" in account)) return account;
  const { viewNumber: _views, incarnations: _lives, ...kept } = account;
  return { term: 0, ...kept, cursor: renamed(account.cursor!) };
}

function renamed(value: Json): Json {
  if (Array.isArray(value)) return value.map(renamed);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([name, field]) => [
    names[name] ?? name,
    renamed(field),
  ]);
  return Object.fromEntries(entries);
}

function isObject(value: Json): value is { [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
