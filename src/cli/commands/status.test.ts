import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { PacelineError } from "../../errors.js";
import { resolve } from "../../options/resolve.js";
import type { MemberPlace } from "../../protocol/identity.js";
import type { CoordinatorSnapshot, Submission } from "../../protocol/run-events.js";
import { idleWorker } from "../../protocol/statistics.js";
import { createGrpcTransport } from "../../transport/grpc/grpc-transport.js";
import { MemoryNetwork } from "../../transport/memory/memory.js";
import type { CoordinatorService, SwitchRequest, Transport } from "../../transport/transport.js";
import { coordinatorAddress } from "../coordinator-address.js";
import { admin } from "./admin.js";
import { status } from "./status.js";
import { submit } from "./submit.js";

const runDir = mkdtempSync(join(tmpdir(), "paceline-admin-"));
after(() => rmSync(runDir, { recursive: true, force: true }));
const address = { coordinator: "127.0.0.1:8000", ioTimeoutMs: 30_000, json: false };
const options = { ...resolve("admin", {}).options, ...address };

const snapshot: CoordinatorSnapshot = {
  run: "trial-1",
  name: "trial",
  phase: "training",
  activity: "epoch 2 of 3",
  epoch: 1,
  epochs: 3,
  globalSteps: 120,
  examples: 90,
  totalExamples: 200,
  members: [
    {
      role: "server",
      rank: 0,
      incarnation: 1,
      pid: 41,
      host: "box",
      address: "127.0.0.1:9000",
      frames: null,
      state: "alive",
      reason: "last heard 0.1 s ago, lease 3.0 s",
      activity: "serving",
      engine: "",
      inView: true,
      server: null,
      worker: null,
    },
    {
      role: "worker",
      rank: 10,
      incarnation: 2,
      pid: 4242,
      host: "far-away",
      address: "",
      frames: null,
      state: "suspect",
      reason: "silent for 2.0 s, lease 3.0 s",
      activity: "computing\u001b[2J step 118",
      engine: "",
      inView: true,
      server: null,
      worker: { ...idleWorker, clock: 118 },
    },
  ],
  moves: { left: 0, total: 0 },
  algorithms: [],
  evaluations: [
    {
      epoch: 0,
      step: 60,
      final: false,
      accuracyPercent: 91.125,
      loss: 0.30001,
      examples: 100,
      atSeconds: 9,
      trainedExamples: 600,
    },
  ],
};

function serviceWith(parts: Partial<CoordinatorService>): CoordinatorService {
  const unasked = () => assert.fail("nobody asked for this");
  const calls = {
    register: unasked,
    open: unasked,
    status: unasked,
    drain: unasked,
    switchTo: unasked,
  };
  const values = {
    ...{ submit: unasked, jobs: unasked, cancelJob: unasked, jobEvents: unasked },
    readExamples: unasked,
    keepResidual: unasked,
    readResidual: unasked,
  };
  return { ...calls, ...values, ...parts };
}

/** Serves in memory and runs the command; resolves to what it printed. */
async function printed(
  parts: Partial<CoordinatorService>,
  command: (io: { stdout: { write(text: string): unknown } }, transport: Transport) => unknown,
): Promise<string> {
  const network = new MemoryNetwork();
  await network
    .createTransport("coordinator")
    .serveCoordinator("127.0.0.1:8000", serviceWith(parts));
  let text = "";
  const stdout = { write: (piece: string) => (text += piece) };
  assert.equal(await command({ stdout }, network.createTransport("user")), 0);
  return text;
}

describe("paceline status", () => {
  const shown = (told: unknown, json = false) =>
    printed({ status: () => told }, (io, transport) => status({ ...options, json }, io, transport));

  test("shows the run, its evaluations and what each member does", async () => {
    assert.deepEqual((await shown(snapshot)).split("\n"), [
      "coordinator 127.0.0.1:8000",
      "run         trial",
      "phase       training: epoch 2 of 3",
      "progress    epoch 2 of 3, step 120, 90 of 200 examples (45.0%)",
      "evaluated   step 60, epoch 1: accuracy 91.13%, loss 0.3000",
      "",
      "Member     Pid   Host      State    Step  Doing",
      "server-0   41    box       alive    -     serving",
      "worker-10  4242  far-away  suspect  118   silent for 2.0 s, lease 3.0 s",
      "",
    ]);
  });

  test("says how many chunks are on their way", async () => {
    const lines = (await shown({ ...snapshot, moves: { left: 3, total: 12 } })).split("\n");
    assert.equal(lines[4], "chunk moves 3 of 12 left");
  });

  test("shows a coordinator that has nothing to do", async () => {
    const idle = { phase: "idle", activity: "waiting for a run", members: [], evaluations: [] };
    assert.deepEqual((await shown({ ...snapshot, run: null, name: null, ...idle })).split("\n"), [
      "coordinator 127.0.0.1:8000",
      "run         none",
      "phase       idle: waiting for a run",
      "members     none",
      "",
    ]);
  });

  test("prints with --json what it was sent, on one line", async () => {
    const text = await shown({ ...snapshot, later: 1 }, true);
    assert.deepEqual(JSON.parse(text), { ...snapshot, later: 1 });
    assert.equal(text.indexOf("\n"), text.length - 1);
  });

  test("refuses a status of another form, naming the place", async () => {
    for (const [told, place] of [
      [null, "the whole"],
      [{ ...snapshot, phase: 3 }, "phase"],
      [{ ...snapshot, members: [{ role: "king" }] }, "members.0.role"],
    ] as const) {
      await assert.rejects(shown(told), (thrown) => {
        assert.ok(thrown instanceof PacelineError && thrown.code === "protocol");
        assert.ok(thrown.message.includes(`another form (${place}: `), thrown.message);
        return true;
      });
    }
  });

  test("needs to be told where the coordinator is", async () => {
    const io = { stdout: { write: () => assert.fail("printed") } };
    const nowhere = { ...options, coordinator: null };
    await assert.rejects(status(nowhere, io), { code: "usage", message: /Give --coordinator/ });
  });
});

