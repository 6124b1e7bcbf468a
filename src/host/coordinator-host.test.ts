/** In which order a coordinator does what its machine says, while something is waited for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoordinatorRecord } from "../core/coordinator/coordinator-record.js";
import { PacelineError, toPacelineError } from "../errors.js";
import {
  type Examples,
  type ExamplesRequest,
  evaluationBatchExamples,
} from "../protocol/examples.js";
import { mint } from "../protocol/ids.js";
import { layOut } from "../protocol/layout.js";
import {
  type CoordinatorMessage,
  type MemberMessage,
  protocolVersion,
  type RegisterReply,
} from "../protocol/messages.js";
import type { RunResult } from "../protocol/run-events.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import type { MemberReceiver, Transport } from "../transport/transport.js";
import { CoordinatorHost } from "./coordinator-host.js";
import { waitingOfSenderMax } from "./event-intake.js";
import { mailboxMessagesMax } from "./session/mailbox.js";
import { ManualClock } from "./testing/manual-clock.js";

const layout = layOut([{ name: "w", shape: [4], group: "weight" }], 4);
const { run } = sampleSpec;
const setup = { spec: { ...sampleSpec, workersMin: 1, workersMax: 2 }, layout, resume: null };

/** Turns of the event loop, in which whatever can go on does. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function messageOf(action: () => unknown): string {
  try {
    return String(action());
  } catch (thrown) {
    return toPacelineError(thrown).message;
  }
}

class Scene {
  readonly clock = new ManualClock();
  readonly records: CoordinatorRecord[] = [];
  /** Ends the waiting for the last record. */
  kept: (problem: Error | null) => void = () => assert.fail("nothing is being kept");
  loads = 0;
  readonly results: RunResult[] = [];
  readonly host: CoordinatorHost;
  note = "";
  readExamples: (request: ExamplesRequest) => Examples = () => assert.fail("nobody asks for them");

  constructor() {
    const times = { heartbeatIntervalMs: 250, leaseMs: 3000, closedGraceMs: 2500, rankGraceMs: 0 };
    const limits = { startTimeoutMs: 2000, stopTimeoutMs: 1000, serve: false };
    this.host = new CoordinatorHost({
      transport: {} as Transport,
      clock: this.clock,
      ioTimeoutMs: 5000,
      config: { term: 2, ...times, ...limits },
      initialState: async () => {
        this.loads++;
        throw new Error("there is no state");
      },
      saveCheckpoint: () => assert.fail("nothing is saved"),
      persist: (record) => {
        this.records.push(record);
        return new Promise((resolve, reject) => {
          this.kept = (problem) => (problem === null ? resolve() : reject(problem));
        });
      },
      note: (role) => this.note && `${role}: ${this.note}`,
      onEvent: () => {},
      onEnded: (result) => void this.results.push(result),
      readExamples: (request) => this.readExamples(request),
    });
  }

  register(role: "server" | "worker", attempt = ""): Promise<RegisterReply> {
    const from = { pid: 7, host: "h", address: "", frames: null, attempt };
    const request = { protocol: protocolVersion, role, rank: null, incarnation: null, ...from };
    return this.host.register(request);
  }

  async join(role: "server" | "worker"): Promise<Member> {
    const reply = await this.register(role);
    assert.ok(reply.accepted);
    return new Member(this.host, role, reply);
  }

  /** To where a view is due, which has to be kept first. */
  async begin(): Promise<{ readonly server: Member; readonly worker: Member }> {
    this.host.tell({ type: "submit", setup, term: 2 });
    const server = await this.join("server");
    const worker = await this.join("worker");
    this.clock.pass(2500);
    for (const member of [server, worker]) member.ready();
    return { server, worker };
  }
}

class Member {
  readonly heard: CoordinatorMessage[] = [];
  readonly incarnation: number;
  /** Opens its session anew. */
  readonly back: () => Member;
  isCutOff = false;
  readonly #receiver: MemberReceiver;
  readonly #tensors;
  #sequence = 0;

  constructor(
    host: CoordinatorHost,
    role: "server" | "worker",
    reply: RegisterReply & { readonly accepted: true },
  ) {
    const { rank, incarnation } = reply;
    this.incarnation = incarnation;
    this.back = () => new Member(host, role, reply);
    const send = (message: CoordinatorMessage) => void this.heard.push(message);
    const close = () => {
      this.isCutOff = true;
    };
    this.#receiver = host.open({ role, rank, incarnation }, { peer: "member", send, close });
    this.#tensors = role === "server" ? [] : layout.tensors;
    this.beat();
  }

