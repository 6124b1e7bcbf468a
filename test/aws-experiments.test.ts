/**
 * `paceline aws experiments`, with stand-ins for aws, docker and terraform before a real cluster:
 * a serving coordinator with token and certificates, a server and two workers. What stands in for
 * Session Manager forwards a port to it.
 */
import assert from "node:assert/strict";
import { access, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import {
  freePort,
  longTest,
  makePlace,
  type Place,
  type RunningCommand,
  until,
} from "./run-paceline.js";
import {
  type Answer,
  type Answers,
  allWell,
  callsOf,
  makeScripts,
  outputs,
  standInPath,
  writeStandIns,
} from "./terraform/stand-ins.js";

const matrix = `
base: {model: logistic, data: mnist-parity, epochs: 2, batch-size: 16, servers: 1}
axes: {workers: [1, 2], lr: [0.1, 0.3]}
`;
const cells = ["1workers_lr0.1", "1workers_lr0.3", "2workers_lr0.1", "2workers_lr0.3"].map(
  (cell) => `sync_${cell}`,
);

const values = {
  ...outputs,
  parameter_server_dns_name: "lb.internal:8000",
  parameter_server_service_names: ["distributed-ps-dev-parameter-server"],
};
const made = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }]));
const taskArn = (id: string) => `arn:aws:ecs:us-west-2:1:task/distributed-ps-dev-cluster/${id}`;
const runs = {
  lastStatus: "RUNNING",
  cpu: "2048",
  memory: "4096",
  capacityProviderName: "FARGATE",
};
const service = (name: string) => ({ group: `service:distributed-ps-dev-${name}` });
const coordinator = {
  ...{ ...runs, ...service("coordinator"), taskArn: taskArn("cccc") },
  containers: [{ name: "coordinator", runtimeId: "cccc-1" }],
};
const tasks = [
  coordinator,
  { ...runs, ...service("parameter-server"), taskArn: taskArn("aaaa") },
  { ...runs, ...service("worker"), taskArn: taskArn("bbbb") },
  { ...runs, ...service("worker"), taskArn: taskArn("dddd") },
];
const events = [{ logStreamName: "worker/worker/bbbb", message: "a line" }];
const log: Answer = {
  to: "logs filter-log-events*-worker --reg*",
  out: JSON.stringify({ events }),
};

/** What AWS says; `isUp` where the tasks that the suite needs run. */
function answersOf(secret: object, isUp: boolean): Answers {
  const there = isUp ? tasks : [coordinator];
  const json = (value: unknown) => JSON.stringify(value);
  const SecretString = json(secret);
  return {
    ...allWell,
    aws: [
      { to: "ecs list-tasks*--service-name*", out: json({ taskArns: [coordinator.taskArn] }) },
      { to: "ecs list-tasks*RUNNING*", out: json({ taskArns: there.map((one) => one.taskArn) }) },
      { to: "ecs describe-tasks*--tasks arn:*/cccc --reg*", out: json({ tasks: [coordinator] }) },
      { to: "ecs describe-tasks*--tasks arn:* --reg*", out: json({ tasks: there }) },
      { to: "secretsmanager get-secret-value*--output json", out: json({ SecretString }) },
      log,
      ...(allWell.aws ?? []),
    ],
    terraform: [{ to: "output -json", out: json(made) }, ...(allWell.terraform ?? [])],
  };
}

/** Forwards the local port that Session Manager was asked for, as long as its parent lives. */
const forwarder = (port: number) => `
import { appendFileSync } from "node:fs";
import { connect, createServer } from "node:net";
const words = process.argv.slice(2);
appendFileSync(process.env.CALLS, \`aws \${words.join(" ")}\\n\`);
const { localPortNumber } = JSON.parse(words.at(-1));
createServer((socket) => {
  const other = connect(${port}, "127.0.0.1");
  for (const [one, to] of [[socket, other], [other, socket]]) {
    one.on("error", () => to.destroy());
    one.pipe(to);
  }
}).listen(Number(localPortNumber[0]), "127.0.0.1");
const parent = process.ppid;
setInterval(() => process.ppid === parent || process.exit(), 100);
`;

interface Scene {
  readonly place: Place;
  readonly reach: readonly string[];
  begin(words: readonly string[], isUp: boolean): Promise<RunningCommand>;
}

