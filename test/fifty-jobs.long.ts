/**
 * Fifty small jobs in a row at one coordinator that serves, while workers and servers are killed
 * and others come: all jobs end, and neither the coordinator nor the members that were there from
 * the beginning hold more at the end than early on. `make test-long` runs it; it takes minutes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makePlace } from "./run-paceline.js";
import { serve, type Usage, usageOf } from "./serving-cluster.js";

const jobs = 50;
/** By then every process has done all that it does again later. */
const warm = 10;
const words = ["-w", "2", "-s", "2", "--replicas", "2", "--epochs", "2"];

test("fifty jobs, with members dying: all end, and nothing grows", async (context) => {
  const place = await makePlace(context);
  const cluster = await serve(place);
  const [server] = cluster.add("server", 3);
  const [worker] = cluster.add("worker", 3);
  const kept = { coordinator: cluster.coordinator, server: server!, worker: worker! };
  const mortal = { server: cluster.members[2]!, worker: cluster.members[5]! };
  const used: Record<keyof typeof kept, Usage>[] = [];
  for (let index = 0; index < jobs; index++) {
    const name = `job${index}`;
    await cluster.submit(name, ...words);
    const role = index % 8 === 5 ? "server" : index % 4 === 1 ? "worker" : null;
    if (role !== null) {
      await place.step(name, 10);
      mortal[role].kill("SIGKILL");
      await mortal[role].end();
      [mortal[role]] = cluster.add(role) as [(typeof mortal)["server"]];
    }
    await cluster.state(name, "done");
    const { paceline } = await place.result(name);
    assert.equal(paceline.outcome, "done");
    const [coordinator, oldServer, oldWorker] = await Promise.all(
      Object.values(kept).map(({ pid }) => usageOf(pid)),
    );
    used.push({ coordinator: coordinator!, server: oldServer!, worker: oldWorker! });
  }
  for (const role of ["coordinator", "server", "worker"] as const) {
    const files = used.map((one) => one[role].files);
    const megabytes = used.map((one) => Math.round(one[role].kilobytes / 1024));
    context.diagnostic(`${role}: descriptors ${files.join(" ")}`);
    context.diagnostic(`${role}: megabytes ${megabytes.join(" ")}`);
    const [early, late] = [files.slice(warm, 20), files.slice(-10)];
    assert.ok(Math.min(...late) <= Math.max(...early), `${role} opens more and more files`);
    const limit = 1.3 * Math.max(...megabytes.slice(warm, 20));
    assert.ok(Math.min(...megabytes.slice(-10)) <= limit, `${role} takes more and more memory`);
  }
  await cluster.end();
});
