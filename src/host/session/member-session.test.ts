/** A member between coordinators: whose word it takes, over streams that a test makes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../../errors.js";
import { mint } from "../../protocol/ids.js";
import {
  type CoordinatorMessage,
  type MemberMessage,
  protocolVersion,
  type RegisterReply,
  type RegisterRequest,
} from "../../protocol/messages.js";
import { firstPhase, type View } from "../../protocol/view.js";
import type { CoordinatorReceiver, Transport } from "../../transport/transport.js";
import { ManualClock } from "../testing/manual-clock.js";
import { CoordinatorPlaces } from "./coordinator-places.js";
import { HeardTerm } from "./heard-term.js";
import { MemberSession, register } from "./member-session.js";

const times = { startTimeoutMs: 10_000, ioTimeoutMs: 1000, coordinatorGraceMs: 5000 };
const config = { coordinator: new CoordinatorPlaces("here"), ...times };
const request: RegisterRequest = {
  ...{ protocol: protocolVersion, role: "worker", rank: null, incarnation: null, pid: 7 },
  ...{ host: "h", address: "", frames: null, attempt: "a" },
};

/** A session of a process that has heard of term 3. */
class Scene {
  readonly clock = new ManualClock();
  readonly heard = new HeardTerm();
  readonly heardOf: CoordinatorMessage[] = [];
  readonly lost: PacelineError[] = [];
  readonly told: string[] = [];
  /** By stream: what the member says, and whether it has ended it. */
  readonly streams: {
    readonly said: MemberMessage[];
    readonly receiver: CoordinatorReceiver;
    readonly address: string;
    isClosed: boolean;
  }[] = [];
  readonly session: MemberSession;

  constructor(addresses = "here", coordinatorGraceMs = times.coordinatorGraceMs) {
    this.heard.hear(3);
    const openSession: Transport["openSession"] = (address, _identity, receiver) => {
      const stream = { said: [] as MemberMessage[], receiver, address, isClosed: false };
      this.streams.push(stream);
      const send = (message: MemberMessage) => void stream.said.push(message);
      const close = () => {
        stream.isClosed = true;
      };
      return { peer: "here", send, close };
    };
    const transport = { openSession } as unknown as Transport;
    const handler = {
      onMessage: (message: CoordinatorMessage) => void this.heardOf.push(message),
      heartbeat: () => ({ activity: "", server: null, worker: null, reach: [] }),
      onReturned: () => this.session.send(returned),
      onLost: (error: PacelineError) => void this.lost.push(error),
      log: (text: string) => void this.told.push(text),
    };
    const { clock, heard } = this;
    const identity = { role: "worker", rank: 0, incarnation: mint(3, 1) } as const;
    const coordinator = new CoordinatorPlaces(addresses);
    const own = { ...config, coordinator, coordinatorGraceMs };
    const parts = { transport, clock, config: own, handler, heard };
    this.session = new MemberSession(parts, identity, 1000);
  }

  get stream() {
    return this.streams.at(-1)!;
  }

  say(...messages: CoordinatorMessage[]): void {
    for (const message of messages) this.stream.receiver.onMessage(message);
  }

  beats() {
    return this.stream.said.flatMap((said) => (said.type === "heartbeat" ? [said] : []));
  }
}

const ack = (term: number, received = 0, sinceTerm = 1, sequence = 1): CoordinatorMessage => {
  return { type: "heartbeatAck", sequence, received, term, sinceTerm, note: "" };
};
const returned: MemberMessage = { type: "returned", assignment: 7, step: 3, done: null };
const pause: CoordinatorMessage = { type: "pause", pause: 9 };

function viewOf(term: number): CoordinatorMessage {
  const nobody = {
    servers: [],
    workers: [],
    replicas: [],
    fences: [],
    candidates: [],
    departing: [],
  };
  const numbers = { number: mint(term, 1), generation: 0, ...firstPhase({ mode: "bsp" }) };
  const view: View = { run: "r", ...numbers, ...nobody };
  return { type: "view", view };
}

