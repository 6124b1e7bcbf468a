/**
 * The cluster of compose.yaml, really run: a coordinator, two servers with two replicas and three
 * workers, each in a container, with certificates and a token over a network of podman's.
 * `make test-containers` runs it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { writeSampleMnist } from "../../dist/data/testing/sample-files.js";
import type { PacelineResult } from "../../dist/store/runs/run-result.js";
import { until } from "../run-paceline.js";
import { readCompose } from "./compose-file.js";
import { ContainerCluster, podman, podmanOk, runOnce, type Said } from "./podman.js";

const examples = 6144;
const training = `--model mlp --data mnist -b 16 --lr 0.05 --seed 3 --engine onednn`.split(" ");

const file = readCompose();
const cluster = new ContainerCluster(file);
const coordinator = cluster.nameOf("coordinator");
const servers = [cluster.nameOf("server-0"), cluster.nameOf("server-1")];
const workers = cluster.namesOf("worker");
const everybody = [coordinator, ...servers, ...workers];

/** Submits a run and waits for its end. */
function submit(run: string, words: string): Promise<Said> {
  const named = ["submit", "--name", run, ...training, ...words.split(" ")];
  return cluster.exec(coordinator, ...named, "--wait");
}

/** What a run used and skipped of each epoch. */
async function accountOf(run: string): Promise<[number, number][]> {
  const text = readFileSync(`${await cluster.folder("runs")}/${run}/result.json`, "utf8");
  const { paceline } = JSON.parse(text) as { paceline: PacelineResult };
  return paceline.epochs.map((epoch) => [epoch.examples, epoch.skipped]);
}

/** Who was lost in a run, as its events say. */
async function lostIn(run: string): Promise<string[]> {
  const path = `${await cluster.folder("runs")}/${run}/events.jsonl`;
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const events = lines.map((line) => JSON.parse(line) as { kind: string; text: string });
  return events.filter(({ kind }) => kind === "lost").map(({ text }) => text);
}

/** Everything that was said, for messages of failing tests. */
async function told(): Promise<string> {
  const logs = await Promise.all(everybody.map((name) => cluster.logs(name)));
  return logs.map((text, index) => `--- ${everybody[index]}\n${text}`).join("\n");
}

/** Starts a container that its restart policy has left alone, and waits until it is ready. */
async function bringBack(name: string): Promise<void> {
  if ((await cluster.field(name, ".State.Status")) !== "running") await podmanOk("start", name);
  const isReady = async () => (await cluster.exec(name, "health", "--ready")).exitCode === 0;
  await until(`${name} is ready`, isReady, 60_000, 500);
}

before(async () => {
  await cluster.prepare();
  await writeSampleMnist(await cluster.folder("data"), { train: examples, test: 256, seed: 3 });
});
after(() => cluster.remove());

test("starts: certificates once, then all are healthy", async () => {
  await cluster.start("certs");
  assert.equal(await cluster.end(cluster.nameOf("certs")), 0, await told());
  const made = readFileSync(`${await cluster.folder("worker-certs")}/worker-key.pem`, "utf8");
  // A second `up` makes none anew.
  await podmanOk("start", cluster.nameOf("certs"));
  assert.equal(await cluster.end(cluster.nameOf("certs")), 0);
  const again = readFileSync(`${await cluster.folder("worker-certs")}/worker-key.pem`, "utf8");
  assert.equal(again, made);
  for (const service of ["server-0", "server-1", "worker", "coordinator"]) {
    await cluster.start(service);
  }
  for (const name of everybody) {
    await until(`${name} is healthy`, () => cluster.isHealthy(name), 60_000, 500);
  }
  for (const name of everybody) await bringBack(name);
});

test("nothing in it runs as root, and process 1 is an init", async () => {
  for (const name of everybody) {
    const processes = await cluster.processes(name);
    assert.deepEqual(
      processes.map((one) => one.name),
      ["tini", processes[1]!.name],
      name,
    );
    for (const { uid, capabilities, gainsPrivileges } of processes) {
      assert.deepEqual([uid, capabilities, gainsPrivileges], [10001, 0n, false], name);
    }
    const written = await podman("exec", name, "touch", "/app/new", "/usr/new");
    assert.notEqual(written.exitCode, 0, "the root is read-only");
  }
  const key = await podman("exec", workers[0]!, "ls", "/certs/authority", "/certs/coordinator");
  assert.equal(key.out.replace(/\s|\/certs\/\w+:/g, ""), "", "a worker has a worker's files");
});

