/** How a role that is a process reaches others: over sockets, with the credentials it is given. */
import { openSecurity } from "../transport/credentials/security.js";
import { createMemberTransport } from "../transport/frames/member-transport.js";
import type { Transport } from "../transport/transport.js";
import { type ReachSettings, roleDefaults } from "./role-settings.js";

/** Makes the transport; throws "usage" where certificates or the token can't be used. */
export function openTransport(
  role: "coordinator" | "server" | "worker",
  settings: ReachSettings,
  log: ((text: string) => void) | undefined,
): Transport {
  const { ioTimeoutMs = roleDefaults.ioTimeoutMs } = settings;
  return createMemberTransport({ ioTimeoutMs, security: openSecurity(role, settings, log) });
}
