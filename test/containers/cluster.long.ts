/**
 * The cluster of compose.yaml, really run: a coordinator, two servers with two replicas and three
 * workers, each in a container, with certificates and a token over a network of podman's.
 * `make test-containers` runs it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { writeSampleMnist } from "../../dist/data/testing/sample-files.js";
import type { PacelineResult } from "../../dist/store/runs/run-result.js";
import { until } from "../run-paceline.js";
import { readCompose } from "./compose-file.js";
import { ContainerCluster, podman, podmanOk, runOnce } from "./podman.js";

const examples = 6144;
const training = `--model mlp --data mnist -b 16 --lr 0.05 --seed 3 --engine onednn`.split(" ");

test("a cluster of containers", { timeout: 1_200_000 }, async (context) => {
  const file = readCompose();
  const cluster = new ContainerCluster(file);
  await cluster.prepare(context);
  const coordinator = cluster.nameOf("coordinator");
  const servers = [cluster.nameOf("server-0"), cluster.nameOf("server-1")];
  const workers = cluster.namesOf("worker");
  const everybody = [coordinator, ...servers, ...workers];
  const data = await cluster.folder("data");
  await writeSampleMnist(data, { train: examples, test: 256, seed: 3 });
  const result = async (run: string) => {
    const text = readFileSync(`${await cluster.folder("runs")}/${run}/result.json`, "utf8");
    return (JSON.parse(text) as { paceline: PacelineResult }).paceline;
  };
  const submit = (run: string, words: string) =>
    cluster.exec(coordinator, "submit", "--name", run, ...training, ...words.split(" "), "--wait");
  const told = async () => {
    const logs = await Promise.all(everybody.map((name) => cluster.logs(name)));
    return logs.map((text, index) => `--- ${everybody[index]}\n${text}`).join("\n");
  };

  await context.test("starts: certificates once, then all are healthy", async () => {
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
    for (const name of everybody) {
      const ready = () => cluster.exec(name, "health", "--ready").then((said) => !said.exitCode);
      await until(`${name} is ready`, ready, 60_000, 500);
    }
  });

  await context.test("nothing in it runs as root, and process 1 is an init", async () => {
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

  await context.test("a killed server costs no bit", async () => {
    const ended = submit("bits", "-w 3 -s 2 --replicas 2 --mode bsp --epochs 6 --feed static");
    await cluster.step(coordinator, "bits", 60);
    await podmanOk("kill", servers[1]!);
    const { exitCode, out, err } = await ended;
    assert.equal(exitCode, 0, `${out}${err}${await told()}`);
    const { lost } = await linesOf("bits");
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
    const back = () =>
      cluster.exec(servers[1]!, "health", "--ready").then((said) => !said.exitCode);
    if ((await cluster.field(servers[1]!, ".State.Status")) !== "running") {
      await podmanOk("start", servers[1]!);
    }
    await until("the server is back", back, 60_000, 500);
  });

  await context.test("a killed worker loses no example", async () => {
    const ended = submit("counted", "-w 2:3 -s 2 --replicas 2 --mode bsp --epochs 4");
    await cluster.step(coordinator, "counted", 60);
    await podmanOk("kill", workers[0]!);
    const { exitCode, out, err } = await ended;
    assert.equal(exitCode, 0, `${out}${err}${await told()}`);
    const { lost } = await linesOf("counted");
    assert.equal(lost.filter((text) => text.startsWith("worker-")).length, 1, lost.join("\n"));
    const { epochs } = await result("counted");
    assert.deepEqual(
      epochs.map((epoch) => [epoch.examples, epoch.skipped]),
      Array.from({ length: 4 }, () => [examples, 0]),
    );
    if ((await cluster.field(workers[0]!, ".State.Status")) !== "running") {
      await podmanOk("start", workers[0]!);
    }
  });

  await context.test("who is stopped leaves in order, and the run goes on", async () => {
    const ended = submit("drained", "-w 1:3 -s 1:2 --replicas 2 --mode bsp --epochs 4");
    await cluster.step(coordinator, "drained", 60);
    for (const name of [workers[1]!, servers[0]!]) {
      await podmanOk("stop", name);
      assert.equal(await cluster.field(name, ".State.ExitCode"), "0", await cluster.logs(name));
      assert.match(await cluster.logs(name), /SIGTERM: waits up to 30 s to leave in order/);
    }
    const { exitCode, out, err } = await ended;
    assert.equal(exitCode, 0, `${out}${err}${await told()}`);
    const { lost } = await linesOf("drained");
    assert.deepEqual(lost, []);
    const { epochs } = await result("drained");
    assert.deepEqual(
      epochs.map((epoch) => [epoch.examples, epoch.skipped]),
      Array.from({ length: 4 }, () => [examples, 0]),
    );
    for (const name of [workers[1]!, servers[0]!]) await podmanOk("start", name);
  });

  await context.test("a killed coordinator goes on with its jobs when it is started", async () => {
    const ended = submit("returned", "-w 3 -s 2 --replicas 2 --mode bsp --epochs 6 --feed static");
    await cluster.step(coordinator, "returned", 60);
    await podmanOk("kill", coordinator);
    await ended;
    if ((await cluster.field(coordinator, ".State.Status")) !== "running") {
      await podmanOk("start", coordinator);
    }
    const isDone = async () => {
      const { out } = await cluster.exec(coordinator, "jobs", "show", "returned", "--json");
      return out.includes('"done"');
    };
    await until("the job is done", isDone, 120_000, 500).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await told()}`);
    });
    assert.equal(await cluster.weights("returned"), await cluster.weights("oracle"));
  });

  await context.test("the check of health turns while a process is frozen", async () => {
    for (const name of [coordinator, servers[0]!, workers[2]!]) {
      const [, paceline] = await cluster.processes(name);
      process.kill(paceline!.pid, "SIGSTOP");
      for (let times = 0; times < 3; times++) assert.equal(await cluster.isHealthy(name), false);
      assert.equal(await cluster.field(name, ".State.Health.Status"), "unhealthy");
      process.kill(paceline!.pid, "SIGCONT");
      await until(`${name} is healthy again`, () => cluster.isHealthy(name), 30_000, 500);
      assert.equal(await cluster.field(name, ".State.Health.Status"), "healthy");
    }
  });

  /** Who was lost in a run, as its events say. */
  async function linesOf(run: string): Promise<{ lost: string[] }> {
    const path = `${await cluster.folder("runs")}/${run}/events.jsonl`;
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    const events = lines.map((line) => JSON.parse(line) as { kind: string; text: string });
    return { lost: events.filter(({ kind }) => kind === "lost").map(({ text }) => text) };
  }
});
