import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../errors.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import { unreachable } from "../transport/connection-errors.js";
import type { ChunkReceiver, Transport } from "../transport/transport.js";
import { ServerLink } from "./server-link.js";
import { ManualClock } from "./testing/manual-clock.js";

/** A link to a server that is where `find` says; tries again when the test says so. */
function linked(find: () => string) {
  const opened: { address: string; receiver: ChunkReceiver }[] = [];
  const troubles: string[] = [];
  const said: string[] = [];
  let taken: () => void = () => {};
  let welcomes = 0;
  const transport = {
    openChunks: (address: string, receiver: ChunkReceiver) => {
      opened.push({ address, receiver });
      const send = ({ kind }: ChunkHeader, _payload: unknown, sent = () => {}) => {
        said.push(kind);
        taken = sent;
      };
      return { peer: address, send, close: () => {} };
    },
  } as unknown as Transport;
  const clock = new ManualClock();
  const identity = { run: "r", rank: 0, incarnation: 1 };
  const link = new ServerLink({ transport, clock, ioTimeoutMs: 30_000 }, find, identity, {
    onOpen: () => void welcomes++,
    onHeader: () => null,
    onChunk: () => {},
    onTrouble: (reason) => void troubles.push(reason),
  });
  const breakOff = (error = new PacelineError("unavailable", "it broke")) => {
    opened.at(-1)!.receiver.onClose(error);
  };
  const welcome = () => {
    opened.at(-1)!.receiver.onChunk({ ...emptyHeader, kind: "welcome" }, null);
  };
  const goOn = () => clock.pass(100);
  const sent = () => taken();
  const parts = { link, opened, sent, troubles, said, clock, breakOff, welcome, goOn };
  return { ...parts, welcomes: () => welcomes };
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
  const { link, opened, troubles, breakOff, goOn } = linked(() => "s0");
  breakOff();
  link.close();
  breakOff();
  goOn();
  assert.deepEqual([opened.length, troubles], [1, []]);
});

test("a link tells how long the server can't be reached, from its break to its welcome", () => {
  const { link, clock, breakOff, welcome, goOn } = linked(() => "s0");
  assert.equal(link.unreachedMs, null, "it is not known before there was an answer");
  welcome();
  clock.pass(500);
  assert.equal(link.unreachedMs, 0);
  breakOff();
  assert.equal(link.unreachedMs, 1, "not 0, which says that it can");
  clock.pass(50);
  assert.equal(link.unreachedMs, 50);
  goOn();
  breakOff();
  clock.pass(1000);
  assert.equal(link.unreachedMs, 1150, "further breaks change nothing");
  welcome();
  assert.equal(link.unreachedMs, 0);
});

test("what its process slept through counts as no time without the server", () => {
  const { link, clock, breakOff, welcome } = linked(() => "tcp:10.0.0.1:80");
  welcome();
  breakOff();
  clock.pass(300);
  clock.sleep(10_000);
  const { unreachedMs } = link;
  assert.ok(unreachedMs !== null && unreachedMs >= 300 && unreachedMs <= 1000, `${unreachedMs} ms`);
});

test("a link tells of a server's life whether its last try was refused", () => {
  const { link, breakOff, welcome, goOn } = linked(() => "s0");
  const refused = () => link.reachOf(2, 7).map((one) => one.refused);
  assert.deepEqual(link.reachOf(2, 7), [], "nothing is known before there was an answer");
  welcome();
  assert.deepEqual(link.reachOf(2, 7), [
    { server: 2, incarnation: 7, unreachedMs: 0, refused: false },
  ]);
  breakOff();
  assert.deepEqual(refused(), [false]);
  goOn();
  breakOff(unreachable("s0", "ECONNREFUSED"));
  assert.deepEqual(refused(), [true]);
  goOn();
  breakOff(unreachable("s0", "ETIMEDOUT"));
  assert.deepEqual(refused(), [false], "somebody may be there");
  goOn();
  breakOff(unreachable("/s0.sock", "ENOENT"));
  assert.deepEqual(refused(), [true]);
  goOn();
  welcome();
  assert.deepEqual(refused(), [false]);
});

test("a channel that is open and dead is found out and opened anew", () => {
  const { link, opened, troubles, said, clock, welcome, welcomes } = linked(() => "s0");
  welcome();
  assert.deepEqual(said, ["hello"]);
  for (let answer = 0; answer < 3; answer++) {
    clock.pass(250);
    assert.equal(said.length, answer + 2, "it is greeted before it is silent");
    clock.pass(10);
    welcome();
  }
  assert.deepEqual([welcomes(), link.unreachedMs, opened.length], [1, 0, 1]);
  clock.pass(1400);
  assert.equal(opened.length, 1, "it may take a second where it took 10 ms");
  clock.pass(700);
  assert.equal(opened.length, 2);
  assert.match(troubles[0]!, /^server at s0: it has not answered for 1\.\d s$/);
  assert.ok(link.unreachedMs! >= 1500, `${link.unreachedMs}`);
  welcome();
  assert.deepEqual([link.unreachedMs, welcomes()], [0, 2]);
});

test("a server that takes long to answer is given longer", () => {
  const { opened, said, clock, welcome } = linked(() => "s0");
  welcome();
  const answerAfter = (ms: number) => {
    const before = said.length;
    while (said.length === before) clock.pass(50);
    clock.pass(ms);
    assert.equal(opened.length, 1);
    welcome();
  };
  answerAfter(20_000);
  for (let answer = 0; answer < 5; answer++) answerAfter(500);
  for (let answer = 0; answer < 30; answer++) answerAfter(100);
  answerAfter(3500);
});

test("what is on its way to a server is not its silence", () => {
  const { link, opened, said, clock, welcome, sent } = linked(() => "s0");
  welcome();
  for (let answer = 0; answer < 3; answer++) {
    clock.pass(750);
    welcome();
  }
  const before = said.length;
  for (let part = 0; part < 10; part++) {
    link.send({ ...emptyHeader, kind: "push" }, null);
    clock.pass(400);
    sent();
  }
  assert.equal(opened.length, 1);
  assert.equal(said.length, before + 10, "nor a reason to ask");
});
