/**
 * The files that `paceline certs` makes: a folder with an authority, its key, and a certificate and
 * key for each role, as --tls takes it; below it folders for single computers, which have what one
 * process needs and not the authority's key. The authority's list of certificates that are not good
 * any more lies beside its certificate, there and below. Keys are readable by their owner alone.
 * Each file is written aside and renamed, so that who reads it meanwhile has the one before.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PacelineError } from "../../errors.js";
import { didYouMean } from "../../suggest.js";
import { errnoOf, reasonOf } from "../../system-reason.js";
import { type CertificateFacts, normalSerial, readCertificate } from "./certificate.js";
import {
  type CertificateRequest,
  type MadeCertificate,
  makeAuthority,
  makeCertificate,
  type Validity,
  validFor,
} from "./make-certificate.js";
import { makeRevocationList } from "./revocation-list.js";
import { type ClusterRole, clusterRoles } from "./roles.js";
import { authorityFile, filesOfRole, listFile, readAuthorities, readList } from "./tls-folder.js";
import { isThere, readSecurityFile } from "./watched-files.js";

/** A certificate of a folder. */
export interface ListedCertificate extends CertificateFacts {
  /** Its path in the folder. */
  readonly file: string;
}

const authorityKeyFile = "ca-key.pem";
const authorityDays = 3650;
/** Shorter words of such digits are names. */
const serialForm = /^[0-9A-Fa-f:]{12,}$/;

/** Makes an authority, and a certificate for each role; the paths of what was written. */
export async function initFolder(
  folder: string,
  hosts: readonly string[],
  days: number,
): Promise<string[]> {
  if (isThere(join(folder, authorityFile))) {
    const remedy = "add to it with paceline certs add, or name another folder";
    throw usage(`${folder} has an authority already; ${remedy}`);
  }
  makeFolder(folder);
  const authority = await makeAuthority(validFor(Math.max(days, authorityDays)));
  const made = await Promise.all(
    clusterRoles.map(async (role) => {
      const request = { role, name: role, hosts };
      return [role, await makeCertificate(authority, request, validFor(days))] as const;
    }),
  );
  const written = [write(folder, authorityKeyFile, authority.key, 0o600)];
  for (const [role, one] of made) written.push(...writeRole(folder, role, one));
  return [...written, write(folder, authorityFile, authority.certificate, 0o644)];
}

/**
 * Makes a certificate with a folder's authority: for a computer of its own in a folder below where
 * it is named, else in the place of the role's.
 */
export async function addCertificate(
  folder: string,
  request: Omit<CertificateRequest, "name"> & { readonly name: string | null },
  validity: Validity,
): Promise<string[]> {
  const authority = readAuthority(folder);
  const { role, name } = request;
  const made = await makeCertificate(authority, { ...request, name: name ?? role }, validity);
  if (name === null) return writeRole(folder, role, made);
  const own = join(folder, name);
  makeFolder(own);
  const written = writeRole(own, role, made);
  const list = join(folder, listFile);
  if (isThere(list)) {
    const pem = readSecurityFile(list, "the list", false);
    written.push(write(own, listFile, pem, 0o644));
  }
  return [...written, write(own, authorityFile, authority.certificate, 0o644)];
}

/** What has been revoked, and the paths of what was written. */
export interface Revocation {
  readonly revoked: readonly RevokedCertificate[];
  readonly written: readonly string[];
}

/** A certificate that is not good any more. */
export interface RevokedCertificate {
  readonly serial: string;
  /** Null of one that is not in the folder. */
  readonly certificate: ListedCertificate | null;
  /** It was in the list already. */
  readonly wasRevoked: boolean;
}

/**
 * Adds certificates to the list of a folder's authority, and writes it there and in the folders
 * below: each is named by its name, its file or its serial number.
 */
