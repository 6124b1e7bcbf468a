import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import type { LeaseClock } from "./leadership.js";
import { type Knock, untilRefused } from "./listening-leader.js";

/** Time that passes at once. */
const clock: LeaseClock = {
  nowMs: () => 0,
  after(_delayMs, action) {
    const timer = setImmediate(action);
    return { cancel: () => clearImmediate(timer) };
  },
};

/** Knocks in order; the end of the list ends the watch. */
async function watched(...finds: Awaited<ReturnType<Knock>>[]): Promise<boolean> {
  const ending = new AbortController();
  const left = finds.values();
  const knock: Knock = async () => {
    const { value, done } = left.next();
    if (done) ending.abort();
    return value ?? "unknown";
  };
  return untilRefused("here:1", clock, ending.signal, knock);
}

test("a leader that has listened and is refused twice in a row is gone", async () => {
  assert.equal(await watched("listens", "refused", "refused"), true);
  assert.equal(await watched("unknown", "listens", "listens", "refused", "refused"), true);
});

test("one that does not listen yet, or that nobody reaches, is not", async () => {
  assert.equal(await watched("refused", "refused", "refused"), false);
  assert.equal(await watched("listens", "refused", "listens", "refused"), false);
  assert.equal(await watched("listens", "unknown", "refused", "unknown", "refused"), false);
});

test("a port whose process is gone is refused", async () => {
  const server: Server = createServer((socket) => socket.destroy());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  let knocks = 0;
  const counting: LeaseClock = {
    ...clock,
    after(delayMs, action) {
      knocks += 1;
      if (knocks === 1) server.close();
      return clock.after(delayMs, action);
    },
  };
  const place = `127.0.0.1:${address.port}`;
  assert.equal(await untilRefused(place, counting, new AbortController().signal), true);
});
