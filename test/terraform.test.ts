/**
 * terraform/ without AWS: Terraform holds it against the schemas of the AWS provider and runs its
 * tests with AWS mocked. What the tasks are told is then run through Paceline itself.
 */
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readPlan } from "../dist/deploy/stack.js";
import { readConfigFile } from "../dist/options/config-file.js";
import type { CommandName } from "../dist/options/option-row.js";
import { ignoredVariables, resolve } from "../dist/options/resolve.js";
import { makePlace, metricsOf } from "./run-paceline.js";
import { localStack } from "./terraform/local-stack.js";
import { outputs } from "./terraform/stand-ins.js";
import {
  type Container,
  containersOf,
  environmentOf,
  lackOfTerraform,
  type Resource,
  repository,
  statesOfRuns,
  stubProvider,
  terraform,
} from "./terraform/terraform-runs.js";

const folder = join(repository, "terraform");
const firstRun = "sync_with_four_workers_is_the_default";
const lack = lackOfTerraform();

/** One terraform process carries out all runs; both tests below look at what came of them. */
let tested: Promise<Map<string, readonly Resource[]>> | null = null;

function testedStates(context: TestContext) {
  tested ??= statesOfRuns(context);
  return tested;
}

test("terraform/ has the form that terraform fmt gives", async (context) => {
  if (lack !== null) return context.skip(lack);
  const { exitCode, told } = await terraform(["fmt", "-check", "-recursive", "-diff"], folder);
  assert.equal(exitCode, 0, told);
});

test("a name that AWS does not have is refused, the others are not", async (context) => {
  if (lack !== null) return context.skip(lack);
  const provider = await stubProvider(context);
  const place = await makePlace(context);
  const copy = place.path("terraform");
  await cp(folder, copy, { recursive: true, filter: (path) => !path.includes(".terraform") });
  const validate = () => terraform(["validate", "-no-color"], copy, provider);
  const { exitCode, told } = await validate();
  assert.equal(exitCode, 0, told);
  const services = await readFile(join(copy, "services.tf"), "utf8");
  const plant = async (from: string, to: string, complaint: RegExp) => {
    assert.ok(services.includes(from));
    await writeFile(join(copy, "services.tf"), services.replace(from, to));
    const refused = await validate();
    assert.equal(refused.exitCode, 1);
    assert.match(refused.told, complaint);
  };
  await plant(
    "desired_count ",
    "desired_counts",
    /argument named "desired_counts" is not expected/,
  );
  await plant('"aws_ecs_cluster" ', '"aws_ecs_clusters" ', /does not support resource type/);
  await plant("  load_balancer {", "  balancer {", /Blocks of type "balancer" are not expected/);
  await plant("  resource_id        = aws", "  # = aws", /argument "resource_id" is required/);
});

test("what the scripts ask terraform is there", async (context) => {
  if (lack !== null) return context.skip(lack);
  const provider = await stubProvider(context);
  const read = (name: string) => readFile(join(folder, name), "utf8");
  const scripts = (await Promise.all(["deploy.sh", "run.sh", "destroy.sh"].map(read))).join("\n");
  const asked = [...scripts.matchAll(/(?<!--)output (?:-raw |-json )?([a-z_]+)/g)].map(
    ([, name]) => name,
  );
  const there = [...(await read("outputs.tf")).matchAll(/^output "(\w+)"/gm)].map(
    ([, name]) => name,
  );
  assert.ok(asked.length > 15);
  const named = [...asked, ...Object.keys(outputs), "parameter_server_service_names"];
  assert.deepEqual(
    named.filter((name) => !there.includes(name)),
    [],
  );
  const expressions = [...scripts.matchAll(/'("\$\{var\..*\}")'/g)].map(([, text]) => text ?? "");
  const words = ["console", "-var=environment=prod", "-var=worker_spot=true"];
  const lines: string[] = [];
  for (const expression of expressions) {
    const { told } = await terraform(words, folder, provider, `${expression}\n`);
    lines.push(told.trim());
  }
  assert.deepEqual(lines, [
    '"us-west-2 distributed-ps-prod true 8192 2816 true"',
    '"distributed-ps prod us-west-2"',
  ]);
});

test("runs of all sizes are made as their variables say, and each task's words and variables are \
Paceline's", async (context) => {
  if (lack !== null) return context.skip(lack);
  const states = await testedStates(context);
  assert.equal(states.size, 6);
  for (const [run, resources] of states) {
    for (const container of containersOf(resources).values()) demandUnderstood(run, container);
  }
  const workersOf = (run: string) => optionsOf(states.get(run) ?? [], "submit", "submit").workers;
  assert.deepEqual(workersOf(firstRun), { min: 1, max: 4 });
  assert.deepEqual(workersOf("scaled_between_two_and_eight"), { min: 2, max: 8, start: 2 });
  const modeOf = (run: string) => optionsOf(states.get(run) ?? [], "submit", "submit").mode;
  assert.deepEqual([modeOf(firstRun), modeOf("async_with_one_worker")], ["bsp", "asp"]);
  demandPublishedRun(states.get(firstRun) ?? [], "bsp");
  demandPublishedRun(states.get("async_with_one_worker") ?? [], "asp");
  const many = states.get("thirty_two_workers_on_spot_and_three_servers") ?? [];
  assert.equal(optionsOf(many, "submit", "submit").replicas, 2);
  const { advertise } = optionsOf(many, "parameter-server-2", "server");
  assert.equal(advertise, "parameter-server-2.distributed-ps-prod.local:8000");
  // ECS ends a container 120 s after it has told it to stop, the most that Fargate allows.
  assert.ok(optionsOf(many, "worker", "worker").drainWithinMs < 120_000);
  const planned = readPlan({ planned_values: { root_module: { resources: many } } });
  assert.deepEqual(
    planned.groups.map(({ role, tasks, isSpot }) => [role, tasks, isSpot]),
    [
      ["coordinator", 1, false],
      ["server", 3, false],
      ["worker", 32, true],
    ],
  );
  assert.equal(planned.loadBalancers, 1);
});