  beat(received = 0): void {
    const body = { received, activity: "", server: null, worker: null, reach: [] };
    this.say({ type: "heartbeat", sequence: ++this.#sequence, term: 2, ...body });
  }

  ready(): void {
    const tensors = this.#tensors.map(({ name, shape, group }) => ({ name, shape, group }));
    this.say({ type: "ready", run, tensors, engine: "", algorithms: [] });
  }

  say(message: MemberMessage): void {
    this.#receiver.onMessage(message);
  }

  /** How much of what it has said was received, by the answers to its heartbeats. */
  acknowledged(): number[] {
    return this.heard.flatMap((one) => (one.type === "heartbeatAck" ? [one.received] : []));
  }

  types(): string[] {
    return this.heard.flatMap(({ type }) => (type === "heartbeatAck" ? [] : [type]));
  }
}

test("a member that is wanted elsewhere is told, and is none any more", async () => {
  const scene = new Scene();
  const [server, worker] = [await scene.join("server"), await scene.join("worker")];
  scene.note = "idle: no job";
  worker.beat();
  assert.deepEqual(worker.heard.at(-1), {
    ...{ type: "heartbeatAck", sequence: 2, received: 0, term: 2, sinceTerm: 2 },
    note: "worker: idle: no job",
  });
  const identity = { role: "worker", rank: 0, incarnation: worker.incarnation } as const;
  scene.host.move([identity], "job x wants this worker");
  assert.deepEqual([worker.types(), server.types()], [["move"], []]);
  assert.equal(worker.isCutOff, true);
  assert.deepEqual(
    scene.host.snapshot().members.map(({ role }) => role),
    ["server"],
  );
  assert.throws(() => worker.back(), { code: "refused", message: /job x wants this worker/ });
  assert.equal(scene.host.remembers(identity), true);
  assert.equal(scene.host.remembers({ ...identity, incarnation: mint(9, 1) }), false);
  await assert.rejects(scene.host.jobEvents(), { code: "usage", message: /takes no jobs/ });
  scene.host.close();
});

test("a view is sent once it is kept; meanwhile events wait, heartbeats are answered", async () => {
  const scene = new Scene();
  const { server, worker } = await scene.begin();
  assert.equal(scene.records.length, 1);
  const [record] = scene.records;
  assert.deepEqual([record!.term, record!.view.number], [2, mint(2, 1)]);
  await settle();
  assert.deepEqual(server.types(), ["prepare"]);
  let late: RegisterReply | null = null;
  void scene.register("worker").then((reply) => {
    late = reply;
  });
  const acks = server.heard.length;
  server.beat();
  worker.beat();
  await settle();
  assert.equal(late, null, "its turn has not come");
  assert.deepEqual(server.heard.at(-1), {
    ...{ type: "heartbeatAck", sequence: 2, received: 1, term: 2, sinceTerm: 2, note: "" },
  });
  assert.equal(server.heard.length, acks + 1);
  scene.kept(null);
  await settle();
  assert.deepEqual(server.types(), ["prepare", "view"]);
  assert.equal((late as RegisterReply | null)?.accepted, true);
  assert.deepEqual(worker.types(), ["prepare"], "servers hear of it first");
  scene.host.close();
});

test("while the disk stands still no more waits than may, and nothing said is lost", async () => {
  const scene = new Scene();
  const { server, worker } = await scene.begin();
  await settle();
  const acks = () => server.heard.filter(({ type }) => type === "heartbeatAck").length;
  const acksBefore = acks();
  for (let beat = 0; beat < 2 * waitingOfSenderMax; beat++) {
    scene.clock.pass(250);
    for (const member of [server, worker]) member.beat();
    const states = scene.host.snapshot().members.map(({ state }) => state);
    assert.deepEqual(states, ["alive", "alive"], "who looks at it meanwhile changes nothing");
  }
  assert.equal(acks() - acksBefore, 2 * waitingOfSenderMax, "all are answered");
  const answer = { sealedStep: -1, clockMin: 0, version: 0, departed: [] };
  const said = { type: "viewAck", view: mint(2, 1), ...answer } as const;
  server.say(said);
  assert.ok(server.isCutOff, "what is no heartbeat is not thrown away");
  const identity = { role: "server", rank: 0, incarnation: server.incarnation } as const;
  const open = () => scene.host.open(identity, { peer: "", send: () => {}, close: () => {} });
  const refusal = (thrown: unknown) => thrown instanceof PacelineError && thrown.retryable;
  assert.throws(open, refusal);
  const waiting = /with (\d+) events, (\d+) of server-0/.exec(messageOf(open));
  assert.ok(Number(waiting?.[1]) <= 3 * waitingOfSenderMax + 10, `${waiting}`);
  assert.ok(Number(waiting?.[2]) <= waitingOfSenderMax + 1, `${waiting}`);
  const callers = Array.from({ length: waitingOfSenderMax + 1 }, () => scene.register("worker"));
  await assert.rejects(callers.at(-1)!, refusal);
  scene.kept(null);
  await settle();
  const back = server.back();
  assert.deepEqual(back.acknowledged(), [1], "only that it is ready was received");
  assert.deepEqual(back.types(), ["prepare", "view"], "its silence was the disk's");
  assert.deepEqual(worker.types(), ["prepare"], "it is a member still");
  back.say(said);
  await settle();
  assert.equal(scene.loads, 1);
  assert.equal(
    (await Promise.all(callers.slice(0, -1))).filter(({ accepted }) => accepted).length,
    1,
    "the other worker that there is room for",
  );
  scene.host.close();
});

test("a member that never says what it has heard is a loss, and ends nothing else", async () => {
  const scene = new Scene();
  const server = await scene.join("server");
  const worker = await scene.join("worker");
  for (let time = 0; time <= mailboxMessagesMax; time++) {
    scene.host.tell({ type: "interrupt", reason: "" });
    if (time % 1000 === 0) worker.beat(1000 + worker.types().length);
  }
  assert.ok(server.isCutOff && !worker.isCutOff);
  assert.throws(() => server.back(), /server-0 .* is not a member .*left: it has not taken in/);
  worker.back();
  scene.host.close();
});

test("a view that can't be kept is sent to nobody, and the run ends with the reason", async () => {
  const scene = new Scene();
  const { server, worker } = await scene.begin();
  scene.kept(new Error("the disk is full"));
  await settle();
  assert.equal(scene.records.at(-1)!.ending?.code, "storage");
  scene.kept(new Error("it still is"));
  await settle();
  assert.deepEqual(server.types(), ["prepare", "stop"], "a goodbye is said all the same");
  assert.deepEqual(worker.types(), ["prepare", "stop"]);
  scene.clock.pass(1100);
  await settle();
  const [result] = scene.results;
  assert.deepEqual([result?.outcome, result?.code], ["failed", "storage"]);
  assert.match(result?.reason ?? "", /the disk is full/);
  scene.host.close();
});

test("a load that fails comes back to the machine as an event, which ends the run", async () => {
  const scene = new Scene();
  const { server } = await scene.begin();
  scene.kept(null);
  await settle();
  const answer = { sealedStep: -1, clockMin: 0, version: 0, departed: [] };
  server.say({ type: "viewAck", view: mint(2, 1), ...answer });
  await settle();
  assert.equal(scene.loads, 1);
  scene.kept(null);
  await settle();
  assert.deepEqual(server.types(), ["prepare", "view", "stop"]);
  scene.host.close();
});

test("while nothing is waited for, an event is dealt with before tell returns", async () => {
  const scene = new Scene();
  scene.host.tell({ type: "submit", setup, term: 2 });
  const server = await scene.join("server");
  const before = server.types().length;
  scene.host.tell({ type: "interrupt", reason: "Ctrl-C" });
  assert.deepEqual(server.types().slice(before), ["stop"]);
  scene.host.close();
});

test("who asks again to be a member keeps what is on its way to it", async () => {
  const scene = new Scene();
  const reply = await scene.register("server", "words");
  assert.ok(reply.accepted);
  const server = new Member(scene.host, "server", reply);
  scene.host.tell({ type: "submit", setup, term: 1 });
  assert.deepEqual(await scene.register("server", "words"), reply);
  server.beat();
  assert.deepEqual(server.types(), ["prepare"]);
  const back = new Member(scene.host, "server", reply);
  assert.deepEqual(back.types(), ["prepare"], "it is said again on another stream");
  scene.host.close();
});

test("a host that is closed performs nothing of what waited to be kept", async () => {
  const scene = new Scene();
  const { server, worker } = await scene.begin();
  const before = [server.types().length, worker.types().length];
  scene.host.close();
  scene.kept(null);
  await settle();
  assert.deepEqual([server.types().length, worker.types().length], before);
});

test("a member that was lost and asks again is told why", async () => {
  const scene = new Scene();
  const reply = await scene.register("worker");
  assert.ok(reply.accepted);
  const { rank, incarnation } = reply;
  const identity = { role: "worker", rank, incarnation } as const;
  scene.host.tell({ type: "exited", ...identity, pid: 7, reason: "ended", restarts: false });
  const channel = { peer: "member", send: () => {}, close: () => {} };
  assert.throws(() => scene.host.open(identity, channel), {
    code: "refused",
    message: /is not a member any more: it ended$/,
  });
  scene.host.close();
});

test("as many examples are sent at once as an evaluation asks for, whatever their size", () => {
  const scene = new Scene();
  const input = { ...setup.spec.input, shape: [1, 1024, 1024] } as const;
  const spec = { ...setup.spec, feed: "central", batchSize: 4, testExamples: 300, input } as const;
  scene.host.tell({ type: "submit", setup: { ...setup, spec }, term: 2 });
  scene.readExamples = () => {
    return { shape: [], dtype: "u8", labels: new Int32Array(0), values: new Uint8Array(0) };
  };
  const ask = (end: number) => {
    return scene.host.readExamples({ run: spec.run, split: "test", epoch: 0, start: 0, end });
  };
  ask(evaluationBatchExamples);
  const message = /there are 300, and at most 128 are sent at once$/;
  assert.throws(() => ask(evaluationBatchExamples + 1), { code: "protocol", message });
});