describe("paceline submit", () => {
  const configText = "model: mlp\n";
  const choice = { priority: 4, waits: false, follows: false };
  const submitted = (json: boolean, parts: Partial<CoordinatorService>) =>
    printed(parts, (io, transport) => {
      const around = { ...io, stderr: { write: () => assert.fail("told") }, configText };
      return submit({ ...options, json }, around, choice, transport);
    });

  test("sends the configuration and prints the run's name", async () => {
    const taken: Submission[] = [];
    const parts = { submit: (one: Submission) => `run-${taken.push(one)}` };
    assert.equal(await submitted(false, parts), "run-1\n");
    assert.equal(await submitted(true, parts), '{"run":"run-2"}\n');
    const from = { priority: 4, host: hostname(), pid: process.pid };
    assert.deepEqual(taken, Array(2).fill({ config: configText, ...from }));
  });

  test("passes on why a coordinator takes no run", async () => {
    const refusal = new PacelineError("refused", "this coordinator has its run");
    const parts = {
      submit: () => {
        throw refusal;
      },
    };
    await assert.rejects(submitted(false, parts), { code: "refused", message: /has its run/ });
  });
});

describe("paceline admin drain", () => {
  const drained = (words: readonly string[], parts: Partial<CoordinatorService>, json = false) =>
    printed(parts, (io, transport) => admin(words, { ...options, runDir, json }, io, transport));

  test("names the member, and prints what follows", async () => {
    const drain = ({ role, rank }: MemberPlace) => `${role} ${rank} leaves`;
    assert.equal(await drained(["drain", "server-1"], { drain }), "server 1 leaves\n");
    assert.equal(
      await drained(["drain", "worker-10"], { drain }, true),
      '{"text":"worker 10 leaves"}\n',
    );
  });

  test("finds the coordinator of a run in its folder", async () => {
    const { coordinator: address } = options;
    const member = { role: "coordinator", id: 0, pid: 1, address };
    mkdirSync(join(runDir, "trial"));
    writeFileSync(join(runDir, "trial", "cluster.json"), JSON.stringify({ members: [member] }));
    const owner = { pid: process.pid, host: hostname(), start: null, since: "now" };
    writeFileSync(join(runDir, "trial", "writer.lock"), `${JSON.stringify(owner)}\n`);
    mkdirSync(join(runDir, "empty"));
    writeFileSync(join(runDir, "empty", "cluster.json"), '{"members":[]}');
    const drain = ({ role, rank }: MemberPlace) => `${role} ${rank} leaves`;
    const ask = (run: string) =>
      printed({ drain }, (io, transport) =>
        admin(["drain", "worker-2", run], { ...options, runDir, coordinator: null }, io, transport),
      );
    assert.equal(await ask("trial"), "worker 2 leaves\n");
    assert.equal(await ask(join(runDir, "trial")), "worker 2 leaves\n");
    rmSync(join(runDir, "trial", "writer.lock"));
    const over = /^no coordinator carries out .*trial any more; paceline resume .*trial" goes on/;
    await assert.rejects(ask("trial"), { code: "usage", message: over });
    const message = /^no run "other" with a cluster.json in .*give --coordinator$/;
    await assert.rejects(ask("other"), { code: "usage", message });
    await assert.rejects(ask("empty"), { code: "usage", message: /names no coordinator/ });
    const nowhere = { ...options, runDir, coordinator: null };
    const asked = printed({ drain }, (io, transport) =>
      admin(["drain", "worker-2"], nowhere, io, transport),
    );
    await assert.rejects(asked, { code: "usage", message: /Give the name of its run, or --coord/ });
  });

  test("passes on why a member can't leave", async () => {
    const drain = () => {
      throw new PacelineError("refused", "there is no server-7");
    };
    const refusal = { code: "refused", message: /there is no server-7/ };
    await assert.rejects(drained(["drain", "server-7"], { drain }), refusal);
  });

  test("says what is wrong with its words", async () => {
    for (const [words, message] of [
      [["drain"], /needs a member; write paceline admin drain server-1/],
      [["drain", "server-1", "server-2"], /takes one member, and got server-1 server-2/],
      [["drain", "server1"], /server1 is not the name of a member; write server-1 or worker-2/],
      [["drain", "coordinator-0"], /is not the name of a member/],
    ] as const) {
      await assert.rejects(drained(words, {}), { code: "usage", message });
    }
  });
});

