/** The links of a straggler over real sockets: which ways chunks take, and when they are slow. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import type { ComputePort, ComputeRequest } from "../../host/compute-port.js";
import { type InjectedStraggler, prompt } from "../../protocol/injected-fault.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { TransportChoice, ViewServer } from "../../protocol/view.js";
import { Straggling } from "./straggling.js";

const straggler: InjectedStraggler = {
  ...{ kind: "straggler", role: "worker", rank: 0, at: 2, to: 3, forMs: null },
  ...prompt,
};

/** A server that says what it hears; its host:port. */
async function echo(context: TestContext): Promise<string> {
  const server = createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const viewServer = (index: number, tcp: string | null): ViewServer => {
  const frames = tcp === null ? null : { tcp, unix: "/nowhere.sock", machine: "this" };
  return { index, incarnation: 1, address: tcp ?? "127.0.0.1:1", frames };
};

async function stragglingOf(
  context: TestContext,
  fault: Partial<InjectedStraggler>,
  transport: TransportChoice = "auto",
) {
  const requests: ComputeRequest[] = [];
  const port = {
    prepare: async () => null,
    compute: (request: ComputeRequest) => void requests.push(request),
    close: async () => {},
  } as unknown as ComputePort;
  const parts = { nowMs: () => performance.now(), tell: () => {} };
  const way = { transport, tls: false };
  const straggling = new Straggling([{ ...straggler, ...fault }], way, parts);
  const compute = straggling.around(port);
  context.after(() => compute.close());
  const spec = { servers: 2, serversMax: null } as unknown as RunSpec;
  await compute.prepare(spec, 0, null as never);
  return { straggling, compute, requests };
}

async function roundTripMs(address: string): Promise<number> {
  const [host = "", port] = address.replace(/^tcp:/, "").split(":");
  const socket = connect({ host, port: Number(port), noDelay: true });
  await once(socket, "connect");
  const startMs = performance.now();
  socket.write("x");
  await once(socket, "data");
  socket.destroy();
  return performance.now() - startMs;
}

test("links to all servers are delayed in the straggler's steps, each way", async (context) => {
  const { straggling } = await stragglingOf(context, { delayMs: 40 });
  const addresses = [viewServer(0, await echo(context)), viewServer(1, await echo(context))].map(
    (server) => straggling.route!(server),
  );
  assert.notEqual(addresses[0], addresses[1]);
  for (const address of addresses) assert.match(address, /^tcp:127\.0\.0\.1:\d+$/);
  straggling.onPush({ step: 1 });
  for (const address of addresses) {
    const ms = await roundTripMs(address);
    assert.ok(ms >= 80, `round trip of ${ms} ms`);
  }
  straggling.onPush({ step: 3 });
  const laterMs = await Promise.all([1, 2, 3].map(() => roundTripMs(addresses[0]!)));
  assert.ok(Math.min(...laterMs) < 80, `round trips of ${laterMs} ms`);
});

test("a server that has moved is reached by the same address", async (context) => {
  const { straggling } = await stragglingOf(context, { delayMs: 1 });
  const before = straggling.route!(viewServer(0, "127.0.0.1:1"));
  assert.equal(straggling.route!(viewServer(0, await echo(context))), before);
  assert.ok((await roundTripMs(before)) >= 0);
});

test("chunks take gRPC where it is asked for or there is nothing else", async (context) => {
  const asked = await stragglingOf(context, { delayMs: 1 }, "grpc");
  assert.match(asked.straggling.route!(viewServer(0, "127.0.0.1:1")), /^127/);
  const without = await stragglingOf(context, { delayMs: 1 }, "auto");
  assert.match(without.straggling.route!(viewServer(0, null)), /^127/);
  const frames = await stragglingOf(context, { delayMs: 1 }, "tcp");
  assert.throws(() => frames.straggling.route!(viewServer(0, null)), { code: "usage" });
  await assert.rejects(stragglingOf(context, { delayMs: 1 }, "unix"), { code: "usage" });
});

test("one whose computing is slow has its links as they are", async (context) => {
  const { straggling, compute, requests } = await stragglingOf(context, { slow: 4 }, "unix");
  assert.equal(straggling.route, undefined);
  for (let step = 0; step < 4; step++) {
    compute.compute({ step } as ComputeRequest);
    straggling.onPush({ step });
  }
  assert.deepEqual(
    requests.map(({ slow }) => slow),
    [1, 4, 4, 1],
  );
});
