/** Whose number a learning rate may follow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { everyProtocol } from "../testing/model-run.js";
import { paceOf } from "./modes.js";
import { partnersAt } from "./pace.js";

test("where each worker counts steps of its own, all of a view are partners in each", () => {
  const worker = (rank: number, fromStep: number) => ({ rank, incarnation: rank, fromStep });
  const view = { workers: [worker(0, 0), worker(1, 1000)] };
  for (const protocol of everyProtocol) {
    const pace = paceOf(protocol);
    const early = pace.globalStep === "push" ? 2 : 1;
    const partners = [200, 1000].map((step) => partnersAt(view, pace, step));
    assert.deepEqual(partners, [early, 2], protocol.mode);
  }
});
