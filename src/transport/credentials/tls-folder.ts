/**
 * The folder of --tls DIR, as one role sees it: ca.pem, the certificate of the cluster's authority;
 * <role>.pem and <role>-key.pem, the role's own; crl.pem, the authority's list of certificates that
 * are not good any more, and revoked.txt, serial numbers of further ones, where there are such
 * files. They are read again when they change: connections that are made later use them, and those
 * that are there are judged by them again.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import { PacelineError } from "../../errors.js";
import { issuerIn, normalSerial, readCertificate } from "./certificate.js";
import { PeerWatch, revokedSentence } from "./peer-watch.js";
import { type RevokedSerial, readRevocationLists } from "./revocation-list.js";
import type { ClusterRole } from "./roles.js";
import { isThere, readSecurityFile, WatchedFiles } from "./watched-files.js";

/** What a TLS connection is made with. */
export interface TlsMaterial {
  readonly options: TlsOptions;
  readonly context: SecureContext;
  /** Those of which the peers' certificates have to be. */
  readonly authorities: readonly X509Certificate[];
  readonly revoked: ReadonlySet<string>;
}

/** Where a process's certificates come from. */
export interface Certificates {
  /** What they are by now. */
  present(): TlsMaterial;
  /** The connections that were made with them. */
  readonly peers: PeerWatch;
}

/** In the words of node:tls. Version 1.3 alone is spoken. */
export interface TlsOptions {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly minVersion: "TLSv1.3";
  readonly ciphers: string;
  readonly honorCipherOrder: true;
}

/** All of version 1.3's, the fastest first where a processor has instructions for AES. */
const ciphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/** So long before its end a certificate is warned of. */
const warningMs = 14 * 86_400_000;

/** The file of the authority's certificate. */
export const authorityFile = "ca.pem";
/** The file of the authority's list of certificates that are not good any more. */
export const listFile = "crl.pem";
/** The file of serial numbers that are not good either. */
const serialsFile = "revoked.txt";

/** The files of a role's certificate and key. */
export function filesOfRole(role: ClusterRole): { certificate: string; key: string } {
  return { certificate: `${role}.pem`, key: `${role}-key.pem` };
}

/** A folder in use. */
export class TlsFolder implements Certificates {
  readonly folder: string;
  readonly role: ClusterRole;
  readonly peers: PeerWatch;
  readonly #files: WatchedFiles<TlsMaterial>;

  /** Throws "usage" with the remedy where the folder can't be used. */
  constructor(folder: string, role: ClusterRole, log: (text: string) => void) {
    this.folder = folder;
    this.role = role;
    const { certificate, key } = filesOfRole(role);
    const names = [authorityFile, certificate, key, listFile, serialsFile];
    const paths = names.map((file) => join(folder, file));
    this.#files = new WatchedFiles(paths, () => readMaterial(folder, role, log), log);
    this.peers = new PeerWatch(() => this.present(), log);
  }

  /** What the files hold. */
  present(): TlsMaterial {
    return this.#files.present();
  }
}

function readMaterial(folder: string, role: ClusterRole, log: (text: string) => void): TlsMaterial {
  const names = filesOfRole(role);
  const path = join(folder, names.certificate);
  if (!isThere(path)) {
    const verb = isThere(join(folder, authorityFile)) ? `add ${role}` : "init";
    const remedy = `make it with: paceline certs ${verb} --out ${folder}`;
    throw usage(`--tls ${folder}: there is no ${names.certificate}; ${remedy}`);
  }
  const ca = readSecurityFile(join(folder, authorityFile), "the certificate", false);
  const cert = readSecurityFile(path, "the certificate", false);
  const key = readSecurityFile(join(folder, names.key), "the private key", true);
  const again = `make it again with: paceline certs add ${role} --out ${folder}`;
  const facts = readable(path, () => readCertificate(cert));
  if (facts.role !== role) {
    throw usage(`${path} is no ${role}'s certificate, but ${withRole(facts.role)}; ${again}`);
  }
  const authorities = readable(join(folder, authorityFile), () => certificatesIn(ca));
  const own = new X509Certificate(cert);
  const privateKey = readable(join(folder, names.key), () => createPrivateKey(key));
  if (!own.checkPrivateKey(privateKey)) {
    throw usage(`${names.key} in ${folder} is not the key of ${names.certificate}; ${again}`);
  }
  if (issuerIn(authorities, own) === null) {
    throw usage(`${path} is not of the authority of ${authorityFile} beside it; ${again}`);
  }
  if (facts.validToMs < Date.now()) {
    throw usage(`${path} expired at ${new Date(facts.validToMs).toISOString()}; ${again}`);
  }
  const revoked = readRevoked(folder, authorities);
  const material = materialOf({ ca, cert, key }, revoked);
  if (revoked.has(facts.serial)) {
    log(`${path} ${revokedSentence(facts.serial, role)}: others refuse this process`);
  }
  if (facts.validToMs - Date.now() < warningMs) {
    log(`${path} expires at ${new Date(facts.validToMs).toISOString()}; ${again}`);
  }
  return material;
}

