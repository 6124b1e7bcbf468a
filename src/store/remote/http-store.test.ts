import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { httpStore } from "./http-store.js";
import type { OpenedFile } from "./remote-store.js";

let closeServer = async () => {};
afterEach(() => closeServer());

async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closeServer = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ask = (path: string, from = 0, validator: string | null = null) => ({
  path,
  from,
  validator,
  signal: AbortSignal.timeout(20_000),
});

async function text({ content }: OpenedFile): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

test("user and password are sent as a header and shown to nobody", async () => {
  let seen: IncomingMessage | null = null;
  const host = await serve((request, response) => {
    seen = request;
    response.end("hello");
  });
  const store = httpStore(`http://ann:se%20cret@${host}/data?sig=abc`);
  assert.equal(store.name, `http://${host}/data/`);
  const opened = await store.open(ask("set/a file"));
  assert.equal(await text(opened as OpenedFile), "hello");
  const { url, headers } = seen as unknown as IncomingMessage;
  assert.equal(url, "/data/set/a%20file?sig=abc");
  assert.equal(headers.authorization, `Basic ${Buffer.from("ann:se cret").toString("base64")}`);
});

test("a body with a content encoding has no known size and can't be continued", async () => {
  const host = await serve((_request, response) => {
    response.writeHead(200, { "content-encoding": "gzip", etag: '"a"' }).end(gzipSync("hello"));
  });
  const opened = (await httpStore(`http://${host}`).open(ask("a"))) as OpenedFile;
  assert.deepEqual([opened.totalBytes, opened.validator, opened.offset], [null, null, 0]);
  assert.equal(await text(opened), "hello");
});

const parts: { name: string; headers: Record<string, string>; status?: number }[] = [
  { name: "begins elsewhere", headers: { "content-range": "bytes 3-4/5" } },
  { name: "does not say where it begins", headers: {} },
  { name: "is of another version", headers: { "content-range": "bytes 2-4/5", etag: '"b"' } },
  { name: "is beyond the end", headers: { "content-range": "bytes */1" }, status: 416 },
];
for (const { name, headers, status = 206 } of parts) {
  test(`a part that ${name} is not taken, the whole file is asked for`, async () => {
    const asked: (string | undefined)[] = [];
    const host = await serve((request, response) => {
      asked.push(request.headers.range);
      if (request.headers.range === undefined) response.end("hello");
      else response.writeHead(status, headers).end();
    });
    const opened = await httpStore(`http://${host}`).open(ask("a", 2, '"a"'));
    assert.equal(opened?.offset, 0);
    assert.equal(await text(opened as OpenedFile), "hello");
    assert.deepEqual(asked, ["bytes=2-", undefined]);
  });
}

test("a weak mark is not trusted, the date of the last change is", async () => {
  const date = "Tue, 01 Jan 2030 00:00:00 GMT";
  const host = await serve((_request, response) => {
    response.writeHead(200, { etag: 'W/"a"', "last-modified": date }).end("hello");
  });
  const opened = await httpStore(`http://${host}`).open(ask("a"));
  assert.equal(opened?.validator, date);
});

test("a file that is not there is null, other refusals are told", async () => {
  const host = await serve((request, response) => {
    response.writeHead(request.url === "/absent" ? 404 : 503).end();
  });
  const store = httpStore(`http://${host}`);
  assert.equal(await store.open(ask("absent")), null);
  await assert.rejects(store.open(ask("busy")), {
    code: "unavailable",
    message: "busy answered 503 Service Unavailable",
  });
});

test("a part that nobody asked for is refused", async () => {
  const host = await serve((_request, response) => {
    response.writeHead(206, { "content-range": "bytes 2-4/5" }).end("llo");
  });
  await assert.rejects(httpStore(`http://${host}`).open(ask("a")), {
    code: "unavailable",
    message: /a answered with a range that was not requested/,
  });
});

test("what is no URL is a usage error", () => {
  assert.throws(() => httpStore("http://"), { code: "usage", message: /write https:/ });
});

test("a user or password that can't be decoded is a usage error which does not show it", () => {
  for (const place of ["https://ada:100%@host/data", "https://a%e0:secret@host/data"]) {
    assert.throws(() => httpStore(place), {
      code: "usage",
      message:
        "the user or password before host has a % that encodes no character; " +
        "write %25 for a % that is meant",
    });
  }
});

test("a body that is read late is whole, though its response was collected meanwhile", async () => {
  const host = await serve((_request, response) => void response.end(Buffer.alloc(300_000, "x")));
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const opened = await httpStore(`http://${host}`).open(ask("a"));
  // What finalizers do is seen after a turn of the event loop.
  for (let turn = 0; turn < 5; turn++) {
    collect();
    await new Promise(setImmediate);
  }
  assert.equal((await text(opened as OpenedFile)).length, 300_000);
});
