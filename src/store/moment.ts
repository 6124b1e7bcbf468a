/**
 * A moment that another process can tell its distance to: on the machine where it was, by the time
 * since its boot, which no setting of the clock changes; elsewhere by the time of day.
 */
import { readFileSync } from "node:fs";

/** A moment. */
export interface Moment {
  /** Names the machine's boot; "" where the platform does not tell. */
  readonly boot: string;
  /** Monotonic, of that boot. */
  readonly sinceBootMs: number;
  /** Since 1970. */
  readonly timeMs: number;
}

/** Of this machine, by both clocks. */
export function presentMoment(): Moment {
  const sinceBootMs = Number(process.hrtime.bigint() / 1000n) / 1000;
  return { boot: bootId(), sinceBootMs, timeMs: Date.now() };
}

/** Milliseconds from one to a later one; 0 where that is not later. */
export function msBetween(from: Moment, to: Moment): number {
  const isHere = from.boot !== "" && from.boot === to.boot;
  return Math.max(0, isHere ? to.sinceBootMs - from.sinceBootMs : to.timeMs - from.timeMs);
}

let known: string | null = null;

function bootId(): string {
  try {
    known ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    known = "";
  }
  return known;
}
