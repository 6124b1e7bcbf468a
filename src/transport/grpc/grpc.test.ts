/** What only the gRPC transport promises: windows, silence, one-way calls, health, clean ends. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { connect, createServer } from "node:net";
import { afterEach, test } from "node:test";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import type { PacelineError } from "../../errors.js";
import { emptyHeader } from "../../protocol/messages.js";
import { startShapingProxy } from "../shaping/shaping-proxy.js";
import {
  Coordinator,
  hello,
  Inbox,
  identity,
  Mail,
  push,
  request,
  until,
} from "../testing/recording.js";
import type { ChunkAcceptor, ChunkChannel } from "../transport.js";
import { decodeChunk, encodeChunk } from "../wire/chunk-codec.js";
import { leaveRequestBytes, pullRequestBytes, pushSummaryBytes } from "../wire/service-codec.js";
import { createGrpcTransport } from "./grpc-transport.js";
import { coordinatorMethods, parameterServerMethods } from "./methods.js";

let closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
});

function later<Closable extends { close(): unknown }>(closable: Closable): Closable {
  closers.push(() => closable.close());
  return closable;
}

/** A server whose hellos are welcomed and whose pushes are answered by `outcome`. */
function answering(outcome: "applied" | "rejected" = "applied"): {
  inbox: Inbox;
  accept: ChunkAcceptor;
} {
  const inbox = new Inbox();
  const accept = (channel: ChunkChannel) => ({
    onHeader: (_: unknown, bytes: number) => new Uint8Array(bytes),
    onChunk: (header: typeof emptyHeader, bytes: Uint8Array | null) => {
      inbox.onChunk(header, bytes);
      if (header.kind === "hello") channel.send({ ...emptyHeader, kind: "welcome" }, null);
      if (header.kind === "push") {
        const detail = outcome === "applied" ? "" : "staleness 9 of at most 5";
        channel.send({ ...header, kind: "reply", outcome, detail }, null);
      }
      if (header.kind === "pull") {
        const payload = new Uint8Array(1000).fill(header.chunk);
        channel.send({ ...emptyHeader, kind: "reply", chunk: header.chunk, version: 4 }, payload);
      }
    },
    onClose: (error: PacelineError) => inbox.onClose(error),
  });
  return { inbox, accept };
}

async function serve(accept: ChunkAcceptor, ioTimeoutMs = 5000): Promise<string> {
  const transport = createGrpcTransport({ ioTimeoutMs });
  return later(await transport.serveChunks("127.0.0.1:0", accept)).address;
}

function plainClient(address: string): Client {
  return later(new Client(address, credentials.createInsecure()));
}

const same = (bytes: Buffer): Buffer => bytes;

test("far more than 64 KiB a round trip passes through a link of 20 ms, both ways", async () => {
  const far = new Inbox();
  const total = 24;
  const payload = new Uint8Array(1048576);
  const address = await serve((channel) => {
    far.onChunk = (header) => {
      far.chunks.push({ header, bytes: null });
      if (header.kind === "pull")
        for (let index = 0; index < total; index++)
          channel.send({ ...emptyHeader, kind: "reply", chunk: index }, payload);
    };
    far.destination = () => null;
    return far;
  });
  const proxy = later(
    await startShapingProxy({ target: address, delayMs: 20, bytesPerSecond: null }),
  );
  const near = new Inbox();
  near.destination = () => null;
  const transport = later(createGrpcTransport());
  const channel = transport.openChunks(proxy.address, near);
  channel.send(hello, null);
  await until("hello", () => far.chunks.length === 1);
  const started = performance.now();
  for (let index = 0; index < total; index++) channel.send(push(index), payload);
  await until("pushes", () => far.chunks.length === total + 1);
  const pushed = performance.now();
  channel.send({ ...emptyHeader, kind: "pull" }, null);
  await until("replies", () => near.chunks.length === total);
  const pulled = performance.now();
  const bytes = total * payload.length;
  for (const [way, elapsedMs] of [
    ["push", pushed - started],
    ["pull", pulled - pushed],
  ] as const) {
    const bytesARoundTrip = bytes / (elapsedMs / 40);
    assert.ok(
      bytesARoundTrip > 8 * 65536,
      `${way}: ${Math.round(bytesARoundTrip)} bytes a round trip`,
    );
  }
});

test("a peer that connects and says nothing is let go after the time-out", async () => {
  const address = await serve(answering().accept, 300);
  const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
  let closed = false;
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  socket.resume();
  await until("the silent peer's end", () => closed);
});

