import assert from "node:assert/strict";
import { test } from "node:test";
import type { BackgroundPace } from "../host/background-pace.js";
import type { Files } from "../store/files.js";
import { pacedFiles } from "./paced-files.js";

test("a rest follows each piece, for what was done since the one before", async () => {
  let nowMs = 0;
  const done: string[] = [];
  const file = {
    write: async (bytes: Uint8Array) => {
      nowMs += 5;
      done.push(`write ${bytes.length}`);
    },
    sync: async () => void done.push("sync"),
    close: async () => void done.push("close"),
  };
  const files = { create: async () => file } as unknown as Files;
  const pace = {
    rest: async (begunMs: number, bytes: number) => {
      done.push(`rest for ${bytes} bytes of ${nowMs - begunMs} ms`);
      nowMs += 100;
    },
  } as unknown as BackgroundPace;
  const clock = { nowMs: () => nowMs, after: () => ({ cancel: () => {} }) };
  const paced = await pacedFiles(files, pace, clock).create("a");
  await paced.write(new Uint8Array(3));
  nowMs += 7;
  await paced.write(new Uint8Array(4));
  await paced.sync();
  await paced.close();
  assert.deepEqual(done, [
    ...["write 3", "rest for 3 bytes of 5 ms"],
    ...["write 4", "rest for 4 bytes of 12 ms", "sync", "close"],
  ]);
});
