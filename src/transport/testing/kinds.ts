/** Every transport that the tests of the contract run against. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { framesAddress, wantsFrames } from "../addresses.js";
import { createMemberTransport } from "../frames/member-transport.js";
import { createGrpcTransport } from "../grpc/grpc-transport.js";
import { MemoryNetwork } from "../memory/memory.js";
import type { Transport } from "../transport.js";
import { processOf } from "./test-certificates.js";

const plainPair = () => ({
  server: createMemberTransport({ ioTimeoutMs: 5000 }),
  client: createMemberTransport({ ioTimeoutMs: 5000 }),
});

/** A transport as the tests of the contract take it. */
export interface Kind {
  readonly name: string;
  readonly listenAddress: string;
  readonly deadAddress: string;
  create(): { server: Transport; client: Transport };
}

/** Sockets of these tests; the path of one that nobody listens on is the address of "nobody". */
const folder = mkdtempSync(join(tmpdir(), "paceline-transport-"));
after(() => rmSync(folder, { recursive: true }));

/** Encrypted: who is called is a coordinator and a server, who calls a worker and an admin. */
function securedPair(): { server: Transport; client: Transport } {
  const [coordinator, member] = [processOf("coordinator"), processOf("server")];
  const [worker, admin] = [processOf("worker"), processOf("admin")];
  const { status, submit, drain, switchTo, jobs, cancelJob, jobEvents } = admin;
  const asked = { status, submit, drain, switchTo, jobs, cancelJob, jobEvents };
  const { serveChunks } = member;
  const register: Transport["register"] = (address, request) =>
    (request.role === "server" ? member : worker).register(address, request);
  const closing = (first: Transport, second: Pick<Transport, "close">) => async () =>
    void (await Promise.all([first.close(), second.close()]));
  return {
    server: { ...coordinator, serveChunks, close: closing(coordinator, member) },
    client: { ...worker, ...asked, register, close: closing(worker, admin) },
  };
}

/** Processes that take frames for chunks at the address where they are served. */
function framesPair({ server, client }: { server: Transport; client: Transport }) {
  const openChunks: Transport["openChunks"] = (address, receiver) =>
    client.openChunks(wantsFrames(address) ? address : framesAddress(address), receiver);
  return { server, client: { ...client, openChunks } };
}

export const kinds: readonly Kind[] = [
  {
    name: "TCP frames",
    listenAddress: "127.0.0.1:0",
    deadAddress: "127.0.0.1:1",
    create: () => framesPair(plainPair()),
  },
  {
    name: "Unix frames",
    listenAddress: `unix:${folder}/server`,
    deadAddress: `unix:${folder}/nobody`,
    create: () => framesPair(plainPair()),
  },
  {
    name: "memory",
    listenAddress: "here",
    deadAddress: "nobody",
    create: () => {
      const network = new MemoryNetwork();
      return {
        server: network.createTransport("server"),
        client: network.createTransport("client"),
      };
    },
  },
  {
    name: "gRPC",
    listenAddress: "127.0.0.1:0",
    deadAddress: "127.0.0.1:1",
    create: () => ({
      server: createGrpcTransport({ ioTimeoutMs: 5000 }),
      client: createGrpcTransport({ ioTimeoutMs: 5000 }),
    }),
  },
  {
    name: "encrypted frames",
    listenAddress: "127.0.0.1:0",
    deadAddress: "127.0.0.1:1",
    create: () => framesPair(securedPair()),
  },
  {
    name: "encrypted gRPC",
    listenAddress: "127.0.0.1:0",
    deadAddress: "127.0.0.1:1",
    create: securedPair,
  },
];