/** What is submitted by default is the published study's run, in either mode. */
function demandPublishedRun(resources: readonly Resource[], mode: string): void {
  const path = join(repository, "configs", "ecs.yaml");
  const file = { path, values: readConfigFile(path) };
  const published = resolve("submit", { file, set: new Map([["mode", mode]]) }).options;
  const { workers, coordinator } = optionsOf(resources, "submit", "submit");
  assert.deepEqual(optionsOf(resources, "submit", "submit"), {
    ...published,
    workers,
    coordinator,
  });
}

/** The options that a container's command has, of a run's resources. */
function optionsOf(resources: readonly Resource[], name: string, command: CommandName) {
  const container = containersOf(resources).get(name);
  assert.ok(container !== undefined, `no container ${name}`);
  return resolve(command, { environment: environmentOf(container) }).options;
}

/** Paceline reads all that a container gives it, by names that the command has. */
function demandUnderstood(run: string, container: Container): void {
  const script = container.command[0] ?? "";
  const [, command, flags = ""] = /\nexec paceline (\w+)(.*)$/.exec(script) ?? [];
  assert.ok(command !== undefined, `${run}: ${container.name} runs ${script}`);
  const environment = environmentOf(container);
  assert.deepEqual(ignoredVariables(command as CommandName, environment), []);
  const { origins } = resolve(command as CommandName, { environment });
  const read = new Set(Object.values(origins).map(({ place }) => place));
  const scripts = ["TLS_ROLE", "DATA_MOUNT"];
  const unread = Object.keys(environment).filter((one) => !scripts.includes(one) && !read.has(one));
  assert.deepEqual(unread, [], `${run}: ${container.name} does not read these`);
  assert.match(flags, /^( --(serve|take-over|wait))*$/);
}

test("the tasks of a stack train here, secured, and stay when the run is over", async (context) => {
  if (lack !== null) return context.skip(lack);
  const states = await testedStates(context);
  const place = await makePlace(context);
  const stack = await localStack(place, containersOf(states.get(firstRun) ?? []));
  const coordinator = stack.start("coordinator");
  await coordinator.waitFor(/listens on/);
  const members = [stack.start("parameter-server-0"), stack.start("worker")];
  const submitted = await stack.start("submit").end();
  assert.equal(submitted.exitCode, 0, `${submitted.err}\n${coordinator.told()}`);
  // A service of ECS starts whatever ends: nothing does.
  for (const member of members) assert.ok(!member.isOver, member.told());
  assert.ok(!coordinator.isOver);
  assert.deepEqual(
    metricsOf(coordinator.out).map(({ type }) => type),
    ["SERVER_FINAL_METRICS"],
  );
  coordinator.kill("SIGTERM");
  const { out, exitCode } = await coordinator.end();
  assert.equal(exitCode, 143);
  const figures = out.split("\n").filter((line) => line.startsWith('{"_aws"'));
  const last = JSON.parse(figures.at(-1) ?? "{}");
  assert.deepEqual(last._aws.CloudWatchMetrics[0].Namespace, "Paceline/distributed-ps-dev");
  const sum = (name: string) => figures.reduce((so, line) => so + JSON.parse(line)[name], 0);
  assert.deepEqual([sum("RunsDone"), sum("RunsFailed")], [1, 0]);
  demandKnownMetrics(states.get(firstRun) ?? [], Object.keys(last));
});

/** Alarms and the dashboard name figures that a coordinator prints. */
function demandKnownMetrics(resources: readonly Resource[], printed: readonly string[]): void {
  const alarms = resources.filter(({ type }) => type === "aws_cloudwatch_metric_alarm");
  const board = resources.find(({ type }) => type === "aws_cloudwatch_dashboard");
  const { widgets } = JSON.parse(String(board?.values.dashboard_body));
  const drawn: string[] = widgets.flatMap(
    ({ properties }: { properties: { metrics?: string[][] } }) =>
      properties.metrics?.map(([, name]) => name) ?? [],
  );
  const named = [...alarms.map(({ values }) => String(values.metric_name)), ...drawn];
  assert.ok(named.length > 10);
  for (const name of named) assert.ok(printed.includes(name), `nobody prints ${name}`);
}
