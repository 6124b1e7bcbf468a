/**
 * A process that fills a link both ways: told to listen it answers where; told an address, by which
 * it reaches itself, it sends all it can from both ends for a while and answers what arrived.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

const block = new Uint8Array(1 << 20).fill(1);
const warmUpMs = 200;

/** Bytes that arrived at each end. */
const arrived = { here: 0, there: 0 };

function fill(socket: Socket, end: keyof typeof arrived): void {
  const pump = () => {
    while (!socket.destroyed && socket.write(block));
  };
  socket.on("data", ({ length }) => {
    arrived[end] += length;
  });
  socket.on("drain", pump);
  socket.on("error", () => socket.destroy());
  pump();
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function measure(address: string, forMs: number): Promise<object> {
  const [host = "", port] = address.split(":");
  const socket = connect({ host, port: Number(port), noDelay: true });
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  fill(socket, "here");
  await pause(warmUpMs);
  const before = { ...arrived };
  const startedMs = performance.now();
  await pause(forMs);
  const seconds = (performance.now() - startedMs) / 1000;
  const perSecond = (end: keyof typeof arrived) => (arrived[end] - before[end]) / seconds;
  const answer = { bytesPerSecond: Math.min(perSecond("here"), perSecond("there")) };
  socket.destroy();
  return answer;
}

const server = createServer({ noDelay: true }, (socket) => fill(socket, "there"));
const tell = (answer: object) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { address, forMs } = JSON.parse(line) as { address: string | null; forMs: number };
  if (address !== null) {
    void measure(address, forMs).then(tell);
    return;
  }
  server.listen({ host: "127.0.0.1", port: 0 }, () => {
    tell({ address: `127.0.0.1:${(server.address() as AddressInfo).port}` });
  });
});
lines.once("close", () => process.exit(0));