test("heartbeats say the highest term heard of", () => {
  const scene = new Scene();
  assert.deepEqual(
    scene.beats().map(({ term }) => term),
    [3],
  );
  scene.say(ack(5));
  scene.clock.pass(1000);
  assert.deepEqual(
    scene.beats().map(({ term }) => term),
    [3, 5],
  );
});

test("a coordinator of a lower term is not listened to, and looked for again", () => {
  const scene = new Scene();
  scene.session.send({ type: "diverged", step: 1, what: "loss" });
  const first = scene.stream;
  scene.say(ack(2), pause, viewOf(2));
  assert.equal(first.isClosed, true);
  assert.deepEqual(scene.heardOf, []);
  assert.deepEqual(
    first.said.map(({ type }) => type),
    ["heartbeat"],
  );
  scene.clock.pass(150);
  assert.equal(scene.streams.length, 2);
  scene.say(ack(3), pause);
  assert.deepEqual(scene.heardOf, [pause]);
  assert.deepEqual(
    scene.stream.said.map(({ type }) => type),
    ["heartbeat", "diverged"],
  );
  scene.clock.pass(1000);
  assert.deepEqual(
    scene.beats().map(({ received }) => received),
    [0, 1],
  );
});

test("nothing is taken of a coordinator that has not said its term on this stream", () => {
  const scene = new Scene();
  scene.say(pause, ack(3), pause);
  assert.deepEqual(scene.heardOf, [pause]);
  scene.stream.receiver.onClose(new PacelineError("unavailable", "cut"));
  scene.clock.pass(150);
  scene.say(pause);
  assert.equal(scene.heardOf.length, 1);
});

test("a view of a lower term is not handed on, from any sender", () => {
  const scene = new Scene();
  scene.say(ack(4), viewOf(3), viewOf(4), viewOf(5));
  assert.deepEqual(scene.heardOf, [viewOf(4), viewOf(5)]);
});

test("a member that finds none but a deposed coordinator gives up in time and says why", () => {
  const scene = new Scene();
  for (let tries = 0; tries < 40 && scene.lost.length === 0; tries++) {
    scene.say(ack(2));
    scene.clock.pass(150);
  }
  assert.equal(scene.lost.length, 1);
  const said = /the coordinator at here is of term 2, and term 3 has been heard of: another has/;
  assert.match(scene.lost[0]!.message, said);
  assert.ok(scene.clock.nowMs() >= config.coordinatorGraceMs);
});

test("a registration with a coordinator of a lower term is none, and is tried again", async () => {
  const clock = new ManualClock();
  const heard = new HeardTerm();
  heard.hear(3);
  const asked: string[] = [];
  const reply = (term: number): RegisterReply => {
    const times = { heartbeatIntervalMs: 1, leaseMs: 1, run: "" };
    return { accepted: true, rank: term, incarnation: mint(term, 1), term, ...times };
  };
  const replies = [reply(2), reply(4)];
  const transport = {
    register: async (_address: string, { attempt }: RegisterRequest) => {
      asked.push(attempt);
      return replies.shift()!;
    },
  } as unknown as Transport;
  const said: string[] = [];
  const log = (text: string) => void said.push(text);
  const answer = register(transport, clock, config, request, log, heard);
  await new Promise((resolve) => setImmediate(resolve));
  assert.match(said.join(), /of term 2, and term 3 has been heard of: .*; trying again in 1 s/);
  clock.pass(1000);
  assert.equal((await answer).rank, 4);
  assert.deepEqual(asked, ["a", "a"], "in the same words");
  assert.equal(heard.value, 4);
});

