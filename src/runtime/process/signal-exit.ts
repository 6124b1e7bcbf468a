/** What a process ends with that was interrupted. */

/**
 * As if the signal had ended it: 143 for SIGTERM, 130 for SIGINT, which every other reason to
 * interrupt a run counts as.
 */
export function interruptedExitCode(reason: string): number {
  return reason === "SIGTERM" ? 143 : 130;
}
