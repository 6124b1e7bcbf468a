/**
 * Addresses as text: host:port, or unix:PATH for a Unix socket. A prefix `tcp:` before host:port
 * asks for frames there; without it host:port means the public contract.
 */
import { PacelineError } from "../errors.js";

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

/** Reads an address; throws "usage" when it is none. */
export function placeOf(address: string): SocketPlace {
  if (address.startsWith(pathPrefix)) {
    const path = address.slice(pathPrefix.length);
    if (path !== "" && !path.includes("\0")) return { kind: "path", path };
    throw new PacelineError("usage", `address "${address}" has no path; give unix:PATH`);
  }
  const text = address.startsWith(framesPrefix) ? address.slice(framesPrefix.length) : address;
  const { host, port } = splitHostPort(text);
  if (host !== "" && port <= 65535) return { kind: "port", host, port };
  throw new PacelineError("usage", `address "${address}" is not host:port; give both`);
}

/** Splits host:port; throws nothing, an unusable port comes out as NaN. */
export function splitHostPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, "$1");
  const portText = address.slice(colon + 1);
  return { host, port: /^\d{1,5}$/.test(portText) ? Number(portText) : Number.NaN };
}

/** Joins them again; IPv6 addresses stand in brackets. */
export function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