/** A cluster as terraform/ makes it, and what stands before it. */
async function sceneOf(context: TestContext): Promise<Scene> {
  const place = await makePlace(context);
  await makeScripts(place);
  await writeFile(place.path("bin", "session-manager-plugin"), "#!/bin/sh\n", { mode: 0o755 });
  await writeFile(place.path("matrix.yaml"), matrix);
  const certs = await place.call(["certs", "init", "--out", "certs"]);
  assert.equal(certs.exitCode, 0, certs.err);
  const token = "the-token-of-a-cluster-that-stands-for-one";
  await writeFile(place.path("token"), `${token}\n`, { mode: 0o600 });
  const keys = ["--tls", "certs", "--token-file", "token"];
  const port = await freePort();
  const reach = ["--coordinator", `127.0.0.1:${port}`, ...keys];
  const serving = place.start(["coordinator", "--serve", "--port", `${port}`, ...keys]);
  await serving.waitFor(/^coordinator listens on/m);
  for (const role of ["server", "worker", "worker"]) place.start([role, ...reach]);
  const read = (name: string) => readFile(place.path("certs", `${name}.pem`), "utf8");
  const admin = { admin: await read("admin"), admin_key: await read("admin-key") };
  const secret = { token, ca: await read("ca"), ...admin };
  await writeFile(place.path("forward.mjs"), forwarder(port));
  const begin = async (words: readonly string[], isUp: boolean) => {
    await writeStandIns(place, answersOf(secret, isUp));
    await rename(place.path("bin", "aws"), place.path("bin", "aws-answers"));
    const forward = `exec node ${place.path("forward.mjs")} "$@"`;
    const script = `#!/bin/sh\ncase "$*" in ssm\\ start-session*) ${forward} ;; esac\n`;
    const rest = `exec ${place.path("bin", "aws-answers")} "$@"\n`;
    await writeFile(place.path("bin", "aws"), `${script}${rest}`, { mode: 0o755 });
    const path = standInPath(place);
    return place.start(["aws", "experiments", "matrix.yaml", ...words], {
      ...{ PATH: path, SETTLE_SECONDS: "0", CALLS: place.path("calls") },
    });
  };
  return { place, reach, begin };
}

async function resultOf(place: Place, folder: string, cell: string) {
  const { paceline } = JSON.parse(await readFile(place.path(folder, `${cell}.json`), "utf8"));
  return paceline.evaluations.map((one: { step: number; accuracy: number; loss: number }) => {
    return [one.step, one.accuracy, one.loss];
  });
}

test("made, killed amid the suite, run again, charted, removed", async (context) => {
  const { place, reach, begin } = await sceneOf(context);
  const first = await begin(["--yes", "--results-dir", "there", "--var", "environment=dev"], false);
  await first.waitFor(/The stack is up/);
  await first.waitFor(/\[1\/4\] sync_1workers_lr0.1: done in /);
  const before = await callsOf(place);
  first.kill("SIGKILL");
  await first.end();
  const applied = before.filter((call) => call.startsWith("terraform apply"));
  const variables = "-var=environment=dev -var=worker_count=2 -var=parameter_server_count=1";
  assert.ok(applied.at(-1)?.endsWith(variables), applied.join("\n"));
  assert.ok(before.some((call) => call.startsWith("docker push")));
  const fetching = before.filter((call) => call.startsWith("aws ecs run-task"));
  assert.equal(fetching.length, 1);
  assert.match(fetching[0] ?? "", /paceline data fetch .*FETCHED_DATA/);
  assert.match(fetching[0] ?? "", /"name":"FETCHED_DATA","value":"mnist-parity"/);
  const target = "ecs:distributed-ps-dev-cluster_cccc_cccc-1";
  const session = before.find((call) => call.startsWith("aws ssm start-session")) ?? "";
  assert.ok(session.includes(`--target ${target} --region us-west-2`), session);
  assert.match(session, /--parameters \{"portNumber":\["8000"\],"localPortNumber":\["\d+"\]\}$/);

  const second = await begin(["--yes", "--results-dir", "there"], true);
  const { exitCode, err, out } = await second.end();
  assert.equal(exitCode, 0, second.told());
  assert.match(err, /distributed-ps-dev is up, with 2 workers and 1 servers: it is taken as it is/);
  assert.match(err, /\[4\/4\] sync_2workers_lr0.3: done in /);
  assert.equal(out.match(/^sync_\dworkers_lr\S+ +sync /gm)?.length, 4, out);
  const after = await callsOf(place);
  const remaking = /^terraform apply|^docker|^aws ecs run-task/;
  assert.deepEqual(
    after.filter((call) => remaking.test(call)),
    [],
  );
  assert.ok(after.some((call) => call.startsWith("terraform destroy")));
  assert.ok(!after.some((call) => call.startsWith("aws logs tail")), "they are fetched already");
  const logs = place.path("there", "logs", "distributed-ps-dev-worker");
  assert.deepEqual(await readdir(logs), ["worker-bbbb.log"]);
  await access(place.path("there", "report.md"));
  assert.ok((await readdir(place.path("there", "charts"))).length > 0);

  const jobs = JSON.parse((await place.call(["jobs", "ls", "--json", ...reach])).out);
  assert.equal(jobs.length, 4, "nothing was submitted twice");
  const local = ["experiments", "run", "matrix.yaml", "--results-dir", "here"];
  const here = await place.run(local);
  assert.equal(here.exitCode, 0, here.err);
  for (const cell of cells) {
    assert.deepEqual(await resultOf(place, "there", cell), await resultOf(place, "here", cell));
  }
});

