/** What is durable before what: the host on a disk that takes its time, or fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoordinatorRecord } from "../core/coordinator/coordinator-events.js";
import { PacelineError } from "../errors.js";
import { layOut } from "../protocol/layout.js";
import {
  type CoordinatorMessage,
  type MemberMessage,
  protocolVersion,
} from "../protocol/messages.js";
import type { RunResult } from "../protocol/run-events.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import type { MemberReceiver, Transport } from "../transport/transport.js";
import { CoordinatorHost } from "./coordinator-host.js";

const layout = layOut([{ name: "w", shape: [4], group: "weight" }], 4);
const spec = { ...sampleSpec, servers: 1, workersMin: 1, workersMax: 1 };

interface Write {
  readonly record: CoordinatorRecord;
  readonly done: () => void;
  readonly failed: (thrown: unknown) => void;
}

/** A coordinator with a server and a worker that are ready; the test is its disk. */
async function ready() {
  const writes: Write[] = [];
  const results: RunResult[] = [];
  const said: string[] = [];
  const events: string[] = [];
  let nowMs = 0;
  const host = new CoordinatorHost({
    transport: {} as Transport,
    clock: { nowMs: () => nowMs, after: () => ({ cancel: () => {} }) },
    ioTimeoutMs: 5000,
    config: {
      ...{ term: 1, heartbeatIntervalMs: 20, leaseMs: 1000, closedGraceMs: 800, rankGraceMs: 0 },
      ...{ startTimeoutMs: 5000, stopTimeoutMs: 1000, serve: false },
    },
    initialState: () => new Promise(() => {}),
    saveCheckpoint: async ({ step }) => step,
    persist: (record) =>
      new Promise((done, failed) => writes.push({ record, done: () => done(), failed })),
    onEvent: ({ kind }) => void events.push(kind),
    onEnded: (result) => void results.push(result),
    submit: () => "",
    readExamples: () => assert.fail("nobody asks for examples"),
  });
  const receivers: MemberReceiver[] = [];
  const beat = { type: "heartbeat", sequence: 1, received: 0, term: 1, activity: "" } as const;
  const hearts: MemberMessage = { ...beat, server: null, worker: null };
  host.tell({ type: "submit", setup: { spec, layout, resume: null }, term: 1 });
  for (const role of ["server", "worker"] as const) {
    const from = { pid: 1, host: "h", address: "a", frames: null, attempt: role };
    const request = { protocol: protocolVersion, role, rank: 0, incarnation: null, ...from };
    const reply = await host.register(request);
    assert.ok(reply.accepted);
    const { rank, incarnation } = reply;
    const send = ({ type }: CoordinatorMessage) => void said.push(`${role}: ${type}`);
    const channel = { peer: role, send, close: () => {} };
    const receiver = host.open({ role, rank, incarnation }, channel);
    receiver.onMessage(hearts);
    receivers.push(receiver);
  }
  const tensors = layout.tensors.map(({ name, shape, group }) => ({ name, shape, group }));
  for (const receiver of receivers) {
    receiver.onMessage({ type: "ready", run: spec.run, tensors, engine: "e", algorithms: [] });
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const leave = () => {
    const about = { reason: "done", server: null, worker: null } as const;
    for (const receiver of receivers) receiver.onMessage({ type: "leave", ...about });
  };
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { host, writes, results, said, events, receivers, hearts, settle, leave, pass };
}

test("servers hear of a view that binds when its record is durable, and not before", async () => {
  const { host, writes, said, settle } = await ready();
  assert.equal(writes.length, 1);
  const { record, done } = writes[0]!;
  assert.deepEqual(
    [record.run, record.term, record.view.fences],
    [spec.run, 1, [record.view.number]],
  );
  await settle();
  assert.ok(!said.includes("server: view"), said.join(", "));
  done();
  await settle();
  assert.deepEqual(
    said.filter((line) => line.endsWith("view")),
    ["server: view"],
  );
  host.close();
});

test("while a record is written heartbeats are answered, events keep their time", async () => {
  const { host, writes, said, receivers, hearts, settle, pass } = await ready();
  said.length = 0;
  receivers[1]!.onMessage(hearts);
  assert.deepEqual(said, ["worker: heartbeatAck"]);
  const from = { pid: 2, host: "h", address: "", frames: null, attempt: "late" };
  const about = {
    protocol: protocolVersion,
    role: "worker",
    rank: null,
    incarnation: null,
  } as const;
  let answered = false;
  const asked = host.register({ ...about, ...from }).then(() => (answered = true));
  pass(500);
  await settle();
  assert.equal(answered, false, "whoever registers waits for its turn");
  writes[0]!.done();
  await asked;
  await settle();
  assert.match(host.snapshot().members[1]!.reason, /^last heard 0\.5 s ago/);
  assert.ok(said.includes("server: view"));
  host.close();
});

test("a record that can't be kept ends the run, and its view is heard of by nobody", async () => {
  const { host, writes, results, said, settle, leave } = await ready();
  writes[0]!.failed(new PacelineError("storage", "the disk is full"));
  await settle();
  assert.ok(!said.includes("server: view"), said.join(", "));
  assert.deepEqual(
    said.filter((line) => line.endsWith("stop")),
    ["server: stop", "worker: stop"],
  );
  leave();
  const [result] = results;
  assert.deepEqual([result?.outcome, result?.code], ["failed", "storage"]);
  assert.match(result!.reason, /the disk is full/);
  host.close();
});

test("a host that is closed performs nothing of what waited for the disk", async () => {
  const { host, writes, events, settle } = await ready();
  host.close();
  writes[0]!.done();
  await settle();
  assert.ok(!events.includes("view"), events.join(", "));
});