describe("paceline admin switch", () => {
  const asked = async (...words: readonly string[]) => {
    let request: SwitchRequest | null = null;
    const switchTo = (one: SwitchRequest) => {
      request = one;
      return "";
    };
    await printed({ switchTo }, (io, transport) =>
      admin(["switch", ...words], { ...options, runDir }, io, transport),
    );
    return request!;
  };

  test("takes a mode's parameters in its word", async () => {
    assert.deepEqual(await asked("ssp:4"), { protocol: { mode: "ssp", staleness: 4 }, run: "" });
    const { protocol, run } = await asked("trial", "quorum:3,grace=5ms");
    assert.deepEqual([protocol, run], [{ mode: "quorum", quorumSize: 3, grace: 5 }, "trial"]);
    for (const [word, message] of [
      ["ssp:many", /ssp:many: --staleness many is not a whole number; write/],
      ["ssp:1,2", /ssp:1,2 has "2", which is no parameter of ssp: it has staleness/],
      ["spp:2", /admin switch needs a mode, .* and got spp:2/],
    ] as const) {
      await assert.rejects(asked(word), { code: "usage", message });
    }
  });
});

describe("over the network", () => {
  const sink = { write: () => assert.fail("printed") };
  const io = { stdout: sink, stderr: sink, configText: "model: mlp\n" };

  test("the snapshot comes through gRPC as it was", async () => {
    const server = createGrpcTransport();
    const service = serviceWith({ status: () => snapshot });
    const listener = await server.serveCoordinator("127.0.0.1:0", service);
    let text = "";
    const stdout = { write: (piece: string) => (text += piece) };
    await status({ ...options, coordinator: listener.address, json: true }, { stdout });
    await listener.close();
    await server.close();
    assert.deepEqual(JSON.parse(text), snapshot);
  });

  test("a peer that says nothing is given up after the time-out, with a sentence", async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => void sockets.add(socket)).listen(0, "127.0.0.1");
    await new Promise((listening) => silent.once("listening", listening));
    const { port } = silent.address() as { port: number };
    const asked = { ...options, coordinator: `127.0.0.1:${port}`, ioTimeoutMs: 150 };
    const expected = { code: "timeout", message: new RegExp(`^127.0.0.1:${port} did not answer`) };
    await assert.rejects(status(asked, io), expected);
    await assert.rejects(submit(asked, io), expected);
    for (const socket of sockets) socket.destroy();
    await new Promise((closed) => silent.close(closed));
  });

  test("where nobody listens the address is named", async () => {
    const probe = createServer().listen(0, "127.0.0.1");
    await new Promise((listening) => probe.once("listening", listening));
    const { port } = probe.address() as { port: number };
    await new Promise((closed) => probe.close(closed));
    const asked = { ...options, coordinator: `127.0.0.1:${port}`, ioTimeoutMs: 5000 };
    const message = new RegExp(`^127.0.0.1:${port} can't be reached`);
    await assert.rejects(status(asked, io), { code: "unavailable", message });
  });
});

test("where none of several coordinators answers each is told with its reason", async () => {
  const say: Record<string, PacelineError> = {
    "a:1": new PacelineError("unavailable", "a:1 can't be reached; is it running?"),
    "b:2": new PacelineError("refused", "b:2 takes no such token; give --token-file"),
    "c:3": new PacelineError("unavailable", "c:3 can't be reached; is it running?"),
  };
  const transport = {
    status: async (place: string) => {
      if (say[place] !== undefined) throw say[place];
      return snapshot;
    },
  } as unknown as Transport;
  const at = (coordinator: string) =>
    coordinatorAddress({ ...options, coordinator }, transport as Transport);
  assert.equal(await at("a:1,d:4,b:2"), "d:4");
  assert.equal(await at("a:1,d:4"), "d:4");
  const message =
    "a:1 can't be reached; b:2 takes no such token; c:3 can't be reached; is it running?; " +
    "give --token-file";
  await assert.rejects(at("a:1,b:2,c:3"), { code: "refused", message });
  await assert.rejects(at("a:1,c:3"), { code: "unavailable" });
});
