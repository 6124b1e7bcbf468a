/**
 * compose.yaml as words for podman: each service with everything that the file says of it. A key
 * that this does not know is an error, so that nothing of the file goes untried.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { parse } from "yaml";

/** The file itself. */
export const composePath = new URL("../../compose.yaml", import.meta.url);

/** One service. */
export interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly hostname?: string;
  readonly entrypoint?: readonly string[];
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly networks?: readonly string[];
  readonly network_mode?: string;
  readonly read_only?: boolean;
  readonly tmpfs?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly ulimits?: Readonly<Record<string, { readonly soft: number; readonly hard: number }>>;
  readonly restart?: string;
  readonly stop_grace_period?: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly deploy?: { readonly replicas: number };
}

/** The whole file. */
export interface ComposeFile {
  readonly name: string;
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, object>>;
  readonly volumes: Readonly<Record<string, object>>;
}

const serviceKeys = new Set(
  (
    "image build hostname entrypoint command environment volumes networks network_mode read_only " +
    "tmpfs cap_drop security_opt ulimits restart stop_grace_period depends_on deploy"
  ).split(" "),
);

/** Reads the file, and refuses what it does not know. */
export function readCompose(): ComposeFile {
  const file = parse(readFileSync(composePath, "utf8"), { merge: true }) as ComposeFile;
  for (const key of Object.keys(file)) {
    assert.ok(
      key.startsWith("x-") || ["name", "services", "networks", "volumes"].includes(key),
      key,
    );
  }
  for (const [name, service] of Object.entries(file.services)) {
    for (const key of Object.keys(service)) assert.ok(serviceKeys.has(key), `${name}: ${key}`);
    for (const volume of service.volumes) assert.ok(volume.split(":")[0]! in file.volumes, volume);
    for (const network of service.networks ?? []) assert.ok(network in file.networks, network);
  }
  return file;
}

/** A `$` of the container's own is written twice. */
export function interpolated(text: string): string {
  assert.doesNotMatch(text.replaceAll("$$", ""), /\$/, "no variables of the caller's are used");
  return text.replaceAll("$$", "$");
}

/** What `podman run` is told to start one container of a service. */
export function podmanWords(project: string, name: string, service: Service): string[] {
  const { hostname, entrypoint, environment = {}, ulimits = {}, networks = [] } = service;
  const words = networks.flatMap((one) => ["--network", `${project}-${one}`]);
  words.push("--network-alias", name);
  if (service.network_mode !== undefined) words.splice(0, 2, "--network", service.network_mode);
  if (hostname !== undefined) words.push("--hostname", hostname);
  if (entrypoint !== undefined) words.push("--entrypoint", JSON.stringify(entrypoint));
  for (const [key, value] of Object.entries(environment)) words.push("--env", `${key}=${value}`);
  for (const volume of service.volumes) words.push("--volume", `${project}-${volume}`);
  if (service.read_only === true) words.push("--read-only", "--read-only-tmpfs=false");
  for (const place of service.tmpfs ?? []) words.push("--tmpfs", `${place},mode=1777`);
  for (const capability of service.cap_drop ?? []) words.push("--cap-drop", capability);
  for (const option of service.security_opt ?? []) {
    words.push("--security-opt", option.replace(/:true$/, ""));
  }
  for (const [kind, { soft, hard }] of Object.entries(ulimits)) {
    words.push("--ulimit", `${kind}=${soft}:${hard}`);
  }
  if (service.restart !== undefined) words.push("--restart", service.restart);
  const grace = /^(\d+)s$/.exec(service.stop_grace_period ?? "10s");
  words.push("--stop-timeout", grace![1]!);
  return [...words, service.image, ...service.command.map(interpolated)];
}