test("a stream without a hello is ended with a time-out that says what was missing", async () => {
  const address = await serve(answering().accept, 300);
  const call = plainClient(address).makeBidiStreamRequest(
    parameterServerMethods.pushPull.path,
    same,
    same,
  );
  let told: ServiceError | null = null;
  call.on("error", (error: ServiceError) => {
    told = error;
  });
  call.on("data", () => {});
  await until("end", () => told !== null);
  assert.match(told!.details, /sent no hello within 0\.3 s/);
});

test("a listener that never answers is a time-out, for calls and for streams", async () => {
  const mute = createServer((socket) => void closers.push(() => socket.destroy()));
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  later(mute);
  const { port } = mute.address() as { port: number };
  const transport = later(createGrpcTransport({ ioTimeoutMs: 300 }));
  await assert.rejects(transport.register(`127.0.0.1:${port}`, request), { code: "timeout" });
  const near = new Inbox();
  transport.openChunks(`127.0.0.1:${port}`, near);
  await until("close", () => near.errors.length === 1);
  assert.equal(near.errors[0]!.code, "timeout");
});

test("a link that goes silent is noticed on both sides within the time-out", async () => {
  const { inbox, accept } = answering();
  const address = await serve(accept, 900);
  const proxy = later(await startShapingProxy({ target: address }));
  const near = new Inbox();
  const transport = later(createGrpcTransport({ ioTimeoutMs: 900 }));
  transport.openChunks(proxy.address, near).send(hello, null);
  await until("welcome", () => near.chunks.length === 1);
  proxy.stall();
  await until("both ends", () => near.errors.length === 1 && inbox.errors.length === 1);
  assert.equal(near.errors[0]!.code, "unavailable");
  assert.equal(inbox.errors[0]!.code, "unavailable");
});

test("a reset link is unavailable on both sides, the next one works at once", async () => {
  const { inbox, accept } = answering();
  const proxy = later(await startShapingProxy({ target: await serve(accept) }));
  const transport = later(createGrpcTransport());
  for (let life = 1; life <= 3; life++) {
    const near = new Inbox();
    let sent = 0;
    const channel = transport.openChunks(proxy.address, near);
    channel.send(hello, null, () => sent++);
    await until("welcome", () => near.chunks.length === 1);
    proxy.cut();
    for (let step = 0; step < 50; step++)
      channel.send(push(step), new Uint8Array(1000), () => sent++);
    await until("both ends", () => near.errors.length === 1 && inbox.errors.length === life);
    await until("sent of every message", () => sent === 51);
    assert.equal(near.errors[0]!.code, "unavailable");
    assert.equal(inbox.errors.at(-1)!.code, "unavailable");
    const refused = new Inbox();
    transport.openChunks(proxy.address, refused);
    await until("refusal while cut", () => refused.errors.length === 1);
    assert.equal(refused.errors[0]!.code, "unavailable");
    proxy.restore();
  }
});

test("a Push call is told the outcomes of its pushes", async () => {
  for (const outcome of ["applied", "rejected"] as const) {
    const { inbox, accept } = answering(outcome);
    let summary: Buffer | undefined;
    const call = plainClient(await serve(accept)).makeClientStreamRequest(
      parameterServerMethods.push.path,
      same,
      same,
      (error: ServiceError | null, reply?: Buffer) => {
        assert.equal(error, null);
        summary = reply;
      },
    );
    call.write(encodeChunk(hello, null));
    for (let step = 0; step < 3; step++)
      call.write(encodeChunk({ ...push(step), wantsReply: true }, new Uint8Array(8)));
    call.end();
    await until("summary", () => summary !== undefined);
    const told = pushSummaryBytes.decode(summary!);
    assert.equal(told[outcome], 3);
    assert.equal(told.detail, outcome === "applied" ? "" : "staleness 9 of at most 5");
    assert.deepEqual(
      inbox.chunks.map(({ header }) => header.wantsReply),
      [false, false, false, false],
    );
    await until("the channel's end", () => inbox.errors.length === 1);
  }
});

