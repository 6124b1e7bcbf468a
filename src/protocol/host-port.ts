/**
 * host:port as people write it. An IPv6 address has colons of its own: it stands in brackets before
 * a port, and may stand without them where there is no port. A text that can be read both ways
 * (::1:8000) is refused, as either reading would be wrong for somebody.
 */

/** The two parts, or what is wrong with the text ("is not host:port"). */
export type HostPort =
  | { readonly host: string /** Null where none is written. */; readonly port: number | null }
  | { readonly problem: string };

const portMax = 65535;

/** Takes host:port, host or an IPv6 address apart. The host comes without brackets. */
export function parseHostPort(text: string): HostPort {
  const [, inside, portBehind] = /^\[([^\]]*)\](?::(\d+))?$/.exec(text) ?? [];
  if (inside !== undefined) {
    if (!isIPv6(inside)) return { problem: "has brackets around what is no IPv6 address" };
    return withPort(inside, portBehind);
  }
  const colons = text.split(":").length - 1;
  if (colons > 1) return parseBare(text);
  const [, host, port] = /^([^:\s[\]/@?#]+)(?::(\d+))?$/.exec(text) ?? [];
  return host === undefined ? { problem: "is not host:port" } : withPort(host, port);
}

/** Joins them again; IPv6 addresses stand in brackets. */
export function joinHostPort(host: string, port: number): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True for an IPv6 address without brackets; %zone may follow it. */
export function isIPv6(text: string): boolean {
  const [, address = "", zone] = /^([^%]*)(%.*)?$/.exec(text) ?? [];
  if (zone !== undefined && !/^%[A-Za-z0-9._-]+$/.test(zone)) return false;
  const halves = address.split("::");
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  const isIPv4 = groups.length > 0 && /^(\d{1,3}\.){3}\d{1,3}$/.test(groups.at(-1) as string);
  const hex = isIPv4 ? groups.slice(0, -1) : groups;
  if (!hex.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  const count = hex.length + (isIPv4 ? 2 : 0);
  return halves.length === 2 ? count < 8 : count === 8;
}

/** An IPv6 address without brackets, with a port behind it or without. */
function parseBare(text: string): HostPort {
  const [, host = "", port] = /^(.*):(\d+)$/.exec(text) ?? [];
  const isWhole = isIPv6(text);
  const hasPort = isIPv6(host) && Number(port) <= portMax;
  if (isWhole && hasPort)
    return { problem: `can be an address or one with a port: [${text}] or [${host}]:${port}` };
  if (isWhole) return { host: text, port: null };
  return hasPort ? withPort(host, port) : { problem: "is not host:port" };
}

function withPort(host: string, port: string | undefined): HostPort {
  if (port === undefined) return { host, port: null };
  if (Number(port) > portMax) return { problem: `has a port above ${portMax}` };
  return { host, port: Number(port) };
}
