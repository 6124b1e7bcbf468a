/**
 * A name and a value of an option, as a line of a config file or a --set gives them, and where a
 * value came from in words. Knows no YAML, which takes a while to load.
 */
import { PacelineError } from "../errors.js";
import { didYouMean } from "../suggest.js";
import { type OptionGroup, optionGroups } from "./option-row.js";
import { keyOfName, type OptionKey, optionNames, rowOf } from "./options.js";
import type { Origin, Written } from "./resolve.js";
import { optionHint } from "./synonyms.js";

/** Reads one NAME=VALUE or GROUP.NAME=VALUE of --set. */
export function readAssignments(assignments: readonly string[]): Written {
  const values = new Map<OptionKey, string>();
  for (const assignment of assignments) {
    const [, path, text] = /^([^=]+)=(.*)$/s.exec(assignment) ?? [];
    if (path === undefined)
      throw usage(`--set ${assignment} has no "="; write it as --set training.lr=0.05`);
    const dot = path.indexOf(".");
    const group = dot < 0 ? null : demandGroup(path.slice(0, dot), assignment);
    readValue(path.slice(dot + 1), text ?? "", group, `--set ${assignment}`, values);
  }
  return values;
}

function demandGroup(name: string, assignment: string): OptionGroup {
  const group = optionGroups.find((known) => known === name);
  if (group !== undefined) return group;
  const hint = didYouMean(name, optionGroups);
  throw usage(
    `"${name}" in --set ${assignment} is not a group${hint}; ` +
      `write one of ${optionGroups.join(", ")}`,
  );
}

/** Reads one option of a group, or of any; `place` names where it stands in refusals. */
export function readValue(
  name: string,
  value: unknown,
  group: OptionGroup | null,
  place: string,
  values: Map<OptionKey, string>,
): void {
  const key = keyOfName(name);
  if (key === undefined) {
    const hint = optionHint(name, group === null ? [...optionNames, ...optionGroups] : optionNames);
    throw usage(`"${name}" in ${place} is not an option${hint}; see paceline config schema`);
  }
  const row = rowOf(key);
  if (group !== null && row.group !== group)
    throw usage(`"${name}" in ${place} belongs under ${row.group}, not ${group}; move it`);
  if (values.has(key) && !place.startsWith("--set"))
    throw usage(`"${name}" appears twice in ${place}; keep one of the two`);
  const several = Array.isArray(value) && row.type.separator !== undefined;
  if (several) values.set(key, value.map(String).join(row.type.separator));
  else if (value === null) values.set(key, row.type.separator === undefined ? "none" : "");
  else if (typeof value === "object")
    throw usage(`"${name}" in ${place} is a list or mapping; write ${row.type.wanted}`);
  else values.set(key, String(value));
}

/**
 * An origin in words: "default", "flag --workers", "environment PACELINE_WORKERS", "file run.yaml".
 */
export function showOrigin({ kind, place }: Origin): string {
  if (kind === "default" || kind === "fast") return place;
  return kind === "set" ? place : `${kind} ${place}`;
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
