/**
 * Accuracies that were measured before, by the share of work done in step: a table with a heading
 * and the columns `share` and `accuracy`, a row for each run or for the mean of several. A share
 * that was not measured is answered by the next smaller one that was, which promises no more than
 * is known.
 */
import { PacelineError } from "../errors.js";
import { diskFiles, type Files, readWhole } from "../store/files.js";
import type { Measured } from "./switch-search.js";

/** Shares, ascending, with what was measured of them. */
export type SwitchTable = readonly Measured[];

const bytesMax = 16 * 1024 * 1024;

/**
 * Reads a table. Shares and accuracies are fractions or, where one of a column is above 1 or has a
 * percent sign, percentages.
 * @throws PacelineError `usage` with line and value where it is no such table.
 */
export async function readSwitchTable(
  path: string,
  files: Files = diskFiles,
): Promise<SwitchTable> {
  return switchTableOf((await readWhole(files, path, bytesMax)).toString("utf8"), path);
}

/** The same of a text. */
export function switchTableOf(text: string, path: string): SwitchTable {
  const lines = text
    .split(/\r?\n/)
    .map((line, index) => ({
      number: index + 1,
      cells: line.split(",").map((cell) => cell.trim()),
    }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""));
  const [heading, ...rows] = lines;
  if (heading === undefined) throw wrong(path, "is empty");
  const names = heading.cells.map((cell) => cell.toLowerCase());
  const columnOf = (name: string): number => {
    const index = names.indexOf(name);
    if (index >= 0) return index;
    throw wrong(path, `has no column ${name}: its heading is ${heading.cells.join(",")}`);
  };
  const [shareColumn, accuracyColumn] = [columnOf("share"), columnOf("accuracy")];
  const shares = fractionsOf("share", rows, shareColumn, path);
  const accuracies = fractionsOf("accuracy", rows, accuracyColumn, path);
  const byShare = new Map<number, number[]>();
  shares.forEach((share, index) => {
    byShare.set(share, [...(byShare.get(share) ?? []), accuracies[index]!]);
  });
  const table = [...byShare]
    .map(([share, found]) => ({ share, accuracy: meanOf(found), runs: found.length }))
    .sort((left, right) => left.share - right.share);
  if (table.at(-1)?.share !== 1) {
    throw wrong(path, "has no row of share 1 (100%), which is what others are held against");
  }
  return table;
}

/**
 * What the table knows of a share.
 * @throws PacelineError `usage` where not even a smaller one was measured.
 */
export function lookUp(table: SwitchTable, share: number): Measured {
  const found = table.findLast((row) => row.share <= share);
  if (found !== undefined) return found;
  const least = `the least is ${table[0]!.share * 100}%`;
  const sentence = `the table has no share of ${share * 100}% or less: ${least}`;
  throw new PacelineError("usage", `${sentence}; add a row, such as share 0 (all asynchronous)`);
}

interface Line {
  readonly number: number;
  readonly cells: readonly string[];
}

function fractionsOf(name: string, rows: readonly Line[], column: number, path: string): number[] {
  const numbers = rows.map(({ number, cells }) => {
    const cell = cells[column] ?? "";
    const [, digits, sign] = /^(\d*\.?\d+(?:e[+-]?\d+)?)(%?)$/i.exec(cell) ?? [];
    const where = `line ${number}: ${name} ${JSON.stringify(cell)}`;
    if (digits === undefined) throw wrong(path, `${where} is not a number or a percentage`);
    return { value: Number(digits), isPercent: sign === "%", where };
  });
  const isPercent = numbers.some((one) => one.isPercent || one.value > 1);
  // 0.8 beside 91% is 80% to its writer, and 0.8% to a reader who goes by the column.
  const marked = numbers.find((one) => one.isPercent) ?? numbers.find(({ value }) => value > 1);
  const mixed = numbers.find(({ value, isPercent: hasSign }) => {
    return !hasSign && value > 0 && (value < 1 || (value === 1 && marked?.isPercent));
  });
  if (marked !== undefined && mixed !== undefined) {
    const sentence = `${mixed.where} is a fraction, and ${marked.where} a percentage`;
    throw wrong(path, `${sentence}; give all of a column a percent sign, or none`);
  }
  return numbers.map(({ value, where }) => {
    const fraction = isPercent ? value / 100 : value;
    if (fraction <= 1) return fraction;
    throw wrong(path, `${where} is above 100%`);
  });
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function wrong(path: string, what: string): PacelineError {
  const form = "write a heading with share,accuracy and a row for each run";
  return new PacelineError("usage", `${path} ${what}; ${form}`);
}
