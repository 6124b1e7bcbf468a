/** What the watch of copies takes for a violation, and what not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import type { View } from "../../protocol/view.js";
import { CopyWatch } from "./copy-watch.js";

/** Server 0 leads chunk 0, of which server 1 has a copy; both have entries up to version 3. */
function begin() {
  const kinds: string[] = [];
  const view = {
    servers: [0, 1].map((index) => ({ index, incarnation: 10 + index })),
    replicas: [[0, 1]],
  } as unknown as View;
  const watch = new CopyWatch({
    viewOf: () => view,
    seen: () => 2,
    violated: (kind) => kinds.push(kind),
  });
  const says = (server: number, about: Partial<ChunkHeader>) =>
    watch.sent(server, { ...emptyHeader, incarnation: 10 + server, ...about });
  for (const version of [1, 2, 3]) says(0, { kind: "entry", step: version + 4, version });
  const candidate = { chunk: 0, server: 1, incarnation: 11 };
  const promote = () => watch.caughtUp(10, { type: "caughtUp", ...candidate });
  return { watch, kinds, says, promote };
}

test("a version that every backup has acknowledged may be said, and no later one", () => {
  const { kinds, says, watch } = begin();
  says(1, { kind: "received", step: 6 });
  says(0, { kind: "reply", outcome: "applied", version: 2 });
  says(1, { kind: "reply", outcome: "applied", version: 9 });
  assert.deepEqual(kinds, []);
  says(0, { kind: "reply", outcome: "applied", version: 3 });
  assert.deepEqual(kinds, ["said before a backup has it"]);
  watch.lost(11);
  says(0, { kind: "reply", outcome: "applied", version: 3 });
  assert.equal(kinds.length, 1);
});

test("a candidate is promoted when it has what was seen", () => {
  const [early, ready] = [begin(), begin()];
  early.says(1, { kind: "received", step: 5 });
  early.promote();
  assert.deepEqual(early.kinds, ["promoted before it has all"]);
  ready.says(1, { kind: "received", step: 6 });
  ready.promote();
  ready.promote();
  assert.deepEqual(ready.kinds, []);
});

test("who is lost promotes nobody", () => {
  const { kinds, says, promote, watch } = begin();
  says(1, { kind: "received", step: 5 });
  watch.lost(10);
  promote();
  assert.deepEqual(kinds, []);
});

test("what has applied the same entry has the same bits of weights and state", () => {
  const { kinds, watch } = begin();
  const entry = { chunk: 0, version: 4 };
  const [weights, momentum] = [Float32Array.of(1, 2), Float32Array.of(0.5, 0.5)];
  watch.applied("server-0", entry, [weights, momentum], false);
  watch.applied("server-1", entry, [weights, momentum], true);
  // The entry was taken back with its server, and another has its place.
  watch.applied("server-1", entry, [momentum, momentum], false);
  watch.applied("server-2", entry, [momentum, momentum], true);
  assert.deepEqual(kinds, []);
  watch.applied("server-2", entry, [momentum, weights], true);
  assert.deepEqual(kinds, ["copies differ"]);
});
