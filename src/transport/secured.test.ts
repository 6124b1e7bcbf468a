/** Who is let in where there are certificates or a token, and what everybody else is told. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { type ChannelCredentials, Client, credentials } from "@grpc/grpc-js";
import { PacelineError } from "../errors.js";
import type { ChunkKind, CoordinatorMessage } from "../protocol/messages.js";
import { framesAddress, pathAddress } from "./addresses.js";
import { addCertificate, initFolder, listFolder } from "./credentials/certificate-folder.js";
import { validFor } from "./credentials/make-certificate.js";
import type { ClusterRole } from "./credentials/roles.js";
import { openSecurity, type Security } from "./credentials/security.js";
import { coordinatorMethods } from "./grpc/methods.js";
import { Coordinator, hello, Inbox, identity, Mail, request, until } from "./testing/recording.js";
import {
  cluster,
  freshFolder,
  madeSecurity,
  makeCluster,
  processOf,
  transportWith,
} from "./testing/test-certificates.js";
import type { Transport } from "./transport.js";
import { statusReplyBytes, statusRequestBytes } from "./wire/service-codec.js";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function later(transport: Transport): Transport {
  closers.push(() => transport.close());
  return transport;
}

/** What a process with these credentials, or one of a role, listens with. */
const made = (given: ClusterRole | Security | null): Transport =>
  later(typeof given === "string" ? processOf(given) : transportWith(given));

async function coordinate(given: ClusterRole | Security | null): Promise<string> {
  const listener = await made(given).serveCoordinator("127.0.0.1:0", new Coordinator());
  closers.push(() => listener.close());
  return listener.address;
}

/** A server that keeps what it hears. */
async function serve(
  given: ClusterRole | Security | null,
  at = "127.0.0.1:0",
): Promise<{ address: string; far: Inbox }> {
  const far = new Inbox();
  const listener = await made(given).serveChunks(at, () => far);
  closers.push(() => listener.close());
  return { address: listener.address, far };
}

/** What a channel to an address ends with after its hello. */
async function refusalOf(client: Transport, address: string): Promise<PacelineError> {
  const near = new Inbox();
  client.openChunks(address, near).send(hello, null);
  await until(`the end of the channel to ${address}`, () => near.errors.length > 0);
  return near.errors[0]!;
}

async function errorOf(promise: Promise<unknown>): Promise<PacelineError> {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof PacelineError, `refused, not ${thrown}`);
  return thrown;
}

/** Callers of a coordinator and, in both ways, of a server are told the same. */
async function assertRefused(
  { coordinator, server }: { coordinator: string; server: string },
  caller: (role: ClusterRole) => ClusterRole | Security | null,
  told: RegExp,
): Promise<void> {
  const admin = made(caller("admin"));
  const worker = made(caller("worker"));
  const errors = [
    await errorOf(admin.status(coordinator)),
    await errorOf(worker.register(coordinator, request)),
    await refusalOf(worker, server),
    await refusalOf(worker, framesAddress(server)),
  ];
  for (const error of errors) {
    assert.match(error.message, told);
    assert.equal(error.code, "refused", error.message);
  }
}

async function bothServed(given: (role: ClusterRole) => ClusterRole | Security | null) {
  const { address } = await serve(given("server"));
  return { coordinator: await coordinate(given("coordinator")), server: address };
}

test("a caller without TLS is told to give --tls", async () => {
  await assertRefused(
    await bothServed((role) => role),
    () => null,
    /called without: give --tls DIR/,
  );
});

test("a caller with TLS of a process without it is told so", async () => {
  const told = /answers without TLS; start it with --tls DIR, or call it without/;
  await assertRefused(await bothServed(() => null), (role) => role, told);
});

