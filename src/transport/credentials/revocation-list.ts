/**
 * The list of certificates that are not good any more (a CRL, RFC 5280): serial numbers, signed by
 * the authority that gave the certificates, so that nobody else can add to it or take from it. It
 * is a file beside ca.pem, which every process reads; `paceline certs revoke` makes it.
 *
 * Serial numbers are compared by judgePeer, and the list is not given to OpenSSL, which would want
 * one of each authority that ca.pem has and would not say why it refuses. The list is good until
 * its authority ends: a list that has grown old must not stop a cluster.
 */
import { createHash, createPrivateKey, sign, verify, X509Certificate } from "node:crypto";
import {
  type DerElement,
  derElement,
  derInteger,
  derObjectId,
  derTags,
  derTime,
  digitsOfInteger,
  readElements,
  readSequence,
} from "./der.js";
import type { MadeCertificate } from "./make-certificate.js";

/** A list, read. */
export interface RevocationList {
  /** Raised by each list of an authority. */
  readonly number: number;
  readonly revoked: readonly RevokedSerial[];
}

/** One line of it. */
export interface RevokedSerial {
  /** As `readCertificate` gives it. */
  readonly serial: string;
  readonly sinceMs: number;
}

/** An authority has signed the list, or none of those that were given has. */
export type ListOutcome = RevocationList | "of another authority";

const hashOfAlgorithm: ReadonlyMap<string, string> = new Map(
  [
    ["1.2.840.10045.4.3.2", "sha256"],
    ["1.2.840.10045.4.3.3", "sha384"],
    ["1.2.840.10045.4.3.4", "sha512"],
    ["1.2.840.113549.1.1.11", "sha256"],
    ["1.2.840.113549.1.1.12", "sha384"],
    ["1.2.840.113549.1.1.13", "sha512"],
  ].map(([name, hash]) => [derObjectId(name!).toString("hex"), hash!]),
);
const numberName = derObjectId("2.5.29.20");
const authorityKeyName = derObjectId("2.5.29.35");
/** Version 2, which has such fields. */
const version = derInteger("1");

/** A list of an authority in PEM. Keys of authorities are of the curve P-256. */
export function makeRevocationList(
  authority: MadeCertificate,
  { number, revoked }: RevocationList,
  nowMs: number = Date.now(),
): string {
  const certificate = new X509Certificate(authority.certificate);
  const algorithm = derElement(derTags.sequence, derObjectId("1.2.840.10045.4.3.2"));
  const lines = revoked.map(({ serial, sinceMs }) =>
    derElement(derTags.sequence, derInteger(serial), derTime(sinceMs)),
  );
  const { subject, keyBits } = partsOf(certificate);
  const fields = derElement(
    derTags.sequence,
    field(authorityKeyName, derElement(derTags.sequence, keyIdentifier(keyBits))),
    field(numberName, derInteger(number.toString(16))),
  );
  const body = derElement(
    derTags.sequence,
    ...[version, algorithm, subject, derTime(nowMs), derTime(Date.parse(certificate.validTo))],
    ...(lines.length === 0 ? [] : [derElement(derTags.sequence, ...lines)]),
    derElement(derTags.wrapped0, fields),
  );
  const signature = sign("sha256", body, createPrivateKey(authority.key));
  const bits = derElement(derTags.bitString, Buffer.of(0), signature);
  const list = derElement(derTags.sequence, body, algorithm, bits);
  const text = list.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN X509 CRL-----\n${text}\n-----END X509 CRL-----\n`;
}

/**
 * The lists that stand one after the other in a file in PEM.
 * @throws Error where it has none, or one that can't be read.
 */
export function readRevocationLists(
  pem: string,
  authorities: readonly X509Certificate[],
): ListOutcome[] {
  const blocks = pem.match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g);
  if (blocks === null) throw new Error("no list in PEM");
  return blocks.map((block) => {
    const der = Buffer.from(block.replaceAll(/-----[^-]+-----/g, ""), "base64");
    return readList(der, authorities);
  });
}

function readList(der: Buffer, authorities: readonly X509Certificate[]): ListOutcome {
  const [body, algorithm, bits, ...others] = readSequence(der);
  const isWhole = bits?.tag === derTags.bitString && bits.content[0] === 0 && others.length === 0;
  if (body === undefined || algorithm === undefined || !isWhole) throw new Error("no list of DER");
  const parts = readSequence(body.whole);
  // What is signed names how it is signed, too.
  const isSaid = parts.slice(0, 2).some(({ whole }) => whole.equals(algorithm.whole));
  const [name] = readSequence(algorithm.whole);
  const hash = hashOfAlgorithm.get(name?.whole.toString("hex") ?? "");
  if (!isSaid || hash === undefined) throw new Error("signed in a way that is not known here");
  const isSigned = authorities.some(({ publicKey }) =>
    verify(hash, body.whole, publicKey, bits.content.subarray(1)),
  );
  return isSigned ? contentOf(parts) : "of another authority";
}

/** Of version, algorithm, issuer, times, lines and fields the last two; each may be missing. */
function contentOf(parts: readonly DerElement[]): RevocationList {
  const times = parts.findLastIndex(({ tag }) => isTime(tag));
  const rest = parts.slice(times + 1);
  const lines = rest.find(({ tag }) => tag === derTags.sequence);
  const fields = rest.find(({ tag }) => tag === derTags.wrapped0);
  const revoked = readElements(lines?.content ?? Buffer.alloc(0)).map((line) => {
    const [serial, since] = readElements(line.content);
    if (serial === undefined || since === undefined) throw new Error("a line of DER is torn");
    return { serial: digitsOfInteger(serial), sinceMs: msOf(since) };
  });
  return { number: fields === undefined ? 0 : numberIn(fields), revoked };
}

function numberIn(fields: DerElement): number {
  for (const one of readSequence(fields.content)) {
    const parts = readElements(one.content);
    if (parts[0]?.whole.equals(numberName) !== true) continue;
    const [number] = readElements(parts.at(-1)!.content);
    if (number !== undefined) return Number.parseInt(digitsOfInteger(number), 16);
  }
  return 0;
}

function isTime(tag: number): boolean {
  return tag === derTags.utcTime || tag === derTags.generalizedTime;
}

function msOf({ tag, content }: DerElement): number {
  if (!isTime(tag)) throw new Error("no time of DER");
  const text = content.toString("ascii");
  // RFC 5280: of two digits, those from 50 on are of the century before.
  const century = tag === derTags.generalizedTime ? "" : Number(text.slice(0, 2)) < 50 ? 20 : 19;
  const iso = `${century}${text}`.replace(
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/,
    "$1-$2-$3T$4:$5:$6Z",
  );
  const ms = Date.parse(iso);
  if (Number.isNaN(ms)) throw new Error(`${text} is no time of DER`);
  return ms;
}

function field(name: Buffer, content: Buffer): Buffer {
  return derElement(derTags.sequence, name, derElement(derTags.octetString, content));
}

/** Tells the authority's key from others of the same name. */
function keyIdentifier(keyBits: Buffer): Buffer {
  return derElement(derTags.numbered0, createHash("sha1").update(keyBits).digest());
}

/** The name that a certificate is for, as it stands there, and its key. */
function partsOf(certificate: X509Certificate): { subject: Buffer; keyBits: Buffer } {
  const [body] = readSequence(certificate.raw);
  const parts = readSequence(body!.whole);
  const first = parts[0]?.tag === derTags.wrapped0 ? 1 : 0;
  const key = readSequence(parts[first + 5]!.whole).at(-1)!;
  return { subject: parts[first + 4]!.whole, keyBits: key.content.subarray(1) };
}
