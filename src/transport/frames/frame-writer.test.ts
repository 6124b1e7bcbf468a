import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Writable } from "node:stream";
import { test } from "node:test";
import { emptyHeader } from "../../protocol/messages.js";
import { until } from "../testing/recording.js";
import { encodeFrame, encodeSignal } from "../wire/frame-codec.js";
import { FrameWriter } from "./frame-writer.js";

/** A socket whose peer takes nothing until it is told to. */
function slowSocket() {
  const taken: Buffer[] = [];
  const waiting: (() => void)[] = [];
  let isTaking = false;
  const stream = new Writable({
    write(bytes: Buffer, _encoding, done) {
      taken.push(bytes);
      if (isTaking) done();
      else waiting.push(done);
    },
  });
  const take = () => {
    isTaking = true;
    for (const done of waiting.splice(0)) done();
  };
  return { socket: stream as unknown as Socket, taken, take };
}

test("small messages go out in one piece, large payloads from where they lie", async () => {
  const { socket, taken, take } = slowSocket();
  take();
  const writer = new FrameWriter();
  writer.attach(socket);
  const header = { ...emptyHeader, kind: "push", run: "r" } as const;
  const payloads = [300, 4096, 4097, 0, 1, 70_000, 200].map((length, at) =>
    new Uint8Array(length).fill(at + 1),
  );
  const sents = payloads.map((payload, chunk) => {
    let done = false;
    writer.send({ ...header, chunk }, payload, () => {
      done = true;
    });
    return () => done;
  });
  await until("all are sent", () => sents.every((done) => done()));
  const expected = payloads.flatMap((payload, chunk) => [
    encodeFrame({ ...header, chunk }, payload, chunk === 0 ? "" : "r"),
    payload,
  ]);
  assert.deepEqual(Buffer.concat(taken), Buffer.concat(expected));
  const head = 96;
  const [first, second] = [3 * head + 1 + 300 + 4096, 3 * head + 1];
  assert.deepEqual(
    taken.map(({ length }) => length),
    [first, 4097, second, 70_000, head + 200],
  );
  assert.equal(taken[1]!.buffer, payloads[2]!.buffer);
  assert.equal(taken[3]!.buffer, payloads[5]!.buffer);
});

test("who asks a thousand times and reads no answer has one answer waiting", async () => {
  const { socket, taken, take } = slowSocket();
  const writer = new FrameWriter();
  writer.attach(socket);
  for (let turn = 0; turn < 1000; turn++) {
    writer.signal("pong");
    await new Promise<void>((resolve) => process.nextTick(resolve));
  }
  take();
  let ended = false;
  writer.end(() => {
    ended = true;
  });
  await until("the end", () => ended);
  const bytes = Buffer.concat(taken);
  const pong = encodeSignal("pong");
  // Two batches were with the socket, one waited.
  assert.deepEqual(bytes, Buffer.concat([pong, pong, pong]));
});
