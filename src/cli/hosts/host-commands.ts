/** Which processes run on which hosts, and with which words. */
import { PacelineError } from "../../errors.js";
import type { CommandName } from "../../options/option-row.js";
import { keysOf, type OptionKey, rowOf } from "../../options/options.js";
import type { Resolution } from "../../options/resolve.js";
import { withoutSecret } from "../../store/remote/remote-store.js";
import { addressOf, countOf, type Host, type HostRole } from "./hosts-file.js";

/** One process that is to be started. */
export interface HostProcess {
  readonly host: Host;
  readonly role: HostRole;
  /** As in `worker-1`; the rank is its place in the file. */
  readonly name: string;
  readonly command: readonly string[];
}

/** What a role's own place says, and nobody else. */
const ownKeys: readonly OptionKey[] = [
  ...(["coordinator", "host", "port", "advertise", "rank", "workerName"] as const),
  ...(["servers", "workers"] as const),
  // Several processes of a host can't have one socket; and what they say is followed.
  ...(["healthSocket", "quiet"] as const),
];

/**
 * All processes: the coordinator, the servers, the workers.
 * @throws PacelineError `usage` where the file and the options contradict each other.
 */
export function hostProcesses(hosts: readonly Host[], resolution: Resolution): HostProcess[] {
  const { options, origins } = resolution;
  demandPorts(hosts, resolution);
  demandGuard(hosts, resolution);
  demandNoSecret(hosts, resolution);
  const main = hosts.find(({ counts }) => counts.coordinator > 0)!;
  const coordinator = addressOf(main, options.port);
  const processes: HostProcess[] = [];
  const add = (host: Host, role: HostRole, index: number, words: readonly string[]) => {
    const data = host.dataDir === null || role === "server" ? [] : ["--data-dir", host.dataDir];
    const command = [...host.program, role, ...words, ...data, ...flagsOf(role, resolution, host)];
    processes.push({ host, role, name: `${role}-${index}`, command });
  };
  const listen = ["--host", main.listen ?? main.address, "--port", String(options.port)];
  const sizes = (["servers", "workers"] as const).flatMap((key) => {
    const count = countOf(hosts, key === "servers" ? "server" : "worker");
    const { min, max } = options[key];
    if (origins[key].kind === "default") return [`--${key}`, String(count)];
    if (min <= count && count <= max) return [`--${key}`, rowOf(key).type.print(options[key])];
    const written = `${origins[key].place} ${rowOf(key).type.print(options[key])}`;
    const sentence = `the hosts have ${count} ${key}, and ${written} takes ${min} to ${max}`;
    throw usage(`${sentence}; leave it out, or change the file`);
  });
  add(main, "coordinator", 0, [...listen, ...sizes]);
  for (const role of ["server", "worker"] as const) {
    let rank = 0;
    for (const host of hosts) {
      for (let index = 0; index < host.counts[role]; index++, rank++) {
        const own = role === "server" ? serverWords(host, index) : [];
        add(host, role, rank, ["--coordinator", coordinator, "--rank", String(rank), ...own]);
      }
    }
  }
  return processes;
}

function serverWords(host: Host, index: number): string[] {
  const port = host.serverPort === null ? 0 : host.serverPort + index;
  const words = ["--host", host.listen ?? host.address, "--port", String(port)];
  return host.listen === null ? words : [...words, "--advertise", addressOf(host, port)];
}

/** The options that were written somewhere, as flags of a role. */
function flagsOf(role: HostRole, { options, origins }: Resolution, host: Host): string[] {
  return keysOf(role as CommandName).flatMap((key) => {
    const { kind } = origins[key];
    const { name, type } = rowOf(key);
    if (ownKeys.includes(key) || kind === "default" || kind === "fast") return [];
    if (key === "dataDir" && host.dataDir !== null) return [];
    // A folder that this computer's environment names is one of this computer.
    const value = options[key];
    const isPath = /^(folder|file|place)$/.test(type.placeholder) && !String(value).includes("://");
    if (kind === "environment" && isPath) return [];
    if (type.placeholder === "") return [value === true ? `--${name}` : `--no-${name}`];
    return [`--${name}`, type.print(value)];
  });
}

/** Members are told where to go, and no two processes of a host can listen at one port. */
function demandPorts(hosts: readonly Host[], { options, origins }: Resolution): void {
  const { port } = options;
  if (origins.host.kind === "flag" || origins.host.kind === "set") {
    throw usage("--host is each host's own; write address= or listen= in the file of hosts");
  }
  if (port === 0) {
    throw usage("--port 0: members on other hosts have to know the port; write one, such as 8000");
  }
  for (const { counts, serverPort, where } of hosts) {
    if (serverPort === null || counts.server === 0) continue;
    const last = serverPort + counts.server - 1;
    const taken = `${where}: servers listen at the ports ${serverPort} to ${last}`;
    if (last > 65535) throw usage(`${taken}, and the last there is is 65535; write server-port=`);
    if (counts.coordinator === 0 || port < serverPort || port > last) continue;
    throw usage(`${taken}, and the coordinator at ${port}; write another server-port= or --port`);
  }
}

/** Anybody on a host may see the words that its processes are started with. */
function demandNoSecret(hosts: readonly Host[], { options }: Resolution): void {
  for (const dataDir of [options.dataDir, ...hosts.map((host) => host.dataDir)]) {
    if (dataDir === null || dataDir === withoutSecret(dataDir)) continue;
    const sentence = `the place of data ${withoutSecret(dataDir)} has a user or a password`;
    const remedy = "set PACELINE_DATA_DIR in the environment of each host, and leave it out here";
    throw usage(`${sentence}, which would stand in the process lists of the hosts; ${remedy}`);
  }
}

/** Roles that listen beyond loopback need a guard, or a word that there is to be none. */
function demandGuard(hosts: readonly Host[], { options }: Resolution): void {
  const isGuarded = options.tls !== null || options.tokenFile !== null || options.insecure;
  const beyond = hosts.find(({ address }) => !/^(127\.|localhost$|::1$)/.test(address));
  if (isGuarded || beyond === undefined) return;
  const sentence = `processes on ${beyond.address} listen to the network`;
  const remedy = "write --tls with a folder on the hosts, or --insecure";
  throw usage(`${sentence}; ${remedy}`);
}

function usage(message: string): PacelineError {
  return new PacelineError("usage", message);
}
