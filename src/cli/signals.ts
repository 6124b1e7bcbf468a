/**
 * Signals that ask a process to stop, from any sender: a terminal, a supervisor of services, a
 * batch system before the time is over. All mean the same: save and end.
 *
 * One press of a key may come several times, from the terminal and from a wrapper that hands it on;
 * so may a hang-up. What comes again at once counts once, and a hang-up always does.
 *
 * Node gives a process that was started with SIGHUP ignored (nohup) the default again, before any
 * of this runs, so that nothing tells. But a process whose output is no terminal has none that it
 * could lose: there a hang-up ends nothing.
 */
import { interruptedExitCode } from "../runtime/process/signal-exit.js";

/** The part of a process that this needs. */
export interface SignalledProcess {
  on(signal: NodeJS.Signals, handler: (signal: NodeJS.Signals) => void): unknown;
  off(signal: NodeJS.Signals, handler: (signal: NodeJS.Signals) => void): unknown;
  readonly stdout: { readonly isTTY?: boolean };
  readonly stderr: { readonly isTTY?: boolean };
}

const stopping: readonly NodeJS.Signals[] = [
  "SIGINT",
  "SIGTERM",
  "SIGHUP",
  "SIGQUIT",
  // Batch systems warn with these before the time is over.
  "SIGUSR1",
  "SIGUSR2",
  "SIGXCPU",
];

/** A repeat within this time is the same request; a person who has read an answer takes longer. */
const againMs = 15;

/** 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return interruptedExitCode(signal);
}

/** Calls the handler on each signal until the returned function is called. */
export function onSignals(
  handler: (signal: NodeJS.Signals) => void,
  self: SignalledProcess = process,
  nowMs: () => number = () => performance.now(),
): () => void {
  const lastMs = new Map<NodeJS.Signals, number>();
  const take = (signal: NodeJS.Signals) => {
    const now = nowMs();
    const sinceMs = now - (lastMs.get(signal) ?? Number.NEGATIVE_INFINITY);
    lastMs.set(signal, now);
    if (signal === "SIGHUP" && (sinceMs < Number.POSITIVE_INFINITY || !hasTerminal(self))) return;
    if (sinceMs >= againMs) handler(signal);
  };
  const signals = process.platform === "win32" ? stopping.slice(0, 3) : stopping;
  for (const signal of signals) self.on(signal, take);
  return () => {
    for (const signal of signals) self.off(signal, take);
  };
}

/** Whether a signal asks this process to stop: a hang-up only where it has a terminal to lose. */
export function stopsProcess(signal: NodeJS.Signals, self: SignalledProcess = process): boolean {
  return stopping.includes(signal) && (signal !== "SIGHUP" || hasTerminal(self));
}

/** Has a hang-up end nothing from now on, also before `onSignals`, where there is no terminal. */
export function ignoreHangUp(self: SignalledProcess = process): void {
  if (!hasTerminal(self)) self.on("SIGHUP", () => {});
}

function hasTerminal({ stdout, stderr }: SignalledProcess): boolean {
  return stdout.isTTY === true || stderr.isTTY === true;
}
