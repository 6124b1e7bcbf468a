/**
 * Assertions for what can only be a bug in Paceline. Input from the network, a file or a flag is
 * validated and answered with a PacelineError instead.
 */

/** Throws with the message and the values when the condition does not hold. */
export function assert(
  condition: unknown,
  message: string,
  values?: Record<string, unknown>,
): asserts condition {
  if (condition) return;
  const shown = values === undefined ? "" : ` ${JSON.stringify(values)}`;
  throw new Error(`assertion failed: ${message}${shown}`);
}

/** Ends a switch over a closed union; the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new Error(`assertion failed: unreachable ${JSON.stringify(value)}`);
}