test("a member that finds none of several coordinators looks again every second", async () => {
  const clock = new ManualClock();
  const triedMs: number[] = [];
  const transport = {
    register: async (address: string) => {
      triedMs.push(clock.nowMs());
      throw new PacelineError("unavailable", `${address} is away; is it running?`);
    },
  } as unknown as Transport;
  const coordinator = new CoordinatorPlaces("a,b");
  const patient = { ...config, coordinator, startTimeoutMs: 5500 };
  const answer = register(transport, clock, patient, request, () => {}, new HeardTerm());
  const gaveUp = assert.rejects(answer, { message: "a is away; b is away; is it running?" });
  for (let second = 0; second < 6; second++) {
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    clock.pass(1000);
  }
  await gaveUp;
  assert.deepEqual(
    triedMs,
    [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5].map((second) => second * 1000),
  );
});

test("terms of several runs behind one address are not compared", async () => {
  const heard = new HeardTerm();
  heard.hear(9);
  const times = { heartbeatIntervalMs: 1, leaseMs: 1 };
  const joins = async (run: string, term: number) => {
    const reply = { accepted: true, rank: 0, incarnation: mint(term, 1), term, ...times, run };
    const transport = { register: async () => reply } as unknown as Transport;
    const clock = new ManualClock();
    const short = { ...config, startTimeoutMs: 0 };
    return register(transport, clock, short, request, () => {}, heard).then(
      () => true,
      () => false,
    );
  };
  assert.equal(await joins("a", 4), true, "of another run than those of term 9");
  assert.equal(await joins("b", 2), true);
  assert.equal(await joins("a", 3), false);
  assert.equal(await joins("", 8), false);
  assert.deepEqual([heard.value, heard.of("a").value, heard.of("b").value], [9, 4, 2]);
});

test("why there is nothing to do is told when it changes", () => {
  const scene = new Scene();
  for (const note of ["", "idle: no job", "idle: no job", "", "idle: job x has its worker"]) {
    scene.say({ ...ack(3), note } as CoordinatorMessage);
  }
  assert.deepEqual(scene.told, ["idle: no job", "idle: job x has its worker"]);
});

test("where another takes over, both count anew and the member says how it stands", () => {
  const scene = new Scene();
  scene.say(ack(3), pause, pause);
  scene.session.send({ type: "pausing", pause: 9, step: 4 });
  scene.session.send({ type: "leave", reason: "home", server: null, worker: null });
  scene.stream.receiver.onClose(new PacelineError("unavailable", "killed"));
  scene.clock.pass(150);
  assert.deepEqual(
    scene.beats().map(({ received, term }) => [received, term]),
    [[2, 3]],
    "of the one before",
  );
  scene.say(ack(4, 0, 4), pause);
  assert.deepEqual(
    scene.stream.said.map(({ type }) => type),
    ["heartbeat", "returned", "leave"],
    "what the one before had asked for is no news to this one",
  );
  scene.clock.pass(1000);
  assert.equal(scene.beats().at(-1)!.received, 1);
  scene.say(ack(5, 2, 4, 3));
  scene.stream.receiver.onClose(new PacelineError("unavailable", "cut"));
  scene.clock.pass(150);
  scene.say(ack(5, 2, 4, 4));
  assert.deepEqual(
    scene.stream.said.map(({ type }) => type),
    ["heartbeat"],
    "one that raises its term is the same",
  );
});

test("a member goes on without a coordinator for a grace from the last answered heartbeat", () => {
  const scene = new Scene();
  scene.clock.pass(1000);
  scene.clock.pass(1000);
  assert.equal(scene.beats().length, 3, "sent at 0, 1000 and 2000 ms");
  // The second is answered late, and says nothing of later moments.
  scene.clock.pass(900);
  scene.say(ack(3, 0, 1, 2));
  scene.stream.receiver.onClose(new PacelineError("unavailable", "killed"));
  while (scene.lost.length === 0) {
    assert.ok(scene.clock.nowMs() < 10_000);
    scene.clock.pass(150);
    if (scene.lost.length === 0) {
      scene.stream.receiver.onClose(new PacelineError("unavailable", "nobody listens"));
    }
  }
  const goneMs = scene.clock.nowMs();
  assert.ok(goneMs >= 6000 && goneMs < 6300, `gave up at ${goneMs} ms`);
});

