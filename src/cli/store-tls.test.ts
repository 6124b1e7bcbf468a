/** Coordinators that find their etcd over TLS, and what is said where they do not. */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { PacelineError } from "../errors.js";
import { resolve } from "../options/resolve.js";
import type { ResolvedOptions } from "../options/resolved-options.js";
import { type RealEtcd, testWithEtcd } from "../store/testing/real-etcd.js";
import { addCertificate } from "../transport/credentials/certificate-folder.js";
import { validFor } from "../transport/credentials/make-certificate.js";
import { freshFolder, makeCluster } from "../transport/testing/test-certificates.js";
import { runProgram } from "./program.js";
import { type Lead, standBy } from "./standby.js";
import { openStoreTls } from "./store-tls.js";

const own = await makeCluster(["127.0.0.1"]);
const others = await makeCluster(["127.0.0.1"]);
const files = {
  ca: join(own, "ca.pem"),
  certificate: join(own, "server.pem"),
  key: join(own, "server-key.pem"),
};

/** A folder for --store-tls: the authority of one cluster, a client's certificate of another. */
function storeTls(authority = own, client: string | null = own, role = "coordinator"): string {
  const folder = freshFolder();
  mkdirSync(folder);
  copyFileSync(join(authority, "ca.pem"), join(folder, "ca.pem"));
  if (client === null) return folder;
  copyFileSync(join(client, `${role}.pem`), join(folder, "client.pem"));
  copyFileSync(join(client, `${role}-key.pem`), join(folder, "client-key.pem"));
  return folder;
}

const secured = { ...files, tls: openStoreTls(storeTls(), () => {}) };

/** Stands by with these words; what it says meanwhile is in `told`. */
async function lead(
  context: TestContext,
  etcd: RealEtcd,
  words: Partial<Pick<ResolvedOptions, "store" | "storeTls">>,
  told: string[] = [],
): Promise<Lead> {
  const own = { name: "led", runDir: freshFolder(), store: `etcd://${etcd.endpoint}/test` };
  const options = { ...resolve("coordinator", {}).options, ...own, ...words };
  const ending = new AbortController();
  context.after(() => ending.abort());
  const stderr = { write: (text: string) => told.push(text) };
  const found = await standBy(options, { stderr }, ending.signal);
  assert.ok(found !== null);
  return found;
}

testWithEtcd(
  "a coordinator leads over TLS, and its state is kept",
  async (context, etcd) => {
    const folder = storeTls();
    const told: string[] = [];
    const one = await lead(context, etcd, { storeTls: folder }, told);
    assert.equal(one.isOver, false);
    assert.match(told.join(""), /leads run led/);
    // Renewed while it leads: the next connections are made with it.
    await addCertificate(own, { role: "coordinator", name: null, hosts: [] }, validFor(30));
    copyFileSync(join(own, "coordinator.pem"), join(folder, "client.pem"));
    copyFileSync(join(own, "coordinator-key.pem"), join(folder, "client-key.pem"));
    await etcd.kill();
    await etcd.start();
    await one.resign();
    const next = await lead(context, etcd, { storeTls: folder });
    await next.resign();
  },
  true,
  secured,
);

testWithEtcd(
  "what is wrong with the certificates ends it with what to do",
  async (context, etcd) => {
    const elsewhere = `etcd://localhost:${etcd.endpoint.split(":")[1]}/test`;
    const cases: readonly [Parameters<typeof lead>[2], RegExp][] = [
      [
        { storeTls: storeTls(others) },
        /has a certificate that is not of an authority in ca\.pem of --store-tls \(/,
      ],
      [
        { storeTls: storeTls(own, null) },
        /asks for a certificate; put client\.pem and client-key\.pem into --store-tls/,
      ],
      [
        { storeTls: storeTls(own, others) },
        /does not take the certificate client\.pem of --store-tls/,
      ],
      [
        { storeTls: storeTls(), store: elsewhere },
        /has a certificate for another host; correct --store, or make it for this one/,
      ],
      [{}, /speaks TLS; give --store-tls DIR/],
    ];
    for (const [words, message] of cases) {
      await assert.rejects(lead(context, etcd, words), { code: "refused", message });
    }
  },
  true,
  secured,
);

testWithEtcd("an etcd in clear is told from one with TLS", async (context, etcd) => {
  await assert.rejects(lead(context, etcd, { storeTls: storeTls() }), {
    code: "refused",
    message: /answers without TLS; leave --store-tls out, or start it with --cert-file/,
  });
});

test("without an etcd there is nothing to secure", async () => {
  let told = "";
  const exitCode = await runProgram(["coordinator", "--serve", "--store-tls", storeTls()], {
    stdout: { write: () => {} },
    stderr: { write: (text) => (told += text) },
    environment: {},
    isTerminal: false,
  });
  assert.equal(exitCode, 2, told);
  assert.match(told, /--store-tls \S+ is for an etcd, and --store is file; add --store etcd:/);
});

test("a folder that can't be used is told with the remedy", async () => {
  const cases: readonly [(folder: string) => unknown, RegExp][] = [
    [(folder) => rmSync(join(folder, "ca.pem")), /there is no ca\.pem; it has ca\.pem and, where/],
    [(folder) => rmSync(join(folder, "client-key.pem")), /there is no client-key\.pem; it has/],
    [(folder) => rmSync(join(folder, "client.pem")), /there is no client\.pem; it has/],
    [(folder) => chmodSync(join(folder, "client-key.pem"), 0o644), /mode 0644\); run chmod 600/],
    [(folder) => writeFileSync(join(folder, "ca.pem"), "x"), /ca\.pem can't be read as PEM/],
    [
      (folder) => copyFileSync(join(own, "admin-key.pem"), join(folder, "client-key.pem")),
      /client-key\.pem in \S+ is not the key of client\.pem/,
    ],
  ];
  for (const [spoil, message] of cases) {
    const folder = storeTls();
    spoil(folder);
    assert.throws(
      () => openStoreTls(folder, () => {}),
      (thrown) => {
        assert.ok(thrown instanceof PacelineError && thrown.code === "usage");
        assert.match(thrown.message, message);
        return true;
      },
    );
  }
});
