import assert from "node:assert/strict";
import { test } from "node:test";
import { resolve } from "../options/resolve.js";
import { roleDefaults } from "../runtime/role-settings.js";
import { coordinatorSettingsOf, serverSettingsOf, workerSettingsOf } from "./role-settings.js";

test("what a role does unasked is what its command does", () => {
  const { host, serverPort, coordinatorPort, leaseMs, ...others } = roleDefaults;
  const { rankGraceMs, serverGraceMs, waitForWorkersMs, coordinatorGraceMs, ...reach } = others;
  const place = { insecure: false, ...reach, host };
  assert.deepEqual(coordinatorSettingsOf(resolve("coordinator", {}).options), {
    ...place,
    port: coordinatorPort,
    leaseMs,
    rankGraceMs,
    serverGraceMs,
    waitForWorkersMs,
  });
  const { host: own, port, ...server } = serverSettingsOf(resolve("server", {}).options);
  assert.deepEqual({ own, port }, { own: host, port: serverPort });
  const worker = workerSettingsOf(resolve("worker", {}).options);
  for (const settings of [server, worker]) {
    const { transport, startTimeoutMs, ioTimeoutMs, tls, tokenFile } = settings;
    const { rank, kernels, traceFile } = settings;
    assert.deepEqual({ transport, startTimeoutMs, ioTimeoutMs, tls, tokenFile }, reach);
    assert.equal(settings.coordinatorGraceMs, coordinatorGraceMs);
    assert.deepEqual(
      { rank, kernels, traceFile },
      { rank: null, kernels: "auto", traceFile: null },
    );
  }
});
