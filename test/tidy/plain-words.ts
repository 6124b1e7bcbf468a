/**
 * Plain technical English: phrases that make a reader stumble, each with what to write in its
 * place. They are looked for in sources, comments and documents, across line breaks as well.
 */
import type { Finding, Source } from "./sources.js";

/** What a phrase is replaced by. */
const remedies: readonly (readonly [phrase: string, remedy: string])[] = [
  ["whoever", "name who acts: a worker, the caller, a process that"],
  ["gone on with", "write continued or resumed"],
  ["gone on from", "write the resumed checkpoint"],
  ["to be had", "write available"],
  ["became of", "name it: the outcome, the state, the result"],
  ["did not come about", "write did not happen"],
  ["is no member", "write is not a member"],
];

/** Between two words: space, or a line break with the marks of a comment or a list. */
const gap = String.raw`[ \t]*(?:[ \t]|\r?\n[ \t]*(?:\*|//|#|>)?[ \t]*)`;
const patterns = remedies.map(([phrase, remedy]) => ({
  pattern: new RegExp(`\\b${phrase.split(" ").join(gap)}\\b`, "gi"),
  message: `"${phrase}" is hard to read; ${remedy}`,
}));

/** Every phrase of the list in one file; the rules and their tests may name them. */
export function foreignPhrases({ path, text }: Source): Finding[] {
  if (path.startsWith("test/tidy/")) return [];
  return patterns.flatMap(({ pattern, message }) =>
    [...text.matchAll(pattern)].map(({ index }) => {
      const line = text.slice(0, index).split("\n").length;
      return { path, line, message };
    }),
  );
}
