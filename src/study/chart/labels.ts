/** Words in a chart: wrapped, shortened, and kept apart from each other. */
import { textWidth } from "./font-metrics.js";
import { textSizes } from "./theme.js";

/** Moves positions on a line as little as possible until all are `gap` apart in [low, high]. */
export function keepApart(
  positions: readonly number[],
  gap: number,
  [low, high]: readonly [number, number],
): number[] {
  const order = positions
    .map((_, index) => index)
    .sort((a, b) => positions[a]! - positions[b]! || a - b);
  // Blocks of neighbours that touch; each block stands at the mean of its members' positions.
  const blocks: { sum: number; count: number }[] = [];
  for (const [place, index] of order.entries()) {
    blocks.push({ sum: positions[index]! - place * gap, count: 1 });
    while (blocks.length > 1 && mean(blocks.at(-2)!) > mean(blocks.at(-1)!)) {
      const last = blocks.pop()!;
      blocks.at(-1)!.sum += last.sum;
      blocks.at(-1)!.count += last.count;
    }
  }
  const highest = high - (positions.length - 1) * gap;
  const result = new Array<number>(positions.length);
  let place = 0;
  for (const block of blocks) {
    for (let member = 0; member < block.count; member++, place++) {
      const start = Math.max(low, Math.min(highest, mean(block)));
      result[order[place]!] = start + place * gap;
    }
  }
  return result;
}

/** Breaks text into lines no wider than `widthPx`; a word that is wider stands alone. */
export function wrap(text: string, widthPx: number, sizePx: number, bold = false): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && textWidth(longer, sizePx, bold) > widthPx) {
      lines.push(line);
      line = shorten(word, widthPx, sizePx, bold);
    } else line = longer;
  }
  return [...lines, shorten(line, widthPx, sizePx, bold)];
}

/** Cuts the middle out of text that is wider than `widthPx`: names differ most at their ends. */
export function shorten(text: string, widthPx: number, sizePx: number, bold = false): string {
  const characters = [...text];
  let kept = characters.length;
  let result = text;
  while (kept > 2 && textWidth(result, sizePx, bold) > widthPx) {
    kept -= 1;
    const head = characters.slice(0, Math.ceil(kept / 2)).join("");
    result = `${head}…${characters.slice(characters.length - Math.floor(kept / 2)).join("")}`;
  }
  return result;
}

/** A name as a part of a title, which has few words besides. */
export function inTitle(name: string): string {
  return shorten(name, 300, textSizes.title, true);
}

/** "a", "a and b", "a, b and c". */
export function listed(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Which of some values is the highest as it is written; several where they are written alike. */
export function highest<Item extends { readonly label: string; readonly value: number }>(
  items: readonly Item[],
  write: (value: number) => string,
): { readonly labels: readonly string[]; readonly text: string } {
  const text = write(Math.max(...items.map(({ value }) => value)));
  const best = items.filter(({ value }) => write(value) === text);
  return { labels: best.map(({ label }) => label), text };
}

function mean(block: { readonly sum: number; readonly count: number }): number {
  return block.sum / block.count;
}
