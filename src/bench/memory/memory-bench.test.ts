import assert from "node:assert/strict";
import { test } from "node:test";
import { Arena } from "../../kernels/arena.js";
import { receiveWindowBytes } from "../../transport/grpc/methods.js";
import { memoryUseOf, tellsMemory } from "../harness/process-memory.js";
import { memoryLimits } from "./memory-limits.js";

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

test("gRPC's windows are those that the limits allow for", () => {
  const size = { parameterBytes: 0, servers: 1, engineBytes: 0, overGrpc: true };
  const limitWith = (workers: number) =>
    memoryLimits({ ...size, workers, keepsResiduals: false, keepsSent: false }).server;
  assert.equal(limitWith(3) - limitWith(2), receiveWindowBytes);
});
