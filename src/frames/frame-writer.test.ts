import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Writable } from "node:stream";
import { test } from "node:test";
import { until } from "../transport/recording.test.js";
import { encodeSignal } from "../wire/frame-codec.js";
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
