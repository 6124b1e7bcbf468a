import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ChunkHeader } from "../../protocol/messages.js";
import { emptyHeader } from "../../protocol/messages.js";
import { encodeFrame, encodeGreeting, encodeSignal, frameHeadBytes } from "../wire/frame-codec.js";
import { detailBytesMax, payloadBytesMax } from "../wire/limits.js";
import { FrameReader } from "./frame-reader.js";

interface Message {
  readonly header: ChunkHeader;
  readonly payload: Uint8Array;
  readonly wanted: boolean;
}

/** What a reader told, as text and bytes. */
class Told {
  readonly words: string[] = [];
  readonly frames: { header: ChunkHeader; bytes: Uint8Array | null }[] = [];
  wanted: (header: ChunkHeader) => boolean = () => true;
  readonly reader = new FrameReader({
    onGreeting: (bytes) => void this.words.push(`greeting of ${bytes.length}`),
    onHeader: (header, payloadBytes) => (this.wanted(header) ? new Uint8Array(payloadBytes) : null),
    onFrame: (header, bytes) => void this.frames.push({ header, bytes }),
    onSignal: (signal, code, sentence) => void this.words.push(`${signal} ${code} ${sentence}`),
  });
}

const sizes = fc.oneof(fc.nat(200), fc.nat(70_000), fc.constant(300_000));
const messages: fc.Arbitrary<Message[]> = fc
  .array(
    fc.record({
      step: fc.nat(),
      run: fc.constantFrom("", "run-1", "another run"),
      detail: fc.oneof(fc.constant(""), fc.string({ unit: "binary", maxLength: 50 })),
      bytes: sizes,
      wanted: fc.boolean(),
    }),
    { maxLength: 8 },
  )
  .map((drafts) =>
    drafts.map(({ step, run, detail, bytes, wanted }): Message => {
      const header = {
        ...emptyHeader,
        kind: "push",
        run,
        detail,
        step,
        wantsReply: wanted,
      } as const;
      return { header, payload: new Uint8Array(bytes).fill(step % 251), wanted };
    }),
  );

function stream(sent: readonly Message[]): Buffer {
  let run = "";
  const parts: Uint8Array[] = [encodeGreeting()];
  for (const { header, payload } of sent) {
    parts.push(encodeFrame(header, payload, run), payload, encodeSignal("ping"));
    run = header.run;
  }
  return Buffer.concat(parts);
}

/** Gives the reader these bytes as a socket would: into its memory, so many at a time. */
function pour(reader: FrameReader, bytes: Uint8Array, most: (room: number) => number): void {
  for (let offset = 0; offset < bytes.length; ) {
    const room = reader.next();
    assert.ok(room.length > 0);
    const taken = Math.min(Math.max(1, most(room.length)), room.length, bytes.length - offset);
    room.set(bytes.subarray(offset, offset + taken));
    reader.filled(taken);
    offset += taken;
  }
}

function demandAll(told: Told, sent: readonly Message[]): void {
  assert.deepEqual(told.words, ["greeting of 8", ...sent.map(() => "ping  ")]);
  assert.equal(told.frames.length, sent.length);
  for (const [index, { header, payload, wanted }] of sent.entries()) {
    assert.deepEqual(told.frames[index]!.header, header);
    const { bytes } = told.frames[index]!;
    assert.equal(bytes === null, !wanted);
    if (bytes !== null) assert.equal(Buffer.compare(bytes, payload), 0);
  }
  assert.equal(told.reader.isMidFrame, false);
}

test("frames that are cut anywhere parse the same", () => {
  fc.assert(
    fc.property(messages, fc.infiniteStream(fc.nat(40_000)), fc.boolean(), (sent, cuts, small) => {
      const told = new Told();
      told.wanted = ({ wantsReply }) => wantsReply;
      pour(told.reader, stream(sent), () => {
        const cut = cuts.next().value as number;
        return small ? cut % 100 : cut;
      });
      demandAll(told, sent);
    }),
    { seed: 7, numRuns: 150 },
  );
});

test("bytes that were read elsewhere parse the same", () => {
  fc.assert(
    fc.property(messages, fc.nat(), (sent, at) => {
      const told = new Told();
      told.wanted = ({ wantsReply }) => wantsReply;
      const bytes = stream(sent);
      const cut = at % (bytes.length + 1);
      told.reader.feed(bytes.subarray(0, cut));
      pour(told.reader, bytes.subarray(cut), (room) => room);
      demandAll(told, sent);
    }),
    { seed: 8, numRuns: 100 },
  );
});

test("one byte at a time parses the same", () => {
  const header: ChunkHeader = { ...emptyHeader, kind: "reply", run: "r", detail: "why" };
  const sent = [{ header, payload: new Uint8Array(9000).fill(5), wanted: true }];
  const told = new Told();
  pour(told.reader, stream(sent), () => 1);
  demandAll(told, sent);
});

test("the body of a payload is read straight into the receiver's memory", () => {
  const arena = new Uint8Array(new SharedArrayBuffer(2 * payloadBytesMax));
  const place = arena.subarray(4, 4 + payloadBytesMax);
  const reader = new FrameReader({
    onGreeting: () => {},
    onHeader: () => place,
    onFrame: () => {},
    onSignal: () => {},
  });
  const payload = new Uint8Array(payloadBytesMax).fill(7);
  reader.feed(encodeGreeting());
  reader.feed(encodeFrame({ ...emptyHeader, kind: "push" }, payload, ""));
  assert.equal(reader.isInPayload, false, "nothing was given out since");
  const room = reader.next();
  assert.equal(room.buffer, arena.buffer);
  assert.deepEqual([room.byteOffset, room.length], [4, payloadBytesMax]);
  assert.equal(reader.isInPayload, true);
  room.fill(7);
  reader.filled(payloadBytesMax - 10);
  assert.notEqual(reader.next().buffer, arena.buffer, "the last bytes come with what follows");
  assert.equal(reader.isInPayload, false);
});

test("a hostile length asks the receiver for nothing and takes no memory", () => {
  for (const [offset, value] of [
    [8, payloadBytesMax + 1],
    [8, 4294967295],
    [12, detailBytesMax + 1],
    [12, 4294967295],
  ] as const) {
    const told = new Told();
    told.wanted = () => assert.fail("asked for memory");
    const head = encodeFrame({ ...emptyHeader, kind: "push" }, null, "");
    head.writeUInt32LE(value, offset);
    told.reader.feed(encodeGreeting());
    assert.throws(() => told.reader.feed(head), { code: "protocol", message: /at most/ });
  }
});

test("after it was stopped a reader gives out memory that nobody reads", () => {
  const told = new Told();
  told.reader.feed(encodeGreeting());
  const payload = new Uint8Array(100_000);
  told.reader.feed(encodeFrame({ ...emptyHeader, kind: "push" }, payload, ""));
  told.reader.stop();
  pour(told.reader, new Uint8Array(1_000_000).fill(255), (room) => room);
  assert.equal(told.frames.length, 0);
});

test("a head that has begun is the middle of a frame", () => {
  const told = new Told();
  assert.equal(told.reader.isMidFrame, false);
  told.reader.feed(encodeGreeting());
  const frame = encodeFrame({ ...emptyHeader, kind: "pull" }, null, "");
  assert.equal(told.reader.isMidFrame, false);
  told.reader.feed(frame.subarray(0, 10));
  assert.equal(told.reader.isMidFrame, true);
  told.reader.feed(frame.subarray(10, frameHeadBytes));
  assert.equal(told.reader.isMidFrame, false);
});
