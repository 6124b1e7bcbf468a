/**
 * The tasks of a stack on AWS, run here from their task definitions, are killed one after the other
 * and replaced as ECS replaces them: the run that was submitted ends well.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { makePlace, type RunningCommand, until } from "./run-paceline.js";
import { localStack } from "./terraform/local-stack.js";
import { containersOf, lackOfTerraform, statesOfRuns } from "./terraform/terraform-runs.js";

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
  const { exitCode, err } = await submit.end(120_000);
  assert.equal(exitCode, 0, `${err}\n${second.told()}`);
  assert.ok(!servers[1]?.isOver && !workers[1]?.isOver && !second.isOver);
  const result = await place.result("digits");
  assert.equal(result.worker_metrics_aggregated.num_workers, 1);
});
