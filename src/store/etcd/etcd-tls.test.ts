/** What a member that does not answer is taken for, where one side speaks TLS and one does not. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { mismatchAt } from "./etcd-tls.js";

/** A listener that answers each connection's first bytes with this, and hangs up. */
async function answering(context: TestContext, text: string): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => socket.end(text));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("an answer to a question in clear says that TLS is not spoken there", async (context) => {
  const endpoint = await answering(context, 'HTTP/1.0 200 OK\r\n\r\n{"health":"true"}');
  assert.match((await mismatchAt(endpoint, true, 2000)) ?? "", /^answers without TLS; leave/);
  const sick = await answering(context, "HTTP/1.1 503 Service Unavailable\r\n\r\n");
  assert.match((await mismatchAt(sick, true, 2000)) ?? "", /^answers without TLS; leave/);
});

test("who refuses a question in clear, as TLS does, is tried again", async (context) => {
  const words = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
  assert.equal(await mismatchAt(await answering(context, words), true, 2000), null);
});
