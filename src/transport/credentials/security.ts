/**
 * What a process shows to others and asks of them: certificates, the cluster's token, both or
 * neither. Where a folder or a file is given, every connection by a port is made with it, in either
 * direction; Unix sockets stay plain, as only their user reaches them.
 */
import type { X509Certificate } from "node:crypto";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { PacelineError } from "../../errors.js";
import { type CertificateFacts, readCertificate } from "./certificate.js";
import { revokedSentence } from "./peer-watch.js";
import type { ClusterRole } from "./roles.js";
import { type Certificates, filesOfRole, TlsFolder } from "./tls-folder.js";
import { TokenFile } from "./token-file.js";
import { isThere } from "./watched-files.js";

/** What a process is told of it. */
export interface SecuritySettings {
  /** A folder with certificates, as `paceline certs init` makes it; no TLS if left out. */
  readonly tls?: string | null;
  /** A file with the cluster's token; none is sent or asked for if left out. */
  readonly tokenFile?: string | null;
}

/** A process's credentials, and what it asks of its peers. */
export interface Security {
  readonly tls: Certificates | null;
  readonly token: TokenFile | null;
  log(text: string): void;
}

/** Whom a certificate names that has been found good. */
export interface Peer {
  readonly name: string;
  readonly role: ClusterRole;
  readonly serial: string;
  readonly certificate: X509Certificate;
  /** When it ends, by `performance.now`. */
  readonly goodUntilMs: number;
}

/**
 * Reads what the settings name; null where they name nothing.
 * @throws PacelineError "usage" with the remedy.
 */
export function openSecurity(
  role: ClusterRole,
  { tls = null, tokenFile = null }: SecuritySettings,
  log: (text: string) => void = () => {},
): Security | null {
  if (tls === null && tokenFile === null) return null;
  return {
    tls: tls === null ? null : new TlsFolder(tls, roleIn(tls, role), log),
    token: tokenFile === null ? null : new TokenFile(tokenFile, log),
    log,
  };
}

/** A coordinator may ask what an administrator may: its folder serves commands beside it too. */
function roleIn(folder: string, role: ClusterRole): ClusterRole {
  if (role !== "admin") return role;
  const has = (one: ClusterRole) => isThere(join(folder, filesOfRole(one).certificate));
  return !has("admin") && has("coordinator") ? "coordinator" : "admin";
}

/**
 * Whom the certificate of a finished handshake names.
 * @param whose "the certificate of 10.0.0.1:8000", for messages.
 * @throws PacelineError "refused" with what is wrong with it and the remedy.
 */
export function judgePeer(socket: TLSSocket, revoked: ReadonlySet<string>, whose: string): Peer {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    throw refused(`${whose} is missing: this cluster asks for one; give --tls DIR`);
  }
  const facts = readCertificate(certificate);
  const objection = objectionTo(facts, socket.authorized, String(socket.authorizationError ?? ""));
  if (objection !== null) throw refused(`${whose} ${objection}`);
  const { role, name, serial, validToMs } = facts;
  if (revoked.has(serial)) throw refused(`${whose} ${revokedSentence(serial, role)}`);
  if (role === null) throw refused(`${whose} names no role; make it with: paceline certs add`);
  const goodUntilMs = performance.now() + validToMs - Date.now();
  return { role, name, serial, certificate, goodUntilMs };
}

/** A session that is resumed is of an earlier handshake, so times are looked at here too. */
function objectionTo(facts: CertificateFacts, isAuthorized: boolean, code: string): string | null {
  const nowMs = Date.now();
  const { validFromMs, validToMs, role } = facts;
  if (validToMs < nowMs) {
    const remedy = `renew it with: paceline certs add ${role ?? "ROLE"} --out DIR`;
    return `expired at ${new Date(validToMs).toISOString()}; ${remedy}`;
  }
  if (validFromMs > nowMs) {
    const from = new Date(validFromMs).toISOString();
    return `is not valid before ${from}; are the clocks of both computers right?`;
  }
  if (isAuthorized) return null;
  if (code === "CERT_HAS_EXPIRED") {
    return "is of an authority that has expired; begin with another: paceline certs init";
  }
  if (code === "INVALID_PURPOSE" || code === "UNSUPPORTED_CERTIFICATE_PURPOSE") {
    return `is ${role === null ? "not" : `a ${role}'s, and not`} for this side of a connection`;
  }
  const remedy = "take those that one paceline certs init has made";
  return `is not of this cluster's authority (${code}); ${remedy}`;
}

function refused(sentence: string): PacelineError {
  return new PacelineError("refused", sentence);
}
