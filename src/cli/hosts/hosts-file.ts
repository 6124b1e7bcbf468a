/**
 * The file that `paceline up` reads: a line for each host, with how ssh reaches it, what runs
 * there, and where that differs from what is usual. `#` begins a comment.
 *
 *     ada@10.0.0.1        coordinator server worker=2
 *     ada@10.0.0.2:2222   server worker=2   address=192.168.0.2 data-dir=/srv/data
 */
import { PacelineError } from "../../errors.js";
import { isIPv6, joinHostPort } from "../../protocol/host-port.js";
import { alternatives, didYouMean } from "../../suggest.js";

/** Roles of processes, in the order in which they are started. */
export const hostRoles = ["coordinator", "server", "worker"] as const;
/** One of them. */
export type HostRole = (typeof hostRoles)[number];

/** One line of the file. */
export interface Host {
  /** As written, without the port, for ssh. */
  readonly destination: string;
  /** Of ssh; null for its own default. */
  readonly sshPort: number | null;
  /** How many processes of each role. */
  readonly counts: Readonly<Record<HostRole, number>>;
  /** Where processes of other hosts reach those of this one. */
  readonly address: string;
  /** What processes listen on, where it is another. */
  readonly listen: string | null;
  /** Of its first server; those behind it have the next ones. Null for any free port. */
  readonly serverPort: number | null;
  /** The folder in which processes run, relative to the user's home. */
  readonly dir: string;
  /** How paceline is called there. */
  readonly program: readonly string[];
  readonly dataDir: string | null;
  /** For messages: the file and the line. */
  readonly where: string;
}

const keys = ["address", "listen", "server-port", "dir", "program", "node", "data-dir"] as const;
type Key = (typeof keys)[number];
const countMax = 1024;
const firstServerPort = 8001;

/**
 * The hosts of a file's text.
 * @throws PacelineError `usage` with the line and what to write instead.
 */
