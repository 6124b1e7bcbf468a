/** Connections whose peer was found good and is so no longer: both ends hear why. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, mock, test } from "node:test";
import type { PacelineError } from "../errors.js";
import type { CoordinatorMessage } from "../protocol/messages.js";
import { framesAddress } from "./addresses.js";
import { addCertificate, revokeCertificates } from "./credentials/certificate-folder.js";
import { type Validity, validFor } from "./credentials/make-certificate.js";
import type { ClusterRole } from "./credentials/roles.js";
import { openSecurity, type Security } from "./credentials/security.js";
import { Coordinator, hello, Inbox, identity, Mail, until } from "./testing/recording.js";
import {
  freshFolder,
  madeSecurity,
  makeCluster,
  transportWith,
} from "./testing/test-certificates.js";
import type { Transport } from "./transport.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A process with a folder of its own, which nobody else looks at. */
class Process {
  readonly folder = freshFolder();
  readonly log: string[] = [];
  readonly transport: Transport;
  readonly #role: ClusterRole;

  constructor(cluster: string, role: ClusterRole, security?: Security) {
    this.#role = role;
    mkdirSync(this.folder);
    this.take(cluster);
    const tell = (text: string) => void this.log.push(text);
    const own = security ?? openSecurity(role, { tls: this.folder }, tell);
    this.transport = transportWith(own);
    closers.push(() => this.transport.close());
  }

  /** Has the files of a cluster in place of its own. */
  take(cluster: string): void {
    for (const name of ["ca.pem", `${this.#role}-key.pem`, `${this.#role}.pem`]) {
      copyFileSync(join(cluster, name), join(this.folder, name));
    }
  }
}

/** What both ends of a connection have heard of its end. */
interface Line {
  readonly near: readonly PacelineError[];
  readonly far: readonly PacelineError[];
}

/** Opens each kind of connection of a caller to those that are called; resolves when all are. */
async function connected(caller: Process, server: Process, coordinator: Process) {
  const inboxes: Inbox[] = [];
  const served = await server.transport.serveChunks("127.0.0.1:0", () => {
    const inbox = new Inbox();
    inboxes.push(inbox);
    return inbox;
  });
  const sessions = new Coordinator();
  const listener = await coordinator.transport.serveCoordinator("127.0.0.1:0", sessions);
  closers.push(
    () => served.close(),
    () => listener.close(),
  );
  const lines: Record<string, Line> = {};
  for (const [name, address] of [
    ["frames", framesAddress(served.address)],
    ["gRPC", served.address],
  ] as const) {
    const near = new Inbox();
    caller.transport.openChunks(address, near).send(hello, null);
    const index = inboxes.length;
    await until(`the hello over ${name}`, () => inboxes[index]?.chunks.length === 1);
    lines[name] = { near: near.errors, far: inboxes[index]!.errors };
  }
  const mail = new Mail<CoordinatorMessage>();
  caller.transport.openSession(listener.address, identity, mail);
  await until("the session", () => sessions.sessions.length === 1);
  lines["a session"] = { near: mail.errors, far: sessions.sessions[0]!.mail.errors };
  const places = { server: served.address, coordinator: listener.address };
  return { lines, places, sessions: sessions.sessions };
}

async function ended(lines: Record<string, Line>): Promise<[string, Line][]> {
  const all = Object.entries(lines);
  for (const [name, { near, far }] of all) {
    await until(`both ends of ${name}`, () => near.length > 0 && far.length > 0);
  }
  return all;
}

/** What has come of a call to each of those that are called. */
async function callsAgain(
  caller: Process,
  { server, coordinator }: { readonly server: string; readonly coordinator: string },
) {
  const near = new Inbox();
  caller.transport.openChunks(framesAddress(server), near).send(hello, null);
  const mail = new Mail<CoordinatorMessage>();
  caller.transport.openSession(coordinator, identity, mail);
  await until("both refusals", () => near.errors.length > 0 && mail.errors.length > 0);
  return [near.errors[0]!, mail.errors[0]!];
}

const soon = (): Validity => ({ fromMs: Date.now() - 3_600_000, toMs: Date.now() + 4000 });
const reasons = [
  {
    name: "revoked",
    told: /the certificate of \S+ \(serial \w+\) is revoked; make another with: paceline certs add/,
    /** What who was called says when the caller comes again. */
    heard: /does not go on with this process: the certificate of \S+ \(serial \w+\) is revoked/,
    /** Has `judge`, which is in a cluster, think so of a role. */
    spoil: (cluster: string, judge: Process, role: ClusterRole) => {
      revokeCertificates(cluster, [role]);
      copyFileSync(join(cluster, "crl.pem"), join(judge.folder, "crl.pem"));
    },
  },
  {
    name: "of another authority",
    told: /the certificate of \S+ is not of this cluster's authority.*paceline certs init has made/,
    heard: /is refused: the certificate of \S+ is not of this cluster's authority/,
    spoil: async (_: string, judge: Process) => judge.take(await makeCluster()),
  },
  {
    name: "expired",
    told: /the certificate of \S+ expired at 20\S+; renew it with: paceline certs add/,
    heard: null,
    validity: soon,
    spoil: () => {},
  },
];

