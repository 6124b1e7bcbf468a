/** How a command reaches the coordinator that it asks: with an administrator's certificate. */
import type { ResolvedOptions } from "../options/resolved-options.js";
import { openSecurity, type SecuritySettings } from "../transport/credentials/security.js";
import { createGrpcTransport } from "../transport/grpc/grpc-transport.js";
import type { Transport } from "../transport/transport.js";

/** Makes the transport; throws "usage" where certificates or token can't be used. */
export function adminTransport(
  options: Pick<ResolvedOptions, "ioTimeoutMs"> & SecuritySettings,
): Transport {
  const security = openSecurity("admin", options);
  return createGrpcTransport({ ioTimeoutMs: options.ioTimeoutMs, security });
}