export function parseHosts(text: string, path: string): Host[] {
  const hosts: Host[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const words = line.replace(/(^|\s)#.*$/, "").trim();
    if (words !== "") hosts.push(parseHost(words.split(/\s+/), `${path}:${index + 1}`));
  }
  if (hosts.length === 0) {
    const example = '"10.0.0.1 coordinator server worker" and "10.0.0.2 worker=2"';
    throw usage(`${path} names no host; write a line for each, such as ${example}`);
  }
  demandOnce(hosts, "host", ({ destination, sshPort }) =>
    sshPort === null ? destination : `${destination}:${sshPort}`,
  );
  demandOnce(hosts, "address", ({ address }) => address);
  demandRoles(hosts, path);
  return hosts;
}

/** How many processes of a role all hosts have. */
export function countOf(hosts: readonly Host[], role: HostRole): number {
  return hosts.reduce((sum, { counts }) => sum + counts[role], 0);
}

function parseHost([first = "", ...words]: readonly string[], where: string): Host {
  const { destination, host, sshPort } = placeIn(first, where);
  const counts = { coordinator: 0, server: 0, worker: 0 };
  const values = new Map<Key, string>();
  for (const word of words) {
    const [name = "", value] = splitOnce(word);
    const role = hostRoles.find((one) => one === name);
    const key = keys.find((one) => one === name);
    if (role !== undefined) {
      if (counts[role] > 0) throw usage(`${where}: ${role} stands twice; write ${role}=N once`);
      counts[role] = countIn(role, value, where);
    } else if (key === undefined || value === undefined) throw unknownWord(word, where);
    else if (value === "") throw usage(`${where}: ${word} has no value; write one or leave it out`);
    else if (values.has(key)) throw usage(`${where}: ${key} stands twice; keep one of the two`);
    else values.set(key, value);
  }
  if (hostRoles.every((role) => counts[role] === 0)) {
    throw usage(`${where}: nothing runs on ${first}; write coordinator, server or worker`);
  }
  const program = values.get("program") ?? "paceline";
  const node = values.get("node") ?? (program.endsWith(".js") ? "node" : null);
  const listen = values.get("listen") ?? null;
  const port = values.get("server-port");
  return {
    ...{ destination, sshPort, counts, listen, where },
    address: values.get("address") ?? host,
    serverPort:
      port === undefined ? (listen === null ? null : firstServerPort) : portIn(port, where),
    dir: values.has("dir") ? dirIn(values.get("dir")!, where) : "paceline",
    program: node === null ? [program] : [node, program],
    dataDir: values.get("data-dir") ?? null,
  };
}

/** A folder; one that does not begin with / is in the user's own. */
function dirIn(text: string, where: string): string {
  const [first = "", ...rest] = text.split("/");
  if (first === "~") return rest.join("/") || ".";
  if (!first.startsWith("~")) return text;
  throw usage(`${where}: dir=${text} names another user's folder; write its whole path`);
}

/** `[user@]host[:port]`, an IPv6 address with a port in brackets. */
function placeIn(text: string, where: string) {
  const [, user = "", rest = ""] = /^([^@]*@)?(.*)$/.exec(text)!;
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(rest);
  const [, host = "", port] = bracketed ??
    (isIPv6(rest) ? null : /^([^:]*)(?::(.*))?$/.exec(rest)) ?? [rest, rest];
  const isName = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(host) || isIPv6(host);
  if (!isName || user === "@" || /^-/.test(user)) {
    throw usage(`${where}: ${text} is no host; write [USER@]HOST[:PORT], e.g. ada@10.0.0.1:22`);
  }
  const sshPort = port === undefined ? null : portIn(port, where);
  return { destination: `${user}${host}`, host, sshPort };
}

function countIn(role: HostRole, text: string | undefined, where: string): number {
  if (text === undefined) return 1;
  const count = Number(text);
  const most = role === "coordinator" ? 1 : countMax;
  if (/^\d+$/.test(text) && count >= 1 && count <= most) return count;
  throw usage(`${where}: ${role}=${text} is no number of processes; write 1 to ${most}`);
}

function portIn(text: string, where: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw usage(`${where}: ${text} is no port; write 1 to 65535`);
}

function unknownWord(word: string, where: string): PacelineError {
  const [name = ""] = splitOnce(word);
  const known = [...hostRoles, ...keys];
  const roles = alternatives(hostRoles);
  const settings = keys.map((key) => `${key}=`).join(", ");
  const sentence = `${where}: ${word} is no role and no setting${didYouMean(name, known)}`;
  return usage(`${sentence}; write ${roles}, with =N for several, or ${settings}`);
}

function demandOnce(hosts: readonly Host[], what: string, keyOf: (host: Host) => string): void {
  const first = new Map<string, Host>();
  for (const host of hosts) {
    const before = first.get(keyOf(host));
    if (before !== undefined) {
      const sentence = `${host.where}: ${what} ${keyOf(host)} stands in ${before.where} already`;
      const remedy =
        what === "host"
          ? "write all that runs there in one line"
          : "write address= where they differ";
      throw usage(`${sentence}; ${remedy}`);
    }
    first.set(keyOf(host), host);
  }
}

function demandRoles(hosts: readonly Host[], path: string): void {
  for (const role of hostRoles) {
    if (countOf(hosts, role) > 0) continue;
    throw usage(`${path}: no host has a ${role}; write ${role} behind one of them`);
  }
  const coordinators = hosts.filter(({ counts }) => counts.coordinator > 0);
  const [one, other] = coordinators;
  if (other === undefined) return;
  const places = `${one!.where} and ${other.where}`;
  throw usage(`${places}: a run has one coordinator; keep it in one of the two lines`);
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf("=");
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** An address and a port in one. */
export function addressOf({ address }: Host, port: number): string {
  return joinHostPort(address, port);
}

function usage(message: string): PacelineError {
  return new PacelineError("usage", message);
}
