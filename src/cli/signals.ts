/** SIGINT and SIGTERM, taken once and given back. */

import { interruptedExitCode } from "../runtime/process/signal-exit.js";

/** 130 for SIGINT, 143 for SIGTERM. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return interruptedExitCode(signal);
}

/** Calls the handler on each signal until the returned function is called. */
export function onSignals(handler: (signal: NodeJS.Signals) => void): () => void {
  const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}