export function revokeCertificates(
  folder: string,
  wanted: readonly string[],
  nowMs: number = Date.now(),
): Revocation {
  const authority = readAuthority(folder);
  const listed = listFolder(folder).filter(({ isAuthority }) => !isAuthority);
  const found = new Map(
    wanted.flatMap((text) => named(listed, text, folder)).map((one) => [one.serial, one]),
  );
  const { number, lines } = readList(folder, readAuthorities(folder));
  const before = new Set(lines.map(({ serial }) => serial));
  const revoked = [...found].map(([serial, { certificate }]) => {
    return { serial, certificate, wasRevoked: before.has(serial) };
  });
  const added = revoked.filter(({ wasRevoked }) => !wasRevoked);
  const all = [...lines, ...added.map(({ serial }) => ({ serial, sinceMs: nowMs }))];
  const pem = makeRevocationList(authority, { number: number + 1, revoked: all }, nowMs);
  const below = readEntries(folder).map((name) => join(folder, name));
  const folders = [folder, ...below.filter((one) => isThere(join(one, authorityFile)))];
  return { revoked, written: folders.map((one) => write(one, listFile, pem, 0o644)) };
}

/** The certificates that a word names, which may be a serial number of one that is not here. */
function named(
  listed: readonly ListedCertificate[],
  text: string,
  folder: string,
): Omit<RevokedCertificate, "wasRevoked">[] {
  const serial = serialForm.test(text) ? normalSerial(text) : null;
  const found = listed.filter(
    (one) => one.name === text || one.file === text || one.serial === serial,
  );
  if (found.length > 0) return found.map((one) => ({ serial: one.serial, certificate: one }));
  if (serial !== null) return [{ serial, certificate: null }];
  if (text === authorityFile) {
    const remedy = "begin with another authority: paceline certs init";
    throw usage(`${text} is the authority, which no list of its own can revoke; ${remedy}`);
  }
  const names = [...new Set(listed.map(({ name }) => name))];
  const remedy = "see paceline certs show, or give the serial number";
  throw usage(`${folder} has no certificate ${text}${didYouMean(text, names)}; ${remedy}`);
}

/** The certificates of a folder and of those below it, the authority first. */
export function listFolder(folder: string): ListedCertificate[] {
  const inFolder = (path: string): string[] =>
    [authorityFile, ...clusterRoles.map((role) => filesOfRole(role).certificate)]
      .map((file) => join(path, file))
      .filter((file) => isThere(join(folder, file)));
  const entries = readEntries(folder);
  const below = entries.flatMap((name) => inFolder(name).filter((file) => !isAuthority(file)));
  return [...inFolder(""), ...below].map((file) => {
    const path = join(folder, file);
    const pem = readSecurityFile(path, "the certificate", false);
    try {
      return { file, ...readCertificate(pem) };
    } catch (cause) {
      const sentence = `${path} can't be read as a certificate; is it whole?`;
      throw new PacelineError("usage", sentence, { cause });
    }
  });
}

function isAuthority(file: string): boolean {
  return file.endsWith(authorityFile);
}

function readEntries(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.flatMap((one) => (one.isDirectory() ? [one.name] : [])).sort();
  } catch (cause) {
    const remedy = "name the folder that paceline certs init has made";
    const sentence = `can't read the folder ${folder} (${reasonOf(cause)})`;
    throw new PacelineError("usage", `${sentence}; ${remedy}`, { cause });
  }
}

function readAuthority(folder: string): MadeCertificate {
  const path = join(folder, authorityKeyFile);
  if (!isThere(path)) {
    const remedy = "name the folder that paceline certs init has made";
    throw usage(`${folder} has no ${authorityKeyFile}, so nothing can be signed there; ${remedy}`);
  }
  const key = readSecurityFile(path, "the private key", true);
  const certificate = readSecurityFile(join(folder, authorityFile), "the certificate", false);
  return { key, certificate };
}

function writeRole(folder: string, role: ClusterRole, made: MadeCertificate): string[] {
  const { certificate, key } = filesOfRole(role);
  const first = write(folder, key, made.key, 0o600);
  return [first, write(folder, certificate, made.certificate, 0o644)];
}

function write(folder: string, name: string, text: string, mode: number): string {
  const path = join(folder, name);
  const aside = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    writeFileSync(aside, text, { mode, flag: "wx", flush: true });
    chmodSync(aside, mode);
    renameSync(aside, path);
  } catch (cause) {
    const sentence = `can't write ${path} (${reasonOf(cause)})`;
    throw new PacelineError("storage", `${sentence}; choose another --out`, { cause });
  }
  return path;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    if (errnoOf(cause) === "EEXIST") return;
    const remedy = "is there a folder to make it in?";
    const sentence = `can't make the folder ${path} (${reasonOf(cause)})`;
    throw new PacelineError("storage", `${sentence}; ${remedy}`, { cause });
  }
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}
