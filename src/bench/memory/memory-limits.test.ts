import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mebibyte, memoryLimits, type RunSize } from "./memory-limits.js";

const size: RunSize = {
  parameterBytes: 40 * mebibyte,
  workers: 4,
  servers: 1,
  engineBytes: 140 * mebibyte,
  keepsResiduals: false,
  overGrpc: false,
  keepsSent: false,
};

describe("the limits of a run", () => {
  const cases: [what: string, changes: Partial<RunSize>, limits: readonly number[]][] = [
    ["with one server and four workers", {}, [340, 420, 320, 220, 208]],
    [
      "with another worker, whose gradients or weights are on their way",
      { workers: 5 },
      [380, 460, 360, 220, 208],
    ],
    ["with servers that share the parameters", { servers: 4 }, [175, 200, 100, 220, 208]],
    ["with servers of less than a few chunks each", { servers: 40 }, [112, 116, 16, 220, 208]],
    ["with values that are dropped and kept", { keepsResiduals: true }, [340, 420, 320, 308, 416]],
    ["over gRPC, with its buffers for each peer", { overGrpc: true }, [436, 516, 320, 268, 256]],
    ["with differences, whose base is kept", { keepsSent: true }, [420, 500, 400, 220, 208]],
  ];
  for (const [what, changes, expected] of cases) {
    test(what, () => {
      const all = memoryLimits({ ...size, ...changes });
      const { server, serverCheckpoint, serverValues, worker, coordinator } = all;
      const limits = [server, serverCheckpoint, serverValues, worker, coordinator];
      assert.deepEqual(
        limits.map((bytes) => bytes / mebibyte),
        expected,
      );
    });
  }
});
