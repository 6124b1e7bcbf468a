/**
 * A thousand workers join a run over real gRPC and are lost again, by a goodbye, a cut or silence.
 * The coordinator runs in this process, so that its descriptors and its heap can be counted before
 * and after; the server and one worker that goes on training all the while are processes of their
 * own. `make test-long` runs it; it takes a minute or two.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { runProgram } from "../dist/cli/program.js";
import { CoordinatorPlaces } from "../dist/host/session/coordinator-places.js";
import { HeardTerm } from "../dist/host/session/heard-term.js";
import { MemberSession } from "../dist/host/session/member-session.js";
import { shownId } from "../dist/protocol/ids.js";
import { type CoordinatorMessage, protocolVersion } from "../dist/protocol/messages.js";
import { layoutOf } from "../dist/runtime/compute/initial-state.js";
import { processClock } from "../dist/runtime/process/process-clock.js";
import { createGrpcTransport } from "../dist/transport/grpc/grpc-transport.js";
import { makePlace, until } from "./run-paceline.js";

const losses = 1000;
const atOnce = 12;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

interface Use {
  readonly descriptors: number;
  readonly heapMegabytes: number;
  readonly serverDescriptors: number;
  readonly serverMegabytes: number;
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function useOf(serverPid: number): Use {
  collectGarbage();
  collectGarbage();
  const status = readFileSync(`/proc/${serverPid}/status`, "utf8");
  return {
    descriptors: descriptorsOf(process.pid),
    heapMegabytes: process.memoryUsage().heapUsed / 2 ** 20,
    serverDescriptors: descriptorsOf(serverPid),
    serverMegabytes: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024,
  };
}

/** Joins, is given a view with it in it, and is lost in one of three ways. */
async function joinAndGo(address: string, number: number): Promise<void> {
  const transport = createGrpcTransport({ ioTimeoutMs: 10_000 });
  const request = { protocol: protocolVersion, rank: null, incarnation: null, pid: number };
  const from = { host: "here", address: "", frames: null, attempt: "" };
  const who = { ...request, role: "worker", ...from } as const;
  const reply = await transport.register(address, who);
  assert.ok(reply.accepted, JSON.stringify(reply));
  const { rank, incarnation } = reply;
  let inView = false;
  let lost = false;
  const onMessage = (message: CoordinatorMessage) => {
    if (message.type === "prepare") {
      const { run } = message.spec;
      const { tensors } = layoutOf(message.spec);
      session.send({ type: "ready", run, tensors, engine: "", algorithms: [] });
    }
    if (message.type !== "view") return;
    inView ||= message.view.workers.some((worker) => worker.incarnation === incarnation);
  };
  const session = new MemberSession(
    {
      transport,
      clock: processClock,
      config: {
        coordinator: new CoordinatorPlaces(address),
        startTimeoutMs: 10_000,
        ioTimeoutMs: 10_000,
        coordinatorGraceMs: 10_000,
      },
      handler: {
        onMessage,
        heartbeat: () => ({ activity: "", server: null, worker: null, reach: [] }),
        onReturned: () => {},
        onLost: () => (lost = true),
        log: () => {},
      },
      heard: new HeardTerm(),
    },
    { role: "worker", rank, incarnation },
    reply.heartbeatIntervalMs,
  );
  // On a busy machine one may be taken for lost before it takes part: that is a loss like the
  // others.
  const name = `worker ${rank} of life ${shownId(incarnation)}`;
  await until(`${name} in a view, or lost`, () => inView || lost, 30_000);
  if (!lost && number % 3 === 0) {
    session.send({ type: "leave", reason: "goodbye", server: null, worker: null });
    await session.drain(5000);
  }
  session.close();
  await transport.close();
}

test("a thousand joins and losses leave descriptors and memory alone", async (context) => {
  const place = await makePlace(context);
  process.chdir(place.folder);
  let told = "";
  // Only the end is kept: what a run says is not part of what it holds.
  const sink = { write: (text: string) => (told = (told + text).slice(-10_000)) };
  const words = [
    ...["coordinator", "--model", "logistic", "--data", "mnist-parity", "--port", "0"],
    ...["--workers", `1:${8 * atOnce}`, "--servers", "1", "--mode", "asp", "--batch-size", "4"],
    ...["--epochs", "1000000", "--eval-every", "none", "--lr", "0.001", "--name", "run"],
    ...[
      "--start-timeout",
      "3s",
      "--lease",
      "500ms",
      "--rank-grace",
      "0s",
      "--log-every",
      "1000000e",
    ],
    ...["--data-dir", place.path("data")],
  ];
  const host = { stdout: sink, stderr: sink, environment: {}, isTerminal: false };
  const ended = runProgram(words, host);
  const address = await until("the coordinator listens", () => {
    return /coordinator listens on (\S+)/.exec(told)?.[1] ?? null;
  });
  const server = place.start(["server", "--coordinator", address]);
  const worker = place.start(["worker", "--coordinator", address, "--rank", "0"]);
  await place.step("run", 5);

  let begun = 0;
  const joinUntil = async (count: number) => {
    const line = async () => {
      while (begun < count) await joinAndGo(address, begun++);
    };
    await Promise.all(Array.from({ length: atOnce }, line));
    await until("only the one worker is left", async () => {
      const { members } = await place.snapshotAt(address);
      return members.filter(({ role }) => role === "worker").length === 1;
    });
  };
  await joinUntil(losses / 10);
  const before = useOf(server.pid);
  const steps = (await place.snapshotAt(address)).globalSteps;
  await joinUntil(losses / 10 + losses);
  const after = useOf(server.pid);
  context.diagnostic(`before ${JSON.stringify(before)}`);
  context.diagnostic(`after  ${JSON.stringify(after)}`);
  assert.ok((await place.snapshotAt(address)).globalSteps > steps, "the worker went on");
  assert.equal(worker.isOver, false, worker.told());
  assert.ok(Math.abs(after.descriptors - before.descriptors) <= 2);
  assert.ok(Math.abs(after.serverDescriptors - before.serverDescriptors) <= 2);
  assert.ok(after.heapMegabytes - before.heapMegabytes < 3);
  assert.ok(after.serverMegabytes - before.serverMegabytes < 40);

  process.kill(process.pid, "SIGTERM");
  assert.equal(await ended, 143, told.slice(-2000));
  assert.equal((await server.end()).exitCode, 0, server.told());
  assert.equal((await worker.end()).exitCode, 0, worker.told());
  process.chdir("/");
});
