import assert from "node:assert/strict";
import { test } from "node:test";
import { stopReason } from "./stack-status.js";

test("a stop is told in AWS's words and in ours", () => {
  const cases = [
    [{ stopCode: "SpotInterruption", stoppedReason: "x." }, 143, /^x: the machine was taken back/],
    [{ stoppedReason: "CannotPullContainerError: y" }, null, /y: the image is not in the registry/],
    [{ stoppedReason: "ResourceInitializationError: z" }, null, /secret, the run store or a log/],
    [{ containers: [{ reason: "OutOfMemoryError: killed" }] }, 137, /needed more memory/],
    [{ containers: [{ reason: "exec format error" }] }, 1, /another architecture: run deploy.sh/],
    [{ stoppedReason: "Scaling activity initiated by x" }, 0, /ECS has scaled the service/],
    [{ stoppedReason: "Essential container in task exited" }, 5, /exited: the run diverged$/],
    [{ stoppedReason: "Essential container in task exited" }, 0, /exited: it ended well$/],
    [{}, 137, /^it was killed: out of memory, or not gone 120 s after/],
    [{}, 99, /^exit code 99: see its log$/],
    [{}, null, /^$/],
  ] as const;
  for (const [task, exitCode, wanted] of cases) assert.match(stopReason(task, exitCode), wanted);
});
