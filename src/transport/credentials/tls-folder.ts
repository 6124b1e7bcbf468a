/**
 * The folder of --tls DIR, as one role sees it: ca.pem, the certificate of the cluster's authority;
 * <role>.pem and <role>-key.pem, the role's own; revoked.txt, serial numbers that are not good any
 * more, one a line, where there is such a file. They are read again when they change: connections
 * that are made later use them.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import { PacelineError } from "../../errors.js";
import { normalSerial, readCertificate } from "./certificate.js";
import type { ClusterRole } from "./roles.js";
import { isThere, readSecurityFile, WatchedFiles } from "./watched-files.js";

/** What a TLS connection is made with. */
export interface TlsMaterial {
  readonly options: TlsOptions;
  readonly context: SecureContext;
  readonly revoked: ReadonlySet<string>;
}

/** Where a process's certificates come from. */
export interface Certificates {
  /** What they are by now. */
  present(): TlsMaterial;
}

/** In the words of node:tls. Version 1.3 alone is spoken. */
export interface TlsOptions {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly minVersion: "TLSv1.3";
}

/** So long before its end a certificate is warned of. */
const warningMs = 14 * 86_400_000;

/** The file of the authority's certificate. */
export const authorityFile = "ca.pem";
/** The file of serial numbers that are not good any more. */
export const revokedFile = "revoked.txt";

/** The files of a role's certificate and key. */
export function filesOfRole(role: ClusterRole): { certificate: string; key: string } {
  return { certificate: `${role}.pem`, key: `${role}-key.pem` };
}

/** A folder in use. */
export class TlsFolder implements Certificates {
  readonly folder: string;
  readonly role: ClusterRole;
  readonly #files: WatchedFiles<TlsMaterial>;

  /** Throws "usage" with the remedy where the folder can't be used. */
  constructor(folder: string, role: ClusterRole, log: (text: string) => void) {
    this.folder = folder;
    this.role = role;
    const { certificate, key } = filesOfRole(role);
    const paths = [authorityFile, certificate, key, revokedFile].map((file) => join(folder, file));
    this.#files = new WatchedFiles(paths, () => readMaterial(folder, role, log), log);
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
    const remedy = `make it with: paceline certs add ${role} --out ${folder}`;
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
  if (!authorities.some((one) => own.checkIssued(one) && own.verify(one.publicKey))) {
    throw usage(`${path} is not of the authority of ${authorityFile} beside it; ${again}`);
  }
  if (facts.validToMs < Date.now()) {
    throw usage(`${path} expired at ${new Date(facts.validToMs).toISOString()}; ${again}`);
  }
  const material = materialOf({ ca, cert, key }, readRevoked(folder));
  if (facts.validToMs - Date.now() < warningMs) {
    log(`${path} expires at ${new Date(facts.validToMs).toISOString()}; ${again}`);
  }
  return material;
}

/** What connections are made with that have a certificate, its key and its authority. */
export function materialOf(
  pem: Omit<TlsOptions, "minVersion">,
  revoked: ReadonlySet<string> = new Set(),
): TlsMaterial {
  const options = { ...pem, minVersion: "TLSv1.3" } as const;
  return { options, context: createSecureContext(options), revoked };
}

/** Two authorities stand in one file while certificates of the one replace those of the other. */
function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  return (blocks ?? [pem]).map((block) => new X509Certificate(block));
}

/**
 * The serial numbers that are revoked; none where there is no such file.
 * @throws PacelineError "usage" where a line is none.
 */
export function readRevoked(folder: string): ReadonlySet<string> {
  const path = join(folder, revokedFile);
  if (!isThere(path)) return new Set();
  const lines = readSecurityFile(path, "the list", false).split(/\r?\n/);
  const serials = new Set<string>();
  for (const [index, line] of lines.entries()) {
    const text = line.replace(/#.*$/, "").trim();
    if (text === "") continue;
    const serial = normalSerial(text);
    if (serial === null) {
      const wanted = "write a serial number as paceline certs show prints it";
      throw usage(`line ${index + 1} of ${path} is no serial number; ${wanted}`);
    }
    serials.add(serial);
  }
  return serials;
}

function withRole(role: ClusterRole | null): string {
  return role === null ? "one without a role" : `a ${role}'s`;
}

function readable<Content>(path: string, read: () => Content): Content {
  try {
    return read();
  } catch (cause) {
    throw new PacelineError("usage", `${path} can't be read as PEM; is it whole?`, { cause });
  }
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
