import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { coordinatorMethods, parameterServerMethods } from "../grpc/methods.js";
import { authorityOf, cluster, freshFolder, makeCluster } from "../testing/test-certificates.js";
import { normalSerial, readCertificate } from "./certificate.js";
import {
  addCertificate,
  initFolder,
  listFolder,
  revokeCertificates,
} from "./certificate-folder.js";
import { makeCertificate, validFor } from "./make-certificate.js";
import { clusterRoles, rolesOfCall } from "./roles.js";
import { openSecurity } from "./security.js";
import { readAuthorities, readList, TlsFolder } from "./tls-folder.js";
import { TokenFile } from "./token-file.js";
import { isTooOpen } from "./watched-files.js";

const quiet = () => {};

describe("a folder of certificates", () => {
  test("has an authority and one certificate a role, whose keys only their owner reads", () => {
    const listed = listFolder(cluster);
    assert.deepEqual(
      listed.map(({ file, role, isAuthority }) => [file, role, isAuthority]),
      [["ca.pem", null, true], ...clusterRoles.map((role) => [`${role}.pem`, role, false])],
    );
    assert.equal(new Set(listed.map(({ serial }) => serial)).size, 5);
    for (const name of readdirSync(cluster).filter((one) => one.endsWith("-key.pem"))) {
      assert.equal(statSync(join(cluster, name)).mode & 0o777, 0o600, name);
    }
    assert.equal(statSync(cluster).mode & 0o777, 0o700);
    const days = (listed[1]!.validToMs - Date.now()) / 86_400_000;
    assert.ok(days > 29 && days <= 30, `${days} days`);
    assert.ok(listed[0]!.validToMs > listed[1]!.validToMs);
  });

  test("is not begun twice", async () => {
    await assert.rejects(initFolder(cluster, [], 30), /has an authority already.*certs add/);
  });

  test("gives one computer what it needs, without the authority's key", async () => {
    const folder = await makeCluster();
    const request = { role: "worker", name: "node-3", hosts: ["node-3", "10.0.0.3"] } as const;
    await addCertificate(folder, request, validFor(5));
    const own = join(folder, "node-3");
    assert.deepEqual(readdirSync(own).sort(), ["ca.pem", "worker-key.pem", "worker.pem"]);
    assert.notEqual(openSecurity("worker", { tls: own }), null);
    const added = listFolder(folder).at(-1)!;
    assert.deepEqual([added.file, added.name], [join("node-3", "worker.pem"), "node-3"]);
    assert.deepEqual([...added.hosts].sort(), ["10.0.0.3", "node-3"]);
    await assert.rejects(
      addCertificate(own, { ...request, name: null }, validFor(5)),
      /no ca-key\.pem, so nothing can be signed there/,
    );
  });

  test("has a list of what is revoked, which grows and lies in the folders below", async () => {
    const folder = await makeCluster();
    const add = (name: string, role: "worker" | "server" = "worker") =>
      addCertificate(folder, { role, name, hosts: [] }, validFor(5));
    await add("node-3");
    await add("node-3", "server");
    const serialOf = (file: string) => listFolder(folder).find((one) => one.file === file)!.serial;
    const first = revokeCertificates(folder, ["node-3"]);
    assert.deepEqual(first.written, [join(folder, "crl.pem"), join(folder, "node-3", "crl.pem")]);
    const gone = first.revoked.map(({ serial }) => serial);
    assert.deepEqual(
      gone.sort(),
      [serialOf("node-3/server.pem"), serialOf("node-3/worker.pem")].sort(),
    );
    const absent = "00AB:CDEF:0123:4567";
    const second = revokeCertificates(folder, ["admin.pem", gone[0]!, absent]);
    assert.deepEqual(
      second.revoked.map(({ certificate, wasRevoked }) => [certificate?.file ?? null, wasRevoked]),
      [
        ["admin.pem", false],
        [first.revoked.find(({ serial }) => serial === gone[0])!.certificate!.file, true],
        [null, false],
      ],
    );
    const all = [...gone, serialOf("admin.pem"), "ABCDEF01234567"].sort();
    await add("node-4");
    for (const one of [folder, join(folder, "node-3"), join(folder, "node-4")]) {
      const { number, lines } = readList(one, readAuthorities(one));
      assert.deepEqual([number, lines.map(({ serial }) => serial).sort()], [2, all], one);
    }
    assert.throws(() => revokeCertificates(folder, ["node-5"]), {
      code: "usage",
      message: /has no certificate node-5; did you mean node-\d\?|has no certificate node-5/,
    });
    assert.throws(() => revokeCertificates(folder, ["ca.pem"]), /is the authority, which no list/);
    assert.throws(() => revokeCertificates(join(folder, "node-3"), ["node-3"]), /no ca-key\.pem/);
  });

  test("takes no name that could pass for another", async () => {
    for (const name of ["a,CN=b", "../up", "", "a b", "x".repeat(65)]) {
      const request = { role: "worker", name, hosts: [] } as const;
      await assert.rejects(
        makeCertificate(authorityOf(cluster), request, validFor(1)),
        /--name .* can't stand in a certificate/,
      );
    }
    const request = { role: "worker", name: "a", hosts: ["b, URI:paceline:role:admin"] } as const;
    await assert.rejects(
      makeCertificate(authorityOf(cluster), request, validFor(1)),
      /--host .* can't stand in a certificate/,
    );
  });
});

