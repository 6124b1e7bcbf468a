/**
 * Axes worked out before anything is drawn: domain, ticks and their words, so that labels can be
 * placed by the same numbers. An axis starts at zero unless its numbers would then be one line,
 * and the caller of such an axis says so in its title.
 */

import { greatest, least } from "../extremes.js";
import { textWidth } from "./font-metrics.js";
import { textSizes } from "./theme.js";

/** How values become pixels. */
export interface Axis {
  readonly title: string;
  readonly scale: "linear" | "log2" | "log10";
  readonly domain: readonly [number, number];
  readonly ticks: readonly { readonly value: number; readonly text: string }[];
}

/** The narrowest plot that a logarithmic axis gets, and the room between words below it. */
const plotWidthMin = 215;
const wordGapPx = 7;

/** A linear axis from zero (or from below the smallest value, if that is negative). */
export function axisFromZero(title: string, values: readonly number[]): Axis {
  const high = Math.max(0, greatest(values));
  const low = Math.min(0, least(values));
  return linearAxis(title, low, high === low ? low + 1 : high);
}

/**
 * An axis for percentages that lie close together: it spans at least `spanMin` points and says in
 * its title when it does not start at zero.
 */
export function axisAround(title: string, values: readonly number[], spanMin: number): Axis {
  const low = least(values);
  const high = greatest(values);
  const pad = Math.max(0.08 * (high - low), (spanMin - (high - low)) / 2, 0.02 * spanMin);
  const from = Math.max(0, low - pad);
  // A percentage has an upper end; where the pad would pass it, the axis ends there.
  const to = Math.max(high, Math.min(100, high + pad));
  const spans = to - from;
  const isClose = from > 0 && low > 0.35 * high;
  if (!isClose) return linearAxis(title, 0, to);
  return linearAxis(`${title}, axis not from 0`, spans < spanMin ? to - spanMin : from, to);
}

/** A linear axis whose ends are ticks. */
export function linearAxis(title: string, low: number, high: number): Axis {
  const step = niceStep((high - low) / 5, [1, 2, 2.5, 5, 10]);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  const digits = digitsOf(step);
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => {
    const value = Number(((first + index) * step).toFixed(digits + 2));
    return { value, text: value.toFixed(digits) };
  });
  return { title, scale: "linear", domain: [ticks[0]!.value, ticks.at(-1)!.value], ticks };
}

/** An axis of whole numbers such as epochs, with a little room at both ends. */
export function wholeAxis(title: string, low: number, high: number): Axis {
  const step = Math.max(1, niceStep((high - low) / 8, [1, 2, 5, 10]));
  const ticks: { value: number; text: string }[] = [];
  const last = Math.floor(high / step) * step;
  for (let value = Math.ceil(low / step) * step; value <= last; value += step)
    ticks.push({ value, text: String(value) });
  if (ticks[0]?.value !== low && (ticks[0]?.value ?? low + 1) - low > 0.6 * step)
    ticks.unshift({ value: low, text: String(low) });
  const room = Math.max(0.3, 0.03 * (high - low));
  return { title, scale: "linear", domain: [low - room, high + room], ticks };
}

/** A logarithmic axis that has a tick at each of these values and a little room at both ends. */
export function logAxis(
  title: string,
  base: 2 | 10,
  values: readonly number[],
  text: (value: number) => string = String,
): Axis {
  const ticks = [...new Set(values)].sort((left, right) => left - right);
  const room = base === 2 ? 1.15 : 1.25;
  const domain = [ticks[0]! / room, ticks.at(-1)! * room] as const;
  return { title, scale: base === 2 ? "log2" : "log10", domain, ticks: spaced(ticks, text) };
}

/** Leaves out the words of ticks that stand too close to one that has them, never of the last. */
function spaced(ticks: readonly number[], text: (value: number) => string): Axis["ticks"] {
  const [first, last] = [ticks[0]!, ticks.at(-1)!];
  const place = (value: number) =>
    first === last ? 0 : (plotWidthMin * Math.log(value / first)) / Math.log(last / first);
  const half = (value: number) => (textWidth(text(value), textSizes.axis) + wordGapPx) / 2;
  const collide = (from: number, to: number) => place(to) - place(from) < half(from) + half(to);
  let named: number | null = null;
  return ticks.map((value) => {
    const isNear = named !== null && collide(named, value);
    if (value !== last && (isNear || collide(value, last))) return { value, text: "" };
    named = value;
    return { value, text: text(value) };
  });
}

/** A logarithmic axis with ticks at 1, 2 and 5 times powers of ten. */
export function decadesAxis(title: string, low: number, high: number): Axis {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.log10(high); power++) {
    for (const factor of [1, 2, 5]) {
      // Not 10 ** -1 * 2, whose digits are not those of 0.2.
      const tick = Number(`${factor}e${power}`);
      if (tick >= low / 2.6 && tick <= high) ticks.push(tick);
    }
  }
  const axis = logAxis(title, 10, ticks);
  return { ...axis, domain: [Math.min(low / 1.1, ticks[0]!), high * 1.06] };
}

/** A logarithmic axis to base 2 whose ticks are powers of two around the values. */
export function powersAxis(title: string, values: readonly number[]): Axis {
  const low = Math.floor(Math.log2(least(values)) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log2(greatest(values)) - 1e-9));
  const stride = Math.max(1, Math.ceil((high - low) / 7));
  const ticks: number[] = [];
  for (let power = low; power <= high; power += stride) ticks.push(2 ** power);
  const axis = logAxis(title, 2, ticks, (value) => (value >= 1 ? String(value) : `1/${1 / value}`));
  return { ...axis, domain: [2 ** low / 1.05, 2 ** high] };
}

/** Where a value lies, from 0 at the domain's start to 1 at its end. */
export function positionOn(axis: Axis, value: number): number {
  const [low, high] = axis.domain;
  if (axis.scale === "linear") return (value - low) / (high - low);
  return Math.log(value / low) / Math.log(high / low);
}

/** A unit of time and how many of it a second has. */
export interface TimeUnit {
  readonly name: string;
  readonly perSecond: number;
}

/** The unit in which the largest of these numbers of seconds reads well. */
export function timeUnit(seconds: readonly number[]): TimeUnit {
  const most = Math.max(0, greatest(seconds));
  if (most >= 3 * 3600) return { name: "h", perSecond: 1 / 3600 };
  if (most >= 300) return { name: "min", perSecond: 1 / 60 };
  return most >= 0.5 || most === 0 ? { name: "s", perSecond: 1 } : { name: "ms", perSecond: 1000 };
}

/** Three digits that count: 0.123, 1.23, 12.3, 123, 12300. */
export function threeDigits(value: number): string {
  return value === 0 ? "0" : value.toFixed(digitsBehind(value));
}

/** Digits behind the point at which three of a number count. */
export function digitsBehind(value: number): number {
  if (value === 0) return 2;
  return Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
}

/** One of the factors times a power of ten, at or above the value. */
function niceStep(value: number, factors: readonly number[]): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = factors.find((one) => one * power >= value * (1 - 1e-9))!;
  return factor * power;
}

/** Digits behind the point that tell multiples of a step apart. */
function digitsOf(step: number): number {
  let digits = 0;
  while (digits < 12 && Math.abs(step - Number(step.toFixed(digits))) > 1e-6 * step) digits += 1;
  return digits;
}
