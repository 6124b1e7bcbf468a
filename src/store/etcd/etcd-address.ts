/**
 * Where an etcd is, as people write it: `etcd://host:2379`, with the other members of its cluster
 * behind commas, and behind a slash the prefix of the keys, which two clusters of one etcd must
 * not share: `etcd://a:2379,b:2379,c:2379/paceline/team`.
 */
import { PacelineError } from "../../errors.js";
import { joinHostPort, parseHostPort } from "../../protocol/host-port.js";

/** The parts of an address. */
export interface EtcdAddress {
  /** host:port of each member, in the order in which they are tried. */
  readonly endpoints: readonly string[];
  /** What every key begins with; no slash at either end. */
  readonly prefix: string;
}

const portDefault = 2379;
const prefixDefault = "paceline";

/** True where a place is meant to be an etcd. */
export function isEtcd(place: string): boolean {
  return /^etcd:/i.test(place);
}

/** An address taken apart, or what is wrong with it, to follow it. */
export function etcdAddressIn(
  text: string,
): { readonly value: EtcdAddress } | { readonly problem: string } {
  const [, hosts, path = ""] = /^etcd:\/\/([^/?#@]+)(?:\/([^?#]*))?$/i.exec(text) ?? [];
  if (hosts === undefined) return { problem: "is no address of an etcd" };
  const endpoints: string[] = [];
  for (const written of hosts.split(",")) {
    const parsed = parseHostPort(written);
    if ("problem" in parsed) return { problem: `names the member ${JSON.stringify(written)}` };
    endpoints.push(joinHostPort(parsed.host, parsed.port ?? portDefault));
  }
  const prefix = path.replaceAll(/^\/+|\/+$/g, "");
  if (/[^\w./-]/.test(prefix)) {
    return { problem: "has a prefix with other than letters, digits, . _ - and /" };
  }
  return { value: { endpoints, prefix: prefix === "" ? prefixDefault : prefix } };
}

/**
 * Takes an address apart.
 * @throws PacelineError `usage` with what is wrong and how it is written.
 */
export function parseEtcdAddress(text: string): EtcdAddress {
  const parsed = etcdAddressIn(text);
  if ("value" in parsed) return parsed.value;
  const form = "write etcd://host:2379 or etcd://a,b,c/prefix";
  throw new PacelineError("usage", `${text} ${parsed.problem}; ${form}`);
}