describe("--tls", () => {
  /** A copy of the cluster's folder. */
  function copy(): string {
    const folder = freshFolder();
    mkdirSync(folder);
    for (const name of readdirSync(cluster)) copyFileSync(join(cluster, name), join(folder, name));
    return folder;
  }
  const put = (folder: string, from: string, to: string, other = cluster) =>
    copyFileSync(join(other, from), join(folder, to));
  const open = (folder: string) => new TlsFolder(folder, "worker", quiet);

  const wrong: readonly [string, (folder: string) => unknown, RegExp][] = [
    [
      "is there",
      (folder) => put(folder, "server.pem", "worker.pem"),
      /worker\.pem is no worker's certificate, but a server's; make it again with: paceline certs/,
    ],
    [
      "has its key",
      (folder) => put(folder, "server-key.pem", "worker-key.pem"),
      /worker-key\.pem in \S+ is not the key of worker\.pem/,
    ],
    [
      "is of the authority beside it",
      async (folder) => put(folder, "ca.pem", "ca.pem", await makeCluster()),
      /worker\.pem is not of the authority of ca\.pem beside it/,
    ],
    [
      "has a key that others can't read",
      (folder) => chmodSync(join(folder, "worker-key.pem"), 0o644),
      /other users may read the private key \S+ \(mode 0644\); run chmod 600/,
    ],
    [
      "is whole",
      (folder) => writeFileSync(join(folder, "worker.pem"), "-----BEGIN"),
      /worker\.pem can't be read as PEM; is it whole\?/,
    ],
    [
      "has a list of serial numbers",
      (folder) => writeFileSync(join(folder, "revoked.txt"), "# none\nworker-3\n"),
      /line 2 of \S+revoked\.txt is no serial number/,
    ],
    [
      "has a whole list of revoked ones",
      (folder) => writeFileSync(join(folder, "crl.pem"), "-----BEGIN X509 CRL-----\n"),
      /crl\.pem can't be read as PEM; is it whole\?/,
    ],
    [
      "has a list of its own authority",
      async (folder) => {
        const other = await makeCluster();
        revokeCertificates(other, ["worker"]);
        put(folder, "crl.pem", "crl.pem", other);
      },
      /crl\.pem is not of an authority of ca\.pem beside it; copy it from where paceline certs/,
    ],
    [
      "has not expired",
      async (folder) => {
        const request = { role: "worker", name: "old", hosts: [] } as const;
        const validity = { fromMs: Date.now() - 9000, toMs: Date.now() - 5000 };
        const made = await makeCertificate(authorityOf(cluster), request, validity);
        writeFileSync(join(folder, "worker.pem"), made.certificate);
        writeFileSync(join(folder, "worker-key.pem"), made.key);
      },
      /worker\.pem expired at 20\d\d-.*certs add worker/,
    ],
  ];
  for (const [what, spoil, told] of wrong) {
    test(`is refused at the start unless its certificate ${what}`, async () => {
      const folder = copy();
      open(folder);
      await spoil(folder);
      assert.throws(() => open(folder), { code: "usage", message: told });
    });

    test(`keeps what was good when, later, it is not so that it ${what}`, async () => {
      const folder = copy();
      const log: string[] = [];
      const tls = new TlsFolder(folder, "worker", (text) => log.push(text));
      const before = tls.present();
      await spoil(folder);
      assert.equal(tls.present(), before);
      assert.equal(tls.present(), before);
      assert.equal(log.length, 1);
      assert.match(log[0]!, told);
      assert.match(log[0]!, /what was read before stays in use$/);
    });
  }

  test("keeps what was good when its folder can't be looked into any more", () => {
    const folder = copy();
    const log: string[] = [];
    const tls = new TlsFolder(folder, "worker", (text) => log.push(text));
    const before = tls.present();
    // Nobody, root included, looks below a file.
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "");
    assert.equal(tls.present(), before);
    assert.equal(tls.present(), before);
    assert.match(log.join("\n"), /^can't look at .*; what was read before stays in use$/);
  });

  test("warns of a certificate that is soon to expire", async () => {
    const folder = await makeCluster();
    const log: string[] = [];
    const read = () => new TlsFolder(folder, "worker", (text) => log.push(text)).present();
    read();
    assert.deepEqual(log, []);
    await addCertificate(folder, { role: "worker", name: null, hosts: [] }, validFor(13));
    read();
    assert.match(
      log.join(),
      /worker\.pem expires at 20\S+; make it again with: paceline certs add/,
    );
  });

  test("names the command that makes what is missing", () => {
    const folder = copy();
    const told = (verb: string) =>
      new RegExp(`there is no worker\\.pem; make it with: paceline certs ${verb} --out`);
    assert.throws(() => open(join(folder, "none")), told("init"));
    rmSync(join(folder, "worker.pem"));
    assert.throws(() => open(folder), told("add worker"));
  });

  test("says of its own certificate that it is revoked", async () => {
    const folder = await makeCluster();
    const log: string[] = [];
    const tls = new TlsFolder(folder, "worker", (text) => log.push(text));
    revokeCertificates(folder, ["worker"]);
    assert.equal(tls.present().revoked.size, 1);
    assert.match(
      log.join(),
      /worker\.pem \(serial \w+\) is revoked; make another.*: others refuse/,
    );
  });

  test("takes two authorities while one replaces the other", async () => {
    const folder = copy();
    const next = authorityOf(await makeCluster()).certificate;
    writeFileSync(join(folder, "ca.pem"), next + authorityOf(cluster).certificate);
    open(folder);
  });

  test("has a coordinator's folder serve commands beside it", () => {
    const folder = freshFolder();
    mkdirSync(folder);
    for (const name of ["ca.pem", "coordinator.pem", "coordinator-key.pem"])
      put(folder, name, name);
    for (const name of ["coordinator-key.pem"]) chmodSync(join(folder, name), 0o600);
    assert.notEqual(openSecurity("admin", { tls: folder }), null);
    assert.throws(() => openSecurity("worker", { tls: folder }), /no worker\.pem/);
  });
});

