/**
 * What each role of a cluster may say. A certificate names its role in a URI, paceline:role:worker;
 * calls of gRPC and kinds of chunk messages are allowed by role, and what no list names only the
 * coordinator and administrators may do.
 */
import type { ChunkKind } from "../../protocol/messages.js";

/** The roles that a certificate may name. */
export const clusterRoles = ["coordinator", "server", "worker", "admin"] as const;
/** One of them. */
export type ClusterRole = (typeof clusterRoles)[number];

const uriPrefix = "paceline:role:";

/** The URI that names a role in a certificate. */
export function roleUri(role: ClusterRole): string {
  return `${uriPrefix}${role}`;
}

/** The role that a URI names; null where it names none. */
export function roleOfUri(uri: string): ClusterRole | null {
  return clusterRoles.find((role) => roleUri(role) === uri) ?? null;
}

const members: readonly ClusterRole[] = ["server", "worker"];
const callers: readonly ClusterRole[] = ["coordinator", "admin"];

const coordinatorCalls: Readonly<Record<string, readonly ClusterRole[]>> = {
  Register: members,
  Heartbeat: members,
  Leave: members,
  ReadExamples: ["worker"],
  KeepResidual: ["worker"],
  ReadResidual: ["worker"],
};
const serverCalls: Readonly<Record<string, readonly ClusterRole[]>> = {
  Push: ["worker"],
  Pull: ["worker"],
  PushPull: ["coordinator", "server", "worker"],
};
/** Whether a process answers, and what its contract is, everyone with a certificate may ask. */
const openServices = /^\/grpc\.(health|reflection)\./;

/** True for calls that are answered without a token. */
export function isOpenCall(path: string): boolean {
  return openServices.test(path);
}

/** Who may make a gRPC call, by its path such as /paceline.v1.Coordinator/Status. */
export function rolesOfCall(path: string): readonly ClusterRole[] {
  if (isOpenCall(path)) return clusterRoles;
  const [, service = "", name = ""] = path.split("/");
  const calls = service.endsWith(".ParameterServer") ? serverCalls : coordinatorCalls;
  return Object.hasOwn(calls, name) ? calls[name]! : callers;
}

const kindsOfRole: Readonly<Record<ClusterRole, ReadonlySet<ChunkKind>>> = {
  coordinator: new Set(["hello", "load", "save", "copy", "discard", "mark", "cut"]),
  server: new Set(["hello", "follow", "received", "watch"]),
  worker: new Set(["hello", "push", "pull"]),
  admin: new Set(),
};

/** True where a role may send a server chunk messages of this kind. */
export function maySend(role: ClusterRole, kind: ChunkKind): boolean {
  return kindsOfRole[role].has(kind);
}
