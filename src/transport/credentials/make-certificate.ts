/**
 * Makes the certificates of a cluster: an authority of its own, and for each process one that names
 * its role. Keys are of the curve P-256. A member that only calls others gets a certificate that is
 * not good for serving, so that TLS itself refuses it there.
 */
import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import { PacelineError } from "../../errors.js";
import { type ClusterRole, roleUri } from "./roles.js";

/** A certificate and its key in PEM. */
export interface MadeCertificate {
  readonly certificate: string;
  readonly key: string;
}

/** Since when and until when a certificate is good. */
export interface Validity {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What a certificate says. */
export interface CertificateRequest {
  readonly role: ClusterRole;
  readonly name: string;
  /** Names and IP addresses at which it is good; at any where there are none. */
  readonly hosts: readonly string[];
}

const dayMs = 86_400_000;
/** The clocks of a cluster may differ by as much: a wrong time zone is of hours. */
const earlyMs = 86_400_000;
const keys = { keyType: "ec", curve: "P-256", algorithm: "sha256" } as const;
/** Roles that others call. */
const servingRoles: readonly ClusterRole[] = ["coordinator", "server"];

/** Good for so many days, and for the day before. */
export function validFor(days: number, nowMs: number = Date.now()): Validity {
  return { fromMs: nowMs - earlyMs, toMs: nowMs + days * dayMs };
}

/** Makes an authority; its name has a number, so that two of them are told apart. */
export async function makeAuthority(validity: Validity): Promise<MadeCertificate> {
  const { generate } = await import("selfsigned");
  const name = `Paceline cluster ${randomBytes(4).toString("hex")}`;
  const made = await generate([{ name: "commonName", value: name }], {
    ...keys,
    ...datesOf(validity),
    extensions: [
      { name: "basicConstraints", cA: true, pathLenConstraint: 0, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { certificate: made.cert, key: made.private };
}

/** Makes a certificate; throws "usage" where a name or a host can't stand in one. */
export async function makeCertificate(
  authority: MadeCertificate,
  { role, name, hosts }: CertificateRequest,
  validity: Validity,
): Promise<MadeCertificate> {
  demandPlain("--name", name, /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
  for (const host of hosts) {
    if (isIP(host) === 0) demandPlain("--host", host, /^(\*\.)?[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/);
  }
  const { generate } = await import("selfsigned");
  const serves = servingRoles.includes(role);
  const made = await generate([{ name: "commonName", value: name }], {
    ...keys,
    ...datesOf(validity),
    ca: { key: authority.key, cert: authority.certificate },
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", clientAuth: true, ...(serves ? { serverAuth: true } : {}) },
      {
        name: "subjectAltName",
        altNames: [{ type: 6, value: roleUri(role) }, ...hosts.map(named)],
      },
    ],
  });
  return { certificate: made.cert, key: made.private };
}

function named(host: string) {
  return isIP(host) === 0 ? ({ type: 2, value: host } as const) : ({ type: 7, ip: host } as const);
}

function datesOf({ fromMs, toMs }: Validity) {
  return { notBeforeDate: new Date(fromMs), notAfterDate: new Date(toMs) };
}

function demandPlain(flag: string, value: string, form: RegExp): void {
  if (form.test(value)) return;
  const wanted = "write letters, digits, dots and hyphens, such as node-3";
  throw new PacelineError(
    "usage",
    `${flag} ${value || '""'} can't stand in a certificate; ${wanted}`,
  );
}
