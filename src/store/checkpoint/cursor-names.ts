/**
 * The data cursor's names as earlier checkpoints wrote them. An epoch's plan stood there as a cut,
 * and an assignment as a piece; what they hold is the same.
 */
import type { z } from "zod";

type Json = z.core.util.JSONType;

const names: Readonly<Record<string, string>> = {
  cuts: "plans",
  pieces: "assignments",
  piece: "assignment",
};

/**
 * The coordinator's account out of a manifest, with the cursor's fields as they are called here.
 */
export function currentCursor(account: Json): Json {
  if (!isObject(account) || !("cursor" in account)) return account;
  return { ...account, cursor: renamed(account.cursor!) };
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