test("a killed server costs no bit", async () => {
  const ended = submit("bits", "-w 3 -s 2 --replicas 2 --mode bsp --epochs 6 --feed static");
  await cluster.step(coordinator, "bits", 60);
  await podmanOk("kill", servers[1]!);
  const { exitCode, out, err } = await ended;
  assert.equal(exitCode, 0, `${out}${err}${await told()}`);
  const lost = await lostIn("bits");
  assert.equal(lost.filter((text) => text.startsWith("server-")).length, 1, lost.join("\n"));
  const oracle = ["baseline", "--as-workers", "3", "--name", "oracle", "--epochs", "6"];
  const volumes = ["runs:/runs", "data:/data"].flatMap((volume) => [
    "--volume",
    `${cluster.project}-${volume}`,
  ]);
  const alone = await runOnce(
    ["--network", "none", ...volumes],
    file.services.worker!.image,
    ...oracle,
    ...training,
    "--threads",
    "1",
  );
  assert.equal(alone.exitCode, 0, alone.err);
  assert.equal(await cluster.weights("bits"), await cluster.weights("oracle"));
  await bringBack(servers[1]!);
});

test("a killed worker loses no example", async () => {
  const ended = submit("counted", "-w 2:3 -s 2 --replicas 2 --mode bsp --epochs 4");
  await cluster.step(coordinator, "counted", 60);
  await podmanOk("kill", workers[0]!);
  const { exitCode, out, err } = await ended;
  assert.equal(exitCode, 0, `${out}${err}${await told()}`);
  const lost = await lostIn("counted");
  assert.equal(lost.filter((text) => text.startsWith("worker-")).length, 1, lost.join("\n"));
  assert.deepEqual(
    await accountOf("counted"),
    Array.from({ length: 4 }, () => [examples, 0]),
  );
  await bringBack(workers[0]!);
});

test("who is stopped leaves in order, and the run goes on", async () => {
  const ended = submit("drained", "-w 1:3 -s 1:2 --replicas 2 --mode bsp --epochs 4");
  await cluster.step(coordinator, "drained", 60);
  for (const name of [workers[1]!, servers[0]!]) {
    await podmanOk("stop", name);
    assert.equal(await cluster.field(name, ".State.ExitCode"), "0", await cluster.logs(name));
    assert.match(await cluster.logs(name), /SIGTERM: waits up to 30 s to leave in order/);
  }
  const { exitCode, out, err } = await ended;
  assert.equal(exitCode, 0, `${out}${err}${await told()}`);
  const lost = await lostIn("drained");
  assert.deepEqual(lost, []);
  assert.deepEqual(
    await accountOf("drained"),
    Array.from({ length: 4 }, () => [examples, 0]),
  );
  for (const name of [workers[1]!, servers[0]!]) await bringBack(name);
});

test("a killed coordinator goes on with its jobs when it is started", async () => {
  const ended = submit("returned", "-w 3 -s 2 --replicas 2 --mode bsp --epochs 6 --feed static");
  await cluster.step(coordinator, "returned", 60);
  await podmanOk("kill", coordinator);
  await ended;
  await bringBack(coordinator);
  const isDone = async () => {
    const { out } = await cluster.exec(coordinator, "jobs", "show", "returned", "--json");
    return out.includes('"done"');
  };
  await until("the job is done", isDone, 120_000, 500).catch(async (error: Error) => {
    throw new Error(`${error.message}\n${await told()}`);
  });
  assert.equal(await cluster.weights("returned"), await cluster.weights("oracle"));
});

test("the check of health turns while a process is frozen", async () => {
  // A failed check does not count in the time that a container has to start.
  const isStarted = async (name: string) =>
    Date.now() / 1000 > 31 + Number(await cluster.field(name, ".State.StartedAt.Unix"));
  for (const name of [coordinator, servers[0]!, workers[2]!]) {
    await until(`${name} has started for good`, () => isStarted(name), 60_000, 500);
    const [, paceline] = await cluster.processes(name);
    process.kill(paceline!.pid, "SIGSTOP");
    for (let times = 0; times < 3; times++) assert.equal(await cluster.isHealthy(name), false);
    assert.equal(await cluster.field(name, ".State.Health.Status"), "unhealthy");
    process.kill(paceline!.pid, "SIGCONT");
    await until(`${name} is healthy again`, () => cluster.isHealthy(name), 30_000, 500);
    assert.equal(await cluster.field(name, ".State.Health.Status"), "healthy");
  }
});
