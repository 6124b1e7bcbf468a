/**
 * The tasks of a stack on AWS, run here from their task definitions, are killed one after the other
 * and replaced as ECS replaces them: the run that was submitted ends well. A worker that Spot takes
 * back is told first, and leaves in order.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { resolve } from "../dist/options/resolve.js";
import { makePlace, type RunningCommand, until } from "./run-paceline.js";
import { localStack } from "./terraform/local-stack.js";
import {
  containersOf,
  environmentOf,
  lackOfTerraform,
  statesOfRuns,
} from "./terraform/terraform-runs.js";

const countOf = (command: RunningCommand, text: string) => command.err.split(text).length - 1;

test("a server, the coordinator and a worker are replaced while a run is on", async (context) => {
  const lack = lackOfTerraform();
  if (lack !== null) return context.skip(lack);
  const states = await statesOfRuns(context);
  const place = await makePlace(context, { train: 2000 });
  const containers = containersOf(states.get("sync_with_four_workers_is_the_default") ?? []);
  const stack = await localStack(place, containers);
  // Each task is a machine of its own, with another name.
  const isRoot = spawnSync("unshare", ["-u", "true"]).status === 0;
  const onMachine = (name: string) =>
    isRoot ? ["unshare", "-u", "/bin/sh", "-c", `hostname ${name}; exec "$@"`, "sh"] : [];
  const begin = (name: string) => stack.start("coordinator", {}, onMachine(name));
  const first = begin("task-one");
  await first.waitFor(/listens on/);
  const servers = [stack.start("parameter-server-0")];
  const workers = [stack.start("worker")];
  await first.waitFor(/Worker 0 registered with ID 0/);
  const work = { PACELINE_MODEL: "mlp", PACELINE_DATA: "mnist", PACELINE_EPOCHS: "40" };
  const submit = stack.start("submit", {
    ...work,
    ...{ PACELINE_BATCH_SIZE: "16", PACELINE_CHECKPOINT_EVERY: "50it", PACELINE_NAME: "digits" },
  });
  const isSaved = (command: RunningCommand, times: number) =>
    until(`${times} checkpoints`, () => countOf(command, "checkpoint of step") >= times);
  await isSaved(first, 2);

  servers[0]?.kill("SIGKILL");
  await first.waitFor(/waiting up to 600 s for server-0 to come back/);
  servers.push(stack.start("parameter-server-0"));
  await first.waitFor(/goes back to its checkpoint/);
  await isSaved(first, countOf(first, "checkpoint of step") + 2);

  first.kill("SIGKILL");
  await first.end();
  const second = begin("task-two");
  await isSaved(second, 2);

  workers[0]?.kill("SIGKILL");
  await second.waitFor(/training waits up to 10 min for 1 more/);
  workers.push(stack.start("worker"));
  await second.waitFor(/worker-0 takes part from step/);
  const { exitCode, err } = await submit.end();
  assert.equal(exitCode, 0, `${err}\n${second.told()}`);
  assert.ok(!servers[1]?.isOver && !workers[1]?.isOver && !second.isOver);
  const result = await place.result("digits");
  assert.equal(result.worker_metrics_aggregated.num_workers, 1);
});

/** What Spot leaves a task between its notice and its end, in seconds. */
const noticeSeconds = 120;

test("a worker that Spot takes back leaves in time, and another has its rank", async (context) => {
  const lack = lackOfTerraform();
  if (lack !== null) return context.skip(lack);
  const states = await statesOfRuns(context);
  const onSpot = containersOf(states.get("thirty_two_workers_on_spot_and_three_servers") ?? []);
  const spot = onSpot.get("worker");
  assert.ok(spot !== undefined);
  const { drainWithinMs } = resolve("worker", { environment: environmentOf(spot) }).options;
  assert.ok(drainWithinMs < spot.stopTimeout * 1000 && spot.stopTimeout <= noticeSeconds);
  const place = await makePlace(context, { train: 2000 });
  const containers = containersOf(states.get("sync_with_four_workers_is_the_default") ?? []);
  for (const name of ["worker", "submit"]) containers.set(name, onSpot.get(name)!);
  const stack = await localStack(place, containers);
  const coordinator = stack.start("coordinator");
  await coordinator.waitFor(/listens on/);
  stack.start("parameter-server-0");
  const socketOf = (name: string) => ({ PACELINE_HEALTH_SOCKET: place.path(`${name}.sock`) });
  const workers = ["one", "two"].map((name) => stack.start("worker", socketOf(name)));
  const epochs = 10;
  const submit = stack.start("submit", {
    ...{ PACELINE_MODEL: "mlp", PACELINE_DATA: "mnist", PACELINE_EPOCHS: String(epochs) },
    ...{ PACELINE_BATCH_SIZE: "16", PACELINE_CHECKPOINT_EVERY: "50it", PACELINE_NAME: "digits" },
    ...{ TOTAL_WORKERS_EXPECTED: "2", PACELINE_SERVERS: "1", PACELINE_REPLICAS: "1" },
  });
  await until("a checkpoint", () => countOf(coordinator, "checkpoint of step") >= 1);
  const [told] = workers as [RunningCommand, RunningCommand];
  // The last time it was with the run: who waits for one has a rank of its own.
  const [, rank] = [...told.err.matchAll(/Worker (\d) registered with ID \d/g)].at(-1) ?? [];
  assert.equal((await stack.check("worker", socketOf("one"))).exitCode, 0);

  told.kill("SIGTERM");
  const { exitCode: left, err: said } = await told.end(spot.stopTimeout * 1000);
  assert.equal(left, 0, said);
  assert.match(
    said,
    new RegExp(`SIGTERM: waits up to ${drainWithinMs / 1000} s to leave in order`),
  );
  await coordinator.waitFor(new RegExp(`worker-${rank} drained at step \\d+`));
  assert.notEqual((await stack.check("worker", socketOf("one"))).exitCode, 0);

  const another = stack.start("worker", socketOf("three"));
  await another.waitFor(new RegExp(`Worker ${rank} registered with ID ${rank}`));
  await coordinator.waitFor(new RegExp(`worker-${rank} takes part from step`));
  assert.equal((await stack.check("worker", socketOf("three"))).exitCode, 0);
  const { exitCode, err } = await submit.end(300_000);
  assert.equal(exitCode, 0, `${err}\n${coordinator.told()}`);
  assert.ok(!another.isOver && !workers[1]?.isOver);
  const events = await place.events("digits");
  assert.deepEqual(
    events.filter(({ kind }) => kind === "lost"),
    [],
  );
  const { paceline } = await place.result("digits");
  assert.deepEqual(
    paceline.epochs.map((epoch) => [epoch.examples, epoch.skipped]),
    Array.from({ length: epochs }, () => [2000, 0]),
  );
});
