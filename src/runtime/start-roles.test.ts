/** The three roles started by hand, over a network in memory or the machine's. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ShardWriter } from "../data/shards/shard-writer.js";
import { writeSampleMnist } from "../data/testing/sample-files.js";
import type { PacelineError } from "../errors.js";
import { resolve } from "../options/resolve.js";
import { MemoryNetwork } from "../transport/memory/memory.js";
import type { Observer } from "./observer.js";
import type { RunRequest } from "./run-carrier.js";
import { startServing } from "./serving/start-serving.js";
import { startCoordinator } from "./start-coordinator.js";
import { startServer } from "./start-server.js";
import { startWorker } from "./start-worker.js";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-roles-"));
  await writeSampleMnist(join(folder, "data"), { train: 64, test: 16, seed: 1 });
});
after(() => rm(folder, { recursive: true, force: true }));

function runOf(name: string, epochs: number): RunRequest {
  const flags = new Map([
    ["model", "logistic"],
    ["data", "mnist-parity"],
    ["batchSize", "8"],
    ["workers", "1"],
    ["engine", "reference"],
    ["dataDir", join(folder, "data")],
    ["runDir", join(folder, "runs")],
    ["epochs", String(epochs)],
    ["name", name],
  ] as const);
  return { settings: resolve("train", { flags }).options, configText: "" };
}

/** Which files below the folder this process holds open; none where the system does not say. */
async function openFilesBelow(path: string): Promise<string[]> {
  const open = await readdir("/proc/self/fd").catch(() => []);
  const targets = open.map((name) => readlink(join("/proc/self/fd", name)).catch(() => ""));
  return (await Promise.all(targets)).filter((target) => target.startsWith(path));
}

const onAnyPort = { port: 0, startTimeoutMs: 20_000 };

