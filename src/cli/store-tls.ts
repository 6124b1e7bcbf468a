/**
 * The folder of --store-tls DIR: ca.pem, the authority that the etcd's certificate is of, and where
 * the etcd asks for one, client.pem and client-key.pem. It is read again when it changes.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { PacelineError } from "../errors.js";
import type { EtcdMaterial, EtcdTls } from "../store/etcd/etcd-tls.js";
import { readable } from "../transport/credentials/tls-folder.js";
import { isThere, readSecurityFile, WatchedFiles } from "../transport/credentials/watched-files.js";

const [authority, certificate, key] = ["ca.pem", "client.pem", "client-key.pem"];

/**
 * Reads the folder.
 * @throws PacelineError `usage` with the remedy where it can't be used.
 */
export function openStoreTls(folder: string, log: (text: string) => void): EtcdTls {
  const paths = [authority, certificate, key].map((name) => join(folder, name!));
  return new WatchedFiles(paths, () => readContext(folder), log);
}

function readContext(folder: string): EtcdMaterial {
  const at = (name: string) => join(folder, name);
  const needed = [authority!];
  // One without the other is a mistake, neither is an etcd that asks for none.
  if (isThere(at(certificate!)) || isThere(at(key!))) needed.push(certificate!, key!);
  for (const name of needed) {
    if (isThere(at(name))) continue;
    const wanted = "it has ca.pem and, where the etcd asks for a certificate, client.pem and";
    throw usage(`--store-tls ${folder}: there is no ${name}; ${wanted} client-key.pem`);
  }
  const ca = readSecurityFile(at(authority!), "the certificate", false);
  readable(at(authority!), () => new X509Certificate(ca));
  if (needed.length === 1) {
    return { context: createSecureContext({ ca }), showsCertificate: false };
  }
  const cert = readSecurityFile(at(certificate!), "the certificate", false);
  const privateKey = readSecurityFile(at(key!), "the private key", true);
  const own = readable(at(certificate!), () => new X509Certificate(cert));
  const read = readable(at(key!), () => createPrivateKey(privateKey));
  if (!own.checkPrivateKey(read)) {
    throw usage(`${key} in ${folder} is not the key of ${certificate}; put both of one there`);
  }
  const endMs = Date.parse(own.validTo);
  if (endMs < Date.now()) {
    throw usage(`${at(certificate!)} expired at ${new Date(endMs).toISOString()}; make another`);
  }
  const context = createSecureContext({ ca, cert, key: privateKey });
  return { context, showsCertificate: true };
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
