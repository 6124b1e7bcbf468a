/** `paceline aws` with stand-ins for aws and terraform. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { makePlace, type Place } from "./run-paceline.js";
import {
  type Answer,
  type Answers,
  allWell,
  but,
  callsOf,
  makeScripts,
  outputs,
  standInPath,
  writeStandIns,
} from "./terraform/stand-ins.js";

const minute = 60_000;
const begunMs = Date.now() - 90 * minute;
const at = (minutes: number) => new Date(begunMs + minutes * minute).toISOString();

const values = {
  ...outputs,
  parameter_server_service_names: ["distributed-ps-dev-parameter-server"],
};
const told = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }]));
const stackAnswer: Answer = { to: "output -json", out: JSON.stringify(told) };

const size = { cpu: "2048", memory: "4096", startedAt: at(0) };
const taskArn = (id: string) => `arn:aws:ecs:us-west-2:1:task/distributed-ps-dev-cluster/${id}`;
const service = (name: string) => ({ group: `service:distributed-ps-dev-${name}` });
const runs = { ...size, lastStatus: "RUNNING", capacityProviderName: "FARGATE" };
const spot = { ...runs, ...service("worker"), capacityProviderName: "FARGATE_SPOT" };
const tasks = [
  { ...spot, taskArn: taskArn("bbbb2222") },
  { ...spot, taskArn: taskArn("aaaa1111") },
  { ...runs, ...service("parameter-server"), taskArn: taskArn("cccc3333") },
  { ...runs, ...service("coordinator"), taskArn: taskArn("dddd4444"), cpu: "512", memory: "2048" },
  {
    ...{ ...spot, taskArn: taskArn("eeee5555"), lastStatus: "STOPPED", stoppedAt: at(60) },
    ...{ stopCode: "SpotInterruption", stoppedReason: "Your Spot Task was interrupted." },
    containers: [{ exitCode: 143 }],
  },
  {
    ...{ ...runs, taskArn: taskArn("ffff6666"), lastStatus: "STOPPED", stoppedAt: at(80) },
    ...{ group: "family:distributed-ps-dev-submit", stoppedReason: "Essential container exited" },
    ...{ containers: [{ exitCode: 5 }], cpu: "256", memory: "1024" },
  },
];
const registered = (id: string, rank: number) => ({
  logStreamName: `worker/worker/${id}`,
  message: `2026-01-01T00:00:00.000Z worker: Worker ${rank} registered with ID ${rank}`,
});
const services = [
  {
    ...{ serviceName: "distributed-ps-dev-worker", desiredCount: 3, runningCount: 2 },
    ...{ pendingCount: 1, events: [{ message: "(service worker) has started 1 tasks" }] },
  },
];

const up: Answers = {
  aws: [
    { to: "ecs describe-services*", out: JSON.stringify({ services }) },
    { to: "ecs list-tasks*", out: JSON.stringify({ taskArns: tasks.map((one) => one.taskArn) }) },
    { to: "ecs describe-tasks*", out: JSON.stringify({ tasks }) },
    {
      to: "logs filter-log-events*-worker*registered*",
      out: JSON.stringify({
        events: [registered("aaaa1111", 5), registered("bbbb2222", 0), registered("aaaa1111", 1)],
      }),
    },
  ],
  terraform: [stackAnswer],
};

async function awsPlace(context: TestContext): Promise<Place> {
  const place = await makePlace(context);
  await makeScripts(place);
  return place;
}

async function call(place: Place, words: readonly string[], answers: Answers) {
  await writeStandIns(place, answers);
  const ended = await place.call(["aws", ...words], { PATH: standInPath(place) });
  return { ...ended, calls: await callsOf(place) };
}

test("status shows tasks with their ranks, why tasks stopped, and the cost", async (context) => {
  const place = await awsPlace(context);
  const { exitCode, out, err } = await call(place, ["status"], up);
  assert.equal(exitCode, 0, err);
  assert.match(out, /^distributed-ps-dev in us-west-2\n/);
  assert.match(out, /distributed-ps-dev-worker +3 +2 +1 +\(service worker\) has started 1 tasks/);
  const rows = out.match(/^[a-f]{4}\d{4} .*$/gm) ?? [];
  const shown = rows.map((row) => row.split(/ {2,}/).slice(0, 3));
  assert.deepEqual(shown, [
    ["dddd4444", "coordinator", "RUNNING"],
    ["cccc3333", "server", "RUNNING"],
    ["bbbb2222", "worker", "0"],
    ["aaaa1111", "worker", "1"],
    ["ffff6666", "submit", "10 min ago"],
    ["eeee5555", "worker", "30 min ago"],
  ]);
  assert.match(rows[4] ?? "", /Essential container exited: the run diverged$/);
  assert.match(rows[5] ?? "", /interrupted: the machine was taken back; ECS starts another/);
  // By hand: 0.02913 + 0.09874 + 2 x 0.3 x 0.09874, 4 addresses, the balancer, the month's part.
  const sum = 0.02913 + 0.09874 + 0.6 * 0.09874 + 4 * 0.005 + 0.0225 + 6.1 / 730;
  assert.match(out, new RegExp(`together +${sum.toFixed(3)}\n${(sum * 24).toFixed(2)} USD a day`));
  const json = JSON.parse((await call(place, ["status", "--json"], up)).out);
  assert.deepEqual([json.cluster, json.running.length], ["distributed-ps-dev-cluster", 4]);
});

test("logs and fetch take a role, a filter and a span", async (context) => {
  const place = await awsPlace(context);
  const line = { to: "logs tail*", out: "a line" };
  const words = ["logs", "--role", "server", "--filter", "METRICS_JSON", "--since", "2h", "-f"];
  const shown = await call(place, words, { aws: [line], terraform: [stackAnswer] });
  assert.deepEqual([shown.exitCode, shown.out], [0, "a line\n"]);
  assert.equal(
    shown.calls.at(-1),
    "aws logs tail /ecs/distributed-ps-dev-parameter-server --region us-west-2 --format short " +
      "--log-stream-name-prefix server/ --filter-pattern METRICS_JSON --since 2h --follow",
  );
  const groups = { coordinator: "parameter-server", submit: "parameter-server", worker: "worker" };
  for (const [role, group] of Object.entries(groups)) {
    const { calls } = await call(place, ["logs", "--role", role], { terraform: [stackAnswer] });
    assert.match(
      calls.at(-1) ?? "",
      new RegExp(`^aws logs tail /ecs/distributed-ps-dev-${group} `),
    );
  }
  const all = await call(place, ["logs"], { aws: [line], terraform: [stackAnswer] });
  assert.equal(all.calls.filter((one) => one.startsWith("aws logs tail")).length, 2);
  const events = [
    { logStreamName: "coordinator/coordinator/1a", message: "METRICS_JSON: {}\n" },
    { logStreamName: "server/parameter-server-0/2b", message: "server listens" },
    { logStreamName: "coordinator/coordinator/1a", message: "done" },
  ];
  const some: Answers = {
    aws: [{ to: "logs*parameter-server*", out: JSON.stringify({ events }) }],
    terraform: [stackAnswer],
  };
  const fetched = await call(place, ["fetch", "--out", "logs"], some);
  assert.equal(fetched.exitCode, 0, fetched.err);
  const folder = place.path("logs", "distributed-ps-dev-parameter-server");
  assert.deepEqual((await readdir(folder)).sort(), ["coordinator-1a.log", "server-2b.log"]);
  const text = await readFile(`${folder}/coordinator-1a.log`, "utf8");
  assert.equal(text, "METRICS_JSON: {}\ndone\n");
  const none = await call(place, ["fetch", "--role", "worker"], some);
  assert.equal(none.exitCode, 7);
  assert.match(none.err, /have no such lines; look further back/);
});

test("fetch replaces no file that has lines which did not come this time", async (context) => {
  const place = await awsPlace(context);
  const fetched = (lines: readonly string[], ...more: string[]) => {
    const from = (message: string) => ({ logStreamName: "server/parameter-server-0/2b", message });
    const out = JSON.stringify({ events: lines.map(from) });
    const aws = [{ to: "logs*parameter-server*", out }];
    return call(place, ["fetch", "--out", "logs", ...more], { aws, terraform: [stackAnswer] });
  };
  const path = "logs/distributed-ps-dev-parameter-server/server-2b.log";
  const text = () => readFile(place.path(path), "utf8");
  assert.equal((await fetched(["begun", "step", "step"])).out, `${path}  3 lines\n`);
  const longer = await fetched(["begun", "step", "step", "done"]);
  assert.equal(longer.out, `${path}  4 lines\n`);
  assert.equal(await text(), "begun\nstep\nstep\ndone\n");
  const shorter = await fetched(["step", "done"], "--since", "30m");
  assert.deepEqual([shorter.exitCode, await text()], [0, "begun\nstep\nstep\ndone\n"]);
  assert.equal(shorter.out, `${path}  2 lines, kept as it was: it has these and 2 more\n`);
  const json = JSON.parse((await fetched(["done"], "--json")).out);
  assert.deepEqual(json.fetched, [{ path, lines: 1, moreBefore: 3 }]);
  // What is there may be of a stream that has since lost its first lines and gained others.
  const other = await fetched(["step", "done", "another step", "ended"]);
  assert.equal(other.exitCode, 1);
  assert.match(other.err, /server-2b\.log has 2 lines that did not come .* 2 new .* --out/);
  assert.equal(await text(), "begun\nstep\nstep\ndone\n");
});

test("plan tells the changes and the cost by the hour", async (context) => {
  const place = await awsPlace(context);
  const resource = (type: string, name: string, own: object) => ({ type, name, values: own });
  const strategy = (provider: string) => [{ capacity_provider: provider }];
  const sizes = { cpu: "1024", memory: "2048" };
  const resources = [
    resource("aws_ecs_task_definition", "worker", sizes),
    resource("aws_ecs_task_definition", "parameter_server", sizes),
    resource("aws_lb", "parameter_server", {}),
    resource("aws_ecs_service", "worker", {
      ...{ desired_count: 8, capacity_provider_strategy: strategy("FARGATE_SPOT") },
    }),
    ...[0, 1].map(() =>
      resource("aws_ecs_service", "parameter_server", {
        ...{ desired_count: 1, capacity_provider_strategy: strategy("FARGATE") },
      }),
    ),
  ];
  const changes = [["create"], ["no-op"], ["delete", "create"]];
  const shown = {
    planned_values: { root_module: { resources } },
    resource_changes: changes.map((actions) => ({ change: { actions } })),
  };
  const answers: Answers = { terraform: [{ to: "show -json*", out: JSON.stringify(shown) }] };
  const words = ["plan", "--var-file", "dev.tfvars", "--var", "worker_count=8", "worker_spot=true"];
  const { exitCode, out, err, calls } = await call(place, words, answers);
  assert.equal(exitCode, 0, err);
  assert.match(calls[1] ?? "", /-var-file=dev.tfvars -var=worker_count=8 -var=worker_spot=true$/);
  assert.match(out, /^2 to create, 1 to delete\n/);
  assert.match(out, /8 x worker \(1 vCPU, 2 GiB, Spot\) +0\.158\n/);
  assert.match(out, /2 x server \(1 vCPU, 2 GiB\) +0\.109\n/);
});

test("up and down run the scripts of terraform/", async (context) => {
  const place = await awsPlace(context);
  const words = ["--var", "worker_count=2", "--name", "first"];
  const made = await call(place, ["up", "--no-build", ...words], allWell);
  assert.equal(made.exitCode, 0, made.err);
  assert.ok(!made.calls.some((one) => one.startsWith("docker")));
  assert.ok(made.calls.some((one) => one.includes('"PACELINE_NAME","value":"first"')));
  assert.match(made.out, /The stack is up/);
  const task = "arn:aws:ecs:us-west-2:1:task/distributed-ps-dev-cluster/0123";
  const on = but("aws", { to: "ecs list-tasks*submit*", out: task });
  const refused = await call(place, ["up", "--no-build"], on);
  assert.deepEqual([refused.exitCode, refused.out], [1, ""]);
  const yes = await call(place, ["up", "--no-build", "--yes"], on);
  assert.equal(yes.exitCode, 0, yes.err);
  const gone = await call(place, ["down", "--yes"], allWell);
  assert.equal(gone.exitCode, 0, gone.err);
  assert.ok(gone.calls.some((one) => one.startsWith("terraform destroy")));
});

test("what stands in the way is said with what to do", async (context) => {
  const place = await awsPlace(context);
  const expired = { to: "*", err: "Error: ExpiredTokenException: expired", exitCode: 254 };
  const cases = [
    [["status"], { terraform: [{ to: "*", out: "{}" }] }, 2, /no stack is made.*paceline aws up/],
    [["status"], { aws: [expired], terraform: [stackAnswer] }, 1, /expired; AWS knows no cred/],
    [["status"], { aws: [{ to: "*", out: "hm" }], terraform: [stackAnswer] }, 1, /is not JSON: hm/],
    [
      ["plan"],
      { terraform: [{ to: "plan*", err: "Error: LimitExceeded", exitCode: 1 }] },
      1,
      /limit/,
    ],
    [["status", "--dir", "bin"], up, 2, /has no deploy.sh.*--dir/],
    [["status", "--role", "worker"], up, 2, /--role does not apply to paceline aws status/],
    [["plan", "--no-run"], up, 2, /--no-run does not apply to paceline aws plan; .*write up/],
    [["logs", "--role", "boss"], up, 2, /--role boss is no role.*coordinator, server, worker or/],
    [["logs", "--since", "soon"], up, 2, /--since soon is no span of time/],
    [["plan", "--var", "eight"], up, 2, /--var eight is not name=value/],
  ] as const;
  for (const [words, answers, exitCode, complaint] of cases) {
    const ended = await call(place, words, answers as Answers);
    assert.equal(ended.exitCode, exitCode, ended.err);
    assert.match(ended.err, complaint);
  }
  const missing = await place.call(["aws", "status"], { PATH: place.path("data") });
  assert.match(missing.err, /terraform is not installed; see DEPLOYMENT.md/);
});