test("of several addresses the next is tried where one is refused or says nothing", () => {
  const scene = new Scene("a,b");
  const addresses = () => scene.streams.map(({ address }) => address);
  const refused = new PacelineError("unavailable", "nobody listens");
  scene.stream.receiver.onClose(refused);
  scene.clock.pass(150);
  assert.deepEqual(addresses(), ["a", "b"]);
  scene.say(ack(3, 0, 3, 2));
  scene.clock.pass(1000);
  // A link that breaks is first tried where the coordinator was.
  scene.stream.receiver.onClose(refused);
  scene.clock.pass(150);
  assert.deepEqual(addresses(), ["a", "b", "b"]);
  scene.say(ack(3, 0, 3, scene.beats().at(-1)!.sequence));
  // One that is frozen takes connections, and answers none.
  for (let second = 0; second < 2; second++) scene.clock.pass(1000);
  assert.equal(addresses().length, 3);
  for (let second = 0; second < 2; second++) scene.clock.pass(1000);
  assert.equal(scene.streams[2]!.isClosed, true);
  scene.clock.pass(150);
  assert.deepEqual(addresses(), ["a", "b", "b", "a"]);
  scene.say(ack(4, 0, 4, scene.beats().at(-1)!.sequence));
  for (let second = 0; second < 2; second++) scene.clock.pass(1000);
  assert.equal(addresses().length, 4);
  assert.deepEqual(scene.lost, []);
});

test("one that is frozen is not waited for as long each time", () => {
  const scene = new Scene("frozen,next", 10_000);
  const addresses = () => scene.streams.map(({ address }) => address);
  scene.say(ack(3));
  for (let second = 0; second < 3; second++) scene.clock.pass(1000);
  scene.clock.pass(150);
  assert.deepEqual(addresses(), ["frozen", "next"], "after 3 s");
  // The next does not listen yet, as it is about to lead.
  scene.stream.receiver.onClose(new PacelineError("unavailable", "nobody listens"));
  scene.clock.pass(150);
  assert.equal(addresses().at(-1), "frozen");
  scene.clock.pass(1700);
  scene.clock.pass(150);
  assert.equal(addresses().at(-1), "next", "after a second of silence");
  scene.say(ack(4, 0, 4, scene.beats().at(-1)!.sequence));
  assert.deepEqual(scene.lost, []);
});

test("a registration tries every address before it waits, and no silent one for long", async () => {
  const clock = new ManualClock();
  const asked: string[] = [];
  const transport = {
    register: (address: string) => {
      asked.push(address);
      const times = { heartbeatIntervalMs: 1, leaseMs: 1, run: "" };
      if (address === "frozen") return new Promise(() => {});
      if (address === "away") return Promise.reject(new PacelineError("unavailable", "away"));
      const reply = { accepted: true, rank: 0, incarnation: mint(1, 1), term: 1, ...times };
      return Promise.resolve(reply);
    },
  } as unknown as Transport;
  const own = { ...config, coordinator: new CoordinatorPlaces("away,frozen,here") };
  const answer = register(transport, clock, own, request, () => {}, new HeardTerm());
  while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
  clock.pass(3000);
  assert.equal((await answer).accepted, true);
  assert.deepEqual(asked, ["away", "frozen", "here"]);
  assert.equal(own.coordinator.present, "here");
});

test("it asks to be let go each second, until it says goodbye", async () => {
  const scene = new Scene();
  scene.say(ack(3));
  const asked = () => scene.stream.said.filter(({ type }) => type === "leaving").length;
  scene.session.askToLeave("SIGTERM");
  scene.session.askToLeave("SIGTERM");
  assert.equal(asked(), 1);
  scene.clock.pass(2000);
  assert.equal(asked(), 3);
  // What another coordinator was not told is said to it in the next second.
  scene.say(ack(4, 0, 4, 2));
  scene.clock.pass(1000);
  assert.equal(asked(), 4);
  const goodbye = scene.session.drain(0);
  scene.clock.pass(3000);
  await goodbye;
  assert.equal(asked(), 4);
});
