/** What a process ends with that was interrupted. */
import { constants } from "node:os";

/** The highest code that a shell shows for a signal. */
const signalMax = 64;

/**
 * As if the signal had ended it: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM. Every other
 * reason to interrupt a run counts as SIGINT.
 */
export function interruptedExitCode(reason: string): number {
  return 128 + (constants.signals[reason as NodeJS.Signals] ?? constants.signals.SIGINT);
}

/** Whether a process that ended with this code was interrupted. */
export function isInterruptedExit(code: number | null): boolean {
  return code !== null && code > 128 && code <= 128 + signalMax;
}