/** A server that answers only the last push, and the last pull, of each chunk, once asked to. */
function answeringLast(): { accept: ChunkAcceptor; asked: (typeof emptyHeader)[]; flush(): void } {
  const asked: (typeof emptyHeader)[] = [];
  let channel: ChunkChannel | null = null;
  const accept = (accepted: ChunkChannel) => {
    channel = accepted;
    return {
      onHeader: (_: unknown, bytes: number) => new Uint8Array(bytes),
      onChunk: (header: typeof emptyHeader) => void (header.kind !== "hello" && asked.push(header)),
      onClose: () => {},
    };
  };
  const flush = () => {
    const last = new Map(asked.map((header) => [header.chunk, header]));
    for (const header of last.values()) {
      const outcome = header.kind === "push" ? "applied" : "none";
      channel!.send({ ...header, kind: "reply", outcome }, null);
    }
  };
  return { accept, asked, flush };
}

test("a Push call ends where a push came twice, or the next step's before the answer", async () => {
  const { accept, asked, flush } = answeringLast();
  let summary: Buffer | undefined;
  const call = plainClient(await serve(accept)).makeClientStreamRequest(
    parameterServerMethods.push.path,
    same,
    same,
    (_error: ServiceError | null, reply?: Buffer) => {
      summary = reply;
    },
  );
  call.write(encodeChunk(hello, null));
  const sent = [
    { chunk: 1, step: 4 },
    { chunk: 1, step: 4 },
    { chunk: 2, step: 4 },
    { chunk: 2, step: 5 },
  ];
  for (const about of sent) call.write(encodeChunk({ ...push(0), ...about }, new Uint8Array(8)));
  call.end();
  await until("pushes", () => asked.length === sent.length);
  flush();
  await until("summary", () => summary !== undefined);
  const { applied, duplicate } = pushSummaryBytes.decode(summary!);
  assert.deepEqual({ applied, duplicate }, { applied: 3, duplicate: 1 });
});

test("a Pull call that names a chunk twice is answered once for it and ends", async () => {
  const { accept, asked, flush } = answeringLast();
  const about = { run: "run-1", generation: 2, rank: 1, incarnation: 5, fence: 7, term: 0 };
  const call = plainClient(await serve(accept)).makeServerStreamRequest(
    parameterServerMethods.pull.path,
    same,
    same,
    pullRequestBytes.encode({ ...about, chunks: [3, 9, 3] }),
  );
  const chunks: number[] = [];
  let ended = false;
  call.on("data", (message: Buffer) => void chunks.push(decodeChunk(message).header.chunk));
  call.on("end", () => {
    ended = true;
  });
  await until("pulls", () => asked.length >= 2);
  flush();
  await until("end", () => ended);
  assert.deepEqual(chunks, [3, 9]);
});

test("a Pull call returns the chunks asked for and ends", async () => {
  const { inbox, accept } = answering();
  const bytes = pullRequestBytes.encode({
    run: "run-1",
    generation: 2,
    rank: 1,
    incarnation: 5,
    fence: 7,
    term: 0,
    chunks: [3, 9],
  });
  const call = plainClient(await serve(accept)).makeServerStreamRequest(
    parameterServerMethods.pull.path,
    same,
    same,
    bytes,
  );
  const chunks: number[][] = [];
  let ended = false;
  call.on("data", (message: Buffer) => {
    const { header, payload } = decodeChunk(message);
    chunks.push([header.chunk, header.version, payload.length, payload[0]!]);
  });
  call.on("end", () => {
    ended = true;
  });
  await until("end", () => ended);
  assert.deepEqual(chunks, [
    [3, 4, 1000, 3],
    [9, 4, 1000, 9],
  ]);
  const { kind, run, generation, rank, incarnation } = inbox.chunks[0]!.header;
  assert.deepEqual([kind, run, generation, rank, incarnation], ["hello", "run-1", 2, 1, 5]);
  assert.equal(inbox.chunks[1]!.header.fence, 7);
});

test("a Leave call reaches the open session as a leave message", async () => {
  const coordinator = new Coordinator();
  const transport = later(createGrpcTransport());
  const listener = later(await transport.serveCoordinator("127.0.0.1:0", coordinator));
  const ask = (): Promise<string> =>
    new Promise((resolve) => {
      const leave = { reason: "done here", server: null, worker: null };
      plainClient(listener.address).makeUnaryRequest(
        coordinatorMethods.leave.path,
        same,
        same,
        leaveRequestBytes.encode({ member: identity, leave }),
        (error) => resolve(error?.details ?? "heard"),
      );
    });
  assert.match(await ask(), /worker 2 has no open session/);
  transport.openSession(listener.address, identity, new Mail());
  await until("session", () => coordinator.sessions.length === 1);
  assert.equal(await ask(), "heard");
  assert.deepEqual(coordinator.sessions[0]!.mail.messages, [
    { type: "leave", reason: "done here", server: null, worker: null },
  ]);
});

