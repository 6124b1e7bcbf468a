/**
 * Addresses as text: host:port, or unix:PATH for a Unix socket. A prefix `tcp:` before host:port
 * asks for frames there; without it host:port means the public contract.
 */
import { PacelineError } from "../errors.js";
import { parseHostPort } from "../protocol/host-port.js";

/** What a connection is made to, or a listener bound to. */
export type SocketPlace =
  | { readonly kind: "port"; readonly host: string; readonly port: number }
  | { readonly kind: "path"; readonly path: string };

const pathPrefix = "unix:";
const framesPrefix = "tcp:";

/** The address of a Unix socket. */
export function pathAddress(path: string): string {
  return `${pathPrefix}${path}`;
}

/** The address of frames at host:port. */
export function framesAddress(hostAndPort: string): string {
  return `${framesPrefix}${hostAndPort}`;
}

/** True for an address where frames are wanted. */
export function wantsFrames(address: string): boolean {
  return address.startsWith(pathPrefix) || address.startsWith(framesPrefix);
}

/** True for the address of a Unix socket. */
export function isPathAddress(address: string): boolean {
  return address.startsWith(pathPrefix);
}

/** Reads an address; throws "usage" when it is none. */
export function placeOf(address: string): SocketPlace {
  if (address.startsWith(pathPrefix)) {
    const path = address.slice(pathPrefix.length);
    if (path !== "" && !path.includes("\0")) return { kind: "path", path };
    throw new PacelineError("usage", `address "${address}" has no path; give unix:PATH`);
  }
  const text = address.startsWith(framesPrefix) ? address.slice(framesPrefix.length) : address;
  const parts = parseHostPort(text);
  const problem = "problem" in parts ? parts.problem : parts.port === null ? "has no port" : null;
  if (problem === null) return { kind: "port", ...(parts as { host: string; port: number }) };
  throw new PacelineError("usage", `address "${address}" ${problem}; give host:port`);
}
