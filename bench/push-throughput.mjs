/**
 * How fast pushes travel over the gRPC transport: ResNet-18's gradient (44.9 MB in 1 MiB chunks)
 * from one process to another, straight and through a proxy with 1 ms one-way delay.
 *
 *   node bench/push-throughput.mjs [--json] [--dist dist] [--rounds 9]
 */
import { fork } from "node:child_process";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";

const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    dist: { type: "string", default: "dist" },
    rounds: { type: "string", default: "9" },
    role: { type: "string", default: "sender" },
    target: { type: "string", default: "" },
  },
});
const load = (path) => import(pathToFileURL(resolve(join(flags.dist, path))).href);
const { createGrpcTransport } = await load("grpc/grpc-transport.js");
const { emptyHeader } = await load("contract/messages.js");

const gradientBytes = 44_880_528;
const chunkBytes = 1_048_576;

async function forward() {
  const { startShapingProxy } = await load("transport/shaping-proxy.js");
  const proxy = await startShapingProxy({ target: flags.target, delayMs: 1, bytesPerSecond: null });
  process.send(proxy.address);
  process.on("disconnect", () => proxy.close());
}

async function receive() {
  const arena = new Uint8Array(gradientBytes);
  const listener = await createGrpcTransport().serveChunks("127.0.0.1:0", (channel) => ({
    onHeader: (header, bytes) =>
      arena.subarray(header.chunk * chunkBytes, header.chunk * chunkBytes + bytes),
    onChunk: (header) => {
      if (header.kind === "push" && header.wantsReply) {
        channel.send({ ...emptyHeader, kind: "reply", step: header.step }, null);
      }
    },
    onClose: () => {},
  }));
  process.send(listener.address);
  process.on("disconnect", () => listener.close());
}

/** Seconds from the first chunk's sending to the answer to the last, for each round. */
async function measure(address, rounds) {
  const transport = createGrpcTransport();
  const gradient = new Uint8Array(gradientBytes).fill(3);
  let answered = () => {};
  const channel = transport.openChunks(address, {
    onHeader: () => null,
    onChunk: () => answered(),
    onClose: (error) => {
      throw error;
    },
  });
  channel.send({ ...emptyHeader, kind: "hello" }, null);
  const seconds = [];
  for (let round = 0; round < rounds + 2; round++) {
    const start = performance.now();
    const done = new Promise((resolve) => {
      answered = resolve;
    });
    for (let offset = 0; offset < gradientBytes; offset += chunkBytes) {
      const end = Math.min(gradientBytes, offset + chunkBytes);
      channel.send(
        {
          ...emptyHeader,
          kind: "push",
          run: "bench",
          step: round,
          chunk: offset / chunkBytes,
          wantsReply: end === gradientBytes,
        },
        gradient.subarray(offset, end),
      );
    }
    await done;
    if (round >= 2) seconds.push((performance.now() - start) / 1000);
  }
  await transport.close();
  return seconds;
}

/** Starts this file in another role; returns the process and the address that it listens on. */
async function start(role, ...more) {
  const child = fork(process.argv[1], ["--role", role, "--dist", flags.dist, ...more]);
  return [child, await new Promise((resolve) => child.once("message", resolve))];
}

async function send() {
  const rounds = Number(flags.rounds);
  const [receiver, target] = await start("receiver");
  const [proxy, shaped] = await start("proxy", "--target", target);
  const rows = [];
  for (const [name, address] of [
    ["push/grpc/direct", target],
    ["push/grpc/1ms", shaped],
  ]) {
    const seconds = (await measure(address, rounds)).sort((left, right) => left - right);
    const median = seconds[Math.floor(seconds.length / 2)];
    rows.push({ name, value: Math.round(gradientBytes / median / 1e6), unit: "MB/s" });
  }
  proxy.disconnect();
  receiver.disconnect();
  if (flags.json) console.log(JSON.stringify({ bench: "push-throughput", rows }));
  else for (const row of rows) console.log(`${row.name} ${row.value} ${row.unit}`);
}

await { receiver: receive, proxy: forward, sender: send }[flags.role]();
