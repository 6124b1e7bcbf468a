/**
 * Cuts all connections of this process at once, as a switch that restarts does. Node tells of each
 * socket that it opens or accepts, so it does not matter which part of the program has it. What was
 * being sent is cut in its middle.
 */
import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";

const open = new Set<Socket>();
let isWatching = false;
let cutUntilMs = 0;

/** Counts the connections that open from here on among those that can be cut. */
export function watchConnections(): void {
  if (isWatching) return;
  isWatching = true;
  const onSocket = (message: unknown) => {
    const { socket } = message as { readonly socket: Socket };
    if (performance.now() < cutUntilMs) {
      setImmediate(() => socket.destroy());
      return;
    }
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  };
  subscribe("net.client.socket", onSocket);
  subscribe("net.server.socket", onSocket);
}

/** Closes every connection, and has none stay open for a time. */
export function cutConnections(forMs: number): void {
  cutUntilMs = performance.now() + forMs;
  for (const socket of open) socket.destroy();
}
