/**
 * A process that echoes: what comes by its socket goes back by it, read into memory of its own that
 * is used again. The first line of input says where to listen; the answer is the address.
 */
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

function echo(socket: Socket): void {
  socket.on("data", (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("error", () => socket.destroy());
}

const server = createServer({ noDelay: true }, echo);
const lines = createInterface({ input: process.stdin });
lines.once("line", (line) => {
  const { path } = JSON.parse(line) as { readonly path: string | null };
  const answer = () => process.stdout.write(`${JSON.stringify({ address: server.address() })}\n`);
  if (path === null) server.listen({ host: "127.0.0.1", port: 0 }, answer);
  else server.listen(path, answer);
});
lines.once("close", () => process.exit(0));
