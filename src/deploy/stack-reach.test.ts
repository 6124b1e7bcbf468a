/** The way to a stack's coordinator, with a stand-in for aws and terraform. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import type { Stack } from "./stack.js";
import { fetchKeys, StackTunnel } from "./stack-reach.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-reach-"));
after(() => rm(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const place = { environment: { PATH: `${folder}:${process.env.PATH}` }, folder };
const stack: Stack = {
  ...{ name: "ps-dev", region: "us-west-2", cluster: "ps-dev-cluster" },
  ...{ services: ["ps-dev-coordinator"], serverLogs: "", workerLogs: "" },
};

/** What both programs say, by their words. */
const standIn = `#!/bin/sh
case "$*" in
  output*) cat ${at("outputs")} ;;
  secretsmanager*) cat ${at("secret")} ;;
  ecs\\ list-tasks*) cat ${at("list")} ;;
  ecs\\ describe-tasks*) cat ${at("tasks")} ;;
  ssm*) echo "$*" >> ${at("sessions")}
    if [ -f ${at("refusal")} ]; then cat ${at("refusal")} >&2; exit 254; fi
    exec sleep 600 ;;
esac
`;

async function say(name: string, value: unknown): Promise<void> {
  await writeFile(at(name), JSON.stringify(value));
}

async function makePrograms(): Promise<void> {
  for (const name of ["aws", "terraform"]) await writeFile(at(name), standIn, { mode: 0o755 });
  await say("outputs", {
    parameter_server_dns_name: { value: "lb.internal:8123" },
    cluster_secret_arn: { value: "arn:secret" },
  });
}

async function sayTask(id: string, runtimeId: string): Promise<void> {
  await say("list", { taskArns: [`arn:task/${id}`] });
  const containers = [
    { name: "sidecar", runtimeId: "none" },
    { name: "coordinator", runtimeId },
  ];
  await say("tasks", { tasks: [{ taskArn: `arn:task/${id}`, lastStatus: "RUNNING", containers }] });
}

const sessions = () => readFile(at("sessions"), "utf8").catch(() => "");

/** Waits until a condition holds. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + 20_000;
  while (!(await holds())) {
    assert.ok(performance.now() < untilMs, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("keys lie in files of this user alone, and are forgotten", async () => {
  await makePrograms();
  const secret = { token: "t", ca: "c", admin: "a", admin_key: "k", worker_key: "w" };
  await say("secret", { SecretString: JSON.stringify(secret) });
  const keys = await fetchKeys(stack, place);
  const read = async (path: string) => [
    await readFile(path, "utf8"),
    (await stat(path)).mode & 0o77,
  ];
  assert.deepEqual(await read(keys.tokenFile), ["t\n", 0]);
  assert.deepEqual(await read(join(keys.tls ?? "", "admin-key.pem")), ["k\n", 0]);
  assert.equal((await stat(dirname(keys.tokenFile))).mode & 0o77, 0);
  await keys.forget();
  await assert.rejects(stat(keys.tokenFile), { code: "ENOENT" });
  await say("secret", { SecretString: JSON.stringify({ token: "t" }) });
  const bare = await fetchKeys(stack, place);
  assert.equal(bare.tls, null);
  await bare.forget();
  await say("secret", { SecretString: "not JSON" });
  await assert.rejects(fetchKeys(stack, place), { message: /arn:secret holds no token; .*aws up/ });
});

test("a port is forwarded to the task that runs, and to the next one after it", async (context) => {
  await makePrograms();
  await sayTask("one", "one-1");
  const tunnel = await StackTunnel.to(stack, place, 0);
  context.after(() => tunnel.close());
  await tunnel.keepOpen();
  await until("a session", async () => /ecs:ps-dev-cluster_one_one-1/.test(await sessions()));
  const [, port] = tunnel.address.split(":");
  const ports = `{"portNumber":["8123"],"localPortNumber":["${port}"]}`;
  assert.ok((await sessions()).includes(`--parameters ${ports}`), await sessions());
  await tunnel.keepOpen();
  await say("list", { taskArns: [] });
  await tunnel.keepOpen();
  assert.match(tunnel.problem?.message ?? "", /ps-dev-coordinator has no task that runs/);
  await sayTask("two", "two-1");
  await tunnel.keepOpen();
  assert.equal(tunnel.problem, null);
  await until("another", async () => /ps-dev-cluster_two_two-1/.test(await sessions()));
  assert.equal((await sessions()).trim().split("\n").length, 2);
});

test("a session that is refused says why, and is asked for again", async (context) => {
  await makePrograms();
  await sayTask("one", "one-1");
  await rm(at("sessions"), { force: true });
  await writeFile(at("refusal"), "An error occurred (TargetNotConnected) when calling\n");
  const tunnel = await StackTunnel.to(stack, place, 0);
  context.after(() => tunnel.close());
  await tunnel.keepOpen();
  await until("a problem", async () => tunnel.problem !== null);
  assert.match(tunnel.problem?.message ?? "", /ssm start-session failed: .*TargetNotConnected.*up/);
  await rm(at("refusal"));
  await tunnel.keepOpen();
  await until("a session", async () => (await sessions()).trim().split("\n").length === 2);
  assert.equal(tunnel.problem, null);
});

test("a state that does not say where the coordinator listens is told", async () => {
  await makePrograms();
  await say("outputs", {});
  await assert.rejects(StackTunnel.to(stack, place), { code: "usage", message: /paceline aws up/ });
});
