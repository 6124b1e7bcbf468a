/** Near misses: which known word somebody may have meant. */

/** The known word nearest to the one written, or null when none is near enough. */
export function nearest(written: string, known: readonly string[]): string | null {
  const word = written.toLowerCase();
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    // Among equals the word of the same length is the likelier one.
    const other = candidate.length === word.length ? 0 : 0.5;
    const distance = editDistance(word, candidate.toLowerCase()) + other;
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best ?? onlyCompletion(word, known);
}

/** " (did you mean X?)", or nothing where nothing is near. */
export function didYouMean(written: string, known: readonly string[], prefix = ""): string {
  const found = nearest(written, known);
  return found === null ? "" : ` (did you mean ${prefix}${found}?)`;
}

/** "mlp", "mlp or logistic", "a, b or c". */
export function alternatives(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function onlyCompletion(word: string, known: readonly string[]): string | null {
  const completions = known.filter((candidate) => word !== "" && candidate.startsWith(word));
  return completions.length === 1 ? completions[0]! : null;
}

/** Insertions, deletions, replacements and swaps of neighbours between two words. */
export function editDistance(left: string, right: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const current = [i];
    for (let j = 1; j <= right.length; j++) {
      const same = left[i - 1] === right[j - 1] ? 0 : 1;
      let cost = Math.min(current[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + same);
      if (i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1])
        cost = Math.min(cost, beforePrevious[j - 2]! + 1);
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[right.length]!;
}