for (const { name, told, heard, validity, spoil } of reasons) {
  /** Credentials that last as long as the case wants. */
  const credentials = async (cluster: string, role: ClusterRole) =>
    validity === undefined ? undefined : await madeSecurity({ role }, validity(), cluster, cluster);

  test(`a caller whose certificate is ${name} is let go and hears it`, async () => {
    const cluster = await makeCluster();
    const caller = new Process(cluster, "worker", await credentials(cluster, "worker"));
    const server = new Process(cluster, "server");
    const coordinator = new Process(cluster, "coordinator");
    const { lines, places } = await connected(caller, server, coordinator);
    for (const judge of [server, coordinator]) await spoil(cluster, judge, "worker");
    for (const [line, { near, far }] of await ended(lines)) {
      assert.match(far[0]!.message, told, line);
      assert.match(near[0]!.message, told, line);
      assert.equal(near[0]!.code, "unavailable", "it may come with another certificate");
    }
    for (const { log } of [server, coordinator]) {
      assert.match(log.join("\n"), new RegExp(`${told.source}.*: the connection is ended`));
    }
    for (const error of await callsAgain(caller, places)) assert.equal(error.code, "refused");
  });

  test(`a caller lets go of whom it has called and is ${name}, who hears it`, async () => {
    const cluster = await makeCluster();
    const caller = new Process(cluster, "worker");
    const server = new Process(cluster, "server", await credentials(cluster, "server"));
    const coordinator = new Process(
      cluster,
      "coordinator",
      await credentials(cluster, "coordinator"),
    );
    const { lines, places } = await connected(caller, server, coordinator);
    for (const role of ["server", "coordinator"] as const) await spoil(cluster, caller, role);
    for (const [line, { near, far }] of await ended(lines)) {
      assert.match(near[0]!.message, told, line);
      assert.equal(near[0]!.code, "unavailable", "it may have another certificate by now");
      if (line === "frames") assert.match(far[0]!.message, told);
    }
    assert.match(caller.log.join("\n"), new RegExp(`${told.source}.*: the connection is ended`));
    for (const error of await callsAgain(caller, places)) {
      assert.equal(error.code, "refused");
      assert.match(error.message, told);
    }
    if (heard === null) return;
    for (const { log } of [server, coordinator]) {
      await until("a word of why", () => heard.test(log.join("\n")));
    }
  });
}

test("a caller comes back to a coordinator that has another certificate by then", async () => {
  const cluster = await makeCluster();
  const caller = new Process(cluster, "worker");
  const server = new Process(cluster, "server");
  const coordinator = new Process(cluster, "coordinator");
  const { lines, places, sessions } = await connected(caller, server, coordinator);
  revokeCertificates(cluster, ["coordinator"]);
  await addCertificate(cluster, { role: "coordinator", name: null, hosts: [] }, validFor(30));
  coordinator.take(cluster);
  copyFileSync(join(cluster, "crl.pem"), join(caller.folder, "crl.pem"));
  const session = lines["a session"]!;
  await until("the end of the session", () => session.near.length > 0);
  const mail = new Mail<CoordinatorMessage>();
  caller.transport.openSession(places.coordinator, identity, mail);
  await until("another session", () => sessions.length === 2 || mail.errors.length > 0);
  assert.deepEqual(mail.errors, []);
  assert.deepEqual(lines.frames!.near, [], "whose peer is as good as before");
});

test("a time of day that jumps ends no connection, and judges those made after", async () => {
  const cluster = await makeCluster();
  const caller = new Process(cluster, "worker");
  const server = new Process(cluster, "server");
  const coordinator = new Process(cluster, "coordinator");
  const { lines, places } = await connected(caller, server, coordinator);
  const nowMs = Date.now();
  const yearMs = 365 * 86_400_000;
  for (const [jumpMs, told] of [
    [yearMs, /expired at 20/],
    [-yearMs, /is not valid before 20\S+; are the clocks of both computers right\?/],
  ] as const) {
    const clock = mock.method(Date, "now", () => nowMs + jumpMs);
    try {
      // Connections are looked at each second.
      const looks = performance.now() + 1500;
      await until("a look", () => performance.now() > looks);
      for (const [line, { near, far }] of Object.entries(lines)) {
        assert.deepEqual([near, far], [[], []], line);
      }
      for (const error of await callsAgain(caller, places)) {
        assert.equal(error.code, "refused");
        assert.match(error.message, told);
      }
    } finally {
      clock.mock.restore();
    }
  }
});
