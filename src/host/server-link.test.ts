import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../errors.js";
import { emptyHeader } from "../protocol/messages.js";
import type { ChunkReceiver, Transport } from "../transport/transport.js";
import { ServerLink } from "./server-link.js";

/** A link to a server that is where `find` says; tries again when the test says so. */
function linked(find: () => string) {
  const opened: { address: string; receiver: ChunkReceiver }[] = [];
  const troubles: string[] = [];
  const retries: (() => void)[] = [];
  let welcomes = 0;
  const transport = {
    openChunks: (address: string, receiver: ChunkReceiver) => {
      opened.push({ address, receiver });
      return { peer: address, send: () => {}, close: () => {} };
    },
  } as unknown as Transport;
  const clock = {
    nowMs: () => 0,
    after: (_delayMs: number, action: () => void) => {
      retries.push(action);
      return { cancel: () => void retries.splice(retries.indexOf(action), 1) };
    },
  };
  const identity = { run: "r", rank: 0, incarnation: 1 };
  const link = new ServerLink({ transport, clock }, find, identity, {
    onOpen: () => void welcomes++,
    onHeader: () => null,
    onChunk: () => {},
    onTrouble: (reason) => void troubles.push(reason),
  });
  const breakOff = () => {
    opened.at(-1)!.receiver.onClose(new PacelineError("unavailable", "it broke"));
  };
  const welcome = () => {
    opened.at(-1)!.receiver.onChunk({ ...emptyHeader, kind: "welcome" }, null);
  };
  const goOn = () => retries.shift()!();
  return { link, opened, troubles, breakOff, welcome, goOn, welcomes: () => welcomes };
}

test("each try asks where the server is, so a way that is gone is not tried for ever", () => {
  let address = "unix:/run/s";
  const { link, opened, breakOff, welcome, goOn, welcomes } = linked(() => address);
  welcome();
  address = "tcp:10.0.0.1:80";
  breakOff();
  assert.ok(!link.isOpen);
  goOn();
  welcome();
  assert.deepEqual(
    opened.map(({ address: tried }) => tried),
    ["unix:/run/s", "tcp:10.0.0.1:80"],
  );
  assert.deepEqual([link.address, link.isOpen, welcomes()], ["tcp:10.0.0.1:80", true, 2]);
});

test("where there is no way for a while that is a trouble, and the link tries on", () => {
  let problem: PacelineError | null = null;
  const { opened, troubles, breakOff, goOn } = linked(() => {
    if (problem !== null) throw problem;
    return "unix:/run/s";
  });
  problem = new PacelineError("usage", "no socket; take --transport tcp");
  breakOff();
  assert.deepEqual(troubles, []);
  goOn();
  goOn();
  assert.deepEqual(troubles, [
    "server at unix:/run/s: it broke",
    "server at unix:/run/s: no socket; take --transport tcp",
  ]);
  problem = null;
  goOn();
  assert.equal(opened.length, 2);
});

test("without a way from the start there is no link", () => {
  const find = () => {
    throw new PacelineError("usage", "no socket");
  };
  assert.throws(() => linked(find), { message: "no socket" });
});

test("a link that was closed tries no more, and tells of no trouble", () => {
  const { link, opened, troubles, breakOff } = linked(() => "s0");
  breakOff();
  link.close();
  breakOff();
  assert.deepEqual([opened.length, troubles], [1, []]);
});
