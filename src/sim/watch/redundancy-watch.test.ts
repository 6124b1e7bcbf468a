/** When lacking copies are a violation, and when not yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { copiesWithinMs, RedundancyWatch } from "./redundancy-watch.js";

function begin() {
  const kinds: string[] = [];
  return { kinds, watch: new RedundancyWatch((kind) => kinds.push(kind)) };
}
const lacking = "some chunks lack a replica, which is copied meanwhile";

test("copies have a while, counted from the last fault, to be made again", () => {
  const { kinds, watch } = begin();
  watch.told(lacking, 100, 0);
  watch.told("redundant: every chunk is on 2 servers", 100 + copiesWithinMs, 0);
  watch.ended(10 * copiesWithinMs, 0);
  watch.told(lacking, 10 * copiesWithinMs, 0);
  watch.ended(12 * copiesWithinMs, 11 * copiesWithinMs);
  assert.deepEqual(kinds, []);
  watch.ended(12 * copiesWithinMs, 11 * copiesWithinMs - 1);
  assert.deepEqual(kinds, ["copies are not made"]);
});

test("copies that come too late are told of, too", () => {
  const { kinds, watch } = begin();
  watch.told(lacking, 0, 500);
  watch.told("redundant: every chunk is on 2 servers", 501 + copiesWithinMs, 500);
  assert.deepEqual(kinds, ["copies are not made"]);
});