describe("a token file", () => {
  const write = (text: string, mode = 0o600): string => {
    const path = `${freshFolder()}.token`;
    writeFileSync(path, text, { mode });
    chmodSync(path, mode);
    return path;
  };
  const good = "0123456789abcdef";

  for (const [name, path, told] of [
    [
      "that others can read",
      write(good, 0o644),
      /others? users may read the token file \S+ \(mode 0644\)/,
    ],
    ["that a group can read", write(good, 0o640), /mode 0640\); run chmod 600/],
    ["that is empty", write("\n\n"), /is empty; make one with: \(umask 077; openssl rand -hex 32/],
    ["with a short token", write("0123456789abcde"), /line 1 .* has 15 characters, not 16 to 512/],
    ["with blanks in it", write(`${good} ${good}`), /line 1 .* has blanks/],
    [
      "that is not there",
      "/nowhere/token",
      /can't read the token file \/nowhere\/token \(there is no such file or folder\)/,
    ],
  ] as const) {
    test(`${name} is refused, without a word of it`, () => {
      const make = () => new TokenFile(path, quiet);
      assert.throws(make, { code: "usage", message: told });
      assert.throws(make, (error: Error) => !error.message.includes(good.slice(0, 15)));
    });
  }

  test("sends its first line and takes every one", () => {
    const path = write(`${good}\r\nsecond-${good}\n`);
    const token = new TokenFile(path, quiet);
    assert.equal(token.sent, good);
    assert.equal(token.objection(good), null);
    assert.equal(token.objection(`second-${good}`), null);
    for (const said of ["", "x", `${good}x`, good.toUpperCase()]) {
      assert.equal(token.objection(said)?.code, "refused");
    }
    assert.match(readFileSync(path, "utf8"), /^0123/);
  });
});

test("every call has roles, and none is open to everyone but health and reflection", () => {
  const paths = [coordinatorMethods, parameterServerMethods].flatMap((methods) =>
    Object.values(methods).map(({ path }) => path),
  );
  assert.equal(new Set(paths).size, 16);
  for (const path of paths) {
    const roles = rolesOfCall(path);
    assert.ok(roles.length > 0 && roles.length < clusterRoles.length, path);
  }
  assert.deepEqual(rolesOfCall("/grpc.health.v1.Health/Check"), clusterRoles);
  assert.deepEqual(rolesOfCall("/paceline.v1.Coordinator/Unheard"), ["coordinator", "admin"]);
  assert.deepEqual(rolesOfCall("/paceline.v1.Coordinator/constructor"), ["coordinator", "admin"]);
});

test("a secret is for its owner, or from root for a group", () => {
  const [root, user, other] = [0, 1000, 1001];
  for (const [mode, owner, isOpen] of [
    [0o600, user, false],
    [0o400, user, false],
    [0o640, user, true],
    [0o640, other, true],
    [0o640, root, false],
    [0o440, root, false],
    [0o660, root, true],
    [0o644, root, true],
    [0o604, root, true],
  ] as const) {
    assert.equal(isTooOpen(mode, owner, user), isOpen, `${mode.toString(8)} of ${owner}`);
  }
  assert.equal(isTooOpen(0o640, root, root), true);
});

test("serial numbers are compared without their form", () => {
  assert.equal(normalSerial(" 00:ab:0C "), "AB0C");
  assert.equal(normalSerial("00"), "0");
  for (const text of ["", "xyz", "-1", "12 34"]) assert.equal(normalSerial(text), null);
  const { serial } = readCertificate(authorityOf(cluster).certificate);
  assert.equal(normalSerial(serial), serial);
});
