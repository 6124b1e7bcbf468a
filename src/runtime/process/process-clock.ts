/** The clock of a real process. */
import { performance } from "node:perf_hooks";
import type { Clock } from "../../host/clock.js";

/** Monotonic time and timers of this process. */
export const processClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};
