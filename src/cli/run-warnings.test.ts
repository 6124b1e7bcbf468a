import assert from "node:assert/strict";
import { test } from "node:test";
import { demandOpenFiles, threadsWarning } from "./run-warnings.js";

const workers = { min: 1, max: 2 };

test("more threads than cores are a warning with the count that fits", () => {
  const warned = threadsWarning("train", { threads: 1024, workers }, 2);
  assert.match(
    warned ?? "",
    /--threads 1024, and this machine has 2 cores: .* write --threads 1 or/,
  );
  assert.match(threadsWarning("worker", { threads: 3, workers }, 2) ?? "", /write --threads 2 or/);
  assert.match(threadsWarning("baseline", { threads: 2, workers }, 1) ?? "", /has 1 core: /);
  assert.equal(threadsWarning("train", { threads: 2, workers }, 2), null);
  assert.equal(threadsWarning("train", { threads: null, workers }, 1), null);
  // Its workers compute on machines of their own.
  assert.equal(threadsWarning("coordinator", { threads: 64, workers }, 2), null);
});

test("a cluster that needs more open files than allowed is refused", () => {
  const members = { workers: { min: 1, max: 100 }, servers: { min: 4, max: 4 } };
  const message = /may have 1024 files open and needs about 1088; raise .* or lower --workers/;
  assert.throws(() => demandOpenFiles("train", members, 1024), { code: "usage", message });
  assert.doesNotThrow(() =>
    demandOpenFiles("train", { workers, servers: { min: 1, max: 1 } }, 1024),
  );
  assert.doesNotThrow(() => demandOpenFiles("worker", members, 1024));
});