longTest(
  "Ctrl-C says what is up and costs; --keep, and others' jobs, leave it",
  async (context) => {
    const { place, reach, begin } = await sceneOf(context);
    const first = await begin(["--yes", "--var", "data_dir=s3://b/d"], true);
    await first.waitFor(/is job sync_1workers_lr0.1-/);
    assert.equal(await tunnelsOf(place), 1);
    first.kill("SIGINT");
    const stopped = await first.end();
    assert.equal(stopped.exitCode, 130, first.told());
    assert.match(stopped.err, /stopped by SIGINT; run it again to continue/);
    assert.match(stopped.err, /distributed-ps-dev is still up in us-west-2, and costs 0\.\d\d USD/);
    assert.match(
      stopped.err,
      /the same command goes on with matrix.yaml; paceline aws down removes/,
    );
    await until("the tunnel ends", async () => (await tunnelsOf(place)) === 0);
    const large = [
      "--model",
      "mlp",
      "--data",
      "mnist",
      "-w",
      "9",
      "-b",
      "8",
      "--name",
      "of-somebody",
    ];
    const submitted = await place.call(["submit", ...large, ...reach]);
    assert.equal(submitted.exitCode, 0, submitted.err);
    const second = await begin(["--yes"], true);
    const { exitCode, err } = await second.end();
    assert.equal(exitCode, 0, second.told());
    assert.match(err, /it is left up: other jobs are on, of-somebody\n.*is still up in us-west-2/);
    const done = await begin(["--keep"], true);
    const last = await done.end();
    assert.equal(last.exitCode, 0, done.told());
    assert.match(last.err, /nothing is left to run\n[\s\S]*is still up in us-west-2/);
    assert.ok(!(await callsOf(place)).some((call) => call.startsWith("terraform destroy")));
  },
);

/** Processes that forward a port for a place. */
async function tunnelsOf(place: Place): Promise<number> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const read = (pid: string) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  const commands = await Promise.all(pids.map(read));
  return commands.filter((line) => line.includes(place.path("forward.mjs"))).length;
}

test("what can't be is said before anything is made", async (context) => {
  const place = await makePlace(context);
  await makeScripts(place);
  await writeStandIns(place, answersOf({}, true));
  const bare = ["aws", "experiments", "matrix.yaml", "--yes"];
  await writeFile(place.path("matrix.yaml"), matrix);
  const many = matrix.replace("[1, 2]", "[2, 33]");
  await writeFile(place.path("many.yaml"), many);
  await writeFile(place.path("injected.yaml"), matrix.replace("lr:", "inject: [none], lr:"));
  const cases = [
    [["experiments", "--yes"], /needs a matrix/],
    [["experiments", "matrix.yaml", "--yes"], /session-manager-plugin is not installed; see DEPL/],
    [["experiments", "many.yaml", "--yes"], /a cell needs 33 workers, and terraform\/ makes 32/],
    [
      ["experiments", "matrix.yaml", "--yes", "--var", "worker_count=1"],
      /--var worker_count=1 is less than the 2 of a cell/,
    ],
    [["experiments", "injected.yaml", "--yes"], /"inject" of sync_\S+ is no option of a job/],
    [["status", "matrix.yaml"], /paceline aws status takes no matrix.yaml/],
    [["down", "--keep"], /--keep does not apply to paceline aws down/],
  ] as const;
  for (const [words, complaint] of cases) {
    const ended = await place.call(["aws", ...words], { PATH: standInPath(place) });
    assert.equal(ended.exitCode, 2, ended.err);
    assert.match(ended.err, complaint);
  }
  const unasked = await place.run(bare.slice(0, -1), { PATH: standInPath(place) });
  assert.match(unasked.err, /nobody is there to be asked .*--yes, or --keep/);
  assert.deepEqual(await callsOf(place), []);
  await writeFile(place.path("bin", "session-manager-plugin"), "#!/bin/sh\n", { mode: 0o755 });
  const refused = { to: "apply*", err: "Error: VcpuLimitExceeded", exitCode: 1 };
  const none = { to: "output -json", out: "{}" };
  await writeStandIns(place, { ...allWell, terraform: [none, refused, ...allWell.terraform!] });
  const words = ["aws", "experiments", "matrix.yaml", "--yes", "--no-build"];
  const failed = await place.call(words, { PATH: standInPath(place) });
  assert.equal(failed.exitCode, 1, failed.err);
  assert.match(failed.err, /no stack is up; the same command goes on with matrix.yaml\n/);
  assert.match(failed.err, /\npaceline: deploy.sh ended with exit code 1: see above\n$/);
});
