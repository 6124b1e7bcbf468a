import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, test } from "node:test";
import { ServerLink } from "../../host/server-link.js";
import type { TransportChoice } from "../../protocol/view.js";
import { processClock } from "../../runtime/process/process-clock.js";
import { hello, Inbox, until } from "../testing/recording.js";
import type { ChunkChannel } from "../transport.js";
import { createMemberTransport } from "./member-transport.js";
import { createRouter, machineName } from "./routes.js";
import { serveChunksEverywhere } from "./served-chunks.js";

let closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
});

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "paceline-served-"));
  closers.push(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function serve(
  choice: TransportChoice,
  socketFolder: string,
  advertise: string | null = null,
) {
  const inbox = new Inbox();
  const said: string[] = [];
  const served = await serveChunksEverywhere(createMemberTransport({ ioTimeoutMs: 5000 }), {
    address: "127.0.0.1:0",
    advertise,
    choice,
    accept: () => inbox,
    socketFolder,
    log: (text) => void said.push(text),
  });
  closers.push(() => served.close());
  return { ...served, inbox, said };
}

/** What sockets of this process are called. */
function ownSocket(folder: string): RegExp {
  return new RegExp(`^${folder}/server-${process.pid}-[0-9a-f]{8}\\.sock$`);
}

test("no two sockets have one name: a path means one server in any file system", async () => {
  const paths = new Set<string>();
  for (let life = 0; life < 20; life++) {
    const { frames, close } = await serve("unix", makeFolder());
    paths.add(basename(frames!.unix));
    await close();
  }
  assert.equal(paths.size, 20);
});

test("auto answers gRPC and frames at one port, and frames on a socket", async () => {
  const folder = makeFolder();
  const { address, frames, inbox } = await serve("auto", folder);
  const unix = frames!.unix;
  assert.match(unix, ownSocket(folder));
  assert.deepEqual(frames, { tcp: address, unix, machine: machineName() });
  const transport = createMemberTransport({ ioTimeoutMs: 5000 });
  closers.push(() => transport.close());
  for (const way of [address, `tcp:${address}`, `unix:${unix}`]) {
    const before = inbox.chunks.length;
    transport.openChunks(way, new Inbox()).send(hello, null);
    await until(`hello by ${way}`, () => inbox.chunks.length === before + 1);
  }
});

test("what is offered follows the choice; an advertised address is not gone around", async () => {
  const folder = makeFolder();
  const unix = ownSocket(folder);
  const proxy = "10.1.2.3:99";
  for (const [choice, advertise, tcp, path] of [
    ["tcp", null, "own", /^$/],
    ["unix", null, "own", unix],
    ["auto", proxy, proxy, /^$/],
    ["unix", proxy, proxy, unix],
  ] as const) {
    const { bound, frames, close } = await serve(choice, folder, advertise);
    const wanted = tcp === "own" ? bound : tcp;
    assert.equal(frames?.tcp, wanted, `${choice} ${advertise}`);
    assert.match(frames.unix, path, `${choice} ${advertise}`);
    await close();
  }
  assert.equal((await serve("grpc", folder)).frames, null);
});

test("without a socket auto goes on and says why, unix by name does not", async () => {
  const folder = join(makeFolder(), "y".repeat(100));
  const missing = await serve("auto", folder);
  assert.equal(missing.frames?.unix, "");
  assert.match(missing.said.join(), /no Unix socket: /);
  await assert.rejects(serve("unix", folder), /can't list .*: there is no such file or folder$/);
});

test("where the socket's file is gone a broken link goes on over TCP to its server", async () => {
  const channels: ChunkChannel[] = [];
  const served = await serveChunksEverywhere(createMemberTransport({ ioTimeoutMs: 5000 }), {
    ...{ address: "127.0.0.1:0", advertise: null, choice: "auto", socketFolder: makeFolder() },
    accept: (channel) => {
      channels.push(channel);
      channel.send({ ...hello, kind: "welcome" }, null);
      return new Inbox();
    },
    log: () => {},
  });
  closers.push(() => served.close());
  const { address, frames } = served;
  const server = { index: 0, incarnation: 1, address, frames };
  const transport = createMemberTransport({ ioTimeoutMs: 5000 });
  closers.push(() => transport.close());
  const route = createRouter("auto");
  const ways: string[] = [];
  const link = new ServerLink(
    { transport, clock: processClock },
    () => route(server),
    { run: "run-1", rank: 0, incarnation: 1 },
    {
      onOpen: () => void ways.push(link.address),
      onHeader: () => null,
      onChunk: () => {},
      onTrouble: () => {},
    },
  );
  closers.push(() => link.close());
  const unix = `unix:${frames!.unix}`;
  await until("a link over the socket", () => ways.length === 1);
  rmSync(frames!.unix);
  channels[0]!.close();
  await until("a link over TCP", () => ways.length === 2);
  assert.deepEqual(ways, [unix, `tcp:${address}`]);
});

test("sockets of killed servers are removed, those of living ones and all else stay", async () => {
  const folder = makeFolder();
  const own = new URL("../bound-socket.js", import.meta.url).href;
  const script = `
    import { bindSocket } from "${own}";
    await bindSocket("unix:" + process.argv[1] + "/server-" + process.pid + "-0a.sock", () => {});
    process.send("listening");
  `;
  const url = `data:text/javascript,${encodeURIComponent(script)}`;
  const execArgv = ["--input-type=module", "--eval", `await import(${JSON.stringify(url)})`];
  const start = async () => {
    const child = fork(folder, [], { execArgv });
    closers.push(() => child.kill("SIGKILL"));
    await once(child, "message");
    return child;
  };
  const [killed, living] = [await start(), await start()];
  killed.kill("SIGKILL");
  await once(killed, "exit");
  writeFileSync(join(folder, "notes"), "");
  assert.ok(existsSync(join(folder, `server-${killed.pid}-0a.sock`)));
  const { frames } = await serve("auto", folder);
  const left = [`server-${living.pid}-0a.sock`, basename(frames!.unix), "notes"];
  assert.deepEqual(readdirSync(folder).sort(), left.sort());
});