const dayMs = 86_400_000;
const foreign = await makeCluster();
const bad = [
  {
    name: "expired",
    validity: { fromMs: Date.now() - 2 * dayMs, toMs: Date.now() - dayMs },
    told: /the certificate of (tcp:)?127\S+ expired at 20.*renew it with: paceline certs add/,
  },
  {
    name: "not yet valid",
    validity: { fromMs: Date.now() + dayMs, toMs: Date.now() + 2 * dayMs },
    told: /is not valid before 20.*clocks/,
  },
  { name: "foreign", folder: foreign, told: /is not of this cluster's authority.*certs init/ },
];
for (const { name, validity, folder, told } of bad) {
  describe(`a certificate that is ${name}`, () => {
    const made = new Map<ClusterRole, Security>();
    for (const role of ["coordinator", "server", "worker", "admin"] as const) {
      test(`is made for a ${role}`, async () => {
        made.set(role, await madeSecurity({ role }, validity, folder));
      });
    }

    test("is refused by those that are called", async () => {
      await assertRefused(await bothServed((role) => role), (role) => made.get(role)!, told);
    });

    test("is refused by those that call", async () => {
      await assertRefused(await bothServed((role) => made.get(role)!), (role) => role, told);
    });
  });
}

test("a certificate without a role, or with a role that does not serve, is refused", async () => {
  const worker = await madeSecurity({ role: "worker" });
  const { address } = await serve(worker);
  const error = await refusalOf(made("worker"), framesAddress(address));
  assert.match(error.message, /a worker's.* not for this side of a connection/);
});

test("a server is not taken for a coordinator, nor a coordinator for a server", async () => {
  const { coordinator, server } = await bothServed((role) => role);
  const told = /is not a coordinator; check the address: its certificate is of the role server/;
  assert.match((await errorOf(made("admin").status(server))).message, told);
  const error = await refusalOf(made("worker"), framesAddress(coordinator));
  assert.match(
    error.message,
    /is not a parameter server; check the address: .* the role coordinator/,
  );
});

test("a certificate that names hosts is good at these alone", async () => {
  const named = await madeSecurity({ role: "coordinator", hosts: ["10.9.8.7", "node-3"] });
  const error = await errorOf(made("admin").status(await coordinate(named)));
  assert.match(error.message, /is for node-3, 10\.9\.8\.7|is for 10\.9\.8\.7, node-3/);
  assert.match(error.message, /certs add coordinator --out DIR --host 127\.0\.0\.1/);
  const right = await madeSecurity({ role: "coordinator", hosts: ["127.0.0.1"] });
  assert.deepEqual(await made("admin").status(await coordinate(right)), new Coordinator().status());
});

test("a client of another make, with a certificate for its host, is answered", async () => {
  const folder = await makeCluster(["127.0.0.1", "localhost"]);
  const address = await coordinate(openSecurity("coordinator", { tls: folder }));
  const file = (name: string) => readFileSync(join(folder, name));
  const ssl = (role: ClusterRole) =>
    credentials.createSsl(file("ca.pem"), file(`${role}-key.pem`), file(`${role}.pem`));
  const ask = (channel: ChannelCredentials) =>
    new Promise<Buffer>((resolve, reject) => {
      const client = new Client(address, channel);
      const { path, requestSerialize, responseDeserialize } = coordinatorMethods.status;
      const bytes = statusRequestBytes.encode({});
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        bytes,
        (error, reply) => {
          client.close();
          if (error === null) resolve(reply!);
          else reject(error);
        },
      );
    });
  const { json } = statusReplyBytes.decode(await ask(ssl("admin")));
  assert.deepEqual(JSON.parse(json), new Coordinator().status());
  await assert.rejects(ask(ssl("worker")), { code: 9, details: /worker, with a .* may not call/ });
  await assert.rejects(ask(credentials.createSsl(file("ca.pem"))), {
    code: 9,
    details: /the certificate of 127\S+ is missing: this cluster asks for one; give --tls DIR/,
  });
});

describe("a role may say at a coordinator what is its own to say", () => {
  const submission = { config: "epochs: 1", priority: 0, host: "there", pid: 1 };
  const calls: Record<string, (client: Transport, address: string) => Promise<unknown>> = {
    status: (client, address) => client.status(address),
    submit: (client, address) => client.submit(address, submission),
    drain: (client, address) => client.drain(address, { role: "worker", rank: 0 }),
    "register a worker": (client, address) => client.register(address, request),
    "register a server": (client, address) =>
      client.register(address, { ...request, role: "server" }),
    "open a worker's session": (client, address) => opened(client, address, "worker"),
    "open a server's session": (client, address) => opened(client, address, "server"),
    "read examples": (client, address) => {
      const wanted = { run: "run-1", split: "train", epoch: 0, start: 0, end: 1 } as const;
      return client.readExamples(address, wanted, () => {});
    },
  };
  const allowed: Record<string, readonly ClusterRole[]> = {
    status: ["coordinator", "admin"],
    submit: ["coordinator", "admin"],
    drain: ["coordinator", "admin"],
    "register a worker": ["worker"],
    "register a server": ["server"],
    "open a worker's session": ["worker"],
    "open a server's session": ["server"],
    "read examples": ["worker"],
  };

  /** Resolves when the coordinator has heard of it; rejects with why it has not. */
  async function opened(client: Transport, address: string, role: "server" | "worker") {
    const mail = new Mail<CoordinatorMessage>();
    const session = client.openSession(address, { ...identity, role }, mail);
    const heard = () => heardBy.sessions.some(({ identity: one }) => one.role === role);
    await until("an answer", () => heard() || mail.errors.length > 0);
    session.close();
    if (mail.errors.length > 0) throw mail.errors[0];
  }
  let heardBy = new Coordinator();

  for (const [name, call] of Object.entries(calls)) {
    for (const role of ["coordinator", "server", "worker", "admin"] as const) {
      const may = allowed[name]!.includes(role);
      test(`a ${role} ${may ? "may" : "may not"} ${name}`, async () => {
        heardBy = new Coordinator();
        const listener = await made("coordinator").serveCoordinator("127.0.0.1:0", heardBy);
        closers.push(() => listener.close());
        const outcome = call(made(role), listener.address);
        if (may) return void (await outcome);
        const error = await errorOf(outcome);
        assert.equal(error.code, "refused");
        assert.match(error.message, new RegExp(`${role}, with a ${role}'s certificate, may not`));
        assert.deepEqual([heardBy.requests, heardBy.sessions], [[], []]);
      });
    }
  }
});

describe("a role may send a server what is its own to send", () => {
  const kinds: Record<string, readonly ChunkKind[]> = {
    worker: ["push", "pull"],
    server: ["follow", "received", "watch"],
    coordinator: ["load", "save", "copy", "discard", "mark", "cut"],
  };
  for (const [role, own] of Object.entries(kinds)) {
    for (const kind of Object.values(kinds).flat()) {
      const may = own.includes(kind);
      test(`a ${role} ${may ? "may" : "may not"} send ${kind}`, async () => {
        const { address, far } = await serve("server");
        for (const at of [address, framesAddress(address)]) {
          far.chunks.length = 0;
          const near = new Inbox();
          const channel = made(role as ClusterRole).openChunks(at, near);
          channel.send(hello, null);
          channel.send({ ...hello, kind, chunk: 1 }, null);
          await until("an answer", () => far.chunks.length === 2 || near.errors.length > 0);
          assert.equal(far.chunks.length, may ? 2 : 1);
          if (!may) assert.match(near.errors[0]!.message, /may not send|certificate of/);
        }
      });
    }
  }
});

test("certificates that are renewed are used by connections made later", async () => {
  const folder = freshFolder();
  await initFolder(folder, [], 30);
  const address = await coordinate(openSecurity("coordinator", { tls: folder }));
  const admin = made(openSecurity("admin", { tls: folder }));
  const worker = made(openSecurity("worker", { tls: folder }));
  const mail = new Mail<CoordinatorMessage>();
  worker.openSession(address, identity, mail);
  await admin.status(address);
  const serials = () => listFolder(folder).map(({ serial }) => serial);
  const before = serials();
  for (const role of ["coordinator", "admin"] as const) {
    await addCertificate(folder, { role, name: null, hosts: [] }, validFor(30));
  }
  const renewed = serials();
  assert.equal(renewed.filter((one, index) => one !== before[index]).length, 2);
  assert.deepEqual(mail.errors, [], "what is there stays");
  // What is revoked is refused, so that the ones in use are seen to be the others. The session is
  // with one of these: it ends at the next look.
  writeFileSync(join(folder, "revoked.txt"), `${before[1]}\n${before[4]} # admin\n`);
  assert.deepEqual(await admin.status(address), new Coordinator().status());
});

test("a certificate that is revoked is refused, and its connections end", async () => {
  const folder = freshFolder();
  await initFolder(folder, [], 30);
  const { address, far } = await serve(openSecurity("server", { tls: folder }));
  const client = made(openSecurity("worker", { tls: folder }));
  const near = new Inbox();
  client.openChunks(framesAddress(address), near).send(hello, null);
  await until("the hello", () => far.chunks.length === 1);
  const { serial } = listFolder(folder).find(({ role }) => role === "worker")!;
  writeFileSync(join(folder, "revoked.txt"), `# stolen\n${serial.toLowerCase()}\n`);
  await until("the end of the channel", () => near.errors.length === 1);
  const error = await refusalOf(client, framesAddress(address));
  assert.equal(error.code, "refused", "before anything of what it says is heard");
  assert.match(error.message, /is revoked; make another with: paceline certs add worker/);
});

describe("the cluster's token", () => {
  const token = (text: string): string => {
    const path = `${freshFolder()}.token`;
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    return path;
  };
  const [first, second] = ["first-0123456789abcdef", "second-0123456789abcdef"];
  const withToken =
    (text: string, tls: string | null = null) =>
    (role: ClusterRole) =>
      openSecurity(role, { tokenFile: token(text), tls });

  for (const tls of [null, cluster]) {
    const how = tls === null ? "without TLS" : "over TLS";

    test(`lets in ${how} who has it`, async () => {
      const { coordinator, server } = await bothServed(withToken(first, tls));
      const own = withToken(first, tls);
      assert.deepEqual(await made(own("admin")).status(coordinator), new Coordinator().status());
      for (const at of [server, framesAddress(server)]) {
        const near = new Inbox();
        const channel = made(own("worker")).openChunks(at, near);
        channel.send(hello, null);
        await new Promise<void>((sent) => channel.send(hello, null, sent));
        assert.deepEqual(near.errors, []);
      }
    });

    test(`keeps out ${how} who has another or none`, async () => {
      const served = await bothServed(withToken(first, tls));
      const none = (role: ClusterRole) => openSecurity(role, { tls });
      const asks = /this cluster asks for a token: give the cluster's with --token-file FILE/;
      await assertRefused(served, none, asks);
      await assertRefused(served, withToken(second, tls), /token is not this cluster's: give/);
    });
  }

  test("is asked for on a Unix socket too", async () => {
    const { address } = await serve(withToken(first)("server"), pathAddress(`${freshFolder()}.s`));
    const error = await refusalOf(made(withToken(second)("worker")), address);
    assert.match(error.message, /token is not this cluster's/);
  });

  test("is in no message, and changes without a stop", async () => {
    const log: string[] = [];
    const path = token(first);
    const security = openSecurity("coordinator", { tokenFile: path }, (text) => log.push(text));
    const address = await coordinate(security);
    const old = made(withToken(first)("admin"));
    const next = made(withToken(second)("admin"));
    const error = await errorOf(next.status(address));
    assert.doesNotMatch(JSON.stringify([error, error.message, log]), /0123456789abcdef/);
    assert.match(log.join("\n"), /127\.0\.0\.1:\d+ is refused: the token is not/);
    writeFileSync(path, `${first}\n${second}\n`);
    await old.status(address);
    await next.status(address);
    writeFileSync(path, `${second}\n`);
    await next.status(address);
    await errorOf(old.status(address));
  });
});
