/**
 * Whether the process that leads still listens. A process that is killed leaves its lease behind,
 * which goes on for seconds; its address refuses connections at once. Who stands by knocks there,
 * and ends the lease of a leader that has listened and does so no more.
 *
 * This decides only when another may try to lead: a leader that is alive all the same, behind a
 * wall that came up, writes nothing once its key is gone.
 */
import { connect } from "node:net";
import { parseHostPort } from "../../protocol/host-port.js";
import type { LeaseClock } from "./leadership.js";

/** Between two knocks. */
const knockMs = 250;
/** A leader that ends in order lays its lead down between two knocks. */
const refusalsMin = 2;

/** Where a leader listens that told no address of its own: elsewhere it names another computer. */
const everywhere = ["0.0.0.0", "::"];

/** What a knock at an address finds. */
export type Knock = (address: string) => Promise<"listens" | "refused" | "unknown">;

/** Resolves to true once a process that has listened is refused, to false where `signal` ends. */
export async function untilRefused(
  address: string,
  clock: LeaseClock,
  signal: AbortSignal,
  knock: Knock = knockAt,
): Promise<boolean> {
  let hasListened = false;
  let refusals = 0;
  while (!signal.aborted) {
    const found = await knock(address);
    hasListened ||= found === "listens";
    refusals = found === "refused" && hasListened ? refusals + 1 : 0;
    if (refusals >= refusalsMin && !signal.aborted) return true;
    await new Promise<void>((resolve) => clock.after(knockMs, resolve));
  }
  return false;
}

function knockAt(address: string): ReturnType<Knock> {
  const parsed = parseHostPort(address);
  const isPlace = !("problem" in parsed) && !everywhere.includes(parsed.host);
  if (!isPlace || parsed.port === null) return Promise.resolve("unknown");
  const socket = connect({ host: parsed.host, port: parsed.port, timeout: knockMs });
  return new Promise((resolve) => {
    const found = (what: Awaited<ReturnType<Knock>>) => {
      socket.destroy();
      resolve(what);
    };
    socket.once("connect", () => found("listens"));
    socket.once("timeout", () => found("unknown"));
    socket.once("error", ({ code }: NodeJS.ErrnoException) =>
      found(code === "ECONNREFUSED" ? "refused" : "unknown"),
    );
  });
}
