/**
 * Links that are measured over: a bandwidth, the same in each direction, and a delay, as in
 * 100Mb/s/5ms. Without one processes reach each other as fast as the machine lets them.
 */
import { duration, type ValueType } from "../../options/option-values.js";

/** One link. */
export interface Link {
  /** Of each direction. */
  readonly bitsPerSecond: number;
  /** From end to end. */
  readonly delayMs: number;
}

const units = [
  ["G", 1e9],
  ["M", 1e6],
  ["k", 1e3],
] as const;
const delay = duration(0, 60_000);
const bitsPerSecondMin = 1e5;
const bitsPerSecondMax = 1e11;

/** A link as it is written. */
export const linkType: ValueType<Link> = {
  placeholder: "link",
  wanted: "a link such as 100Mb/s or, with a delay, 100Mb/s/5ms",
  parse(text) {
    const [, digits, unit, time] = /^(\d+(?:\.\d+)?)([GMk])b\/s(?:\/(.+))?$/.exec(text) ?? [];
    const factor = units.find(([name]) => name === unit)?.[1];
    if (digits === undefined || factor === undefined) return { problem: "is not a link" };
    const bitsPerSecond = Number(digits) * factor;
    if (bitsPerSecond < bitsPerSecondMin) return { problem: "is below 100kb/s" };
    if (bitsPerSecond > bitsPerSecondMax) return { problem: "is above 100Gb/s" };
    const parsed = delay.parse(time ?? "0s");
    if ("problem" in parsed) return { problem: `has a delay that ${parsed.problem}` };
    return { value: { bitsPerSecond, delayMs: parsed.value } };
  },
  print: linkTitle,
  schema: { type: "string" },
};

/** As people write it. */
export function linkTitle({ bitsPerSecond, delayMs }: Link): string {
  const [name, factor] =
    units.find(([, size]) => bitsPerSecond % size === 0) ??
    units.find(([, size]) => bitsPerSecond >= size) ??
    units[2];
  const bandwidth = `${bitsPerSecond / factor}${name}b/s`;
  return delayMs === 0 ? bandwidth : `${bandwidth}/${delay.print(delayMs)}`;
}