describe("roles that a program starts", () => {
  test("find each other on the machine's network and end with the run", async () => {
    const coordinator = await startCoordinator(onAnyPort);
    const reach = { coordinator: coordinator.address };
    const server = await startServer(reach);
    const dataDir = join(folder, "data");
    const ends: string[] = [];
    const worker = await startWorker(
      { ...reach, dataDir },
      { onRunEnd: (rank, { outcome, record }) => ends.push(`${rank} ${outcome} ${record.steps}`) },
    );
    try {
      const { result, exitCode } = await coordinator.run(runOf("by-hand", 1));
      assert.deepEqual([result.outcome, exitCode], ["done", 0], result.reason);
      assert.equal((await worker.ended).outcome, "done");
      assert.equal((await server.ended).outcome, "done");
      assert.deepEqual(ends, ["0 done 8"]);
    } finally {
      await worker.close();
      await server.close();
      await coordinator.close();
    }
  });

  test("are interrupted by a reason: the member leaves, the run is saved", async () => {
    const network = new MemoryNetwork();
    let onSnapshot: Observer["onSnapshot"] & {} = () => {};
    const stepping = new Promise<void>((resolveStepping) => {
      onSnapshot = ({ globalSteps }) => void (globalSteps > 2 && resolveStepping());
    });
    const registered: string[] = [];
    const onEvent: Observer["onEvent"] = (event) =>
      void (event.kind === "registered" && registered.push(`${event.role}-${event.rank}`));
    const coordinator = await startCoordinator(
      { host: "coordinator" },
      { transport: network.createTransport(), observers: [{ onSnapshot, onEvent }] },
    );
    const reach = { coordinator: coordinator.address };
    const server = await startServer(
      { ...reach, host: "server" },
      { transport: network.createTransport() },
    );
    const place = { dataDir: join(folder, "data"), cacheDir: null };
    const worker = await startWorker(
      { ...reach, ...place },
      { transport: network.createTransport() },
    );
    try {
      // They come before there is a run, whose record has them all the same.
      while (coordinator.snapshot().members.length < 2) await setImmediate();
      const running = coordinator.run(runOf("interrupted", 4000));
      await stepping;
      assert.equal(coordinator.interrupt("enough"), true);
      const { result, exitCode, experiment } = await running;
      assert.deepEqual([result.outcome, exitCode], ["interrupted", 130], result.reason);
      assert.equal(experiment.paceline.exitCode, 130);
      assert.deepEqual(registered.sort(), ["server-0", "worker-0"]);
      assert.equal((await worker.ended).outcome, "interrupted");
    } finally {
      await worker.close();
      await server.close();
      await coordinator.close();
    }
    assert.equal(network.connections, 0);
  });

  test("a coordinator that is closed amid a run gives its folder free", async () => {
    const transport = new MemoryNetwork().createTransport();
    const coordinator = await startCoordinator({ host: "coordinator" }, { transport });
    const running = coordinator.run(runOf("closed", 1));
    running.catch(() => {});
    while (coordinator.snapshot().phase !== "forming") await setImmediate();
    await coordinator.close();
    const message = /closed before its run had ended; resume the run$/;
    await assert.rejects(running, { code: "unavailable", message });
    assert.deepEqual(await openFilesBelow(join(folder, "runs", "closed")), []);
    assert.ok(!(await readdir(join(folder, "runs", "closed"))).includes("writer.lock"));
  });

  test("a server that was given up registers again, and is brought up to hold chunks", async () => {
    const network = new MemoryNetwork();
    const told: string[] = [];
    const coordinator = await startCoordinator(
      { host: "coordinator", leaseMs: 300, startTimeoutMs: 20_000 },
      {
        transport: network.createTransport("coordinator"),
        observers: [{ onEvent: ({ text }) => void told.push(text) }],
      },
    );
    const reach = { coordinator: coordinator.address };
    const servers = await Promise.all(
      [0, 1].map((rank) => {
        const transport = network.createTransport(`server-${rank}`);
        return startServer({ ...reach, rank, host: `server-${rank}`, port: 0 }, { transport });
      }),
    );
    const place = { dataDir: join(folder, "data") };
    const worker = await startWorker(
      { ...reach, ...place },
      { transport: network.createTransport() },
    );
    const heard = async (what: RegExp, from: number) => {
      for (;;) {
        const at = told.findIndex((text, index) => index >= from && what.test(text));
        if (at >= 0) return at + 1;
        await setImmediate();
      }
    };
    const { settings, configText } = runOf("given-up", 4000);
    const two = { servers: { min: 2, max: 2 }, replicas: 2 };
    const running = coordinator.run({ settings: { ...settings, ...two }, configText });
    try {
      let at = await heard(/^redundant/, 0);
      network.cut("server-1", "coordinator");
      at = await heard(/^server-1 .*: lost/, at);
      network.restore("server-1", "coordinator");
      at = await heard(/^Server 1 registered/, at);
      await heard(/^redundant: every chunk is on 2 servers$/, at);
    } finally {
      coordinator.interrupt("enough");
      const { result } = await running;
      assert.equal(result.outcome, "interrupted", result.reason);
      for (const member of [worker, ...servers]) await member.close();
      await coordinator.close();
    }
  });

  test("a worker's own failure ends its process, and the third one of a rank the run", async () => {
    const shards = join(folder, "data", "mislabelled");
    const about = { classNames: ["a", "b"], shape: [1, 2, 2], shardExamples: null } as const;
    const writer = await ShardWriter.begin(shards, about);
    for (const split of ["train", "test"] as const) {
      for (let at = 0; at < 16; at++) await writer.add(split, at % 2, new Uint8Array(4).fill(at));
    }
    await writer.finish({ mean: [0], std: [1] });
    const records = await readFile(join(shards, "test-00000.bin"));
    records[6 * 5] = 7;
    await writeFile(join(shards, "test-00000.bin"), records);
    const network = new MemoryNetwork();
    const transportOf = () => ({ transport: network.createTransport() });
    const coordinator = await startCoordinator({ host: "coordinator" }, transportOf());
    const reach = { coordinator: coordinator.address };
    const server = await startServer({ ...reach, host: "server" }, transportOf());
    const { settings, configText } = runOf("mislabelled", 1);
    const ours = { ...settings, data: "mislabelled" };
    const running = coordinator.run({ settings: ours, configText });
    try {
      for (let life = 0; life < 3; life++) {
        const own = { rank: 0, dataDir: join(folder, "data") };
        const worker = await startWorker({ ...reach, ...own }, transportOf());
        const end = await worker.ended.catch((thrown: PacelineError) => thrown);
        const [code, message] = [(end as PacelineError).code, (end as PacelineError).message];
        assert.equal(code, "data", JSON.stringify(end));
        assert.match(message, /label 7 in record 5/);
        await worker.close();
      }
      const { result } = await running;
      assert.equal(result.code, "data");
      assert.match(result.reason, /^worker-0 has failed 3 times in succession: .*label 7 in/);
    } finally {
      await server.close();
      await coordinator.close();
    }
  });

  test("serve: a job is judged when it is submitted, and members go home at the end", async () => {
    const network = new MemoryNetwork();
    const lines: string[] = [];
    const settings: Record<string, RunRequest["settings"]> = {
      good: runOf("served", 1).settings,
      unknown: { ...runOf("unknown", 1).settings, data: "no-such-set" },
      taken: runOf("served", 1).settings,
      later: runOf("later", 1).settings,
    };
    const runDir = join(folder, "runs");
    const coordinator = await startServing(
      { host: "coordinator", runDir },
      {
        transport: network.createTransport(),
        readSubmitted: (name) => ({ settings: settings[name]!, configText: "" }),
        log: (line) => lines.push(line),
      },
    );
    const client = network.createTransport();
    const from = { priority: 0, host: "", pid: 0 };
    const submit = (config: string) => client.submit(coordinator.address, { config, ...from });
    const served = coordinator.serve();
    await assert.rejects(submit("unknown"), { code: "usage", message: /"no-such-set" is unknown/ });
    assert.equal(await submit("good"), "served");
    await assert.rejects(submit("taken"), { message: /a job of that name is already queued/ });
    assert.equal(await submit("later"), "later");
    const reach = { coordinator: coordinator.address };
    const server = await startServer(
      { ...reach, host: "server" },
      { transport: network.createTransport() },
    );
    while (!lines.some((line) => /^Server 0 registered/.test(line))) {
      await new Promise((resolveSoon) => setTimeout(resolveSoon, 5));
    }
    coordinator.interrupt("SIGINT");
    await served;
    assert.equal((await server.ended).outcome, "interrupted");
    await server.close();
    await client.close();
    await coordinator.close();
    assert.match(lines.join("\n"), /a job is refused: data set "no-such-set" is unknown/);
    const waits = /job served waits for 1 more server: 0 of 1 are free, and 1 more worker: 0 of 1/;
    assert.match(lines.join("\n"), waits);
    assert.match(lines.join("\n"), /job later is taken, 1 before it/);
    const kept = /SIGINT: queued jobs are kept in .*\.queue\.json: served, later/;
    assert.match(lines.join("\n"), kept);
  });

  test("go on under a higher term; without one no run begins, nor is a file held", async () => {
    const network = new MemoryNetwork();
    const coordinator = await startCoordinator(
      { host: "coordinator" },
      { transport: network.createTransport() },
    );
    const directory = join(folder, "runs", "by-hand");
    const path = join(directory, "coordinator.json");
    const kept = await readFile(path, "utf8");
    assert.equal(JSON.parse(kept).term, 1);
    const { settings, configText } = runOf("by-hand", 2);
    const again = { settings: { ...settings, name: null, resume: directory }, configText };
    try {
      await writeFile(path, kept.slice(0, 20));
      await assert.rejects(coordinator.run(again), { code: "storage", message: /is not JSON/ });
      assert.deepEqual(await openFilesBelow(directory), []);
      await writeFile(path, kept);
      const running = coordinator.run(again);
      assert.equal(coordinator.interrupt("enough"), true, "before the run is submitted");
      const { result } = await running;
      assert.deepEqual([result.outcome, result.reason], ["interrupted", "enough"]);
      assert.equal(JSON.parse(await readFile(path, "utf8")).term, 2);
    } finally {
      await coordinator.close();
    }
  });

  test("a member that nobody answers is closed at once", async () => {
    const reach = { coordinator: "127.0.0.1:1", startTimeoutMs: 600_000 };
    let told = () => {};
    const tried = new Promise<void>((resolveTried) => {
      told = resolveTried;
    });
    const worker = await startWorker(reach, { log: (line) => /trying again/.test(line) && told() });
    await tried;
    assert.equal(worker.interrupt("enough"), false, "there is nobody to say goodbye to");
    await worker.close();
    assert.deepEqual(await worker.ended, { outcome: "left", reason: "closed" });
  });

  test("refuse what can't be before anything is started", async () => {
    const usage = (message: RegExp) => ({ code: "usage", message });
    await assert.rejects(
      startWorker({ coordinator: "" }),
      usage(/^a worker needs the address .*write coordinator: /),
    );
    const open = { coordinator: "127.0.0.1:1", host: "0.0.0.0", insecure: true };
    await assert.rejects(
      startServer(open),
      usage(/--host 0.0.0.0 listens on every address, .*--advertise/),
    );
    await assert.rejects(startCoordinator({ host: "10.0.0.1" }), usage(/not a loopback address/));
    const first = await startCoordinator(onAnyPort);
    const port = Number(first.address.split(":")[1]);
    await assert.rejects(startCoordinator({ port }), usage(/port \d+ on 127.0.0.1 is in use/));
    await first.close();
  });
});
