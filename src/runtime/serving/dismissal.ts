/** How a serving coordinator sends its idle members home. */
import type { Clock } from "../../host/clock.js";
import type { CoordinatorHost } from "../../host/coordinator-host.js";

/** How long members that are sent home may take, and how often that is looked at. */
const dismissLimitMs = 2000;
const dismissLookMs = 20;

/** Sends members home that would wait for a next job, and gives them a moment to leave. */
export async function dismiss(host: CoordinatorHost, reason: string, clock: Clock): Promise<void> {
  host.tell({ type: "interrupt", reason });
  const untilMs = clock.nowMs() + dismissLimitMs;
  while (host.snapshot().members.length > 0 && clock.nowMs() < untilMs) {
    await new Promise<void>((resolve) => clock.after(dismissLookMs, resolve));
  }
}
