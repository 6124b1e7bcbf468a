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

/**
 * Takes an address apart.
 * @throws PacelineError `usage` with what is wrong and how it is written.
 */
export function parseEtcdAddress(text: string): EtcdAddress {
  const [, hosts, path = ""] = /^etcd:\/\/([^/?#@]+)(?:\/([^?#]*))?$/i.exec(text) ?? [];
  if (hosts === undefined) throw wrong(text, "is no address of an etcd");
  const endpoints = hosts.split(",").map((host) => endpointOf(text, host));
  const prefix = path.replaceAll(/^\/+|\/+$/g, "");
  if (/[^\w./-]/.test(prefix))
    throw wrong(text, "has a prefix with other than letters, digits, . _ - /");
  return { endpoints, prefix: prefix === "" ? prefixDefault : prefix };
}

function endpointOf(text: string, written: string): string {
  const parsed = parseHostPort(written);
  if ("problem" in parsed) throw wrong(text, `names the member ${JSON.stringify(written)}`);
  return joinHostPort(parsed.host, parsed.port ?? portDefault);
}

function wrong(text: string, what: string): PacelineError {
  return new PacelineError(
    "usage",
    `${text} ${what}; write etcd://host:2379 or etcd://a,b,c/prefix`,
  );
}
