import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { emptyHeader } from "../dist/protocol/messages.js";
import {
  encodeFrame,
  encodeGreeting,
  encodeSignal,
  frameHeadBytes,
} from "../dist/transport/wire/frame-codec.js";
import { longTest, makePlace, type Place, until } from "./run-paceline.js";

const logistic = ["train", "--model", "logistic", "--data", "mnist-parity", "--eval-every", "none"];
const pace = [
  "-s",
  "2",
  "-w",
  "2",
  "--replicas",
  "2",
  "--epochs",
  "12",
  "--batch-size",
  "4",
  "--engine",
  "synthetic",
];
const hello = { ...emptyHeader, kind: "hello", run: "nobody's", rank: 0 } as const;
const greeted = Buffer.concat([encodeGreeting(), encodeFrame(hello, null, "")]);

/** A message to the run that is served, made by hand; `run` is told to anybody who asks. */
function byHand(run: string) {
  const pull = { ...emptyHeader, kind: "pull", run, rank: -1, chunk: 0 } as const;
  const push = { ...pull, kind: "push", rank: 0, step: 1, examples: 1 } as const;
  const load = { ...pull, kind: "load", detail: '{"applied":[null]}' } as const;
  // Each as a server would say it, but nobody was asked for it.
  const copy = { ...pull, rank: 1, incarnation: 2 ** 32 + 1, term: 1, fence: 2 ** 32 + 2, step: 9 };
  const asCopies = (["follow", "received", "entry", "snapshot", "copy", "save"] as const).map(
    (kind) =>
      encodeFrame({ ...copy, kind, detail: "{}" }, kind === "entry" ? Buffer.alloc(9) : null, ""),
  );
  const asWorker = { ...hello, run, incarnation: 2 ** 32 + 3, term: 1, fence: 2 ** 32 + 2 };
  const greetedAsWorker = Buffer.concat([encodeGreeting(), encodeFrame(asWorker, null, "")]);
  const oversized = encodeFrame(pull, null, "");
  oversized.writeUInt32LE(0xffffffff, 8);
  return {
    noise: Buffer.alloc(5000, 0x8f),
    web: Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    oversized: Buffer.concat([greeted, oversized]),
    noHead: Buffer.concat([greeted, Buffer.alloc(frameHeadBytes, 0x77)]),
    codec: Buffer.concat([greeted, encodeFrame({ ...push, codec: 99 }, Buffer.alloc(9), "")]),
    marks: Buffer.concat([greeted, encodeFrame(load, Buffer.alloc(9), "")]),
    truncated: Buffer.concat([greeted, encodeFrame(push, Buffer.alloc(3144), "").subarray(0, -9)]),
    copies: Buffer.concat([greeted, ...asCopies]),
    workersCopies: Buffer.concat([greetedAsWorker, ...asCopies]),
    pings: Buffer.concat([greeted, ...Array<Buffer>(5000).fill(encodeSignal("ping"))]),
    pulls: Buffer.concat([greeted, ...Array<Buffer>(5000).fill(encodeFrame(pull, null, ""))]),
  };
}

/** Where the servers of a run listen: their ports and their sockets. */
async function waysTo(place: Place, run: string): Promise<(() => Socket)[]> {
  const log = await place.logs(run);
  const ports = [...log.matchAll(/server listens on 127\.0\.0\.1:(\d+)/g)];
  const paths = [...log.matchAll(/on the Unix socket (\S+)/g)];
  return [
    ...ports.map(
      ([, port]) =>
        () =>
          connect(Number(port), "127.0.0.1"),
    ),
    ...paths.map(
      ([, path]) =>
        () =>
          connect(path!),
    ),
  ];
}

longTest(
  "whatever strangers say, a run ends in the bits of an undisturbed one",
  async (context) => {
    const place = await makePlace(context, { train: 512 });
    const alone = await place.run([...logistic, ...pace, "--name", "alone"]);
    assert.equal(alone.exitCode, 0, alone.err);
    const command = place.start([...logistic, ...pace, "--name", "beset"]);
    await place.step("beset", 5);
    const run = (await place.snapshot("beset"))?.run ?? "";
    assert.match(run, /^beset-/);
    const sockets: Socket[] = [];
    for (const way of await waysTo(place, "beset")) {
      for (const bytes of Object.values(byHand(run))) {
        const socket = way().on("error", () => {});
        // Answers are not read: some of these peers ask for much.
        sockets.push(socket);
        await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
      }
      for (let idle = 0; idle < 20; idle++) sockets.push(way().on("error", () => {}));
    }
    assert.equal(command.isOver, false, "strangers came while it trained");
    const { exitCode, err } = await command.end();
    assert.equal(exitCode, 0, command.told());
    assert.doesNotMatch(err, /lost|refused|broke/);
    for (const socket of sockets) socket.destroy();
    assert.equal(await place.weights("beset"), await place.weights("alone"));
    await until("all processes gone", async () => (await place.leftovers()).length === 0);
  },
);

test("a socket that can't be had ends the run in the server's own words", async (context) => {
  const place = await makePlace(context);
  const long = place.path("y".repeat(90));
  await mkdir(long);
  const words = [...logistic, ...pace, "--transport", "unix", "--name", "long"];
  const { exitCode, err } = await place.run(words, { TMPDIR: long });
  assert.equal(exitCode, 2, err);
  assert.match(err, /run failed: server-\d .* exit code 2: .* has \d+ bytes, at most \d+/);
  assert.match(err, /set TMPDIR to a shorter folder, or take --transport tcp/);
});
