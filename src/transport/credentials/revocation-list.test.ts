import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { authorityOf, cluster, makeCluster } from "../testing/test-certificates.js";
import { readCertificate } from "./certificate.js";
import { makeRevocationList, readRevocationLists } from "./revocation-list.js";

const authority = authorityOf(cluster);
const authorities = [new X509Certificate(authority.certificate)];
const pemOf = (role: string) => readFileSync(join(cluster, `${role}.pem`), "utf8");
const keyOf = (role: string) => readFileSync(join(cluster, `${role}-key.pem`), "utf8");
const second = Date.UTC(2031, 1, 3, 4, 5, 6);
const late = Date.UTC(2053, 1, 3, 4, 5, 6);
const list = {
  number: 260,
  revoked: [
    { serial: readCertificate(pemOf("worker")).serial, sinceMs: second },
    { serial: "80", sinceMs: late },
    { serial: "7F", sinceMs: Date.UTC(1999, 11, 31, 23, 59, 59) },
  ],
};
const pem = makeRevocationList(authority, list);

test("a list is read as it was made, of few lines, of none and of thousands", () => {
  assert.deepEqual(readRevocationLists(pem, authorities), [list]);
  const none = { number: 1, revoked: [] };
  const many = {
    number: 0,
    revoked: Array.from({ length: 5000 }, (_, index) => {
      return { serial: (index + 1).toString(16).toUpperCase(), sinceMs: second };
    }),
  };
  const both = makeRevocationList(authority, none) + makeRevocationList(authority, many);
  assert.deepEqual(readRevocationLists(both, authorities), [none, many]);
});

test("OpenSSL takes it, and refuses by it whom it names", async () => {
  const words = { ca: authority.certificate, crl: pem };
  const server = createServer({
    ...words,
    ...{ cert: pemOf("server"), key: keyOf("server"), requestCert: true },
    rejectUnauthorized: false,
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  for (const [role, error] of [
    ["worker", "CERT_REVOKED"],
    ["admin", null],
  ] as const) {
    const entered = once(server, "secureConnection");
    const socket = connect({
      ...{ ...words, port, host: "127.0.0.1", cert: pemOf(role), key: keyOf(role) },
      checkServerIdentity: () => undefined,
    });
    socket.on("error", () => {});
    const [seen] = (await entered) as [TLSSocket];
    assert.equal(seen.authorizationError ?? null, error, role);
    socket.destroy();
    seen.destroy();
  }
  server.close();
});

test("a list of another authority, or with another line, is none of this one", async () => {
  const other = authorityOf(await makeCluster());
  const foreign = makeRevocationList(other, list);
  assert.deepEqual(readRevocationLists(foreign + pem, authorities), ["of another authority", list]);
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ""), "base64");
  const end = Buffer.from(list.revoked[0]!.serial.slice(-8), "hex");
  der[der.indexOf(end)]! ^= 1;
  assert.deepEqual(readRevocationLists(pemBlock(der), authorities), ["of another authority"]);
});

test("what is torn is an error wherever it is cut, and other bytes are never a list", () => {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----/g, ""), "base64");
  for (let length = 0; length < der.length; length++) {
    assert.throws(() => readRevocationLists(pemBlock(der.subarray(0, length)), authorities));
  }
  for (let at = 0; at < der.length; at++) {
    const other = Buffer.from(der);
    other[at]! ^= 0x55;
    let outcome: unknown = "of another authority";
    try {
      [outcome] = readRevocationLists(pemBlock(other), authorities);
    } catch (thrown) {
      assert.ok(thrown instanceof Error);
    }
    assert.equal(outcome, "of another authority", `byte ${at}`);
  }
  assert.throws(() => readRevocationLists("nothing", authorities), /no list in PEM/);
});

function pemBlock(der: Buffer): string {
  return `-----BEGIN X509 CRL-----\n${der.toString("base64")}\n-----END X509 CRL-----\n`;
}
