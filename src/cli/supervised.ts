/** What a process does that a supervisor has started. */

/** The part of a process that this needs. */
export interface ChildProcessSelf {
  readonly send?: unknown;
  readonly connected?: boolean;
  readonly channel?: { unref(): void } | null | undefined;
  once(event: "disconnect" | "message", listener: (message?: unknown) => void): unknown;
  exit(code: number): unknown;
}

/**
 * Ends this process as soon as the supervisor that started it is gone, however it went: the channel
 * between the two closes with either of them. Without a supervisor this does nothing.
 */
export function exitWithParent(self: ChildProcessSelf = process): void {
  if (self.send === undefined) return;
  const end = () => self.exit(1);
  if (self.connected === false) {
    end();
    return;
  }
  self.once("disconnect", end);
  // Listening alone would keep a process alive that has nothing left to do.
  self.channel?.unref();
}

/** True where a supervisor has started this process. */
export function isSupervised(self: ChildProcessSelf = process): boolean {
  return self.send !== undefined;
}

/** Calls once the supervisor asks this process to end: then there is nothing left to stay for. */
export function onEndAsked(action: () => void, self: ChildProcessSelf = process): void {
  if (!isSupervised(self)) return;
  self.once("message", action);
  self.channel?.unref();
}