test("garbage on a data stream and on a call is a protocol error for the sender", async () => {
  const address = await serve(answering().accept);
  const call = plainClient(address).makeBidiStreamRequest(
    parameterServerMethods.pushPull.path,
    same,
    same,
  );
  let told: ServiceError | null = null;
  call.on("data", () => {});
  call.on("error", (error: ServiceError) => {
    told = error;
  });
  call.write(Buffer.from([0x08, 99]));
  await until("refusal", () => told !== null);
  assert.match(told!.details, /unknown value 99/);
  assert.equal(told!.metadata.get("paceline-code")[0], "protocol");
});

test("a port in use is a usage error that names port and flag", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  later(taken);
  const { port } = taken.address() as { port: number };
  const address = `127.0.0.1:${port}`;
  await assert.rejects(createGrpcTransport().serveChunks(address, answering().accept), {
    code: "usage",
    message: `port ${port} on 127.0.0.1 is in use; choose another with --port`,
  });
  for (const malformed of ["8000", "127.0.0.1:", "127.0.0.1:99999", ":8000"]) {
    await assert.rejects(createGrpcTransport().serveChunks(malformed, answering().accept), {
      code: "usage",
    });
  }
});

test("health and reflection answer on a served port", async () => {
  const client = plainClient(await serve(answering().accept));
  const health = await new Promise<Buffer>((resolve, reject) => {
    const path = "/grpc.health.v1.Health/Check";
    client.makeUnaryRequest(path, same, same, Buffer.alloc(0), (error, reply) =>
      error === null ? resolve(reply!) : reject(error),
    );
  });
  assert.deepEqual([...health], [8, 1]);
  const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  const call = client.makeBidiStreamRequest(path, same, same);
  const replies: string[] = [];
  call.on("data", (bytes: Buffer) => replies.push(bytes.toString("latin1")));
  call.on("error", () => {});
  const name = "paceline.v1.ParameterServer";
  call.write(Buffer.from([0x3a, 0]));
  call.write(Buffer.concat([Buffer.from([0x22, name.length]), Buffer.from(name)]));
  await until("two replies", () => replies.length === 2);
  assert.match(replies[0]!, /paceline\.v1\.ParameterServer/);
  assert.match(replies[1]!, /paceline\/v1\/parameter_server\.proto/);
  call.end();
});

test("300 connections that come and go leave no descriptor behind", async () => {
  const { inbox, accept } = answering();
  const address = await serve(accept);
  const transport = later(createGrpcTransport());
  const open = (): number => process.getActiveResourcesInfo().filter((it) => /TCP/.test(it)).length;
  const cycle = async (): Promise<void> => {
    const near = new Inbox();
    const channel = transport.openChunks(address, near);
    channel.send(hello, null);
    await until("welcome", () => near.chunks.length === 1);
    channel.close();
  };
  await cycle();
  await until("first end", () => inbox.errors.length === 1);
  const before = open();
  for (let life = 0; life < 300; life++) await cycle();
  await until("every end", () => inbox.errors.length === 301);
  await until(`${before} connections`, () => open() <= before);
});

test("a process that used the transport and closed it exits by itself", async () => {
  const script = `
    import { createGrpcTransport } from "${new URL("./grpc-transport.js", import.meta.url).href}";
    const transport = createGrpcTransport();
    const listener = await transport.serveChunks("127.0.0.1:0", () => ({
      onHeader: () => null, onChunk: () => heard(), onClose: () => {} }));
    let heard; const arrived = new Promise((resolve) => { heard = resolve; });
    const channel = transport.openChunks(listener.address, {
      onHeader: () => null, onChunk: () => {}, onClose: () => {} });
    channel.send(${JSON.stringify(hello)}, null);
    await arrived;
    await transport.close();
    await listener.close();
  `;
  const url = `data:text/javascript,${encodeURIComponent(script)}`;
  const child = fork("", [], {
    execArgv: ["--input-type=module", "--eval", `await import(${JSON.stringify(url)})`],
    silent: true,
  });
  let code: number | null | undefined;
  let said = "";
  child.stderr?.on("data", (bytes) => {
    said += String(bytes);
  });
  child.on("exit", (status) => {
    code = status;
  });
  closers.push(() => child.kill("SIGKILL"));
  await until("exit", () => code !== undefined);
  assert.equal(code, 0, said);
});
