/** Certificates of a cluster for tests, made once a process, and processes that have them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { initFolder } from "../credentials/certificate-folder.js";
import {
  type CertificateRequest,
  type MadeCertificate,
  makeCertificate,
  type Validity,
  validFor,
} from "../credentials/make-certificate.js";
import { PeerWatch } from "../credentials/peer-watch.js";
import type { ClusterRole } from "../credentials/roles.js";
import { openSecurity, type Security } from "../credentials/security.js";
import { materialOf } from "../credentials/tls-folder.js";
import { createMemberTransport } from "../frames/member-transport.js";
import type { Transport } from "../transport.js";

const root = mkdtempSync(join(tmpdir(), "paceline-certificates-"));
after(() => rmSync(root, { recursive: true }));
let folders = 0;

/** A folder of its own below one that goes with the process. */
export function freshFolder(): string {
  folders += 1;
  return join(root, `${folders}`);
}

/** Makes the certificates of another cluster. */
export async function makeCluster(hosts: readonly string[] = []): Promise<string> {
  const folder = freshFolder();
  await initFolder(folder, hosts, 30);
  return folder;
}

/** The folder of the cluster that most tests are in. */
export const cluster = await makeCluster();

/** The authority of a folder. */
export function authorityOf(folder: string): MadeCertificate {
  const read = (name: string) => readFileSync(join(folder, name), "utf8");
  return { certificate: read("ca.pem"), key: read("ca-key.pem") };
}

/** A process of a role. */
export function processOf(role: ClusterRole, tls: string | null = cluster): Transport {
  return transportWith(openSecurity(role, { tls }));
}

/** A process with these credentials. */
export function transportWith(security: Security | null, ioTimeoutMs = 5000): Transport {
  return createMemberTransport({ ioTimeoutMs, security });
}

/**
 * Credentials with a certificate of a folder's authority that no folder has, as `openSecurity`
 * would refuse it, for a process that trusts the authority of another.
 */
export async function madeSecurity(
  request: Partial<CertificateRequest> & { readonly role: ClusterRole },
  validity: Validity = validFor(1),
  folder: string = cluster,
  trusting: string = cluster,
): Promise<Security> {
  const authority = authorityOf(folder);
  const whole = { name: "made", hosts: [], ...request };
  const { certificate, key } = await makeCertificate(authority, whole, validity);
  const trusted = readFileSync(join(trusting, "ca.pem"), "utf8");
  const material = materialOf({ ca: trusted, cert: certificate, key });
  const log = () => {};
  const present = () => material;
  return { tls: { present, peers: new PeerWatch(present, log) }, token: null, log };
}