/** What connections are made with that have a certificate, its key and its authority. */
export function materialOf(
  pem: Pick<TlsOptions, "ca" | "cert" | "key">,
  revoked: ReadonlySet<string> = new Set(),
): TlsMaterial {
  const options = { ...pem, minVersion: "TLSv1.3", ciphers, honorCipherOrder: true } as const;
  const authorities = certificatesIn(pem.ca);
  return { options, context: createSecureContext(options), authorities, revoked };
}

/** Two authorities stand in one file while certificates of the one replace those of the other. */
function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  return (blocks ?? [pem]).map((block) => new X509Certificate(block));
}

/**
 * The serial numbers that a folder says are revoked; none where it has no such file.
 * @throws PacelineError "usage" where a file can't be read, or is not of one of the authorities.
 */
export function readRevoked(
  folder: string,
  authorities: readonly X509Certificate[],
): ReadonlySet<string> {
  const { lines } = readList(folder, authorities);
  return new Set([...lines.map(({ serial }) => serial), ...readSerials(folder)]);
}

/**
 * The lines of the authorities' lists in a folder, and the highest number of these lists.
 * @throws PacelineError "usage" where the file can't be read, or is not of one of the authorities.
 */
export function readList(
  folder: string,
  authorities: readonly X509Certificate[],
): { readonly number: number; readonly lines: readonly RevokedSerial[] } {
  const path = join(folder, listFile);
  if (!isThere(path)) return { number: 0, lines: [] };
  const pem = readSecurityFile(path, "the list", false);
  const lists = readable(path, () => readRevocationLists(pem, authorities)).map((list) => {
    if (list !== "of another authority") return list;
    const remedy = "copy it from where paceline certs revoke has made it";
    throw usage(`${path} is not of an authority of ${authorityFile} beside it; ${remedy}`);
  });
  const number = Math.max(...lists.map((list) => list.number));
  return { number, lines: lists.flatMap(({ revoked }) => revoked) };
}

function readSerials(folder: string): string[] {
  const path = join(folder, serialsFile);
  if (!isThere(path)) return [];
  const lines = readSecurityFile(path, "the list", false).split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const text = line.replace(/#.*$/, "").trim();
    if (text === "") return [];
    const serial = normalSerial(text);
    if (serial !== null) return [serial];
    const wanted = "write a serial number as paceline certs show prints it";
    throw usage(`line ${index + 1} of ${path} is no serial number; ${wanted}`);
  });
}

/**
 * The authorities of a folder.
 * @throws PacelineError "usage" where their file can't be read.
 */
export function readAuthorities(folder: string): X509Certificate[] {
  const path = join(folder, authorityFile);
  const pem = readSecurityFile(path, "the certificate", false);
  return readable(path, () => certificatesIn(pem));
}

function withRole(role: ClusterRole | null): string {
  return role === null ? "one without a role" : `a ${role}'s`;
}

/** What a file of PEM holds; a usage error where it is none. */
export function readable<Content>(path: string, read: () => Content): Content {
  try {
    return read();
  } catch (cause) {
    throw new PacelineError("usage", `${path} can't be read as PEM; is it whole?`, { cause });
  }
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
