/**
 * What Paceline reads in a certificate: whom it names, in which role, at which hosts, until when.
 * A certificate without hosts is good at any address: what counts is the role, which only the
 * cluster's own authority gives. One that names hosts is good at these alone.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { type ClusterRole, roleOfUri } from "./roles.js";

/** So many certificates are between one and its authority at most. */
const chainMax = 8;

/** A certificate, read. */
export interface CertificateFacts {
  readonly name: string;
  /** Null where it names none, or several. */
  readonly role: ClusterRole | null;
  /** Upper-case hexadecimal digits without leading zeros. */
  readonly serial: string;
  readonly hosts: readonly string[];
  readonly validFromMs: number;
  readonly validToMs: number;
  readonly isAuthority: boolean;
}

/** Reads a certificate in PEM or DER; throws where it is none. */
export function readCertificate(given: X509Certificate | string | Buffer): CertificateFacts {
  const certificate = given instanceof X509Certificate ? given : new X509Certificate(given);
  const names = alternativeNames(certificate.subjectAltName);
  const roles = names.flatMap(([kind, value]) => (kind === "URI" ? [roleOfUri(value)] : []));
  const hosts = names.filter(([kind]) => kind === "DNS" || kind === "IP Address");
  return {
    name: /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? "",
    role: roles.length === 1 ? roles[0]! : null,
    serial: normalSerial(certificate.serialNumber) ?? "0",
    hosts: hosts.map(([, value]) => value),
    validFromMs: Date.parse(certificate.validFrom),
    validToMs: Date.parse(certificate.validTo),
    isAuthority: certificate.ca,
  };
}

/** A serial number as it is compared; null where the text is none. */
export function normalSerial(text: string): string | null {
  const digits = text
    .trim()
    .replaceAll(":", "")
    .toUpperCase()
    .replace(/^0+(?=.)/, "");
  return /^[0-9A-F]{1,64}$/.test(digits) ? digits : null;
}

/** True where a certificate is good at a host, which may be an IP address. */
export function isGoodAt(certificate: X509Certificate, host: string): boolean {
  if (readCertificate(certificate).hosts.length === 0) return true;
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  const found = isIP(bare) === 0 ? certificate.checkHost(bare) : certificate.checkIP(bare);
  return found !== undefined;
}

/**
 * The authority that a certificate is of, itself or by those between that came with it; null where
 * there is none.
 */
export function issuerIn(
  authorities: readonly X509Certificate[],
  certificate: X509Certificate,
): X509Certificate | null {
  let present: X509Certificate | undefined = certificate;
  for (let depth = 0; present !== undefined && depth < chainMax; depth++) {
    const child: X509Certificate = present;
    const found = authorities.find((one) => child.checkIssued(one) && child.verify(one.publicKey));
    if (found !== undefined) return found;
    present = child.issuerCertificate;
  }
  return null;
}

/**
 * The names in the form that Node prints them, "URI:a, DNS:b". It quotes a value that could be
 * mistaken for several; no name of Paceline's needs that, so such a certificate names nothing.
 */
function alternativeNames(text: string | undefined): (readonly [kind: string, value: string])[] {
  if (text === undefined || text.includes('"')) return [];
  return text.split(", ").map((name) => {
    const colon = name.indexOf(":");
    return [name.slice(0, colon), name.slice(colon + 1)] as const;
  });
}
