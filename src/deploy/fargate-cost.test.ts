import assert from "node:assert/strict";
import { test } from "node:test";
import { costLines, costPerHour, taskCost } from "./fargate-cost.js";

const size = { cpu: 1024, memoryMib: 2048, isSpot: false };

test("a task costs its vCPUs, its memory and its address; on Spot the first two cost less", () => {
  assert.equal(taskCost(size).toFixed(5), (0.04048 + 2 * 0.004445 + 0.005).toFixed(5));
  const spot = taskCost({ ...size, isSpot: true });
  assert.equal(spot.toFixed(5), (0.3 * (0.04048 + 2 * 0.004445) + 0.005).toFixed(5));
});

test("a bill has a line for each group that has tasks, and for what stands without them", () => {
  const groups = [
    { ...size, role: "worker", tasks: 32, isSpot: true },
    { ...size, role: "submit", tasks: 0 },
  ];
  const lines = costLines(groups, { loadBalancers: 1 });
  assert.deepEqual(
    lines.map(({ what }) => what),
    [
      "32 x worker (1 vCPU, 2 GiB, Spot)",
      "load balancer",
      "secret, private zone, alarms and metrics",
    ],
  );
  const sum = 32 * taskCost({ ...size, isSpot: true }) + 0.0225 + 6.1 / 730;
  assert.equal(costPerHour(lines).toFixed(6), sum.toFixed(6));
});
