/**
 * The processes beside the one that measures a transport: what answers its trips, and the network
 * with a delay between the two. The first line of input says which; the answer is the address.
 */
import { createInterface } from "node:readline";
import { createMemberTransport } from "../../transport/frames/member-transport.js";
import { startShapingProxy } from "../../transport/shaping/shaping-proxy.js";
import { EchoAcceptor } from "./echo-acceptor.js";

type Task =
  | { readonly listen: string; readonly bytes: number }
  | { readonly target: string; readonly delayMs: number };

function start(task: Task): Promise<{ readonly address: string }> {
  if ("target" in task) return startShapingProxy(task);
  return createMemberTransport().serveChunks(task.listen, new EchoAcceptor(task.bytes).accept);
}

const lines = createInterface({ input: process.stdin });
lines.once("line", (line) => {
  void start(JSON.parse(line) as Task).then(({ address }) => {
    process.stdout.write(`${JSON.stringify({ address })}\n`);
  });
});
lines.once("close", () => process.exit(0));
