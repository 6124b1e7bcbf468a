/** What a process does that a supervisor has started. */

import type { InjectedFault, SuddenFault } from "../protocol/injected-fault.js";

/** The part of a process that this needs. */
export interface ChildProcessSelf {
  readonly send?: unknown;
  readonly connected?: boolean;
  readonly channel?: { unref(): void } | null | undefined;
  once(event: "disconnect", listener: () => void): unknown;
  exit(code: number): unknown;
}

/** What a supervisor says to a member. */
export type SupervisorWord =
  /** There is nothing left to stay for. */
  | { readonly type: "end" }
  /** These faults are to come upon it. */
  | { readonly type: "suffer"; readonly faults: readonly SuddenFault[] };

/** What a member says to its supervisor. */
export interface MemberWord {
  /** A fault's step has come, or it is over with the step before. */
  readonly type: "suffers" | "recovers";
  readonly fault: InjectedFault;
  readonly step: number;
}

/** What is done instead of ending at once; null where there is nothing to do. */
let farewell: (() => void) | null = null;

/**
 * Ends this process as soon as the supervisor that started it is gone, however it went: the channel
 * between the two closes with either of them. Without a supervisor this does nothing.
 */
export function exitWithParent(self: ChildProcessSelf = process): void {
  if (self.send === undefined) return;
  const end = () => (farewell === null ? self.exit(1) : farewell());
  if (self.connected === false) {
    end();
    return;
  }
  self.once("disconnect", end);
  // Listening alone would keep a process alive that has nothing left to do.
  self.channel?.unref();
}

/**
 * Has the process end by `leave` when its supervisor is gone, as there is work to be saved, until
 * the returned function is called.
 */
export function leaveWithParent(leave: () => void): () => void {
  farewell = leave;
  return () => {
    if (farewell === leave) farewell = null;
  };
}

/** True where a supervisor has started this process. */
export function isSupervised(self: ChildProcessSelf = process): boolean {
  return self.send !== undefined;
}

/** Calls with each word of the supervisor. */
export function onSupervisorWord(listener: (word: SupervisorWord) => void): void {
  if (!isSupervised()) return;
  process.on("message", (message) => listener(message as SupervisorWord));
  process.channel?.unref();
}

/** Says a word to the supervisor, which has left this process when this returns. */
export function tellSupervisor(word: MemberWord): void {
  if (process.connected) process.send?.(word, undefined, undefined, () => {});
}
