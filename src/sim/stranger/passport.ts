/**
 * What a simulated process shows to those it comes to: the role that its certificate names, and the
 * cluster's token. What each role may say follows from production's lists (credentials/roles.ts).
 */
import { PacelineError } from "../../errors.js";
import {
  type ClusterRole,
  clusterRoles,
  maySend,
  rolesOfCall,
} from "../../transport/credentials/roles.js";
import type { ChunkReceiver } from "../../transport/transport.js";

/** What a process shows. */
export interface Passport {
  readonly role: ClusterRole;
  readonly token: string;
}

/** What each process of the cluster has been given. */
export const clusterToken = "the cluster's token";

/** That of a process of the cluster, which is named by its role. */
export function passportOf(node: string): Passport {
  const role = clusterRoles.find((one) => node.startsWith(one)) ?? "admin";
  return { role, token: clusterToken };
}

/** Throws "refused" where this call of the coordinator's is not for who shows this. */
export function demandMayCall(passport: Passport, call: string): void {
  demandToken(passport);
  const roles = rolesOfCall(`/paceline.v1.Coordinator/${call}`);
  if (roles.includes(passport.role)) return;
  throw refused(`a ${passport.role} may not call ${call}`);
}

/** Throws "refused" where a peer's certificate is not of the role that it says it has. */
export function demandRole({ role }: Passport, said: ClusterRole): void {
  if (role !== said) throw refused(`a ${role} may not speak as a ${said}`);
}

/** Throws "refused" where a peer has not said the cluster's token. */
export function demandToken({ token }: Passport): void {
  if (token !== clusterToken) throw refused("the token is not this cluster's");
}

/** A receiver that hears only what the role of its peer may say. */
export function limitedTo({ role }: Passport, receiver: ChunkReceiver): ChunkReceiver {
  return {
    onHeader: (header, payloadBytes) => {
      if (maySend(role, header.kind)) return receiver.onHeader(header, payloadBytes);
      throw refused(`a ${role} may not send ${header.kind} messages`);
    },
    onChunk: (header, destination) => receiver.onChunk(header, destination),
    onClose: (error) => receiver.onClose(error),
  };
}

function refused(sentence: string): PacelineError {
  return new PacelineError("refused", sentence);
}
