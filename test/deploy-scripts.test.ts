/** terraform/deploy.sh, run.sh and destroy.sh, with stand-ins for aws, docker and terraform. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { makePlace } from "./run-paceline.js";
import { type Answer, allWell, but, makeScripts, runScript } from "./terraform/stand-ins.js";

const nothing = /^terraform (apply|destroy)|^docker|^aws (ecs run-task|ecr batch|ecs stop)/;

test("deploy.sh makes registries, images, secret and stack, and starts a run", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  const words = ["deploy.sh", "-var-file", "dev.tfvars", "-var=worker_count=8", "--name", "first"];
  const { exitCode, out, err, calls } = await runScript(place, words, allWell);
  assert.equal(exitCode, 0, err);
  const variables = "-var-file=dev.tfvars -var=worker_count=8";
  const order = [
    "aws sts get-caller-identity",
    "terraform init",
    "terraform apply -input=false -auto-approve -target=aws_ecr_repository.parameter_server",
    "docker build --platform linux/amd64 -f ../Dockerfile.server",
    "docker build --platform linux/amd64 -f ../Dockerfile.worker",
    "docker login --username AWS --password-stdin 1.dkr.ecr.us-west-2.amazonaws.com",
    "docker push 1.dkr.ecr.us-west-2.amazonaws.com/distributed-ps-dev-parameter-server:",
    "docker push 1.dkr.ecr.us-west-2.amazonaws.com/distributed-ps-dev-worker:",
    "aws secretsmanager put-secret-value",
    `terraform apply -input=false -auto-approve ${variables}`,
    "aws ecs wait services-stable",
    "aws ecs run-task",
  ];
  const places = order.map((start) => calls.findIndex((call) => call.startsWith(start)));
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
    calls.join("\n"),
  );
  assert.ok(!places.includes(-1), calls.join("\n"));
  for (const call of calls.filter((one) => /^terraform (apply|console)/.test(one))) {
    assert.ok(call.endsWith(variables), call);
  }
  const waited = calls.filter((call) => call.startsWith("aws ecs wait services-stable"));
  assert.deepEqual(
    waited.map((call) => call.split("--services distributed-ps-dev-")[1]),
    ["coordinator", "parameter-server", "parameter-server-1", "worker"],
  );
  const run = calls.find((call) => call.startsWith("aws ecs run-task")) ?? "";
  assert.match(run, /subnets=\[subnet-a,subnet-b\],securityGroups=\[sg-1\]/);
  assert.match(run, /\[\{"name":"PACELINE_NAME","value":"first"\}\]/);
  assert.match(out, /aws logs tail \/ecs\/distributed-ps-dev-worker --follow/);
  // A plain terraform apply later keeps the images that were pushed.
  const kept = await readFile(place.path("terraform", "deploy.auto.tfvars"), "utf8");
  const [, tag] = /image_tag = "([\w-]+)"/.exec(kept) ?? [];
  assert.ok(calls.some((call) => call.startsWith("docker push") && call.endsWith(`:${tag}`)));
  const piped = await readFile(place.path("piped"), "utf8");
  const secret = JSON.parse(/\{"token".*\}/.exec(piped)?.[0] ?? "{}");
  assert.match(secret.token, /^[0-9a-f]{64}$/);
  for (const name of ["ca", "coordinator", "server", "worker", "admin"]) {
    assert.match(secret[name], /^-----BEGIN CERTIFICATE/);
    if (name !== "ca") assert.match(secret[`${name}_key`], /^-----BEGIN .*PRIVATE KEY/);
  }
  assert.doesNotMatch(`${calls.join("\n")}${out}${err}`, new RegExp(`${secret.token}|PRIVATE KEY`));
});

test("deploy.sh again keeps the secret, and with --no-build the images", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  const whole = '{"token":"t","ca":"c"}';
  const known = but("aws", { to: "secretsmanager get-secret-value*", out: whole });
  const words = ["deploy.sh", "--no-build", "--no-run"];
  const { exitCode, err, calls } = await runScript(place, words, known);
  assert.equal(exitCode, 0, err);
  assert.ok(calls.some((call) => call === "terraform apply -input=false -auto-approve"));
  const made = /^docker|put-secret-value|run-task/;
  assert.deepEqual(
    calls.filter((call) => made.test(call)),
    [],
  );
  const bare = but("aws", { to: "secretsmanager get-secret-value*", out: '{"token":"t"}' });
  const remade = await runScript(place, words, bare);
  assert.ok(
    remade.calls.some((call) => /put-secret-value/.test(call)),
    "it lacks certificates",
  );
  const refused = { to: "secretsmanager get-secret-value*", err: "Throttling", exitCode: 254 };
  const kept = await runScript(place, words, but("aws", refused));
  assert.equal(kept.exitCode, 1);
  assert.match(kept.err, /can't be read: Throttling/);
  assert.ok(!kept.calls.some((call) => /put-secret-value/.test(call)));
});

test("deploy.sh explains what stands in the way before it makes anything", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  const facts = (text: string): Answer => ({ to: "console*", out: `"${text} true"` });
  const cases = [
    [
      but("aws", { to: "sts*", err: "Unable to locate credentials", exitCode: 253 }),
      /AWS does not accept the credentials: Unable to locate credentials\n.*aws configure/,
    ],
    [
      but("terraform", facts("xy-north-1 distributed-ps-dev false 8192 2816")),
      /there is no Fargate in xy-north-1\n.*-var aws_region=us-east-1/,
    ],
    [
      but("aws", { to: "ecs describe-clusters*", out: "distributed-ps-dev-cluster" }),
      /there is a cluster distributed-ps-dev-cluster already.*\n.*-var environment=test/,
    ],
    [
      but("terraform", facts("us-west-2 distributed-ps-dev false 131072 2816")),
      /all tasks together need 131 vCPUs, and the account may have 64 .*\n.*worker_count=32/,
    ],
    [
      but("terraform", facts("us-west-2 distributed-ps-prod false 8192 2816")),
      /state is of distributed-ps-dev-cluster, and the variables say distributed-ps-prod-cluster/,
    ],
    [
      but("terraform", { to: "console*", out: "80", err: "Error: worker_count is a whole number" }),
      /worker_count is a whole number\nerror: these variables can't be used/,
    ],
  ] as const;
  for (const [answers, wanted] of cases) {
    const { exitCode, err, calls } = await runScript(place, ["deploy.sh"], answers);
    assert.equal(exitCode, 1);
    assert.match(err, wanted);
    assert.deepEqual(
      calls.filter((call) => nothing.test(call)),
      [],
    );
  }
  const unknown = await runScript(place, ["deploy.sh", "--workers", "8"], allWell);
  assert.match(unknown.err, /--workers is not known\n.*--help/);
  assert.deepEqual(unknown.calls, []);
});

test("deploy.sh asks before it changes a stack in which a run is on", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  const task = "arn:aws:ecs:us-west-2:1:task/distributed-ps-dev-cluster/0123";
  const on = but("aws", { to: "ecs list-tasks*--family distributed-ps-dev-submit*", out: task });
  const refused = await runScript(place, ["deploy.sh", "--no-build"], on);
  assert.equal(refused.exitCode, 1);
  assert.match(refused.err, /a run is on in distributed-ps-dev-cluster \(task 0123\)\n/);
  assert.match(refused.err, /writes a checkpoint.*goes on.*\n.*nobody is there.*\n {2}.*--yes/);
  assert.deepEqual(
    refused.calls.filter((call) => nothing.test(call)),
    [],
  );
  const told = await runScript(place, ["deploy.sh", "--no-build", "--yes"], on);
  assert.equal(told.exitCode, 0, told.err);
  assert.match(told.err, /a run is on in distributed-ps-dev-cluster \(task 0123\)\n/);
  assert.ok(told.calls.includes("terraform apply -input=false -auto-approve"));
  const failing = { to: "ecs list-tasks*", err: "ThrottlingException", exitCode: 254 };
  const unknown = await runScript(place, ["deploy.sh", "--no-build"], but("aws", failing));
  assert.match(unknown.err, /can't be told whether a run is on .*: ThrottlingException\n.*--yes/);
  assert.deepEqual(
    unknown.calls.filter((call) => nothing.test(call)),
    [],
  );
  const gone = { to: "ecs list-tasks*", err: "ClusterNotFoundException", exitCode: 254 };
  const half = await runScript(place, ["deploy.sh", "--no-build"], but("aws", gone));
  assert.equal(half.exitCode, 0, half.err);
});

test("deploy.sh explains what fails on the way, and may be run again", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  const failing = (err: string) => but("terraform", { to: "apply*", err, exitCode: 1 });
  const cases = [
    [failing("Error: EntityAlreadyExists: Role with name x"), /another stack has the name/],
    [failing("Error: not authorized to perform: iam:CreateRole"), /existing_role_name=LabRole/],
    [failing("Error: VcpuLimitExceeded"), /A limit of the account/],
    [failing("Error: Error acquiring the state lock"), /force-unlock/],
    [failing("Error: ExpiredTokenException"), /credentials, or they have expired/],
  ] as const;
  for (const [answers, wanted] of cases) {
    const { exitCode, err } = await runScript(place, ["deploy.sh"], answers);
    assert.equal(exitCode, 1);
    assert.match(err, wanted);
    assert.match(err, /the same command goes on from there, and\n\.\/destroy\.sh removes it/);
  }
  const arm = but("docker", { to: "image inspect*", out: "linux/arm64" });
  const wrong = await runScript(place, ["deploy.sh"], arm);
  assert.match(wrong.err, /the image of Dockerfile.server is of linux\/arm64, and Fargate/);
  assert.ok(!wrong.calls.some((call) => call.startsWith("docker push")));
  const crash = but(
    "aws",
    { to: "ecs wait services-stable*", exitCode: 255 },
    { to: "ecs list-tasks*STOPPED*", out: "arn:aws:ecs:1" },
    { to: "ecs describe-tasks*", out: "service:x Essential container exited exec format error 1" },
  );
  const crashed = await runScript(place, ["deploy.sh"], crash);
  assert.equal(crashed.exitCode, 1);
  assert.match(crashed.err, /exec format error 1\nan image is of the wrong architecture/);
});

test("run.sh starts a run with other options, and ends with its exit code", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  const words = ["run.sh", "-e", "SERVER_MODE=async", "-e", "PACELINE_EPOCHS=5"];
  const { exitCode, err, calls } = await runScript(place, words, allWell);
  assert.equal(exitCode, 0, err);
  const pair = (name: string, value: string) => JSON.stringify({ name, value });
  const overrides = `[${pair("SERVER_MODE", "async")},${pair("PACELINE_EPOCHS", "5")}]`;
  assert.ok(calls.some((call) => call.includes(`--overrides {"containerOverrides"`)));
  assert.ok(
    calls.some((call) => call.includes(overrides)),
    calls.join("\n"),
  );
  const fetching = await runScript(place, ["run.sh", "--fetch", "cifar100", "--wait"], allWell);
  assert.equal(fetching.exitCode, 0, fetching.err);
  const task = fetching.calls.find((call) => call.startsWith("aws ecs run-task")) ?? "";
  const [, told = ""] = /--overrides (\{.*\}) --query/.exec(task) ?? [];
  const [{ command, environment }] = JSON.parse(told).containerOverrides;
  assert.deepEqual(environment, [{ name: "FETCHED_DATA", value: "cifar100" }]);
  // The words that the container's shell runs.
  assert.deepEqual(command, [
    'PACELINE_CACHE_DIR="$DATA_MOUNT" exec paceline data fetch "$FETCHED_DATA"',
  ]);
  assert.match(
    fetching.err,
    /brings cifar100 to the run store\n.*of cifar100 ended with exit code 0/,
  );
  const diverged = but("aws", { to: "ecs describe-tasks*exitCode*", out: "5" });
  const waited = await runScript(place, ["run.sh", "--wait"], diverged);
  assert.equal(waited.exitCode, 5);
  assert.ok(waited.calls.some((call) => call.startsWith("aws ecs wait tasks-stopped")));
  const forgotten = but("aws", { to: "ecs describe-tasks*lastStatus*", out: "None" });
  const lost = await runScript(place, ["run.sh", "--wait"], forgotten);
  assert.match(lost.err, /ECS has forgotten the task/);
  const refused = but("aws", { to: "ecs run-task*", out: "None" });
  assert.match((await runScript(place, ["run.sh"], refused)).err, /ECS started no task: None/);
  const none = but("terraform", { to: "output*", err: "No outputs found", exitCode: 1 });
  assert.match((await runScript(place, ["run.sh"], none)).err, /no stack\n.*deploy\.sh first/);
  const wrong = await runScript(place, ["run.sh", "-e", "epochs"], allWell);
  assert.match(wrong.err, /-e epochs is not NAME=VALUE/);
});

test("destroy.sh fetches logs, empties registries, destroys, and proves it", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  const images = '[{"imageDigest":"sha256:1"}]';
  const answers = but(
    "aws",
    { to: "ecs list-tasks*submit*", out: "arn:aws:ecs:us-west-2:1:task/x/9" },
    {
      to: "ecs list-tasks*",
      out: "arn:aws:ecs:us-west-2:1:task/x/1\tarn:aws:ecs:us-west-2:1:task/x/2",
    },
    {
      to: "resourcegroupstaggingapi*",
      out: "arn:aws:ecs:us-west-2:1:task-definition/distributed-ps-dev-worker:3",
    },
  );
  const refused = await runScript(place, ["destroy.sh"], answers);
  assert.match(refused.err, /2 tasks run\na run is on/);
  assert.match(refused.err, /nobody is there to be asked\n {2}add --yes/);
  assert.deepEqual(
    refused.calls.filter((call) => nothing.test(call)),
    [],
  );
  const { exitCode, err, calls } = await runScript(place, ["destroy.sh", "--yes"], answers);
  assert.equal(exitCode, 0, err);
  assert.match(err, /nothing tagged Project=distributed-ps, Environment=dev is left in us-west-2/);
  const logs = place.path("experiment_results", "logs");
  const [folder = ""] = await readdir(logs);
  assert.deepEqual((await readdir(`${logs}/${folder}`)).sort(), [
    "parameter-server.log",
    "worker.log",
  ]);
  const fetched = calls.findIndex((call) => call.startsWith("aws logs tail"));
  const stopped = calls.findIndex((call) => call.startsWith("aws ecs stop-task"));
  const destroyed = calls.findIndex((call) => call.startsWith("terraform destroy"));
  assert.ok(0 <= fetched && fetched < stopped && stopped < destroyed, calls.join("\n"));
  assert.match(calls[destroyed] ?? "", /-var aws_region=us-west-2 -var availability_zones=\["us-/);
  // A registry that never becomes empty would be asked for ever: images go until one refuses.
  const full = { to: "ecr list-images*", out: images };
  const kept = { to: "ecr batch-delete-image*", err: "AccessDenied", exitCode: 1 };
  const stuck = await runScript(place, ["destroy.sh", "--yes"], but("aws", full, kept));
  assert.match(stuck.err, /images of distributed-ps-dev-parameter-server can't be removed/);
  assert.ok(stuck.calls.some((call) => call.includes(`--image-ids ${images}`)));
});

test("destroy.sh says what is left, and goes on with half a stack", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  const left = "arn:aws:elasticfilesystem:us-west-2:1:file-system/fs-1";
  const some = but("aws", { to: "resourcegroupstaggingapi*", out: left });
  const leaving = await runScript(place, ["destroy.sh", "--yes"], some);
  assert.equal(leaving.exitCode, 1);
  assert.match(
    leaving.err,
    /left: arn:aws:elasticfilesystem.*\nerror: something of distributed-ps-dev/,
  );
  const noLogs = but("aws", { to: "logs tail*", err: "ThrottlingException", exitCode: 254 });
  const kept = await runScript(place, ["destroy.sh", "--yes"], noLogs);
  assert.match(kept.err, /logs of .* can't be fetched: ThrottlingException\n.*nothing was removed/);
  assert.deepEqual(
    kept.calls.filter((call) => nothing.test(call)),
    [],
  );
  const half = but(
    "terraform",
    { to: "output*", err: "No outputs found", exitCode: 1 },
    { to: "console*", out: '"distributed-ps prod us-west-2"' },
  );
  const gone = { to: "logs tail*", err: "ResourceNotFoundException", exitCode: 254 };
  const answers = { ...half, aws: [gone, ...(half.aws ?? [])] };
  const words = ["destroy.sh", "--yes", "-var-file", "prod.tfvars"];
  const { exitCode, err, calls } = await runScript(place, words, answers);
  assert.equal(exitCode, 0, err);
  assert.match(err, /there is no log group \/ecs\/distributed-ps-prod-worker/);
  assert.ok(calls.includes("terraform destroy -input=false -auto-approve -var-file=prod.tfvars"));
  const failing = { to: "destroy*", err: "Error: DependencyViolation", exitCode: 1 };
  const again = await runScript(place, ["destroy.sh", "--yes"], but("terraform", failing));
  assert.match(again.err, /Something still uses what was to go[\s\S]*run \.\/destroy\.sh again/);
});
