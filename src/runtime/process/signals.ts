/** SIGINT and SIGTERM, taken once and given back. */

/** Calls the handler on each signal until the returned function is called. */
export function onSignals(handler: (signal: NodeJS.Signals) => void): () => void {
  const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}
