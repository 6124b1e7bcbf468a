import assert from "node:assert/strict";
import { test } from "node:test";
import { Arena } from "../kernels/arena.js";
import { memoryUseOf, tellsMemory } from "../measure/process-memory.js";

const skip = !tellsMemory && "only Linux tells what memory is for";

test("an arena's memory counts as values as soon as it is written to", { skip }, () => {
  const arena = new Arena();
  const before = memoryUseOf(process.pid)!;
  const length = 4e6;
  const slot = arena.allocate(length);
  assert.equal(memoryUseOf(process.pid)!.valuesBytes, before.valuesBytes);
  arena.view(slot, length).fill(1);
  const grown = memoryUseOf(process.pid)!.valuesBytes - before.valuesBytes;
  assert.ok(grown >= 16e6 && grown < 17e6, `${grown} bytes`);
  arena.free(slot);
});

test("a process that is gone has no memory", { skip }, () => {
  assert.equal(memoryUseOf(2 ** 30), null);
});
